//! Multi-head self-attention over sequences of different lengths, laid end to end without padding.

use crate::{
    activation::exp,
    cpu::contiguous,
    layer_norm::sum,
    matmul::{Panels, multiply},
};
use candle_core::{CpuStorage, CustomOp1, D, IndexOp, Layout, Result, Shape, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

/// Which tokens of its sequence a token attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    None,
    /// Itself and those before it. What follows a token then changes no bit of its output.
    Causal,
}

/// `softmax(q · kᵀ / sqrt(head width)) · v` within each sequence.
///
/// `qkv` is (tokens, 3 * width): each token's query, key and value, each of them `heads` heads side
/// by side. `lengths` are the sequences' lengths, in order; they sum to `tokens`. The result is
/// (tokens, width).
///
/// # Errors
/// When the shapes do not fit the heads or the lengths.
pub fn self_attention(qkv: &Tensor, lengths: &[usize], heads: usize, mask: Mask) -> Result<Tensor> {
    let (tokens, triple) = qkv.dims2()?;
    if heads == 0 || triple % (3 * heads) != 0 || lengths.iter().sum::<usize>() != tokens {
        bail!(
            "attention: {:?} for {heads} heads and {} sequences",
            qkv.dims(),
            lengths.len()
        );
    }
    let operation = SelfAttention {
        lengths,
        heads,
        width: triple / 3,
        mask,
    };
    if qkv.device().is_cpu() {
        qkv.contiguous()?.apply_op1_no_bwd(&operation)
    } else {
        operation.composed(qkv)
    }
}

struct SelfAttention<'a> {
    lengths: &'a [usize],
    heads: usize,
    width: usize,
    mask: Mask,
}

impl SelfAttention<'_> {
    fn scale(&self) -> f32 {
        1.0 / ((self.width / self.heads) as f32).sqrt()
    }

    fn composed(&self, qkv: &Tensor) -> Result<Tensor> {
        let head_width = self.width / self.heads;
        let mut start = 0;
        let mut outputs = Vec::with_capacity(self.lengths.len());
        for &length in self.lengths {
            // (3, heads, length, head width)
            let parts = qkv.narrow(0, start, length)?;
            let parts = parts.reshape((length, 3, self.heads, head_width))?;
            let parts = parts.permute((1, 2, 0, 3))?.contiguous()?;
            let scores = parts.i(0)?.matmul(&parts.i(1)?.t()?)?;
            let mut scores = (scores * f64::from(self.scale()))?;
            if self.mask == Mask::Causal {
                let later = |i: usize| if i % length > i / length { -1e30 } else { 0f32 };
                let later: Vec<f32> = (0..length * length).map(later).collect();
                let later = Tensor::from_vec(later, (length, length), qkv.device())?;
                scores = scores.broadcast_add(&later.to_dtype(qkv.dtype())?)?;
            }
            let scores = scores
                .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
                .exp()?;
            let scores = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
            let output = scores.matmul(&parts.i(2)?)?.transpose(0, 1)?;
            outputs.push(output.reshape((length, self.width))?);
            start += length;
        }
        Tensor::cat(&outputs, 0)
    }

    /// One head of one sequence: (length, head width), from the sequence's first query on.
    fn head(&self, arch: Arch, qkv: &[f32], length: usize, head: usize) -> Vec<f32> {
        let (width, head_width) = (self.width, self.width / self.heads);
        let stride = 3 * width;
        let query = &qkv[head * head_width..];
        let key = &qkv[width + head * head_width..];
        let value = &qkv[2 * width + head * head_width..];

        let keys = Panels::from_rows(key, length, head_width, stride);
        let mut scores = vec![0.0; length * length];
        multiply(
            arch,
            (query, stride),
            length,
            &keys,
            (&mut scores, length),
            |_, _| {},
        );
        let scale = self.scale();
        arch.dispatch(|| {
            for (position, row) in scores.chunks_exact_mut(length).enumerate() {
                let seen = match self.mask {
                    Mask::None => length,
                    Mask::Causal => position + 1,
                };
                softmax(&mut row[..seen], scale);
                row[seen..].fill(0.0);
            }
        });

        let values = Panels::from_columns(value, head_width, length, stride);
        let mut output = vec![0.0; length * head_width];
        let out = (output.as_mut_slice(), head_width);
        multiply(arch, (&scores, length), length, &values, out, |_, _| {});
        output
    }
}

