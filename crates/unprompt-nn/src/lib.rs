//! Neural-network layers shared by every model: linear, layer normalisation, attention, convolution.
//!
//! On the CPU each layer is one fused operation over f32; on any other device it is composed from
//! candle's own operations. The composed form is also the oracle of the tests. [`training`] has layers
//! with their gradients, on the CPU alone.
//!
//! Invariant: this crate reads no file, knows no model and no tensor name.
//!
//! Invariant: every output element of a product is one chain of fused multiply-adds in the order of
//! the inner dimension, or with int8 weights one such chain over exact integers, whatever the
//! instruction set, the batch, the position in it and the number of threads; over feature maps the
//! chain starts with the bias. The same input therefore gives the same bits alone, in a batch and on any machine.
//!
//! Invariant: what needs `unsafe` is in `quantised/kernel.rs`, which calls the byte instructions
//! that it has found on the machine, in `prefetch.rs`, a hint, and in `output.rs`, which counts what
//! is written to memory that nobody cleared.

mod activation;
mod attention;
mod cached_attention;
mod convolution;
mod cpu;
mod embedding;
mod feature_maps;
mod gated;
mod generation;
mod group_norm;
mod half_rows;
mod inner_product;
mod layer_norm;
mod linear;
mod matmul;
mod memory_attention;
mod output;
mod panels;
mod pooled_attention;
mod prefetch;
mod prefix_attention;
mod quantised;
mod reduction;
mod residual;
mod row_softmax;
mod spatial_convolution;
#[cfg(test)]
mod testing;
pub mod training;

/// The revision of the arithmetic: raised by each change after which a layer gives other bits, so
/// that what an older version computed and kept is computed anew.
pub const REVISION: u32 = 3;

pub use activation::Activation;
pub use attention::{Mask, self_attention, self_attention_at};
pub use cached_attention::{KeyValueCache, PositionBias};
pub use convolution::{Padding, PatchConv2d};
pub use embedding::Embedding;
pub use feature_maps::{FeatureMaps, InvertedBottleneck, Parameters, PooledPointwise, StemConv2d};
pub use gated::gated_gelu;
pub use generation::{
    Decoder, Generated, GenerationError, GenerationOptions, LengthPenalty, Sampling, generate,
};
pub use group_norm::GroupNorm;
pub use half_rows::Queries;
pub use inner_product::{dot, dot_by_vectors};
pub use layer_norm::LayerNorm;
pub use linear::{Linear, Precision};
pub use memory_attention::{Memory, MemoryBias, memory_attention};
pub use pooled_attention::pooled_attention;
pub use prefix_attention::{KeysValues, TokenTree, prefix_attention};
pub use residual::{add_relu, max_pool};
pub use spatial_convolution::{Around, SpatialConv2d};
