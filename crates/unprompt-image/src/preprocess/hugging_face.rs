//! `preprocessor_config.json` of transformers.

use super::{
    json::{Config, filter_named, height_width, invalid, side},
    preprocessor::{CLIP_MEAN, CLIP_STD, HALF, Normalize, Preprocessor},
    steps::{CropRounding, ResizeTarget, Step},
};
use crate::{Alpha, Filter, Result};
use serde_json::Value;

/// The defaults of one image processor class of transformers 5.
struct Defaults {
    filter: Filter,
    normalize: Normalize,
    size: ResizeTarget,
    /// Whether a bare number as `size` means a square, or the shorter side.
    number_is_square: bool,
    crop: Option<u32>,
    converts_to_rgb: bool,
}

fn defaults_of(class: &str) -> Result<Defaults> {
    let name = class
        .strip_suffix("Fast")
        .or(class.strip_suffix("Pil"))
        .unwrap_or(class);
    let clip = Normalize {
        mean: CLIP_MEAN,
        std: CLIP_STD,
    };
    let half = Normalize {
        mean: HALF,
        std: HALF,
    };
    match name {
        "ViTImageProcessor" | "ViTFeatureExtractor" => Ok(Defaults {
            filter: Filter::Bilinear,
            normalize: half,
            size: ResizeTarget::Exact {
                width: 224,
                height: 224,
            },
            number_is_square: true,
            crop: None,
            converts_to_rgb: false,
        }),
        "CLIPImageProcessor" | "CLIPFeatureExtractor" => Ok(Defaults {
            filter: Filter::Bicubic,
            normalize: clip,
            size: ResizeTarget::ShortestSide(224),
            number_is_square: false,
            crop: Some(224),
            converts_to_rgb: true,
        }),
        "SiglipImageProcessor" => Ok(Defaults {
            filter: Filter::Bicubic,
            normalize: half,
            size: ResizeTarget::Exact {
                width: 224,
                height: 224,
            },
            number_is_square: false,
            crop: None,
            converts_to_rgb: true,
        }),
        "BlipImageProcessor" => Ok(Defaults {
            filter: Filter::Bicubic,
            normalize: clip,
            size: ResizeTarget::Exact {
                width: 384,
                height: 384,
            },
            number_is_square: true,
            crop: None,
            converts_to_rgb: true,
        }),
        _ => Err(invalid(format!(
            "image processor `{class}` is not known; known are ViTImageProcessor, \
             CLIPImageProcessor, SiglipImageProcessor and BlipImageProcessor"
        ))),
    }
}

pub(super) fn parse(json: &str) -> Result<Preprocessor> {
    let config = Config::parse(json, "image_processor")?;
    let class = config
        .text("image_processor_type")?
        .or(config.text("feature_extractor_type")?)
        .ok_or_else(|| invalid("`image_processor_type` is missing"))?;
    let defaults = defaults_of(class)?;

    let mut steps = Vec::new();
    if config.flag("do_resize", true)? {
        let target = match config.get("size") {
            Some(size) => target_of(size, defaults.number_is_square)?,
            None => defaults.size,
        };
        let filter = filter_of(&config, defaults.filter)?;
        steps.push(Step::Resize { target, filter });
    }
    if config.flag("do_center_crop", defaults.crop.is_some())? {
        let (width, height) = match (config.get("crop_size"), defaults.crop) {
            (Some(size), _) => crop_of(size)?,
            (None, Some(side)) => (side, side),
            (None, None) => return Err(invalid("`do_center_crop` is set without `crop_size`")),
        };
        let rounding = CropRounding::Floor;
        steps.push(Step::CenterCrop {
            width,
            height,
            rounding,
            fill: [0; 3],
        });
    }
    if config.flag("do_pad", false)? {
        return Err(invalid(
            "`do_pad` is set, padding is not supported; set it to false",
        ));
    }
    let rescale = match config.flag("do_rescale", true)? {
        true => Some(config.number("rescale_factor", 1.0 / 255.0)?),
        false => None,
    };
    let normalize = match config.flag("do_normalize", true)? {
        true => Some(config.normalize(["image_mean", "image_std"], defaults.normalize)?),
        false => None,
    };
    let alpha = match config.flag("do_convert_rgb", defaults.converts_to_rgb)? {
        true => Alpha::OverWhite,
        false => Alpha::Drop,
    };
    Ok(Preprocessor {
        steps,
        rescale,
        normalize,
        alpha,
    })
}

fn target_of(size: &Value, number_is_square: bool) -> Result<ResizeTarget> {
    match size {
        Value::Object(keys) => {
            let known = ["height", "width", "shortest_edge"];
            let given: Vec<_> = keys.iter().filter(|(_, value)| !value.is_null()).collect();
            if let Some((key, _)) = given.iter().find(|(key, _)| !known.contains(&key.as_str())) {
                return Err(invalid(format!("`size.{key}` is not supported")));
            }
            let part = |key: &str| {
                given
                    .iter()
                    .find(|(name, _)| *name == key)
                    .map(|(_, value)| *value)
            };
            match (part("shortest_edge"), part("height"), part("width")) {
                (Some(edge), None, None) => Ok(ResizeTarget::ShortestSide(side(
                    "size.shortest_edge",
                    edge,
                )?)),
                (None, Some(height), Some(width)) => Ok(ResizeTarget::Exact {
                    width: side("size.width", width)?,
                    height: side("size.height", height)?,
                }),
                _ => Err(invalid(
                    "`size` must have `height` and `width`, or `shortest_edge`",
                )),
            }
        }
        Value::Array(pair) => {
            let (width, height) = height_width("size", pair)?;
            Ok(ResizeTarget::Exact { width, height })
        }
        number if number_is_square => {
            let side = side("size", number)?;
            Ok(ResizeTarget::Exact {
                width: side,
                height: side,
            })
        }
        number => side("size", number).map(ResizeTarget::ShortestSide),
    }
}

fn crop_of(size: &Value) -> Result<(u32, u32)> {
    match size {
        Value::Object(keys) => match (keys.get("height"), keys.get("width")) {
            (Some(height), Some(width)) => Ok((
                side("crop_size.width", width)?,
                side("crop_size.height", height)?,
            )),
            _ => Err(invalid("`crop_size` must have `height` and `width`")),
        },
        Value::Array(pair) => height_width("crop_size", pair),
        number => side("crop_size", number).map(|side| (side, side)),
    }
}

fn filter_of(config: &Config, default: Filter) -> Result<Filter> {
    match config.get("resample") {
        None => Ok(default),
        Some(Value::String(name)) => filter_named("resample", name),
        Some(number) => number.as_u64().and_then(Filter::from_pil).ok_or_else(|| {
            invalid(format!(
                "`resample` must be a PIL filter number from 0 to 5, found {number}"
            ))
        }),
    }
}
