//! A head as it is kept: a safetensors file and a configuration.

use crate::{GradientOptions, Result, Ridge, StrengthScore, TrainError, cholesky::product};
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
    /// What it takes of the tower: `pooled`, what the last layer of a classifier takes, or `vector`, the
    /// picture's vector.
    pub features: &'static str,
    /// Further towers, whose features follow those of the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_towers: Vec<TowerNotice>,
    /// The sentence encoder whose space it leads to.
    pub encoder: String,
    /// Features that it takes.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// How it was solved.
    pub solver: String,
    /// The strength of the ridge, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// The strengths among which it was chosen, where it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<StrengthScore>,
    /// How it was trained, where that was by gradient.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub gradient: Option<GradientOptions>,
    /// What it was trained on, in order.
    pub data: Vec<SourceNotice>,
}

/// A tower of a head besides the first.
#[derive(Clone, Debug, Serialize)]
pub struct TowerNotice {
    /// As it was named.
    pub tower: String,
    /// The SHA-256 of its weights.
    pub tower_sha256: String,
    /// As [`HeadConfig::features`].
    pub features: &'static str,
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

/// A head that is done, however it was found: `output(relu(hidden(features)))`, or without a hidden
/// layer `output(features)`.
#[derive(Clone, Debug)]
pub struct HeadWeights {
    /// The hidden layer, if there is one.
    pub hidden: Option<Affine>,
    /// The layer that gives the output.
    pub output: Affine,
    /// The weighted mean of all targets.
    pub target_mean: Vec<f64>,
}

/// `weight * x + bias`.
#[derive(Clone, Debug)]
pub struct Affine {
    /// One row an output.
    pub weight: Vec<Vec<f64>>,
    /// One number an output.
    pub bias: Vec<f64>,
}

impl Affine {
    fn forward(&self, x: &[f64]) -> Vec<f64> {
        let rows = self.weight.iter().zip(&self.bias);
        rows.map(|(row, bias)| product(row, x) + bias).collect()
    }
}

impl HeadWeights {
    /// The head's output for a picture.
    pub fn output(&self, features: &[f32]) -> Vec<f64> {
        let features: Vec<f64> = features.iter().copied().map(f64::from).collect();
        let Some(hidden) = &self.hidden else {
            return self.output.forward(&features);
        };
        let mut state = hidden.forward(&features);
        state.iter_mut().for_each(|value| *value = value.max(0.0));
        self.output.forward(&state)
    }

    /// The same head for features that were not divided by `sizes`.
    pub(crate) fn divided(mut self, sizes: &[f64]) -> Self {
        let first = self.hidden.as_mut().unwrap_or(&mut self.output);
        for row in &mut first.weight {
            row.iter_mut()
                .zip(sizes)
                .for_each(|(value, size)| *value /= size);
        }
        self
    }
}

impl From<Ridge> for HeadWeights {
    fn from(ridge: Ridge) -> Self {
        Self {
            hidden: None,
            output: Affine {
                weight: ridge.weight,
                bias: ridge.bias,
            },
            target_mean: ridge.target_mean,
        }
    }
}

/// Writes a head into a folder, which is made where it is missing.
///
/// Weights are stored in half precision, `weight` (outputs, inputs) and where there is a hidden layer
/// `hidden.weight` (hidden, inputs); `bias`, `hidden.bias` and `target_mean` in single precision. The
/// configuration is written last: a folder without one is no head.
///
/// # Errors
/// When there is a head already, or the folder cannot be written.
pub fn save_head(folder: &Path, head: &HeadWeights, config: &HeadConfig) -> Result<()> {
    let config_path = folder.join("config.json");
    if config_path.exists() {
        return Err(TrainError::Occupied(folder.to_owned()));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| TrainError::io("make the folder", folder, error))?;
    let mut tensors = vec![
        Stored::matrix("weight", &head.output.weight),
        Stored::vector("bias", &head.output.bias),
        Stored::vector("target_mean", &head.target_mean),
    ];
    if let Some(hidden) = &head.hidden {
        tensors.push(Stored::matrix("hidden.weight", &hidden.weight));
        tensors.push(Stored::vector("hidden.bias", &hidden.bias));
    }
    let failed = |error| TrainError::Data(format!("the head cannot be stored: {error}"));
    let views = tensors.iter().map(|tensor| {
        let Stored {
            name,
            dtype,
            shape,
            bytes,
        } = tensor;
        Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
    });
    let views: Vec<_> = views
        .collect::<std::result::Result<_, _>>()
        .map_err(failed)?;
    let bytes = safetensors::serialize(views, None).map_err(failed)?;
    let write = |path: &Path, bytes: &[u8]| {
        unprompt_files::write(path, bytes).map_err(|error| TrainError::io("write", path, error))
    };
    write(&folder.join("head.safetensors"), &bytes)?;
    let mut config = serde_json::to_string_pretty(config)
        .map_err(|error| TrainError::Data(format!("the head cannot be described: {error}")))?;
    config.push('\n');
    write(&config_path, config.as_bytes())
}

/// A tensor as bytes.
struct Stored {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn matrix(name: &'static str, rows: &[Vec<f64>]) -> Self {
        let values = rows.iter().flatten();
        let bytes = values.flat_map(|value| f16::from_f64(*value).to_le_bytes());
        Self {
            name,
            dtype: Dtype::F16,
            shape: vec![rows.len(), rows.first().map_or(0, Vec::len)],
            bytes: bytes.collect(),
        }
    }

    fn vector(name: &'static str, values: &[f64]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| (*value as f32).to_le_bytes());
        Self {
            name,
            dtype: Dtype::F32,
            shape: vec![values.len()],
            bytes: bytes.collect(),
        }
    }
}
