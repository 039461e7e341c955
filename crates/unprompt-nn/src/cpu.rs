//! What every CPU operation needs: its input as one contiguous slice of f32.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;

/// Whether a layer's own operation takes `x`; whatever else there is goes the way of candle's
/// operations.
pub(crate) fn is_fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The type to normalise in where values are of `dtype`: sums of half precision are f32, as in
/// PyTorch.
pub(crate) fn sum_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        dtype => dtype,
    }
}

/// The values of a contiguous f32 tensor in row-major order.
pub(crate) fn contiguous<'a>(
    operation: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else {
        bail!("{operation} computes in f32 on the cpu, found another type");
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("{operation} needs a contiguous tensor"),
    }
}

/// A parameter as a plain vector: f32, row-major.
pub(crate) fn parameter(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor
        .flatten_all()?
        .to_dtype(candle_core::DType::F32)?
        .to_vec1()
}

/// Hands the values of a parameter on the CPU to `read`: f32, row-major, copied only if they are
/// not so already.
pub(crate) fn with_parameter<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    if let Storage::Cpu(CpuStorage::F32(values)) = &*storage
        && let Some((start, end)) = layout.contiguous_offsets()
    {
        return Ok(read(&values[start..end]));
    }
    Ok(read(&parameter(tensor)?))
}

/// An output to be, cleared by all threads of the current pool: one alone would spend as long on
/// the memory as they all do on a small product.
pub(crate) fn zeros(length: usize) -> Vec<f32> {
    const SHARE: usize = 1 << 15;
    if length <= SHARE {
        return vec![0.0; length];
    }
    let mut values = Vec::with_capacity(length);
    values.par_extend(rayon::iter::repeat_n(0.0, length).with_min_len(SHARE));
    values
}
