//! The prompt that CLIP Interrogator makes, and that text's embedding.

use crate::{
    encoders::{
        captioner::CaptionOptions,
        networks::{CaptionOf, Encoded, VectorOf, together},
        picture_interrogator::{LABELS, PictureInterrogator},
        text_encoder::clip_models,
    },
    error::{InputError, Result},
    members::{
        kind::{Member, MemberKind},
        loader::Loader,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use unprompt_interrogate::Mode;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InterrogatorMember {
    /// The CLIP: a name such as `ViT-H-14/laion2b_s32b_b79k`, a hub id or a path.
    clip: String,
    /// The captioner whose words the prompt begins with; without one it is labels only.
    #[serde(default)]
    captioner: Option<String>,
    /// Which prompt is made.
    mode: InterrogatorMode,
    /// A folder of label files; without it clip-interrogator's lists.
    #[serde(default)]
    labels: Option<PathBuf>,
}

/// The modes of CLIP Interrogator that make a prompt of what is in a picture.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum InterrogatorMode {
    /// Caption, the first medium, artist, site and movement, three flavors.
    Classic,
    /// Caption, then the first labels of all tables.
    Fast,
    /// Caption, then labels one by one, each the one that helps most.
    Best,
    /// Caption, the first medium and movement, three flavors: the paper's variant.
    Competition,
}

impl From<InterrogatorMode> for Mode {
    fn from(mode: InterrogatorMode) -> Self {
        match mode {
            InterrogatorMode::Classic => Self::Classic,
            InterrogatorMode::Fast => Self::Fast,
            InterrogatorMode::Best => Self::Best,
            InterrogatorMode::Competition => Self::Competition,
        }
    }
}

impl MemberKind for InterrogatorMember {
    fn models(&self) -> Vec<&str> {
        let mut models = clip_models(&self.clip);
        models.extend(self.captioner.as_deref());
        if self.labels.is_none() {
            models.push(LABELS);
        }
        models
    }

    fn has_text(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let caption = match &self.captioner {
            Some(model) => Some(loader.caption(model, CaptionOptions::default())?),
            None => None,
        };
        let (vector, interrogator) =
            loader.interrogator(&self.clip, self.labels.as_deref(), self.mode.into())?;
        Ok(Box::new(Loaded {
            vector,
            caption,
            interrogator,
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    vector: VectorOf,
    caption: Option<CaptionOf>,
    interrogator: PictureInterrogator,
}

impl Member for Loaded {
    fn texts(&self, pictures: &[&Encoded]) -> Vec<std::result::Result<Option<String>, InputError>> {
        let prompts = together(pictures, |pictures| {
            let vectors = pictures.iter().map(|encoded| encoded.vector(self.vector));
            let captions: Vec<Option<&str>> = pictures
                .iter()
                .map(|encoded| Some(encoded.caption(self.caption?)))
                .collect();
            let vectors: Vec<&[f32]> = vectors.collect();
            self.interrogator.interrogate_vectors(&vectors, &captions)
        });
        let prompt = |found: std::result::Result<_, _>| -> std::result::Result<_, InputError> {
            let found: unprompt_interrogate::Interrogation = found.and_then(|found| found)?;
            Ok(found.prompt)
        };
        prompts.into_iter().map(prompt).collect()
    }
}
