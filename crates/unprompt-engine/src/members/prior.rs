//! The mean embedding of lists of prompts, whatever the picture.

use crate::{
    error::{InputError, Result},
    members::{
        kind::{Before, Member, MemberKind, MemberResult, Seen},
        loader::Loader,
    },
    vectors::unit,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prior {
    /// A list or several: a shipped one (`parti`, `eye`, `eye/parti`, `eye/licensed`, `eye/captions`),
    /// or a text file with one prompt a line. Of several the sum of the means is taken, each and the
    /// sum at unit length.
    prompts: OneOrMore,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl MemberKind for Prior {
    fn check(&self, _: &Before<'_>) -> std::result::Result<(), String> {
        match &self.prompts {
            OneOrMore::More(lists) if lists.is_empty() => Err("`prompts` names no list".into()),
            _ => Ok(()),
        }
    }

    fn prompts(&self) -> Option<&str> {
        match &self.prompts {
            OneOrMore::One(list) => Some(list),
            OneOrMore::More(lists) => lists.first().map(String::as_str),
        }
    }

    fn lists(&self) -> Vec<&str> {
        match &self.prompts {
            OneOrMore::One(list) => vec![list],
            OneOrMore::More(lists) => lists.iter().map(String::as_str).collect(),
        }
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let mean = match &self.prompts {
            OneOrMore::One(list) => loader.mean(list)?,
            OneOrMore::More(lists) => {
                let mut sum: Vec<f64> = Vec::new();
                for list in lists {
                    let mean = unit(&loader.mean(list)?);
                    sum.resize(mean.len(), 0.0);
                    sum.iter_mut()
                        .zip(mean)
                        .for_each(|(sum, mean)| *sum += mean);
                }
                unit(&sum)
            }
        };
        Ok(Box::new(Loaded { mean }))
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
