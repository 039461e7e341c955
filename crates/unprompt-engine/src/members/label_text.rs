//! A classifier's top labels as text, as the ViT row of the paper's Table 1 makes it.

use crate::{
    encoders::{
        classifier::Label,
        networks::{Encoded, LabelsOf},
    },
    error::{InputError, Result},
    members::{
        kind::{Before, Member, MemberKind},
        loader::Loader,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelText {
    /// The classifier: a name, a hub id or a path.
    model: String,
    /// How many labels.
    top: usize,
}

impl MemberKind for LabelText {
    fn check(&self, _: &Before<'_>) -> std::result::Result<(), String> {
        match self.top {
            0 => Err("top must be at least 1".into()),
            _ => Ok(()),
        }
    }

    fn models(&self) -> Vec<&str> {
        vec![&self.model]
    }

    fn has_text(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        Ok(Box::new(Loaded {
            labels: loader.labels(&self.model, self.top)?,
            top: self.top,
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    labels: LabelsOf,
    top: usize,
}

impl Member for Loaded {
    fn texts(&self, pictures: &[&Encoded]) -> Vec<std::result::Result<Option<String>, InputError>> {
        let text = |encoded: &&Encoded| Ok(Some(text(encoded.labels(self.labels), self.top)));
        pictures.iter().map(text).collect()
    }
}

/// The labels joined by ", ", each as its synset spells it.
fn text(labels: &[Label], top: usize) -> String {
    let names = labels.iter().take(top).map(|label| label.label.as_str());
    names.collect::<Vec<_>>().join(", ")
}
