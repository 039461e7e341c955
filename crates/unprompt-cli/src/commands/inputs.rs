//! Working through pictures batch by batch, with progress and one line for each failure.

use crate::{Finished, arguments::Common, output::complain, progress::Bar, records::one_line};
use anyhow::Result;
use std::path::{Path, PathBuf};
use unprompt::{FailureRecord, Source, sources_besides};

/// Whether only one file was asked for, so that text output needs no file names.
pub(crate) fn is_single(paths: &[PathBuf]) -> bool {
    matches!(paths, [path] if !path.is_dir())
}

/// The pictures that paths name, without the file that the command writes.
pub(crate) fn pictures(common: &Common, paths: &[PathBuf]) -> Result<Vec<Source>> {
    let out: Vec<&Path> = common.out.as_deref().into_iter().collect();
    Ok(sources_besides(paths, &out)?)
}

/// Calls `work` on each batch of `sources`, and `write` on each result in order.
///
/// `work` gives one result for each source. A failure is written too, so that records stay
/// complete, and is shown on standard error.
pub(crate) fn for_each<R>(
    common: &Common,
    sources: &[Source],
    work: impl Fn(&[Source]) -> Vec<Result<R, FailureRecord>>,
    mut write: impl FnMut(&Path, Result<R, FailureRecord>) -> Result<()>,
) -> Result<Finished> {
    let mut bar = Bar::count("pictures", sources.len(), common.quiet);
    let mut finished = Finished::Whole;
    for batch in sources.chunks(common.batch_size.into()) {
        for (source, result) in batch.iter().zip(work(batch)) {
            if let Err(failure) = &result {
                finished = Finished::WithFailures;
                // One line, whatever is in the name of the file.
                let line = one_line(&format!("{}: {}", failure.path, failure.error));
                bar.suspend(|| complain(&line));
            }
            write(source.path(), result)?;
            bar.advance(1);
        }
    }
    bar.finish();
    Ok(finished)
}

/// The record of an input that failed.
pub(crate) fn failure(source: &Source, error: &impl std::fmt::Display) -> FailureRecord {
    FailureRecord {
        path: source.path().to_string_lossy().into_owned(),
        error: error.to_string(),
    }
}