impl CustomOp1 for SelfAttention<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = contiguous(self.name(), storage, layout)?;
        let tokens = layout.dims()[0];
        let (width, head_width) = (self.width, self.width / self.heads);
        let starts = self.lengths.iter().scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some((start, *length))
        });
        let tasks: Vec<(usize, usize, usize)> = starts
            .filter(|(_, length)| *length > 0)
            .flat_map(|(start, length)| (0..self.heads).map(move |head| (start, length, head)))
            .collect();
        let arch = Arch::new();
        let outputs: Vec<Vec<f32>> = tasks
            .par_iter()
            .map(|&(start, length, head)| self.head(arch, &qkv[start * 3 * width..], length, head))
            .collect();
        let mut out = vec![0.0; tokens * width];
        for ((start, _, head), output) in tasks.into_iter().zip(outputs) {
            let target = out[start * width + head * head_width..].chunks_mut(width);
            for (target, source) in target.zip(output.chunks_exact(head_width)) {
                target[..head_width].copy_from_slice(source);
            }
        }
        Ok((CpuStorage::F32(out), (tokens, width).into()))
    }
}

/// Soft-max of `scale * row`, in place.
#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let largest = row
        .iter()
        .fold(f32::NEG_INFINITY, |largest, value| largest.max(*value));
    for value in row.iter_mut() {
        *value = exp((*value - largest) * scale);
    }
    let total = sum(row, |value| value);
    for value in row.iter_mut() {
        *value /= total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn equals_the_composed_form_and_mixes_no_sequences() -> Result<()> {
        let lengths = [1, 7, 40, 2, 33];
        let heads = 3;
        for (mask, head_width) in [Mask::None, Mask::Causal]
            .into_iter()
            .flat_map(|mask| [8, 64, 72, 80, 88, 104].map(|width| (mask, width)))
        {
            let width = heads * head_width;
            let tokens = lengths.iter().sum::<usize>();
            let qkv = Tensor::randn(0f32, 1.5, (tokens, 3 * width), &Device::Cpu)?;
            let found = self_attention(&qkv, &lengths, heads, mask)?;
            let composed = SelfAttention {
                lengths: &lengths,
                heads,
                width,
                mask,
            }
            .composed(&qkv)?;
            let worst = (&found - composed)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(worst < 1e-5, "{mask:?}, {head_width}: {worst}");

            let mut start = 0;
            for length in lengths {
                let alone = qkv.narrow(0, start, length)?;
                let alone = self_attention(&alone, &[length], heads, mask)?;
                let together = found.narrow(0, start, length)?;
                assert_eq!(alone.to_vec2::<f32>()?, together.to_vec2::<f32>()?);
                start += length;
            }
        }
        Ok(())
    }

    #[test]
    fn what_follows_a_token_changes_no_bit_under_the_causal_mask() -> Result<()> {
        let qkv = Tensor::randn(0f32, 1.5, (50, 3 * 48), &Device::Cpu)?;
        let whole = self_attention(&qkv, &[50], 3, Mask::Causal)?;
        for length in [1, 2, 16, 17, 33, 49] {
            let prefix = self_attention(&qkv.narrow(0, 0, length)?, &[length], 3, Mask::Causal)?;
            let expected = whole.narrow(0, 0, length)?;
            assert_eq!(prefix.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn wrong_lengths_and_heads_are_errors() -> Result<()> {
        let qkv = Tensor::zeros((4, 24), candle_core::DType::F32, &Device::Cpu)?;
        assert!(self_attention(&qkv, &[3], 2, Mask::None).is_err());
        assert!(self_attention(&qkv, &[4], 3, Mask::None).is_err());
        assert!(self_attention(&qkv, &[4], 0, Mask::None).is_err());
        assert_eq!(self_attention(&qkv, &[4, 0], 2, Mask::None)?.dims(), [4, 8]);
        Ok(())
    }
}
