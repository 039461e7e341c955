//! Pictures to prompts by a CLIP and lists of labels.

use crate::{
    encoders::{
        captioner::{CaptionOptions, Captioner},
        image_encoder::{ImageEncoder, Views},
        located::{Kind, Located, refuse_open_clips_name},
        of_sources::of_sources,
        published_labels::with_published,
        text_encoder::{Tokenizer, clip_tokenizer},
    },
    error::{EngineError, InputError, Result},
    source::Source,
};
use std::{path::PathBuf, sync::Arc};
use unprompt_hub::{Hub, ModelRef, Progress, ResolvedModel};
use unprompt_image::{Limits, RgbImage};
use unprompt_interrogate::{
    InterrogateOptions, Interrogation, Interrogator, LabelPolicy, LabelSet, PhraseEncoder, Subject,
    TableCache, TableProgress, TokenCounter,
};
use unprompt_models::{Compute, Dtype};

/// The hub's name of clip-interrogator's lists.
pub(crate) const LABELS: &str = "clip-interrogator-labels";
/// The folder of label embeddings within this program's cache.
const TABLES: &str = "label-embeddings";

/// A prompt grows at its end: the text tower must read forward, which a SigLIP's does not.
const NEEDED: &str = "a CLIP";

/// Which labels are used, and where their embeddings are kept.
#[derive(Clone, Debug, Default)]
pub struct LabelChoice {
    /// A folder of `*.txt`; `None` is clip-interrogator's own lists.
    pub folder: Option<PathBuf>,
    /// Names of tables to leave out.
    pub without: Vec<String>,
    /// Words that labels must or must not contain.
    pub policy: LabelPolicy,
    /// Where embeddings are kept; `None` is this program's cache.
    pub cache: Option<PathBuf>,
    /// Whether tables that the cache lacks are fetched where clip-interrogator's author publishes
    /// them: for its own lists, and CLIPs by their names in open_clip.
    pub published: bool,
}

