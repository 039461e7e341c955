//! Prompt indexes: built with models by name, searched with the models that they were built with.

use crate::{
    encoders::{
        image_encoder::{ImageEncoder, Views},
        of_sources::of_sources,
        sentence_encoder::load_sentence_encoder,
        text_encoder::TextEncoder,
    },
    error::{EngineError, InputError, Result},
    lists::store::{open_store, shown},
    source::Source,
};
use std::{path::Path, sync::Arc};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::Limits;
use unprompt_index::{
    BuildOptions, BuildProgress, Embedders, IndexError, Manifest, ModelIdentity, PromptFile,
    PromptStore, Regressed, Regression, Space, build,
};
use unprompt_models::{Compute, ModelError, SentenceEncoder};

/// An index to be built.
#[derive(Clone, Debug)]
pub struct IndexRequest<'a> {
    /// The list of prompts.
    pub prompts: &'a Path,
    /// The column or key that holds them, where the list has such.
    pub column: &'a str,
    /// The CLIP whose text tower embeds them.
    pub clip: &'a str,
    /// The sentence encoder.
    pub sentence: &'a str,
    /// Where the models compute, and in which numbers: part of what an index is.
    pub compute: &'a Compute,
    /// Where the index goes.
    pub folder: &'a Path,
    /// Batch and segment sizes.
    pub options: BuildOptions,
}

/// Builds an index, or goes on with one; see [`unprompt_index::build`].
///
/// # Errors
/// When a model cannot be had, is of another kind, or the index cannot be built.
pub fn build_index(
    hub: &Hub,
    request: &IndexRequest<'_>,
    progress: &dyn Progress,
    report: &mut dyn FnMut(BuildProgress),
) -> Result<Manifest> {
    let file = PromptFile::open(request.prompts, request.column)?;
    let (clip_model, clip) = TextEncoder::load(hub, request.clip, request.compute, progress)?;
    if matches!(clip, TextEncoder::Sentence(_)) {
        return Err(EngineError::Model {
            name: request.clip.to_owned(),
            reason: ModelError::Configuration {
                path: clip_model.dir,
                message: "a sentence encoder, where a CLIP or a SigLIP is needed".to_owned(),
            },
        });
    }
    let (sentence_model, sentence) =
        load_sentence_encoder(hub, request.sentence, request.compute, progress)?;
    let embedders = Embedders {
        clip_model: identity(&clip_model, request.compute)?,
        clip: &|texts| Ok(clip.embed(texts, false)?),
        sentence_model: identity(&sentence_model, request.compute)?,
        sentence: &|texts| Ok(sentence.embed(texts)?),
    };
    let prompts = || file.read();
    let manifest = build(
        request.folder,
        &prompts,
        &embedders,
        request.options,
        report,
    )?;
    Ok(manifest)
}

/// An index with the models that go with it.
#[derive(Debug)]
pub struct IndexSearch {
    /// Where the prompts are, as errors show it.
    place: String,
    prompts: Arc<dyn PromptStore>,
}

impl IndexSearch {
    /// Opens the index of a folder, or of a table of PostgreSQL where the place is its address.
    ///
    /// # Errors
    /// When there is no index or a damaged one, the database refuses, or the hub is offline and the place
    /// is a database.
    pub fn open(hub: &Hub, place: &Path) -> Result<Self> {
        Ok(Self::new(place, open_store(hub, place)?))
    }

    /// Over prompts that are open already; errors name the place.
    pub fn new(place: &Path, prompts: Arc<dyn PromptStore>) -> Self {
        Self {
            place: shown(place),
            prompts,
        }
    }

    /// Where it is, as it may be shown: of an address neither password nor parameters.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The prompts themselves.
    pub fn prompts(&self) -> &dyn PromptStore {
        &*self.prompts
    }

