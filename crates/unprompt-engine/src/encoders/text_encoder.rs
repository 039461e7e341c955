//! Texts to vectors: a sentence encoder, or the text tower of a CLIP or a SigLIP.

use crate::{
    encoders::located::{Kind, Located},
    error::Result,
};
use unprompt_hub::{Hub, ModelRef, Progress, ResolvedModel};
use unprompt_models::{
    ClipCheckpoint, ClipTextTower, ClipTokenizer, Compute, ModelError, SentenceEncoder,
    SentenceTokenizer, SiglipTextTower, SiglipTokenizer, known_clip, to_unit_length,
};

/// The hub's name of CLIP's byte pairs.
const VOCABULARY: &str = "clip-bpe-vocabulary";
const VOCABULARY_FILE: &str = "bpe_simple_vocab_16e6.txt.gz";
/// Length of a text in every CLIP that open_clip's vocabulary alone is used for.
const USUAL_CONTEXT: usize = 77;

/// The models that a CLIP of this name needs: itself, and the vocabulary that goes with one of
/// open_clip's names.
pub(crate) fn clip_models(clip: &str) -> Vec<&str> {
    let mut models = vec![clip];
    if known_clip(clip).is_some() {
        models.push(VOCABULARY);
    }
    models
}

/// Anything that gives a text a vector.
#[derive(Debug)]
pub enum TextEncoder {
    /// A sentence encoder.
    Sentence(Box<SentenceEncoder>),
    /// The text tower of a CLIP.
    Clip(Box<ClipTextEncoder>),
    /// The text tower of a SigLIP.
    Siglip(Box<SiglipTextEncoder>),
}

/// A CLIP's text tower with its tokenizer.
#[derive(Debug)]
pub struct ClipTextEncoder {
    tokenizer: ClipTokenizer,
    tower: ClipTextTower,
}

/// A SigLIP's text tower with its tokenizer.
#[derive(Debug)]
pub struct SiglipTextEncoder {
    tokenizer: SiglipTokenizer,
    tower: SiglipTextTower,
}

/// What [`TextEncoder`] and [`Tokenizer`] are made of.
const NEEDED: &str = "a sentence encoder, a CLIP or a SigLIP";

impl TextEncoder {
    /// Resolves and builds a text encoder.
    ///
    /// # Errors
    /// When the model cannot be had, or has no text side.
    pub fn load(
        hub: &Hub,
        name: &str,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<(ResolvedModel, Self)> {
        let located = Located::new(hub, name, progress)?;
        let encoder = match located.kind()? {
            Kind::SentenceEncoder => Self::Sentence(Box::new(located.sentence_encoder(compute)?)),
            Kind::Clip => {
                let checkpoint = located.clip(compute)?;
                let tower = located.named(checkpoint.text_tower())?;
                let tokenizer = clip_tokenizer(hub, &located, &checkpoint, progress)?;
                Self::Clip(Box::new(ClipTextEncoder { tokenizer, tower }))
            }
            Kind::Siglip => {
                let checkpoint = located.siglip(compute)?;
                let tower = located.named(checkpoint.text_tower())?;
                let tokenizer = located.named(checkpoint.tokenizer())?;
                Self::Siglip(Box::new(SiglipTextEncoder { tokenizer, tower }))
            }
            other => return located.refuse(other, NEEDED),
        };
        Ok((located.resolved, encoder))
    }

    /// One vector for each text, of unit length unless `raw`.
    ///
    /// # Errors
    /// When a text cannot be tokenised or the weights give no finite number.
    pub fn embed<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        raw: bool,
    ) -> std::result::Result<Vec<Vec<f32>>, ModelError> {
        let mut features = match self {
            Self::Sentence(encoder) if raw => return encoder.embed_raw(texts),
            Self::Sentence(encoder) => return encoder.embed(texts),
            Self::Clip(encoder) => {
                let ids = all_ids(texts, |text| encoder.tokenizer.encode(text))?;
                encoder.tower.forward(&ids)?
            }
            Self::Siglip(encoder) => {
                let ids = all_ids(texts, |text| encoder.tokenizer.encode(text))?;
                encoder.tower.forward(&ids)?
            }
        };
        if !raw {
            features
                .iter_mut()
                .for_each(|feature| to_unit_length(feature));
        }
        Ok(features)
    }
}

