//! `config.json` of timm.

use super::{
    json::{Config, filter_named, height_width, invalid},
    preprocessor::{IMAGENET_MEAN, IMAGENET_STD, Normalize, Preprocessor},
    steps::{CropRounding, ResizeTarget, Step},
};
use crate::Result;
use serde_json::Value;

pub(super) fn parse(json: &str) -> Result<Preprocessor> {
    let config = Config::parse(json, "pretrained_cfg")?;
    let (width, height) = match config.get("input_size") {
        None => (224, 224),
        Some(Value::Array(size)) => match size.as_slice() {
            [channels, pair @ ..] if channels.as_u64() == Some(3) && pair.len() == 2 => {
                height_width("input_size", pair)?
            }
            _ => return Err(invalid("`input_size` must be 3, height and width")),
        },
        Some(_) => return Err(invalid("`input_size` must be 3, height and width")),
    };
    let filter = filter_named(
        "interpolation",
        config.text("interpolation")?.unwrap_or("bicubic"),
    )?;
    let crop_pct = config.number("crop_pct", 0.875)?;
    if !(0.01..=100.0).contains(&crop_pct) {
        return Err(invalid(format!(
            "`crop_pct` must be 0.01 to 100, found {crop_pct}"
        )));
    }
    let imagenet = Normalize {
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    };
    let normalize = config.normalize(["mean", "std"], imagenet)?;

    let before_crop = |side: u32| (f64::from(side) / crop_pct).floor() as u32;
    let (scaled_width, scaled_height) = (before_crop(width), before_crop(height));
    let (target, fill) = match config.text("crop_mode")?.unwrap_or("center") {
        "squash" => (
            ResizeTarget::Exact {
                width: scaled_width,
                height: scaled_height,
            },
            [0; 3],
        ),
        "border" => {
            // Padded with the mean colour, so that the border normalises to about zero.
            let fill = normalize
                .mean
                .map(|mean| (255.0 * mean).round_ties_even() as u8);
            (
                ResizeTarget::Fit {
                    width: scaled_width,
                    height: scaled_height,
                },
                fill,
            )
        }
        "center" if scaled_width == scaled_height => {
            (ResizeTarget::ShortestSide(scaled_width), [0; 3])
        }
        "center" => (
            ResizeTarget::Cover {
                width: scaled_width,
                height: scaled_height,
            },
            [0; 3],
        ),
        other => {
            return Err(invalid(format!(
                "`crop_mode` must be center, squash or border, found `{other}`"
            )));
        }
    };
    let crop = Step::CenterCrop {
        width,
        height,
        rounding: CropRounding::HalfToEven,
        fill,
    };
    Ok(Preprocessor::of_steps(
        vec![Step::Resize { target, filter }, crop],
        normalize,
    ))
}