    /// The image tower of the index's CLIP: by the name in the index, or by one that says where the
    /// same model is now.
    ///
    /// # Errors
    /// When it cannot be had, or is another model than the index was built with.
    pub fn image_encoder(
        &self,
        hub: &Hub,
        name: Option<&str>,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<ImageEncoder> {
        let expected = self.prompts.clip();
        let (model, encoder) =
            ImageEncoder::load(hub, name.unwrap_or(&expected.name), compute, progress)?;
        require(&self.place, expected, &model, "--clip")?;
        Ok(encoder)
    }

    /// The index's sentence encoder, as [`IndexSearch::image_encoder`].
    ///
    /// # Errors
    /// When it cannot be had, or is another model than the index was built with.
    pub fn sentence_encoder(
        &self,
        hub: &Hub,
        name: Option<&str>,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<SentenceEncoder> {
        let expected = self.prompts.sentence();
        let (model, encoder) =
            load_sentence_encoder(hub, name.unwrap_or(&expected.name), compute, progress)?;
        require(&self.place, expected, &model, "--sentence")?;
        Ok(encoder)
    }
}

/// What is asked of a search.
#[derive(Clone, Copy, Debug)]
pub struct IndexQuery {
    /// Prompts that are shown for each picture or text.
    pub top: usize,
    /// Which of the nearest prompts are averaged, and how.
    pub regression: Regression,
}

impl IndexSearch {
    /// The nearest prompts of each vector, as many as are shown, and the embedding that as many as are
    /// averaged predict.
    ///
    /// # Errors
    /// As [`Regression::predict`].
    pub fn nearest(
        &self,
        space: Space,
        vectors: &[Vec<f32>],
        query: &IndexQuery,
    ) -> std::result::Result<Vec<Regressed>, IndexError> {
        let IndexQuery { top, regression } = *query;
        let averaged = regression.neighbours;
        let wide = Regression {
            neighbours: averaged.max(top),
            ..regression
        };
        let mut found = wide.predict(&*self.prompts, space, vectors)?;
        for found in &mut found {
            if wide.neighbours > averaged {
                let nearest = &found.matches[..found.matches.len().min(averaged)];
                found.embedding = regression.combine(nearest);
            }
            found.matches.truncate(top);
        }
        Ok(found)
    }

    /// The same for pictures, with the index's image tower: one result for each, whatever is wrong with
    /// the others.
    ///
    /// # Errors
    /// When the index is damaged or cannot be read any more.
    pub fn nearest_to_sources(
        &self,
        encoder: &ImageEncoder,
        sources: &[Source],
        limits: &Limits,
        query: &IndexQuery,
    ) -> Result<Vec<std::result::Result<Regressed, InputError>>> {
        let prepare = |bytes: &[u8], limits| encoder.read(bytes, limits, Views::Plain);
        let found = of_sources(sources, limits, prepare, |pictures| {
            let vectors = encoder.forward(pictures, Views::Plain, false)?;
            let found = self.nearest(Space::Clip, &vectors, query);
            Ok(found.map_err(Arc::new)?)
        });
        let mut errors = found.iter().filter_map(|found| found.as_ref().err());
        match errors.find_map(InputError::of_every_picture) {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }
}

/// Embeddings of two models have nothing to do with each other, even where their widths agree.
/// `option` is where the user says which model it is.
pub(crate) fn require(
    place: &str,
    expected: &ModelIdentity,
    found: &ResolvedModel,
    option: &str,
) -> Result<()> {
    let digest = found.sha256()?;
    if digest == expected.sha256 {
        return Ok(());
    }
    Err(EngineError::Path {
        path: place.into(),
        message: format!(
            "the index was built with {} ({}), and {} is {digest}; name the same model with {option}, \
             or build the index again",
            expected.name, expected.sha256, found.name
        ),
    })
}

pub(crate) fn identity(model: &ResolvedModel, compute: &Compute) -> Result<ModelIdentity> {
    Ok(ModelIdentity {
        name: model.name.clone(),
        revision: model.revision.clone(),
        sha256: model.sha256()?.to_owned(),
        dtype: compute.dtype().name().to_owned(),
    })
}
