//! The mean embedding of a list of prompts, whatever the picture.

use crate::{
    error::{InputError, Result},
    members::{
        kind::{Member, MemberKind, MemberResult, Seen},
        loader::Loader,
    },
};
use serde::Deserialize;

/// The fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prior {
    /// A shipped list (`parti`) or a text file with one prompt a line.
    prompts: String,
}

impl MemberKind for Prior {
    fn prompts(&self) -> Option<&str> {
        Some(&self.prompts)
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        Ok(Box::new(Loaded {
            mean: loader.prompts(&self.prompts)?.mean.clone(),
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    mean: Vec<f64>,
}

impl Member for Loaded {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let result = |_| Ok(MemberResult::of_embedding(self.mean.clone()));
        pictures.iter().map(result).collect()
    }
}
