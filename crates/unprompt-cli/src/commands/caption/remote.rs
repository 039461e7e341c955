//! Captions by a captioner on another server.

use super::{Record, options};
use crate::{
    arguments::{Caption as Arguments, Common},
    commands::{inputs, job},
    setup::hub,
};
use anyhow::{Result, bail};
use std::sync::OnceLock;
use unprompt::{
    FailureRecord, InputError, Question, RemoteCaptioner, Source, image::Limits, job::Model,
};

/// A captioner on another server, and what it is asked.
pub(super) struct Elsewhere {
    captioner: RemoteCaptioner,
    question: Question,
    /// Why it is not asked any longer. Thousands of pictures do not each wait for a server that is gone.
    gone: OnceLock<String>,
}

impl Elsewhere {
    /// One that answers.
    pub(super) fn load(common: &Common, arguments: &Arguments) -> Result<(Model, Self)> {
        for (flag, is_given) in [
            ("--beams", arguments.beams.is_some()),
            ("--no-repeat-ngram", arguments.no_repeat_ngram.is_some()),
            ("--min-length", arguments.min_length.is_some()),
            ("--max-length", arguments.max_length.is_some()),
            ("--length-penalty", arguments.length_penalty.is_some()),
            ("--length-of", arguments.length_of.is_some()),
            ("--early-stopping", arguments.early_stopping),
            ("--seed", arguments.seed.is_some()),
        ] {
            if is_given {
                bail!(
                    "{flag}: a captioner on another server takes --prompt and --max-new-tokens alone"
                );
            }
        }
        let captioner = RemoteCaptioner::load(&hub(common)?, &arguments.model)?;
        let question = captioner.question(&options(arguments))?;
        let gone = OnceLock::new();
        Ok((
            job::remote_model(&arguments.model),
            Self {
                captioner,
                question,
                gone,
            },
        ))
    }

    pub(super) fn caption(&self, batch: &[Source]) -> Vec<Result<Record, FailureRecord>> {
        if let Some(reason) = self.gone.get() {
            let failed = batch
                .iter()
                .map(|source| Err(inputs::failure(source, reason)));
            return failed.collect();
        }
        let captions = self
            .captioner
            .caption_sources(batch, &Limits::default(), &self.question);
        let record = |(source, caption): (&Source, Result<String, InputError>)| {
            let caption = caption.map_err(|error| {
                if let InputError::Remote(remote) = &error
                    && remote.is_of_every_picture()
                {
                    let _ = self.gone.set(remote.to_string());
                }
                inputs::failure(source, &error)
            })?;
            Ok(Record {
                path: source.path().to_string_lossy().into_owned(),
                caption,
                token_ids: Vec::new(),
                score: None,
                remote: Some(self.captioner.name().to_owned()),
            })
        };
        batch.iter().zip(captions).map(record).collect()
    }
}
