//! From the derivative by the outputs to those by all parameters.

use super::{Kept, Part, Vit, VitFamily, VitShape, forward::KeptBlock};
use crate::{Gradients, Result, TrainError};
use std::mem::take;
use unprompt_nn::training::{
    LinearShape, activate_backward, attention_backward, bias_backward, input_backward,
    layer_norm_backward, recycle, single_attention_backward, weight_backward,
};

impl Vit {
    /// Adds the derivatives by the parameters to `gradients`: by those of the head, or by all.
    /// `upstream`, (pictures, outputs), is the derivative of the loss by the outputs. The states of
    /// the pass are used up.
    ///
    /// # Errors
    /// When the gradients or the derivative are of another network.
    pub fn backward(
        &self,
        kept: Kept,
        upstream: &[f32],
        part: Part,
        gradients: &mut Gradients,
    ) -> Result<()> {
        // Inside the pool: from outside, every product would be handed over to it and waited for.
        rayon::scope(|_| self.backward_in_pool(kept, upstream, part, gradients))
    }

    fn backward_in_pool(
        &self,
        kept: Kept,
        upstream: &[f32],
        part: Part,
        gradients: &mut Gradients,
    ) -> Result<()> {
        if gradients.len() != self.parameters().len() {
            let (found, expected) = (gradients.len(), self.parameters().len());
            return Err(TrainError::Data(format!(
                "{found} gradients where {expected} are needed"
            )));
        }
        let &VitShape { width, outputs, .. } = self.shape();
        let last = self.shape().first_of(self.shape().depth);
        let head = VitShape::linear(outputs, width);
        linear_backward(&kept.normal, upstream, head, last + 2, gradients)?;
        if part == Part::Head {
            return Ok(());
        }
        let by_normal = input_backward(upstream, self.values(last + 2), head)?;
        let mut by_hidden = vec![0.0; kept.class.len()];
        self.norm_backward(last, &kept.class, &by_normal, gradients, &mut by_hidden)?;
        for (index, block) in kept.blocks.into_iter().enumerate().rev() {
            by_hidden = self.block_backward(index, block, by_hidden, gradients)?;
        }
        if let VitFamily::Clip { .. } = self.shape().family {
            let mut by_embedded = vec![0.0; kept.embedded.len()];
            self.norm_backward(3, &kept.embedded, &by_hidden, gradients, &mut by_embedded)?;
            by_hidden = by_embedded;
        }
        self.embedding_backward(&kept.patches, &by_hidden, gradients)
    }

    /// From the derivative behind a block to that before it.
    fn block_backward(
        &self,
        block: usize,
        mut kept: KeptBlock,
        upstream: Vec<f32>,
        gradients: &mut Gradients,
    ) -> Result<Vec<f32>> {
        let &VitShape { width, inner, .. } = self.shape();
        let first = self.shape().first_of(block);
        let shape = VitShape::linear;
        let value = |index: usize| self.values(first + index);

        let output = shape(width, inner);
        linear_backward(&kept.active, &upstream, output, first + 10, gradients)?;
        let mut by_inner = input_backward(&upstream, value(10), output)?;
        activate_backward(self.shape().family.activation(), &kept.inner, &mut by_inner)?;
        let inner = shape(inner, width);
        linear_backward(&kept.inner_normal, &by_inner, inner, first + 8, gradients)?;
        let by_normal = input_backward(&by_inner, value(8), inner)?;
        // What went past the layers comes back past them.
        let mut by_middle = upstream;
        self.norm_backward(
            first + 6,
            &kept.middle,
            &by_normal,
            gradients,
            &mut by_middle,
        )?;
        for values in [
            &mut kept.active,
            &mut kept.inner,
            &mut kept.inner_normal,
            &mut kept.middle,
        ] {
            recycle(take(values));
        }
        recycle(by_inner);
        recycle(by_normal);

        let square = shape(width, width);
        linear_backward(&kept.attended, &by_middle, square, first + 4, gradients)?;
        let by_attended = input_backward(&by_middle, value(4), square)?;
        let by_normal = if block + 1 == self.shape().depth {
            by_middle = self.among_all(&by_middle);
            self.last_attention_backward(first, &kept, &by_attended, gradients)?
        } else {
            self.attention_backward(first, &kept, &by_attended, gradients)?
        };
        let mut by_hidden = by_middle;
        self.norm_backward(first, &kept.hidden, &by_normal, gradients, &mut by_hidden)?;
        kept.recycle();
        recycle(by_attended);
        recycle(by_normal);
        Ok(by_hidden)
    }

