//! What a residual network has beside convolutions, over pictures laid out channels-last.

use crate::cpu::{contiguous, zeros};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Values that one thread takes at a time.
const SHARE: usize = 1 << 14;

/// `max(x + residual, 0)`, element by element. What is no number stays so.
///
/// # Errors
/// When the shapes differ.
pub fn add_relu(x: &Tensor, residual: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.contiguous()?
            .apply_op2_no_bwd(&residual.contiguous()?, &AddRelu)
    } else {
        (x + residual)?.relu()
    }
}

struct AddRelu;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add and relu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if x_layout.dims() != layout.dims() {
            bail!(
                "add and relu: {:?} and {:?}",
                x_layout.dims(),
                layout.dims()
            );
        }
        let x = contiguous("add and relu", x, x_layout)?;
        let residual = contiguous("add and relu", residual, layout)?;
        let mut out = zeros(x.len());
        out.par_chunks_mut(SHARE)
            .zip(x.par_chunks(SHARE))
            .zip(residual.par_chunks(SHARE))
            .for_each(|((out, x), residual)| {
                for ((out, x), residual) in out.iter_mut().zip(x).zip(residual) {
                    let sum = x + residual;
                    *out = if sum < 0.0 { 0.0 } else { sum };
                }
            });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// The largest value under a window of 3 by 3 in steps of 2, with one row and column around the
/// picture that count for nothing: (batch, height, width, channels) to
/// (batch, ceil(height / 2), ceil(width / 2), channels).
///
/// # Errors
/// When the input has another number of dimensions, or is not on the CPU.
pub fn max_pool(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&MaxPool)
}

struct MaxPool;

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let &[batch, height, width, channels] = layout.dims() else {
            bail!(
                "max pool: {:?} where (batch, height, width, channels) is needed",
                layout.dims()
            );
        };
        let x = contiguous("max pool", storage, layout)?;
        let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
        let mut out = zeros(batch * rows * columns * channels);
        out.par_chunks_mut((columns * channels).max(1))
            .enumerate()
            .for_each(|(index, out)| {
                let (picture, row) = (index / rows, index % rows);
                for (column, out) in out.chunks_exact_mut(channels).enumerate() {
                    out.fill(f32::NEG_INFINITY);
                    for y in (2 * row).saturating_sub(1)..height.min(2 * row + 2) {
                        for x_position in (2 * column).saturating_sub(1)..width.min(2 * column + 2)
                        {
                            let start = ((picture * height + y) * width + x_position) * channels;
                            for (out, x) in out.iter_mut().zip(&x[start..start + channels]) {
                                // What is no number is taken, and stays.
                                if *x > *out || x.is_nan() {
                                    *out = *x;
                                }
                            }
                        }
                    }
                }
            });
        Ok((
            CpuStorage::F32(out),
            (batch, rows, columns, channels).into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::Device;

    #[test]
    fn a_sum_is_cut_at_zero_and_keeps_what_is_no_number() -> Result<()> {
        let x = Tensor::new(&[1f32, -3.0, f32::NAN, 2.0], &Device::Cpu)?;
        let residual = Tensor::new(&[1f32, 1.0, 0.0, -2.0], &Device::Cpu)?;
        let found = add_relu(&x, &residual)?.to_vec1::<f32>()?;
        assert_eq!((found[0], found[1], found[3]), (2.0, 0.0, 0.0));
        assert!(found[2].is_nan());
        assert!(add_relu(&x, &residual.narrow(0, 0, 2)?).is_err());
        Ok(())
    }

    #[test]
    fn pools_as_a_direct_search_does() -> Result<()> {
        let mut draws = Draws::new(1);
        for (height, width) in [(6, 6), (7, 4), (1, 5)] {
            let x = draws.normal(0.0, 1.0, (2, height, width, 3))?;
            let found = max_pool(&x)?;
            let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
            assert_eq!(found.dims(), [2, rows, columns, 3]);
            let values = x.flatten_all()?.to_vec1::<f32>()?;
            let value = |b: usize, y: isize, x: isize, c: usize| -> f32 {
                let inside = y >= 0 && x >= 0 && y < height as isize && x < width as isize;
                if inside {
                    values[((b * height + y as usize) * width + x as usize) * 3 + c]
                } else {
                    f32::NEG_INFINITY
                }
            };
            let found = found.flatten_all()?.to_vec1::<f32>()?;
            for (index, found) in found.iter().enumerate() {
                let (c, column) = (index % 3, index / 3 % columns);
                let (row, b) = (index / 3 / columns % rows, index / 3 / columns / rows);
                let mut expected = f32::NEG_INFINITY;
                for dy in -1..2 {
                    for dx in -1..2 {
                        let (y, x) = (2 * row as isize + dy, 2 * column as isize + dx);
                        expected = expected.max(value(b, y, x, c));
                    }
                }
                assert_eq!(*found, expected);
            }
        }
        Ok(())
    }
}
