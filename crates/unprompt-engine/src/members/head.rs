//! A head: from the features of a tower to what the picture says beyond the mean of all, or to the
//! embedding itself where it was trained so.

use crate::{
    encoders::{
        image_encoder::Views,
        networks::{FeaturesOf, VectorOf},
    },
    error::{EngineError, InputError, Result},
    members::{
        kind::{Member, MemberKind, MemberResult, Seen},
        loader::Loader,
    },
    record::ModelReceipt,
    vectors::widened,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;
use unprompt_models::{Features, Head, HeadConfig};

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadMember {
    /// `eye`, which is part of the program, or a folder that `unprompt train head` made.
    head: String,
    /// The tower, where it is to be found elsewhere than the head says.
    #[serde(default)]
    tower: Option<String>,
}

impl MemberKind for HeadMember {
    fn models(&self) -> Vec<&str> {
        // A head's own folder says which tower it takes, once it is open.
        self.tower.as_deref().into_iter().collect()
    }

    fn is_query(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let named = |reason| EngineError::Model {
            name: self.head.clone(),
            reason,
        };
        let (head, mut towers) = if self.head == unprompt_eye::NAME {
            let head = Head::carried(unprompt_eye::head()).map_err(named)?;
            loader
                .receipts
                .push(ModelReceipt::carried("head/head.safetensors"));
            let tower = (unprompt_eye::NAME.to_owned(), Features::Pooled);
            (head, vec![tower])
        } else {
            let folder = Path::new(&self.head);
            let config = HeadConfig::load(folder).map_err(named)?;
            loader.require_encoder(&config.encoder)?;
            let head = Head::load(folder).map_err(named)?;
            let more = config.more_towers.into_iter();
            let more = more.map(|further| (further.tower, further.features));
            let first = (config.tower, config.features);
            (head, [first].into_iter().chain(more).collect())
        };
        match (&self.tower, towers.as_mut_slice()) {
            (None, _) => {}
            (Some(other), [(tower, _)]) => tower.clone_from(other),
            (Some(_), _) => {
                return Err(loader.failed("a head of several towers takes its own".into()));
            }
        }
        let (mut features, mut width) = (Vec::with_capacity(towers.len()), 0);
        for (tower, kind) in &towers {
            let (source, numbers) = match kind {
                Features::Pooled => {
                    let (features, numbers) = loader.features(tower)?;
                    (Source::Pooled(features), numbers)
                }
                Features::Vector => {
                    let (vector, encoder) = loader.vector(tower, None, Views::Plain)?;
                    (Source::Vector(vector), encoder.width())
                }
            };
            features.push(source);
            width += numbers;
        }
        if width != head.inputs() {
            let inputs = head.inputs();
            return Err(loader.failed(format!(
                "the head takes {inputs} features, its towers have {width}"
            )));
        }
        Ok(Box::new(Loaded { features, head }))
    }
}

#[derive(Debug)]
struct Loaded {
    /// One a tower.
    features: Vec<Source>,
    head: Head,
}

/// Where the features come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Pooled(FeaturesOf),
    Vector(VectorOf),
}

impl Member for Loaded {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let result = |seen: &Seen<'_>| {
            let features = self.features.iter().flat_map(|source| match *source {
                Source::Pooled(features) => seen.encoded.features(features),
                Source::Vector(vector) => seen.encoded.vector(vector),
            });
            let output = self
                .head
                .forward(&features.copied().collect::<Vec<f32>>())?;
            Ok(MemberResult::of_embedding(widened(&output)))
        };
        pictures.iter().map(result).collect()
    }
}
