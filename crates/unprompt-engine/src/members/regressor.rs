//! A Vision Transformer whose outputs are the embedding: the paper's strongest member.

use crate::{
    encoders::{image_encoder::Views, networks::VectorOf},
    error::{InputError, Result},
    members::{
        kind::{Member, MemberKind, MemberResult, Seen},
        loader::Loader,
    },
    vectors::widened,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Regressor {
    /// The network.
    model: String,
    /// Its attention heads, for tensors alone that are not of timm's number for their width.
    heads: Option<usize>,
    /// Which views of the picture are averaged.
    #[serde(default)]
    tta: Views,
}

impl MemberKind for Regressor {
    fn models(&self) -> Vec<&str> {
        vec![&self.model]
    }

    fn is_query(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let width = loader.encoder()?.1.width();
        let (vector, regressor) = loader.vector(&self.model, self.heads, self.tta)?;
        if regressor.regression_width() != Some(width) {
            return Err(loader.failed(format!(
                "`{}` is no regressor of {width} numbers, the width of `{}`",
                self.model, loader.encoder_name
            )));
        }
        Ok(Box::new(Loaded { vector }))
    }
}

#[derive(Debug)]
struct Loaded {
    vector: VectorOf,
}

impl Member for Loaded {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let result = |seen: &Seen<'_>| {
            let embedding = widened(seen.encoded.vector(self.vector));
            Ok(MemberResult::of_embedding(embedding))
        };
        pictures.iter().map(result).collect()
    }
}
