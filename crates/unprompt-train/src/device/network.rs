//! The Vision Transformer as candle's operations, which candle differentiates.
//!
//! Products are computed in the numbers that are asked for, everything between them in f32: the stream
//! of tokens, normalisation, soft-max, activation, and the head. Weights are f32 and are rounded where
//! they are used.

use crate::{VitFamily, VitShape, vit::A_BLOCK};
use candle_core::{D, DType, Result, Tensor};
use unprompt_nn::Activation;

/// A network on a device.
pub(super) struct Network<'a> {
    pub(super) shape: &'a VitShape,
    /// In the order of [`crate::Vit`], in f32.
    pub(super) weights: Vec<Tensor>,
    pub(super) numbers: DType,
}

impl Network<'_> {
    /// From (pictures, height, width, 3) to (pictures, outputs).
    pub(super) fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let shape = self.shape;
        let mut hidden = self.embed(pictures)?;
        if let VitFamily::Clip { .. } = shape.family {
            hidden = self.norm(&hidden, 3)?;
        }
        for block in 0..shape.depth {
            hidden = self.block(&hidden, block)?;
        }
        let last = shape.first_of(shape.depth);
        let class = self.norm(&hidden.squeeze(1)?, last)?;
        let head = &self.weights[last + 2];
        class
            .matmul(&head.t()?)?
            .broadcast_add(&self.weights[last + 3])
    }

    /// The tokens: (pictures, tokens, width).
    fn embed(&self, pictures: &Tensor) -> Result<Tensor> {
        let &VitShape {
            image: (height, width),
            patch,
            width: token,
            ..
        } = self.shape;
        let count = pictures.dim(0)?;
        let (rows, columns) = (height / patch, width / patch);
        let inputs = 3 * patch * patch;
        let patches = pictures
            .reshape(vec![count, rows, patch, columns, patch, 3])?
            .permute(vec![0, 1, 3, 5, 2, 4])?
            .reshape((count * rows * columns, inputs))?;
        let weight = self.weights[2].reshape((token, inputs))?;
        let mut embedded = self.product(&patches, &weight.t()?)?;
        if self.shape.family == VitFamily::Plain {
            embedded = embedded.broadcast_add(&self.weights[3])?;
        }
        let embedded = embedded.reshape((count, rows * columns, token))?;
        let class = self.weights[0].broadcast_as((count, 1, token))?;
        Tensor::cat(&[&class, &embedded], 1)?.broadcast_add(&self.weights[1])
    }

    /// Of the last block only the class tokens come out.
    fn block(&self, hidden: &Tensor, block: usize) -> Result<Tensor> {
        let first = self.shape.first_of(block);
        debug_assert!(first + A_BLOCK < self.weights.len());
        let normal = self.norm(hidden, first)?;
        let mut attended = self.attention(&self.linear(&normal, first + 2)?)?;
        let mut before = hidden.clone();
        if block + 1 == self.shape.depth {
            attended = attended.narrow(1, 0, 1)?;
            before = before.narrow(1, 0, 1)?;
        }
        let middle = (before + self.linear(&attended, first + 4)?)?;
        let inner = self.linear(&self.norm(&middle, first + 6)?, first + 8)?;
        let active = match self.shape.family.activation() {
            Activation::QuickGelu => {
                let gate = ((&inner * -1.702)?.exp()? + 1.0)?.recip()?;
                (inner * gate)?
            }
            _ => inner.gelu_erf()?,
        };
        middle + self.linear(&active, first + 10)?
    }

    /// From queries, keys and values, (pictures, tokens, 3 * width), to (pictures, tokens, width).
    fn attention(&self, qkv: &Tensor) -> Result<Tensor> {
        let &VitShape { width, heads, .. } = self.shape;
        let (count, tokens, _) = qkv.dims3()?;
        let each = width / heads;
        let parts = qkv
            .reshape((count, tokens, 3, heads, each))?
            .permute((2, 0, 3, 1, 4))?;
        let part = |index| parts.get(index)?.contiguous();
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let queries = (queries * (each as f64).powf(-0.5))?;
        let scores = self.product(&queries, &keys.t()?)?;
        let largest = scores.max_keepdim(D::Minus1)?.detach();
        let powers = scores.broadcast_sub(&largest)?.exp()?;
        let shares = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?;
        self.product(&shares, &values)?
            .transpose(1, 2)?
            .reshape((count, tokens, width))
    }

    /// The linear layer whose weight is at `first`, its bias behind it.
    fn linear(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let (count, tokens, inputs) = x.dims3()?;
        let weight = &self.weights[first];
        let rows = x.reshape((count * tokens, inputs))?;
        self.product(&rows, &weight.t()?)?
            .broadcast_add(&self.weights[first + 1])?
            .reshape((count, tokens, weight.dim(0)?))
    }

    /// A product in the network's numbers, in and out of f32.
    fn product(&self, left: &Tensor, right: &Tensor) -> Result<Tensor> {
        let (left, right) = (left.to_dtype(self.numbers)?, right.to_dtype(self.numbers)?);
        left.matmul(&right)?.to_dtype(DType::F32)
    }

    /// Layer normalisation over the last dimension, its weight at `first`, its bias behind it.
    fn norm(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let epsilon = f64::from(self.shape.family.epsilon());
        centred
            .broadcast_div(&(variance + epsilon)?.sqrt()?)?
            .broadcast_mul(&self.weights[first])?
            .broadcast_add(&self.weights[first + 1])
    }
}
