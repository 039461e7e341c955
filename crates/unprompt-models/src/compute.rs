//! Where a network computes, and in which numbers.

use crate::{ModelError, Result};
use candle_core::{DType, Device, Tensor};
use std::fmt;
use unprompt_checkpoint::Pickle;
use unprompt_nn::{Precision, REVISION};

/// The numbers that a network computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtype {
    /// Single precision: the reference.
    #[default]
    F32,
    /// Half precision; on CUDA only.
    F16,
    /// Half precision with the range of f32; on CUDA only.
    Bf16,
    /// The linear layers of every block with weights of eight bits and a scale for each output,
    /// the rest in f32; on the CPU only. Heads, projections, patches and token tables stay f32.
    Int8,
}

impl Dtype {
    /// Its name, as records and the command line spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which device is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest there is.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA graphics card.
    Cuda,
}

/// Where a network computes, and in which numbers; by default on the CPU in f32.
#[derive(Clone, Debug)]
pub struct Compute {
    device: Device,
    dtype: Dtype,
    /// Of the tensors between the layers.
    tensors: DType,
}

impl Default for Compute {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            dtype: Dtype::F32,
            tensors: DType::F32,
        }
    }
}

impl Compute {
    /// The device asked for with a number type it computes in; without one, f32. Automatically it
    /// is a graphics card where this build can use one.
    ///
    /// # Errors
    /// When there is no such device, or it does not compute in this type; says what to ask for.
    pub fn new(device: DeviceChoice, dtype: Option<Dtype>) -> Result<Self> {
        let dtype = dtype.unwrap_or_default();
        let device = match device {
            DeviceChoice::Cpu => Device::Cpu,
            // What a graphics card does not compute in is for the CPU.
            DeviceChoice::Auto if dtype == Dtype::Int8 => Device::Cpu,
            DeviceChoice::Auto => cuda().unwrap_or(Device::Cpu),
            DeviceChoice::Cuda => cuda()?,
        };
        match dtype {
            Dtype::Int8 if !device.is_cpu() => Err(ModelError::Device(
                "int8 is computed on the cpu only; ask for the device cpu, or for f16".into(),
            )),
            Dtype::F16 | Dtype::Bf16 if device.is_cpu() => Err(ModelError::Device(format!(
                "{dtype} is not computed on the cpu; ask for f32, the reference, or int8, which \
                 is faster there"
            ))),
            _ => Ok(Self {
                device,
                dtype,
                tensors: match dtype {
                    Dtype::F32 | Dtype::Int8 => DType::F32,
                    Dtype::F16 => DType::F16,
                    Dtype::Bf16 => DType::BF16,
                },
            }),
        }
    }

    /// What a graphics card computes, candle's operations on whole tensors, on the processor: with f32 in
    /// double precision, as an oracle of the fused layers. Slow; for tests of networks.
    pub fn composed(dtype: Dtype) -> Self {
        Self {
            device: Device::Cpu,
            dtype,
            tensors: match dtype {
                Dtype::F32 | Dtype::Int8 => DType::F64,
                Dtype::F16 => DType::F16,
                Dtype::Bf16 => DType::BF16,
            },
        }
    }

    /// The number type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// All that embeddings depend on besides their input, as a key for keeping them: the weights,
    /// named by their SHA-256, the device, the number type and the revision of the arithmetic.
    pub fn identity(&self, weights_sha256: &str) -> String {
        let device = self.device.location();
        format!("{weights_sha256} {device:?} {} {REVISION}", self.dtype)
    }

    /// The same for a network that is on the CPU whatever was asked for.
    pub(crate) fn on_cpu(&self) -> Self {
        match self.dtype {
            Dtype::Int8 => self.clone(),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => Self::default(),
        }
    }

    /// Whether it is the processor.
    pub fn is_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// The device, for what is computed there by others than this crate's networks.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same device in f32.
    #[must_use]
    pub fn in_f32(&self) -> Self {
        Self {
            device: self.device.clone(),
            ..Self::default()
        }
    }

    /// The type of the tensors between the layers.
    pub(crate) fn tensor_dtype(&self) -> DType {
        self.tensors
    }

    /// How the blocks' linear layers hold their weights.
    pub(crate) fn precision(&self) -> Precision {
        match self.dtype {
            Dtype::Int8 => Precision::Int8,
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => Precision::F32,
        }
    }
}

/// The first NVIDIA graphics card.
#[cfg(feature = "cuda")]
fn cuda() -> Result<Device> {
    Device::new_cuda(0).map_err(|error| {
        ModelError::Device(format!("no NVIDIA graphics card can be used: {error}"))
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device> {
    Err(ModelError::Device(
        "this build computes on the cpu only; ask for the device cpu or auto, or build with \
         --features cuda"
            .into(),
    ))
}

/// The rows of (rows, width) as f32, wherever and in whatever numbers they are.
pub(crate) fn rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>> {
    Ok(tensor.to_dtype(DType::F32)?.to_vec2()?)
}

/// How a model's files are read and what becomes of them; by default no pickles, on the CPU in f32.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Whether weights may be read from pickles.
    pub pickle: Pickle,
    /// Where and in which numbers the network computes.
    pub compute: Compute,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Pickle::Deny.into()
    }
}

impl From<Pickle> for LoadOptions {
    fn from(pickle: Pickle) -> Self {
        Self {
            pickle,
            compute: Compute::default(),
        }
    }
}

#[cfg(test)]
mod tests;
