//! Attention of one query to each of several sequences: how all tokens of a picture become one.

use crate::{
    attention::scale_of,
    cpu::{is_fused, sum_dtype},
    memory_attention::{Memory, memory_attention},
};
use candle_core::{D, IndexOp, Result, Tensor, bail};

/// `softmax(q · kᵀ / sqrt(head width)) · v` of the same query in every sequence.
///
/// `query` is (width); `key_value` is (sequences * length, 2 * width), each token's key and value,
/// each of them `heads` heads side by side. The result is (sequences, width). What a sequence gives
/// does not depend on the others.
///
/// # Errors
/// When the shapes do not fit each other or the heads.
pub fn pooled_attention(
    query: &Tensor,
    key_value: &Tensor,
    length: usize,
    heads: usize,
) -> Result<Tensor> {
    let (tokens, double) = key_value.dims2()?;
    let width = query.dims1()?;
    if heads == 0
        || length == 0
        || double != 2 * width
        || !width.is_multiple_of(heads)
        || !tokens.is_multiple_of(length)
    {
        bail!(
            "attention: {:?} for a query of {width}, {heads} heads and sequences of {length}",
            key_value.dims()
        );
    }
    let scale = scale_of(width / heads);
    if !is_fused(key_value) {
        return composed(query, key_value, (length, heads), scale);
    }
    let memories = (0..tokens / length)
        .map(|sequence| Memory::new(&key_value.narrow(0, sequence * length, length)?, heads))
        .collect::<Result<Vec<_>>>()?;
    let memories: Vec<_> = memories.iter().map(|memory| (memory, 1)).collect();
    let queries = query.unsqueeze(0)?.broadcast_as((memories.len(), width))?;
    memory_attention(&queries.contiguous()?, &memories, scale, None)
}

/// The same from candle's operations.
fn composed(
    query: &Tensor,
    key_value: &Tensor,
    (length, heads): (usize, usize),
    scale: f32,
) -> Result<Tensor> {
    let width = query.dims1()?;
    let sequences = key_value.dims()[0] / length;
    // (2, sequences, heads, length, head width)
    let parts = key_value.reshape((sequences, length, 2, heads, width / heads))?;
    let parts = parts.permute((2, 0, 3, 1, 4))?.contiguous()?;
    let query = query.reshape((1, heads, 1, width / heads))?;
    let query = query
        .broadcast_as((sequences, heads, 1, width / heads))?
        .contiguous()?;
    let scores = query.matmul(&parts.i(0)?.transpose(2, 3)?.contiguous()?)?;
    let scores = (scores.to_dtype(sum_dtype(key_value.dtype()))? * f64::from(scale))?;
    let scores = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
        .exp()?;
    let scores = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
    let pooled = scores.to_dtype(key_value.dtype())?.matmul(&parts.i(1)?)?;
    pooled.reshape((sequences, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::Device;

    #[test]
    fn equals_the_composed_form_and_depends_on_no_other_sequence() -> Result<()> {
        let mut draws = Draws::new(1);
        for (heads, head_width, length, sequences) in
            [(3, 8, 7, 4), (1, 20, 1, 2), (4, 64, 196, 3), (2, 72, 33, 1)]
        {
            let width = heads * head_width;
            let mut draw = |shape: (usize, usize)| draws.normal(0.0, 1.5, shape);
            let query = draw((1, width))?.squeeze(0)?;
            let key_value = draw((sequences * length, 2 * width))?;
            let found = pooled_attention(&query, &key_value, length, heads)?;
            let scale = 1.0 / (head_width as f32).sqrt();
            let composed = composed(&query, &key_value, (length, heads), scale)?;
            let worst = (&found - composed)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(worst < 1e-5, "{heads}, {length}: {worst}");
            for sequence in 0..sequences {
                let alone = key_value.narrow(0, sequence * length, length)?;
                let alone = pooled_attention(&query, &alone, length, heads)?;
                let together = found.narrow(0, sequence, 1)?;
                assert_eq!(alone.to_vec2::<f32>()?, together.to_vec2::<f32>()?);
            }
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let query = Tensor::zeros(8, candle_core::DType::F32, &Device::Cpu)?;
        let key_value = Tensor::zeros((6, 16), candle_core::DType::F32, &Device::Cpu)?;
        for (length, heads) in [(3, 3), (4, 2), (3, 0), (0, 2)] {
            assert!(pooled_attention(&query, &key_value, length, heads).is_err());
        }
        assert!(pooled_attention(&query.narrow(0, 0, 4)?, &key_value, 3, 2).is_err());
        assert_eq!(pooled_attention(&query, &key_value, 3, 2)?.dims(), [2, 8]);
        Ok(())
    }
}
