//! `unprompt caption`: what each picture shows, as text, as JSON, or as a file beside the picture.

mod sidecar;

use crate::{
    Finished,
    arguments::{Caption as Arguments, Common, LengthOf},
    commands::inputs,
    missing,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON, escaped},
    setup::{compute, hub},
};
use anyhow::{Context, Result};
use rayon::prelude::*;
use serde::Serialize;
use sidecar::Sidecars;
use std::io::Write;
use unprompt::{
    CaptionOptions, Captioner, FailureRecord, InputError, Source,
    image::{Limits, RgbImage, decode},
    models::{Caption, LengthPenalty, Sampling},
};

#[derive(Serialize)]
#[serde(untagged)]
enum Record {
    Caption {
        path: String,
        caption: String,
        token_ids: Vec<u32>,
        score: f32,
    },
    /// There is a text beside the picture already.
    Skipped { path: String, skipped: bool },
}

pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let found = inputs::pictures(common, &arguments.paths)?;
    let records = RecordWriter::new(
        Output::open(common.out.as_deref())?,
        common.format,
        &TEXT_OR_JSON,
    )?;
    let sidecars = arguments
        .sidecar
        .map(|mode| Sidecars::new(mode, &found))
        .transpose()?;
    let progress = LoadingProgress::new(common.quiet);
    let compute = compute(common)?;
    let hub = hub(common)?;
    missing::captioner(&hub, &arguments.model, |note| {
        if !common.quiet {
            complain(note);
        }
    })?;
    let (_, captioner) = Captioner::load(&hub, &arguments.model, &compute, &progress)?;
    let options = options(arguments);
    captioner
        .check(&options)
        .with_context(|| format!("model `{}`", arguments.model))?;
    let single = inputs::is_single(&arguments.paths);
    let work = |batch: &[Source]| caption(&captioner, batch, &options, sidecars.as_ref());
    let mut skipped = 0;
    let finished = inputs::write_each(common, &found, work, records, |records, path, record| {
        skipped += usize::from(matches!(record, Record::Skipped { .. }));
        if !records.write_json_of(path, &record)?
            && let Record::Caption { path, caption, .. } = &record
        {
            let (path, caption) = (escaped(path), escaped(caption));
            if single {
                writeln!(records.raw(), "{caption}")?;
            } else {
                writeln!(records.raw(), "{path}\t{caption}")?;
            }
        }
        Ok(())
    })?;
    if skipped > 0 && !common.quiet {
        complain(&format!(
            "{skipped} of {} pictures have a text beside them already and were left alone",
            found.len()
        ));
    }
    Ok(finished)
}

fn options(arguments: &Arguments) -> CaptionOptions {
    CaptionOptions {
        prompt: arguments.prompt.clone(),
        beams: arguments.beams,
        no_repeat_ngram: arguments.no_repeat_ngram,
        min_length: arguments.min_length,
        max_length: arguments.max_length,
        max_new_tokens: arguments.max_new_tokens,
        length_penalty: arguments.length_penalty,
        length_penalty_of: arguments.length_of.map(|length| match length {
            LengthOf::Generated => LengthPenalty::GeneratedTokens,
            LengthOf::Whole => LengthPenalty::WholeSequence,
        }),
        early_stopping: arguments.early_stopping.then_some(true),
        sampling: arguments.seed.map(|seed| Sampling {
            seed,
            temperature: arguments.temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
        }),
    }
}

/// Captions the pictures that can be read together. When the batch as a whole fails, each is
/// captioned alone, so that only the one at fault fails.
fn caption(
    captioner: &Captioner,
    batch: &[Source],
    options: &CaptionOptions,
    sidecars: Option<&Sidecars>,
) -> Vec<Result<Record, FailureRecord>> {
    let path = |source: &Source| source.path().to_string_lossy().into_owned();
    let is_skipped = |source: &Source| sidecars.is_some_and(|sidecars| sidecars.skips(source));
    let skips: Vec<bool> = batch.iter().map(is_skipped).collect();
    let images: Vec<Option<Result<RgbImage, InputError>>> = batch
        .par_iter()
        .zip(&skips)
        .map(|(source, skip)| (!skip).then(|| read(captioner, source)))
        .collect();
    let good: Vec<RgbImage> = images.iter().flatten().flatten().cloned().collect();
    let mut together = captioner.caption(&good, options).ok().map(Vec::into_iter);
    let one = |(source, image): (&Source, Option<Result<RgbImage, InputError>>)| {
        let Some(image) = image else {
            return Ok(Record::Skipped {
                path: path(source),
                skipped: true,
            });
        };
        let caption = image.and_then(|image| match together.as_mut().and_then(Iterator::next) {
            Some(caption) => Ok(caption),
            None => Ok(captioner.caption(&[image], options)?.swap_remove(0)),
        });
        let Caption {
            text,
            token_ids,
            score,
        } = caption.map_err(|error| inputs::failure(source, &error))?;
        if let Some(sidecars) = sidecars {
            sidecars
                .write(source, &text)
                .map_err(|error| inputs::failure(source, &format!("{error:#}")))?;
        }
        Ok(Record::Caption {
            path: path(source),
            caption: text,
            token_ids,
            score,
        })
    };
    batch.iter().zip(images).map(one).collect()
}

fn read(captioner: &Captioner, source: &Source) -> Result<RgbImage, InputError> {
    let limits = Limits::default();
    let options = captioner.preprocessor().decode_options(limits);
    Ok(decode(&source.read(&limits)?, &options)?)
}
