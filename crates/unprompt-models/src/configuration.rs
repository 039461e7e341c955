//! Reading a model folder's JSON files.

use crate::{ModelError, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    io::{ErrorKind, Read},
    path::Path,
};
use unprompt_files::open_regular;
use unprompt_nn::Activation;

/// Configurations are a few kilobytes, tokenizers up to some megabytes.
const LARGEST_FILE: u64 = 64 << 20;

/// The bytes of a file in a model folder, or `None` where there is no such file.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |error: std::io::Error| ModelError::configuration(path, error.to_string());
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(ModelError::configuration(
            path,
            format!("larger than {LARGEST_FILE} bytes"),
        ));
    }
    Ok(Some(bytes))
}

/// A JSON file of a model folder, or `None` where there is no such file.
///
/// # Errors
/// Names the file, where it cannot be read, is larger than any configuration, or is no such JSON.
pub fn read_json_optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let parse = |bytes: Vec<u8>| {
        serde_json::from_slice(&bytes)
            .map_err(|error| ModelError::configuration(path, error.to_string()))
    };
    read_optional(path)?.map(parse).transpose()
}

/// A JSON file that a model folder must have.
///
/// # Errors
/// As [`read_json_optional`], and where there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    read_json_optional(path)?
        .ok_or_else(|| ModelError::configuration(path, "no such file in the model's folder"))
}

/// An activation by its name in transformers' configurations.
pub(crate) fn activation_named(name: &str) -> std::result::Result<Activation, String> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "quick_gelu" => Ok(Activation::QuickGelu),
        "relu" => Ok(Activation::Relu),
        other => Err(format!(
            "hidden_act `{other}` is none of gelu, gelu_new, quick_gelu, relu"
        )),
    }
}

/// An activation by its name in timm's configurations.
pub(crate) fn activation_of_timm(name: &Value) -> std::result::Result<Activation, String> {
    match name.as_str() {
        Some("gelu") => Ok(Activation::Gelu),
        Some("gelu_tanh") => Ok(Activation::GeluTanh),
        Some("quick_gelu") => Ok(Activation::QuickGelu),
        Some("relu") => Ok(Activation::Relu),
        _ => Err(format!(
            "`act_layer` {name} is none of gelu, gelu_tanh, quick_gelu, relu"
        )),
    }
}
