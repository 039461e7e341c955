//! The Vision Transformer, forward and backward.
//!
//! Paper: Dosovitskiy et al., "An Image is Worth 16x16 Words" (2020). Reference: `VisionTransformer`
//! of timm 1.0.31. Every tensor has timm's name and shape.

mod backward;
mod forward;
mod shape;

pub use forward::Kept;
pub use shape::{VitFamily, VitShape};

pub(crate) use shape::A_BLOCK;

use crate::{Parameter, Result, Treatment, parameters::in_order, random::Random};

/// A Vision Transformer that is trained.
#[derive(Clone, Debug)]
pub struct Vit {
    shape: VitShape,
    parameters: Vec<Parameter>,
}

/// How much of a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The head alone, on what the rest says.
    Head,
    /// Everything.
    All,
}

impl Vit {
    /// A network of these tensors, with timm's names, in any order.
    ///
    /// # Errors
    /// When the shape cannot be, or a tensor is missing, of another shape, or of no use.
    pub fn new(shape: VitShape, tensors: Vec<Parameter>) -> Result<Self> {
        shape.check()?;
        let parameters = in_order(tensors, &shape.tensors())?;
        Ok(Self { shape, parameters })
    }

    /// The tensors of a head that knows nothing yet: a weight as PyTorch starts it and no bias.
    pub fn new_head(shape: &VitShape, seed: u64) -> [Parameter; 2] {
        let VitShape { width, outputs, .. } = *shape;
        let mut random = Random::of(&[seed, 0x6865_6164]);
        [
            Parameter {
                name: "head.weight".into(),
                shape: vec![outputs, width],
                values: random.layer(outputs * width, width),
            },
            Parameter {
                name: "head.bias".into(),
                shape: vec![outputs],
                values: vec![0.0; outputs],
            },
        ]
    }

    /// Its shape.
    pub fn shape(&self) -> &VitShape {
        &self.shape
    }

    /// Its tensors.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The same, to be changed; names and shapes must stay.
    pub fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    /// How each tensor is trained: rates `layer_decay` times smaller from layer to layer towards the
    /// input, and no weight decay for vectors, positions and the class token, as timm's
    /// `param_groups_layer_decay` has it. The bias of the head is trained if `head_bias`.
    pub fn treatments(
        &self,
        part: Part,
        layer_decay: f64,
        decay: f64,
        head_bias: bool,
    ) -> Vec<Treatment> {
        let deepest = self.shape.depth + 1;
        let treatment = |(index, parameter): (usize, &Parameter)| {
            let layer = self.shape.layer(index);
            let trained = match parameter.name.as_str() {
                "head.bias" => head_bias,
                _ => part == Part::All || layer == deepest,
            };
            let plain = parameter.shape.len() == 1
                || matches!(parameter.name.as_str(), "pos_embed" | "cls_token");
            Treatment {
                rate: if trained {
                    layer_decay.powi((deepest - layer).min(1 << 20) as i32)
                } else {
                    0.0
                },
                decay: if plain { 0.0 } else { decay },
            }
        };
        self.parameters.iter().enumerate().map(treatment).collect()
    }

    fn values(&self, index: usize) -> &[f32] {
        &self.parameters[index].values
    }
}
