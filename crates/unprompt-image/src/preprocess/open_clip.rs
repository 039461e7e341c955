//! `open_clip_config.json`.

use super::{
    json::{Config, filter_named, height_width, invalid, side},
    preprocessor::{CLIP_MEAN, CLIP_STD, Normalize, Preprocessor},
    steps::{CropRounding, ResizeTarget, Step},
};
use crate::{Filter, Result};
use serde_json::Value;

pub(super) fn parse(json: &str) -> Result<Preprocessor> {
    let config = Config::parse(json, "preprocess_cfg")?;
    if let Some(mode) = config.text("mode")?.filter(|&mode| mode != "RGB") {
        return Err(invalid(format!("`mode` must be `RGB`, found `{mode}`")));
    }
    let (width, height) = match config.get("size") {
        None => (224, 224),
        Some(Value::Array(pair)) => height_width("size", pair)?,
        Some(number) => side("size", number).map(|side| (side, side))?,
    };
    let filter = match config.text("interpolation")?.unwrap_or("bicubic") {
        "random" => Filter::Bicubic, // only training draws; evaluation takes bicubic
        name @ ("bicubic" | "bilinear") => filter_named("interpolation", name)?,
        other => {
            return Err(invalid(format!(
                "`interpolation` must be bicubic, bilinear or random, found `{other}`"
            )));
        }
    };
    let crop = |fill| {
        let rounding = CropRounding::HalfToEven;
        Step::CenterCrop {
            width,
            height,
            rounding,
            fill,
        }
    };
    let steps = match config.text("resize_mode")?.unwrap_or("shortest") {
        "squash" => {
            vec![Step::Resize {
                target: ResizeTarget::Exact { width, height },
                filter,
            }]
        }
        "longest" => {
            let fill = match config.number("fill_color", 0.0)? {
                level @ 0.0..=255.0 => [level as u8; 3],
                other => {
                    return Err(invalid(format!(
                        "`fill_color` must be 0 to 255, found {other}"
                    )));
                }
            };
            vec![
                Step::Resize {
                    target: ResizeTarget::Fit { width, height },
                    filter,
                },
                crop(fill),
            ]
        }
        "shortest" if width == height => {
            vec![
                Step::Resize {
                    target: ResizeTarget::ShortestSide(width),
                    filter,
                },
                crop([0; 3]),
            ]
        }
        "shortest" => {
            // open_clip forgets the configured filter here and always takes bicubic.
            let target = ResizeTarget::Cover { width, height };
            vec![
                Step::Resize {
                    target,
                    filter: Filter::Bicubic,
                },
                crop([0; 3]),
            ]
        }
        other => {
            return Err(invalid(format!(
                "`resize_mode` must be shortest, longest or squash, found `{other}`"
            )));
        }
    };
    let clip = Normalize {
        mean: CLIP_MEAN,
        std: CLIP_STD,
    };
    Ok(Preprocessor::of_steps(
        steps,
        config.normalize(["mean", "std"], clip)?,
    ))
}