/// What prompts begin with.
#[derive(Clone, Copy, Debug)]
pub enum Opening<'a> {
    /// The labels that are found.
    None,
    /// The same words for every picture.
    Text(&'a str),
    /// What a captioner says of each.
    Captioner(&'a Captioner),
}

/// A prompt or an analysis, with the caption that it began with.
#[derive(Clone, Debug)]
pub struct Captioned {
    /// What was found.
    pub found: Interrogation,
    /// The caption, without blanks around it.
    pub caption: Option<String>,
}

/// Both towers of a CLIP with the embeddings of its labels.
#[derive(Debug)]
pub struct PictureInterrogator {
    pictures: Arc<ImageEncoder>,
    interrogator: Interrogator,
}

impl PictureInterrogator {
    /// Resolves and builds a CLIP, and makes the tables that the mode needs if they are not there.
    ///
    /// # Errors
    /// When a model cannot be had, it is no CLIP with both towers, or the labels or options are
    /// wrong.
    pub fn load(
        hub: &Hub,
        clip: &str,
        labels: &LabelChoice,
        options: InterrogateOptions,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<(ResolvedModel, Self)> {
        refuse_open_clips_name(clip, Some(Kind::Clip), NEEDED)?;
        let folder = match &labels.folder {
            Some(folder) => folder.clone(),
            None => label_folder(hub, progress)?,
        };
        let mut set = LabelSet::read(&folder, options.behaviour)?.without(&labels.without)?;
        labels.policy.apply(&mut set);
        if labels.folder.is_some() {
            for note in set.lists().iter().filter_map(|list| list.note()) {
                tables.note(note);
            }
        }
        let located = Located::new(hub, clip, progress)?;
        let kind = located.kind()?;
        if kind != Kind::Clip {
            return located.refuse(kind, NEEDED);
        }
        // Eight bits are for what takes the time: the candidates of a chain, or else the pictures.
        // All that is kept, told or decided by is computed in f32.
        let in_int8 = compute.dtype() == Dtype::Int8;
        let exact = match compute.dtype() {
            Dtype::Int8 => &Compute::default(),
            _ => compute,
        };
        let checkpoint = located.clip(exact)?;
        let tower = located.named(checkpoint.text_tower())?;
        let tokenizer = clip_tokenizer(hub, &located, &checkpoint, progress)?;
        let mut encoder = PhraseEncoder::new(tokenizer, tower);
        let pictures = if options.mode.grows_a_chain() {
            if in_int8 {
                let scout = located.named(located.clip(compute)?.text_tower())?;
                encoder = encoder.with_scout(scout)?;
            }
            // A chain takes far longer than a picture's way through the image tower, whose memory
            // is better spent elsewhere.
            ImageEncoder::of_clip_by_blocks(&located, checkpoint)?
        } else if in_int8 {
            ImageEncoder::of_clip(&located, &located.clip(compute)?)?
        } else {
            ImageEncoder::of_clip(&located, &checkpoint)?
        };
        let resolved = located.resolved;
        let cache = match &labels.cache {
            Some(folder) => folder.clone(),
            None => hub.environment().own_cache.join(TABLES),
        };
        let weights = exact.identity(resolved.sha256()?);
        let mut cache = TableCache::new(cache, clip, &weights);
        if labels.published && labels.folder.is_none() {
            let (wanted, width) = ((&set, options.mode), encoder.tower().width());
            cache = with_published(cache, hub, clip, wanted, width, progress, tables);
        }
        let interrogator = Interrogator::load(encoder, set, Some(&cache), options, tables)?;
        Ok((
            resolved,
            Self {
                pictures: Arc::new(pictures),
                interrogator,
            },
        ))
    }

    /// How a picture becomes the image tower's input.
    pub fn pictures(&self) -> &ImageEncoder {
        &self.pictures
    }

    /// The same, to be shared with what looks the pictures up elsewhere.
    pub(crate) fn shared_pictures(&self) -> Arc<ImageEncoder> {
        Arc::clone(&self.pictures)
    }

    /// What works on vectors: chains, tables, similarities.
    pub fn interrogator(&self) -> &Interrogator {
        &self.interrogator
    }

    /// Each picture's prompt or analysis; `captions` has one for each picture, or none of it.
    ///
    /// # Errors
    /// The outer one concerns all pictures, the inner ones one each.
    pub fn interrogate(
        &self,
        images: &[RgbImage],
        captions: &[Option<&str>],
    ) -> std::result::Result<Vec<std::result::Result<Interrogation, InputError>>, InputError> {
        let vectors = self.pictures.embed(images, Views::Plain, false)?;
        self.interrogate_vectors(&vectors, captions)
    }

    /// As [`interrogate`](Self::interrogate), of pictures by where they are: one result for each,
    /// whatever is wrong with the others.
    pub fn interrogate_sources(
        &self,
        sources: &[Source],
        limits: &Limits,
        opening: Opening<'_>,
    ) -> Vec<std::result::Result<Captioned, InputError>> {
        // Each model says for itself what becomes of transparency.
        let prepare = |bytes: &[u8], limits| {
            let views = self.pictures.read(bytes, limits, Views::Plain)?;
            let for_captioner = match opening {
                Opening::Captioner(captioner) => vec![captioner.read(bytes, limits)?],
                _ => Vec::new(),
            };
            Ok((views, for_captioner))
        };
        let found = of_sources(sources, limits, prepare, |pictures| {
            let (views, for_captioner): (Vec<_>, Vec<_>) = pictures
                .iter()
                .map(|(views, pixels)| (views, pixels))
                .unzip();
            let captions: Vec<Option<String>> = match opening {
                Opening::None => vec![None; pictures.len()],
                Opening::Text(text) => vec![Some(text.to_owned()); pictures.len()],
                Opening::Captioner(captioner) => {
                    let pixels: Vec<Vec<f32>> =
                        for_captioner.into_iter().flatten().cloned().collect();
                    let captions = captioner.forward(&pixels, &CaptionOptions::default())?;
                    let text = captions.into_iter().map(|caption| caption.text);
                    text.map(|text| Some(text.trim().to_owned())).collect()
                }
            };
            let vectors = self.pictures.forward(&views, Views::Plain, false)?;
            let begun: Vec<Option<&str>> = captions.iter().map(Option::as_deref).collect();
            let found = self.interrogate_vectors(&vectors, &begun)?;
            let pairs = found.into_iter().zip(captions);
            Ok(pairs
                .map(|(found, caption)| {
                    Ok(Captioned {
                        found: found?,
                        caption,
                    })
                })
                .collect())
        });
        found
            .into_iter()
            .map(std::result::Result::flatten)
            .collect()
    }

    /// As [`interrogate`](Self::interrogate), of what [`pictures`](Self::pictures) made of the
    /// pictures.
    pub(crate) fn interrogate_vectors(
        &self,
        vectors: &[impl AsRef<[f32]>],
        captions: &[Option<&str>],
    ) -> std::result::Result<Vec<std::result::Result<Interrogation, InputError>>, InputError> {
        let found = self
            .interrogator
            .interrogate(&subjects(vectors, captions))?;
        let found = found.into_iter().map(|one| one.map_err(InputError::from));
        Ok(found.collect())
    }
}

fn subjects<'a>(
    vectors: &'a [impl AsRef<[f32]>],
    captions: &[Option<&'a str>],
) -> Vec<Subject<'a>> {
    let pairs = vectors.iter().zip(captions);
    pairs
        .map(|(picture, caption)| Subject {
            picture: picture.as_ref(),
            caption: *caption,
        })
        .collect()
}

/// The folder of clip-interrogator's own lists.
///
/// # Errors
/// When it is not here and cannot be fetched.
pub fn label_folder(hub: &Hub, progress: &dyn Progress) -> Result<PathBuf> {
    Ok(hub.resolve(&LABELS.parse::<ModelRef>()?, progress)?.dir)
}

/// Counts tokens by the tokenizer of a model, for a budget.
///
/// # Errors
/// When the model cannot be had, takes no texts, or cuts them before `limit` tokens.
pub fn token_counter(
    hub: &Hub,
    model: &str,
    limit: usize,
    progress: &dyn Progress,
) -> Result<TokenCounter> {
    let tokenizer = Tokenizer::load(hub, model, progress)?;
    let most = tokenizer.longest();
    if most.is_some_and(|most| limit >= most) {
        let most = most.unwrap_or_default();
        let message =
            format!("its tokenizer cuts texts to {most} tokens, so that {limit} cannot be counted");
        return Err(EngineError::Interrogate(
            unprompt_interrogate::InterrogateError::Options(format!("model `{model}`: {message}")),
        ));
    }
    Ok(Box::new(move |text| {
        tokenizer.count(text).map_err(|error| error.to_string())
    }))
}
