//! A head as it is kept: a safetensors file and a configuration.

use crate::{Result, Ridge, TrainError};
use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use serde::Serialize;
use std::path::Path;

/// What a head was trained on, and how: its `config.json`.
#[derive(Clone, Debug, Serialize)]
pub struct HeadConfig {
    /// Always `head`.
    pub model_type: &'static str,
    /// The tower whose features it takes, as it was named.
    pub tower: String,
    /// The SHA-256 of the tower's weights.
    pub tower_sha256: String,
    /// The sentence encoder whose space it leads to.
    pub encoder: String,
    /// Features that it takes.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// How it was solved.
    pub solver: String,
    /// The strength of the ridge.
    pub strength: f64,
    /// What it was trained on, in order.
    pub data: Vec<SourceNotice>,
}

/// One source of a head.
#[derive(Clone, Debug, Serialize)]
pub struct SourceNotice {
    /// What it is called.
    pub name: String,
    /// Samples that were used.
    pub samples: usize,
    /// Records that could not be.
    pub bad: usize,
    /// How much it counted.
    pub weight: f64,
}

/// Writes a head into a folder, which is made where it is missing.
///
/// The weight is stored in half precision: (outputs, inputs); `bias` (outputs) and `target_mean`
/// (outputs) in single precision. The configuration is written last: a folder without one is no
/// head.
///
/// # Errors
/// When there is a head already, or the folder cannot be written.
pub fn save_head(folder: &Path, head: &Ridge, config: &HeadConfig) -> Result<()> {
    let config_path = folder.join("config.json");
    if config_path.exists() {
        return Err(TrainError::Occupied(folder.to_owned()));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| TrainError::io("make the folder", folder, error))?;
    let weight: Vec<u8> = head
        .weight
        .iter()
        .flatten()
        .flat_map(|value| f16::from_f64(*value).to_le_bytes())
        .collect();
    let single = |values: &[f64]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| (*value as f32).to_le_bytes())
            .collect()
    };
    let (bias, target_mean) = (single(&head.bias), single(&head.target_mean));
    let view = |dtype, shape: &[usize], bytes| {
        TensorView::new(dtype, shape.to_vec(), bytes)
            .map_err(|error| TrainError::Data(format!("the head cannot be stored: {error}")))
    };
    let shape = [config.outputs, config.inputs];
    let tensors = [
        ("weight", view(Dtype::F16, &shape, &weight)?),
        ("bias", view(Dtype::F32, &shape[..1], &bias)?),
        ("target_mean", view(Dtype::F32, &shape[..1], &target_mean)?),
    ];
    let bytes = safetensors::serialize(tensors, None)
        .map_err(|error| TrainError::Data(format!("the head cannot be stored: {error}")))?;
    let write = |path: &Path, bytes: &[u8]| {
        unprompt_files::write(path, bytes).map_err(|error| TrainError::io("write", path, error))
    };
    write(&folder.join("head.safetensors"), &bytes)?;
    let mut config = serde_json::to_string_pretty(config)
        .map_err(|error| TrainError::Data(format!("the head cannot be described: {error}")))?;
    config.push('\n');
    write(&config_path, config.as_bytes())
}
