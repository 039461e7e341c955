//! All parts as one file.

use crate::{
    Job, JobError, PartFormat,
    error::Result,
    part::{self, WholePart},
};
use std::{
    io::{self, Write},
    path::Path,
};
use unprompt_files::write_by;

/// What was merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Records.
    pub records: u64,
    /// Those of failures.
    pub failures: u64,
}

/// Writes the records of all items, in the order of the list, to one file, all or nothing: lines of JSON
/// or a table with one row group a part, as the parts are. `progress` is called with the records of
/// each part. Every part is checked: its records are those of its items, each once.
///
/// # Errors
/// When a part is missing or damaged, or the file cannot be written.
pub fn merge(job: &Job, path: &Path, mut progress: impl FnMut(u64)) -> Result<Merged> {
    let merged = check(job)?;
    let mut parts = (0..job.parts()).map(|part| {
        let whole = WholePart::read(job, part)?;
        progress(job.part_len(part));
        Ok(whole)
    });
    let written = write_by(
        path,
        || job.step(),
        |file| match job.manifest().part_format {
            PartFormat::Jsonl => {
                parts.try_for_each(|whole| match whole.map_err(io::Error::other)? {
                    WholePart::Lines(lines) => file.write_all(lines.as_bytes()),
                    WholePart::Rows(_) => Ok(()),
                })
            }
            PartFormat::Parquet => {
                let columns = job.columns();
                let groups = parts.map(|whole: Result<WholePart>| whole?.rows(columns, path));
                part::write_table(file, columns, &part::notes(merged.failures), groups)
            }
        },
    );
    written.map_err(|error| unwrapped(error, path))?;
    Ok(merged)
}

/// Checks that every part is there, and counts.
pub(crate) fn check(job: &Job) -> Result<Merged> {
    let missing: Vec<usize> = (0..job.parts())
        .filter(|part| !job.part_path(*part).is_file())
        .collect();
    if let Some(first) = missing.first() {
        let message = format!(
            "{} of {} parts are not there yet, the first one with items {}; go on with the command that began the job",
            missing.len(),
            job.parts(),
            job.range(*first)
        );
        return Err(JobError::refused(job.folder(), message));
    }
    let mut failures = 0;
    for part in 0..job.parts() {
        failures += part::failures(job, part)?;
    }
    Ok(Merged {
        records: job.len(),
        failures,
    })
}

/// An error of the job that came through a writer, or one of the writer.
pub(crate) fn unwrapped(error: io::Error, path: &Path) -> JobError {
    match error.downcast::<JobError>() {
        Ok(error) => error,
        Err(error) => JobError::io(path)(error),
    }
}