    /// From the derivative behind the attention of a block, whose first parameter is `first`, to that by its
    /// normalised input.
    fn attention_backward(
        &self,
        first: usize,
        kept: &KeptBlock,
        upstream: &[f32],
        gradients: &mut Gradients,
    ) -> Result<Vec<f32>> {
        let width = self.shape().width;
        let shape = VitShape::linear(3 * width, width);
        let by_qkv = attention_backward(&kept.qkv, upstream, self.shape().attention())?;
        linear_backward(&kept.attention_normal, &by_qkv, shape, first + 2, gradients)?;
        let by_normal = input_backward(&by_qkv, self.values(first + 2), shape)?;
        recycle(by_qkv);
        Ok(by_normal)
    }

    /// The same in the last block, where the derivative is of the class tokens alone.
    fn last_attention_backward(
        &self,
        first: usize,
        kept: &KeptBlock,
        upstream: &[f32],
        gradients: &mut Gradients,
    ) -> Result<Vec<f32>> {
        let (width, tokens) = (self.shape().width, self.shape().tokens());
        let (square, double) = (
            VitShape::linear(width, width),
            VitShape::linear(2 * width, width),
        );
        let attention = self.shape().attention();
        let (by_queries, by_keys_values) =
            single_attention_backward(&kept.class_queries, &kept.qkv, upstream, attention)?;

        // The first rows of the weight are those of the queries.
        let (weight, bias) = gradients.split_at_mut(first + 3);
        let (weight, bias) = (&mut weight[first + 2], &mut bias[0]);
        let behind = |values: &mut Vec<f32>, at: usize| values.split_off(at.min(values.len()));
        let (mut rest, mut bias_rest) = (behind(weight, width * width), behind(bias, width));
        let class_normal = self.class_rows(&kept.attention_normal);
        weight_backward(&class_normal, &by_queries, square, weight)?;
        bias_backward(&by_queries, width, bias)?;
        weight_backward(&kept.attention_normal, &by_keys_values, double, &mut rest)?;
        bias_backward(&by_keys_values, 2 * width, &mut bias_rest)?;
        weight.extend_from_slice(&rest);
        bias.extend_from_slice(&bias_rest);
        recycle(rest);

        let (of_queries, of_keys_values) = self.values(first + 2).split_at(width * width);
        let mut by_normal = input_backward(&by_keys_values, of_keys_values, double)?;
        recycle(by_keys_values);
        let by_class = input_backward(&by_queries, of_queries, square)?;
        let pictures = by_normal.chunks_exact_mut(tokens * width);
        for (picture, class) in pictures.zip(by_class.chunks_exact(width)) {
            for (sum, value) in picture.iter_mut().zip(class) {
                *sum += value;
            }
        }
        Ok(by_normal)
    }

    /// Derivatives by the class tokens among those by all tokens, the others zeros.
    fn among_all(&self, class: &[f32]) -> Vec<f32> {
        let (width, tokens) = (self.shape().width, self.shape().tokens());
        let mut all = vec![0.0; class.len() * tokens];
        let pictures = all.chunks_exact_mut(tokens * width);
        for (tokens, class) in pictures.zip(class.chunks_exact(width)) {
            tokens[..width].copy_from_slice(class);
        }
        all
    }

    fn embedding_backward(
        &self,
        patches: &[f32],
        by_hidden: &[f32],
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (width, tokens) = (self.shape().width, self.shape().tokens());
        for index in [0, 1] {
            let length = self.values(index).len();
            gradients[index].resize(length, 0.0);
        }
        let mut by_patches = Vec::with_capacity(by_hidden.len());
        for picture in by_hidden.chunks_exact(tokens * width) {
            for (sum, value) in gradients[1].iter_mut().zip(picture) {
                *sum += value;
            }
            let (class, patches) = picture.split_at(width);
            for (sum, value) in gradients[0].iter_mut().zip(class) {
                *sum += value;
            }
            by_patches.extend_from_slice(patches);
        }
        let shape = self.shape().embedding();
        match self.shape().family {
            VitFamily::Plain => linear_backward(patches, &by_patches, shape, 2, gradients),
            VitFamily::Clip { .. } => Ok(weight_backward(
                patches,
                &by_patches,
                shape,
                &mut gradients[2],
            )?),
        }
    }

    /// Adds the derivative by a normalisation's input to `input`.
    fn norm_backward(
        &self,
        index: usize,
        x: &[f32],
        upstream: &[f32],
        gradients: &mut Gradients,
        input: &mut [f32],
    ) -> Result<()> {
        let (before, behind) = gradients.split_at_mut(index + 1);
        let pair = [&mut before[index], &mut behind[0]];
        Ok(layer_norm_backward(
            x,
            upstream,
            self.norm(index),
            pair,
            input,
        )?)
    }
}

/// The derivatives by the weight, which is the parameter `index`, and by the bias behind it.
fn linear_backward(
    x: &[f32],
    upstream: &[f32],
    shape: LinearShape,
    index: usize,
    gradients: &mut Gradients,
) -> Result<()> {
    weight_backward(x, upstream, shape, &mut gradients[index])?;
    Ok(bias_backward(
        upstream,
        shape.outputs,
        &mut gradients[index + 1],
    )?)
}
