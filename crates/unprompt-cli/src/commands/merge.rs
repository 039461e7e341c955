//! `unprompt merge`: the records of a job that is done, in one file.

use crate::{
    Finished,
    arguments::{Common, Layout, Merge},
    destination,
    output::Output,
    progress::Bar,
    records::{RecordWriter, TEXT_OR_JSON},
};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::PathBuf;
use unprompt::job::{Job, merge, write_clip_retrieval};

#[derive(Serialize)]
struct Record {
    path: PathBuf,
    records: u64,
    failures: u64,
}

pub(crate) fn run(common: &Common, arguments: &Merge) -> Result<Finished> {
    let records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;
    let job = Job::open(&arguments.job)?;
    let extension = job.manifest().part_format.extension();
    let name = match arguments.layout {
        Layout::File => format!("merged.{extension}"),
        Layout::ClipRetrieval => "clip-retrieval".to_owned(),
    };
    let path = match &common.out {
        Some(path) => path.clone(),
        None => arguments.job.join(name),
    };
    destination::refuse_lost(&path).with_context(|| path.display().to_string())?;
    let items = usize::try_from(job.len()).unwrap_or(usize::MAX);
    let mut bar = Bar::count("records", items, common.quiet);
    let record = match arguments.layout {
        Layout::File => {
            let merged = merge(&job, &path, |records| bar.advance(records))?;
            Record {
                path,
                records: merged.records,
                failures: merged.failures,
            }
        }
        Layout::ClipRetrieval => {
            let written = write_clip_retrieval(&job, &path, |records| bar.advance(records))?;
            Record {
                path,
                records: written.rows,
                failures: written.left_out,
            }
        }
    };
    bar.finish();
    records.finish_with("result", &record, |out| {
        let left_out = match arguments.layout {
            Layout::File => "of failures among them",
            Layout::ClipRetrieval => "of failures left out",
        };
        writeln!(
            out,
            "{}: {} records, {} {left_out}",
            record.path.display(),
            record.records,
            record.failures
        )
    })?;
    Ok(Finished::Whole)
}
