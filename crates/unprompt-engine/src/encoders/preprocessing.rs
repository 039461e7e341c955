//! What happens to a picture before a network, from the model's own configuration files.

use crate::{
    encoders::located::{Kind, LARGEST_CONFIGURATION, Located},
    error::Result,
};
use serde_json::{Value, json};
use unprompt_files::read_regular;
use unprompt_image::{Filter, HALF, IMAGENET_MEAN, IMAGENET_STD, Normalize, Preprocessor};
use unprompt_models::ModelError;

/// Where transformers keeps it.
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
const PROCESSOR_CONFIG: &str = "processor_config.json";

/// Reads one of a model's configuration files as text, if it is there.
fn configuration(located: &Located, name: &str) -> Result<Option<String>> {
    let Some(path) = located.resolved.files.get(name) else {
        return Ok(None);
    };
    let failed = |message: String| ModelError::Configuration {
        path: path.clone(),
        message,
    };
    let text = read_regular(path, LARGEST_CONFIGURATION)
        .map_err(|error| failed(error.to_string()))
        .and_then(|bytes| String::from_utf8(bytes).map_err(|error| failed(error.to_string())));
    located.named(text).map(Some)
}

fn parsed(
    located: &Located,
    name: &str,
    preprocessor: unprompt_image::Result<Preprocessor>,
) -> Result<Preprocessor> {
    located.named(preprocessor.map_err(|error| ModelError::Configuration {
        path: located.resolved.dir.join(name),
        message: error.to_string(),
    }))
}

/// The preprocessing of a CLIP, from its own configuration where it has one.
pub(crate) fn clip_preprocessor(
    located: &Located,
    open_clip: bool,
    (height, width): (usize, usize),
) -> Result<Preprocessor> {
    if open_clip {
        return open_clip_preprocessor(located, (height, width), &[]);
    }
    let defaults = json!({
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": height.min(width)},
        "crop_size": {"height": height, "width": width},
    });
    image_processor_or(located, &defaults)
}

/// As a CLIP's, but what a file leaves open is SigLIP's own: the picture squeezed into the square,
/// and values from -1 to 1.
pub(crate) fn siglip_preprocessor(
    located: &Located,
    open_clip: bool,
    (height, width): (usize, usize),
) -> Result<Preprocessor> {
    if open_clip {
        let defaults = [
            ("mean", json!([0.5, 0.5, 0.5])),
            ("std", json!([0.5, 0.5, 0.5])),
            ("interpolation", json!("bicubic")),
            ("resize_mode", json!("squash")),
        ];
        return open_clip_preprocessor(located, (height, width), &defaults);
    }
    let defaults = json!({
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": height, "width": width},
    });
    image_processor_or(located, &defaults)
}

/// The `preprocess_cfg` of open_clip, with what it lacks of `defaults`, and with the network's own
/// size: open_clip takes that whatever the file says, and published files often say nothing.
fn open_clip_preprocessor(
    located: &Located,
    (height, width): (usize, usize),
    defaults: &[(&str, Value)],
) -> Result<Preprocessor> {
    let name = "open_clip_config.json";
    let mut json = configuration(located, name)?.unwrap_or_else(|| "{}".into());
    // What is wrong with it is said where it is read.
    if let Ok(mut config) = serde_json::from_str::<Value>(&json) {
        if let Some(config) = config.as_object_mut() {
            let preprocess = config.entry("preprocess_cfg").or_insert_with(|| json!({}));
            if let Some(preprocess) = preprocess.as_object_mut() {
                preprocess.insert("size".into(), json!([height, width]));
                for (name, value) in defaults {
                    preprocess.entry(*name).or_insert_with(|| value.clone());
                }
            }
        }
        json = config.to_string();
    }
    parsed(located, name, Preprocessor::from_open_clip_config(&json))
}

/// The image processor of a folder of transformers. Version 5 saves it within the configuration
/// of the whole processor, which then comes first.
pub(crate) fn image_processor(located: &Located) -> Result<Option<Preprocessor>> {
    for name in [PROCESSOR_CONFIG, PREPROCESSOR_CONFIG] {
        let Some(json) = configuration(located, name)? else {
            continue;
        };
        let is_of_a_tokenizer_alone = name == PROCESSOR_CONFIG
            && serde_json::from_str::<Value>(&json)
                .is_ok_and(|config| config.get("image_processor").is_none());
        if !is_of_a_tokenizer_alone {
            let preprocessor = Preprocessor::from_preprocessor_config(&json);
            return parsed(located, name, preprocessor).map(Some);
        }
    }
    Ok(None)
}

/// The same, or the one of `defaults` where the folder has none.
fn image_processor_or(located: &Located, defaults: &Value) -> Result<Preprocessor> {
    match image_processor(located)? {
        Some(preprocessor) => Ok(preprocessor),
        None => {
            let preprocessor = Preprocessor::from_preprocessor_config(&defaults.to_string());
            parsed(located, PREPROCESSOR_CONFIG, preprocessor)
        }
    }
}

/// The preprocessing of a Vision Transformer, from its own configuration where it has one.
pub(crate) fn vit_preprocessor(
    located: &Located,
    kind: Kind,
    (height, width): (usize, usize),
) -> Result<Preprocessor> {
    let (height, width) = (height as u32, width as u32);
    match kind {
        Kind::TimmVit => {
            let json = configuration(located, "config.json")?.unwrap_or_default();
            parsed(
                located,
                "config.json",
                Preprocessor::from_timm_config(&json),
            )
        }
        Kind::TransformersVit => match image_processor(located)? {
            Some(preprocessor) => Ok(preprocessor),
            None => {
                let normalize = Normalize {
                    mean: HALF,
                    std: HALF,
                };
                Ok(Preprocessor::squash(
                    width,
                    height,
                    Filter::Bilinear,
                    normalize,
                ))
            }
        },
        // The paper's notebook resizes its square pictures without a crop; others need one.
        _ => {
            let normalize = Normalize {
                mean: IMAGENET_MEAN,
                std: IMAGENET_STD,
            };
            let side = height.min(width);
            Ok(Preprocessor::shortest_side_crop(
                side,
                side,
                Filter::Bilinear,
                normalize,
            ))
        }
    }
}
