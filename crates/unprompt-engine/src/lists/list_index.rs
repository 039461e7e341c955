//! The prompt index of a list that a preset names: made when it is first needed, and kept in the
//! cache.

use crate::{
    encoders::{located::reference, text_encoder::TextEncoder},
    error::{EngineError, Result},
    lists::{phrase_table::key, prompt_index::identity, prompt_list::prompt_list},
};
use std::path::{Path, PathBuf};
use unprompt_files::Lock;
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_index::{
    BuildOptions, BuildProgress, Embedders, IndexError, PromptIndex, PromptIterator, build,
};
use unprompt_interrogate::TableProgress;
use unprompt_models::{Compute, SentenceEncoder};

/// A list and the models that embed it.
pub(crate) struct ListIndex<'a> {
    /// As [`prompt_list`] takes it.
    pub(crate) list: &'a str,
    /// The CLIP as the preset names it.
    pub(crate) clip: &'a str,
    pub(crate) sentence_model: &'a ResolvedModel,
    pub(crate) sentence: &'a SentenceEncoder,
    pub(crate) compute: &'a Compute,
}

impl ListIndex<'_> {
    /// The index from the cache if it is there, else built; a build that was interrupted goes on
    /// where it ended. What is damaged is built anew.
    ///
    /// # Errors
    /// When the list or the CLIP cannot be had, or the cache cannot be written.
    pub(crate) fn open(
        &self,
        hub: &Hub,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<PromptIndex> {
        let prompts = prompt_list(self.list).map_err(|message| EngineError::Preset {
            preset: format!("list `{}`", self.list),
            message,
        })?;
        let clip_model = hub.resolve(&reference(self.clip)?, progress)?;
        let folder = self.folder(hub, &prompts, &clip_model)?;
        // Two first uses at once: the second waits, and finds what the first has made.
        let _lock = Lock::acquire(&folder.with_extension("lock"), || {
            tables.note("waiting for another process that makes the same prompt index");
        });
        let found = PromptIndex::open(&folder).and_then(|index| {
            index.check(&|_| ())?;
            Ok(index)
        });
        if let Ok(index) = found {
            return Ok(index);
        }
        let remove = || {
            std::fs::remove_dir_all(&folder).map_err(|error| EngineError::Path {
                path: folder.clone(),
                message: format!("damaged, and cannot be removed: {error}"),
            })
        };
        // With a manifest it was whole once; without one it is a build that goes on.
        if folder.join("manifest.json").exists() {
            remove()?;
        }
        let mut built = self.build(hub, &folder, &prompts, progress, tables);
        let occupied = |error: &IndexError| matches!(error, IndexError::Occupied { .. });
        if matches!(&built, Err(EngineError::Index(error)) if occupied(error)) {
            // Neither: the folder is this program's own, so what is in it may go.
            remove()?;
            built = self.build(hub, &folder, &prompts, progress, tables);
        }
        built?;
        Ok(PromptIndex::open(&folder)?)
    }

    /// Named by a digest over all that the index depends on.
    fn folder(&self, hub: &Hub, prompts: &[String], clip: &ResolvedModel) -> Result<PathBuf> {
        let models = [clip.sha256()?, self.sentence_model.sha256()?];
        let models = models
            .map(|sha256| self.compute.identity(sha256))
            .join("\n");
        let cache = hub.environment().own_cache.join("indexes");
        Ok(cache.join(key(prompts, &models)))
    }

    fn build(
        &self,
        hub: &Hub,
        folder: &Path,
        prompts: &[String],
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<()> {
        let (clip_model, clip) = TextEncoder::load(hub, self.clip, self.compute, progress)?;
        let embedders = Embedders {
            clip_model: identity(&clip_model, self.compute)?,
            clip: &|texts| Ok(clip.embed(texts, false)?),
            sentence_model: identity(self.sentence_model, self.compute)?,
            sentence: &|texts| Ok(self.sentence.embed(texts)?),
        };
        let count = prompts.len();
        let again = || -> unprompt_index::Result<PromptIterator> {
            let own: Vec<_> = prompts.iter().cloned().map(Ok).collect();
            Ok(Box::new(own.into_iter()))
        };
        let mut report = |step| match step {
            BuildProgress::Begun { .. } => tables.start(self.list, count),
            BuildProgress::Found(by) | BuildProgress::Embedded(by) => {
                tables.advance(usize::try_from(by).unwrap_or(usize::MAX));
            }
            _ => {}
        };
        let options = BuildOptions {
            // Small, so that little is lost when the first use of a preset is interrupted.
            segment_rows: 256,
            ..BuildOptions::default()
        };
        let built = build(folder, &again, &embedders, options, &mut report);
        tables.finish();
        built?;
        Ok(())
    }
}
