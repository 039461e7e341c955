//! How far a job is.

use crate::{Job, error::Result, journal::journaled, part};
use serde::Serialize;
use std::fs;

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The command.
    pub command: String,
    /// Items of the list.
    pub items: u64,
    /// Items that have a record.
    pub done: u64,
    /// Records that are failures.
    pub failed: u64,
    /// Parts of the list.
    pub parts: usize,
    /// Parts that are whole.
    pub whole_parts: usize,
    /// Whether everything is done, so that it can be merged.
    pub complete: bool,
}

/// Looks at a job, also while processes work on it.
///
/// # Errors
/// When a file of the job is damaged or cannot be read.
pub fn status(job: &Job) -> Result<Status> {
    let mut status = Status {
        command: job.manifest().work.command.clone(),
        items: job.len(),
        done: 0,
        failed: 0,
        parts: job.parts(),
        whole_parts: 0,
        complete: false,
    };
    for part in 0..job.parts() {
        if job.part_path(part).is_file() {
            status.whole_parts += 1;
            status.done += job.part_len(part);
            status.failed += part::failures(job, part)?;
        } else if let Ok(bytes) = fs::read(job.journal_path(part)) {
            let items = job.items(part)?;
            let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
            let found = journaled(&bytes, &ids);
            status.done += found.records as u64;
            status.failed += found.failures as u64;
        }
    }
    status.complete = status.whole_parts == status.parts;
    Ok(status)
}
