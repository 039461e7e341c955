//! Working through pictures batch by batch, with progress and one line for each failure.

use crate::{
    Finished,
    arguments::Common,
    output::complain,
    progress::Bar,
    records::{RecordWriter, one_line},
};
use anyhow::Result;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};
use unprompt::{
    FailureRecord, InputError, PredictOptions, PredictionRecord, Predictor, Source, SourceList,
    source_list,
};

/// Whether only one file was asked for, so that text output needs no file names.
pub(crate) fn is_single(paths: &[PathBuf]) -> bool {
    matches!(paths, [path] if !path.is_dir())
}

/// The pictures that paths name, without the file that the command writes.
pub(crate) fn pictures(common: &Common, paths: &[PathBuf]) -> Result<SourceList> {
    let out: Vec<&Path> = common.out.as_deref().into_iter().collect();
    Ok(source_list(paths, &out)?)
}

/// Calls `work` on each batch of `sources`, and `write` on each result in order.
///
/// `work` gives one result for each source. A failure is written too, so that records stay
/// complete, and is shown on standard error.
pub(crate) fn for_each<R>(
    common: &Common,
    sources: &SourceList,
    work: impl Fn(&[Source]) -> Vec<Result<R, FailureRecord>>,
    mut write: impl FnMut(&Path, Result<R, FailureRecord>) -> Result<()>,
) -> Result<Finished> {
    let mut tally = Tally::new(common, sources.len());
    for batch in sources.chunks(common.batch_size.into()) {
        for (source, result) in batch.iter().zip(work(&batch)) {
            tally.count(result.as_ref().err());
            write(source.path(), result)?;
        }
    }
    Ok(tally.finish())
}

/// The same for predictions: the next batch is read and decoded while the networks work on this one.
/// `check` may make a failure of a prediction.
pub(crate) fn predict_each(
    common: &Common,
    sources: impl Into<SourceList>,
    predictor: &Predictor,
    options: &PredictOptions,
    check: impl Fn(&Source, &PredictionRecord) -> Result<(), FailureRecord>,
    mut write: impl FnMut(&Path, Prediction) -> Result<()>,
) -> Result<Finished> {
    let sources = sources.into();
    let mut tally = Tally::new(common, sources.len());
    let batch_size = NonZeroUsize::new(common.batch_size.into()).unwrap_or(NonZeroUsize::MIN);
    predictor.predict_each(sources.iter(), batch_size, options, |source, outcome| {
        let result = outcome.into_result();
        let result = result.and_then(|record| check(&source, &record).map(|()| record));
        tally.count(result.as_ref().err());
        write(source.path(), result)
    })?;
    Ok(tally.finish())
}

/// One picture's prediction.
pub(crate) type Prediction = Result<Box<PredictionRecord>, FailureRecord>;

/// What is told while pictures are worked through.
struct Tally {
    bar: Bar,
    finished: Finished,
}

impl Tally {
    fn new(common: &Common, pictures: usize) -> Self {
        Self {
            bar: Bar::count("pictures", pictures, common.quiet),
            finished: Finished::Whole,
        }
    }

    /// One more picture is done; a failure is one line, whatever is in the name of the file.
    fn count(&mut self, failure: Option<&FailureRecord>) {
        if let Some(failure) = failure {
            self.finished = Finished::WithFailures;
            let line = one_line(&format!("{}: {}", failure.path, failure.error));
            self.bar.suspend(|| complain(&line));
        }
        self.bar.advance(1);
    }

    fn finish(self) -> Finished {
        self.bar.finish();
        self.finished
    }
}

/// The same with records: `write` shows what became of one input, a failure is a record of its own.
pub(crate) fn write_each<R>(
    common: &Common,
    sources: &SourceList,
    work: impl Fn(&[Source]) -> Vec<Result<R, FailureRecord>>,
    mut records: RecordWriter,
    mut write: impl FnMut(&mut RecordWriter, &Path, R) -> Result<()>,
) -> Result<Finished> {
    let finished = for_each(common, sources, work, |path, result| {
        match result {
            Ok(record) => write(&mut records, path, record)?,
            Err(failure) => {
                records.write_json_of(path, &failure)?;
            }
        }
        records.flush()
    })?;
    records.finish()?;
    Ok(finished)
}

/// The record of each source, made of its path and of what was found, or why it has none.
pub(crate) fn records<T, R>(
    batch: &[Source],
    found: Vec<Result<T, InputError>>,
    record: impl Fn(String, T) -> R,
) -> Vec<Result<R, FailureRecord>> {
    let one = |(source, found): (&Source, Result<T, InputError>)| match found {
        Ok(found) => Ok(record(source.path().to_string_lossy().into_owned(), found)),
        Err(error) => Err(failure(source, &error)),
    };
    batch.iter().zip(found).map(one).collect()
}

/// The record of an input that failed.
pub(crate) fn failure(source: &Source, error: &impl std::fmt::Display) -> FailureRecord {
    FailureRecord {
        path: source.path().to_string_lossy().into_owned(),
        error: error.to_string(),
    }
}