fn all_ids<T: AsRef<str>>(
    texts: &[T],
    encode: impl Fn(&str) -> std::result::Result<Vec<u32>, ModelError>,
) -> std::result::Result<Vec<Vec<u32>>, ModelError> {
    texts.iter().map(|text| encode(text.as_ref())).collect()
}

/// A model's tokenizer alone.
#[derive(Debug)]
pub enum Tokenizer {
    /// Word pieces of a sentence encoder.
    Sentence(Box<SentenceTokenizer>),
    /// CLIP's byte pairs.
    Clip(Box<ClipTokenizer>),
    /// That of a SigLIP.
    Siglip(Box<SiglipTokenizer>),
}

impl Tokenizer {
    /// Resolves a model and builds its tokenizer, without its network: a folder may hold the
    /// tokenizer alone, and `clip-bpe-vocabulary` is open_clip's.
    ///
    /// # Errors
    /// When the model cannot be had, or takes no texts.
    pub fn load(hub: &Hub, name: &str, progress: &dyn Progress) -> Result<Self> {
        let located = Located::new(hub, name, progress)?;
        Ok(match located.tokenizer_kind()? {
            Kind::ClipTokenizer => {
                let tokenizer = ClipTokenizer::from_folder(&located.resolved.dir, USUAL_CONTEXT);
                Self::Clip(Box::new(located.named(tokenizer)?))
            }
            Kind::SentenceEncoder | Kind::Tokenizer => {
                let tokenizer = SentenceTokenizer::load(&located.resolved.dir);
                Self::Sentence(Box::new(located.named(tokenizer)?))
            }
            Kind::Clip => {
                let checkpoint = located.clip(&Compute::default())?;
                Self::Clip(Box::new(clip_tokenizer(
                    hub,
                    &located,
                    &checkpoint,
                    progress,
                )?))
            }
            Kind::Siglip => {
                let checkpoint = located.siglip(&Compute::default())?;
                Self::Siglip(Box::new(located.named(checkpoint.tokenizer())?))
            }
            Kind::ClipVocabulary => {
                let file = located.resolved.file(VOCABULARY_FILE)?;
                let tokenizer = ClipTokenizer::open_clip(file, USUAL_CONTEXT);
                Self::Clip(Box::new(located.named(tokenizer)?))
            }
            other => return located.refuse(other, NEEDED),
        })
    }

    /// The ids of a text as the reference's tokenizer returns them: for a sentence encoder from
    /// the first to the last special token, for a CLIP or a SigLIP padded to its context length.
    ///
    /// # Errors
    /// When the tokenizer cannot take the text.
    pub fn encode(&self, text: &str) -> std::result::Result<Vec<u32>, ModelError> {
        match self {
            Self::Sentence(tokenizer) => tokenizer.encode(text),
            Self::Clip(tokenizer) => tokenizer.encode_padded(text),
            Self::Siglip(tokenizer) => tokenizer.encode(text),
        }
    }

    /// How many ids a text has, special tokens included. A sentence encoder's are counted up to
    /// [`longest`](Self::longest).
    ///
    /// # Errors
    /// When the tokenizer cannot take the text.
    pub fn count(&self, text: &str) -> std::result::Result<usize, ModelError> {
        match self {
            Self::Sentence(tokenizer) => Ok(tokenizer.encode(text)?.len()),
            Self::Clip(tokenizer) => tokenizer.count(text),
            Self::Siglip(tokenizer) => tokenizer.count(text),
        }
    }

    /// The length that [`count`](Self::count) cuts texts to, if it does.
    pub fn longest(&self) -> Option<usize> {
        match self {
            Self::Sentence(tokenizer) => tokenizer.longest(),
            Self::Clip(_) | Self::Siglip(_) => None,
        }
    }
}

/// A CLIP's tokenizer, with open_clip's vocabulary from the hub where its folder has none.
pub(crate) fn clip_tokenizer(
    hub: &Hub,
    located: &Located,
    checkpoint: &ClipCheckpoint,
    progress: &dyn Progress,
) -> Result<ClipTokenizer> {
    if checkpoint.brings_vocabulary() {
        return located.named(checkpoint.tokenizer(None));
    }
    let vocabulary = hub.resolve(&VOCABULARY.parse::<ModelRef>()?, progress)?;
    located.named(checkpoint.tokenizer(Some(vocabulary.file(VOCABULARY_FILE)?)))
}
