//! `unprompt index`: a list of prompts that pictures are looked up in.

mod search;

use crate::{
    Finished,
    arguments::{Common, Index, IndexBuild, IndexExport, IndexInfo},
    output::Output,
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON},
    setup::{compute, hub},
};
use anyhow::{Result, bail};
use serde::Serialize;
use std::{
    io::Write,
    sync::{Mutex, PoisonError},
};
use unprompt::{
    hub::megabytes,
    index::{
        BuildOptions, BuildProgress, Extent, IndexRequest, IndexSearch, Kept, ModelIdentity,
        PromptIndex, PromptStore, Space, build_index, export_index,
    },
};

pub(crate) fn run(common: &Common, action: &Index) -> Result<Finished> {
    match action {
        Index::Build(arguments) => build(common, arguments),
        Index::Search(arguments) => search::run(common, arguments),
        Index::Info(arguments) => info(common, arguments),
        Index::Export(arguments) => export(common, arguments),
    }
}

fn build(common: &Common, arguments: &IndexBuild) -> Result<Finished> {
    let Some(folder) = &common.out else {
        bail!("index build needs --out DIR: where the index goes");
    };
    let records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;
    let downloads = LoadingProgress::new(common.quiet);
    let compute = compute(common)?;
    let request = IndexRequest {
        prompts: &arguments.prompts,
        column: &arguments.column,
        clip: &arguments.clip,
        sentence: &arguments.sentence,
        compute: &compute,
        folder,
        options: BuildOptions {
            batch: common.batch_size.into(),
            segment_rows: arguments.segment_rows as usize,
        },
    };
    let mut bar = Bar::open_ended("prompts read", common.quiet);
    let mut report = |progress| match progress {
        BuildProgress::Read(by) => bar.advance(by),
        BuildProgress::Begun { rows } => {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            std::mem::replace(&mut bar, Bar::count("prompts", rows, common.quiet)).finish();
        }
        BuildProgress::Found(by) | BuildProgress::Embedded(by) => bar.advance(by),
        _ => {}
    };
    build_index(&hub(common)?, &request, &downloads, &mut report)?;
    bar.finish();
    write_info(
        records,
        &folder.to_string_lossy(),
        &PromptIndex::open(folder)?,
    )?;
    Ok(Finished::Whole)
}

fn info(common: &Common, arguments: &IndexInfo) -> Result<Finished> {
    let place = match (&arguments.index, arguments.places.as_slice()) {
        (Some(place), []) | (None, [place]) => place,
        _ => bail!("index info tells of one index at a time"),
    };
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let index = IndexSearch::open(&hub(common)?, place)?;
    let store = index.prompts();
    if arguments.check {
        let rows = usize::try_from(store.prompts().rows).unwrap_or(usize::MAX);
        let bar = Mutex::new(Bar::count("prompts checked", rows, common.quiet));
        store.check(&|rows| {
            let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
            bar.advance(rows);
        })?;
        let bar = bar.into_inner();
        bar.unwrap_or_else(PoisonError::into_inner).finish();
    }
    write_info(records, index.place(), store)?;
    Ok(Finished::Whole)
}

fn export(common: &Common, arguments: &IndexExport) -> Result<Finished> {
    let folder = &arguments.index;
    match (&common.out, &arguments.to) {
        (Some(path), None) if path.exists() && !path.is_file() => {
            bail!("--out {}: parquet is written to a file", path.display())
        }
        (Some(_), Some(_)) => bail!("--out and --to: one of the two at a time"),
        (_, None) if arguments.hnsw => bail!("--hnsw: needs --to ADDRESS, a database"),
        (None, None) => bail!(
            "index export needs --out FILE, where the parquet file goes, or --to ADDRESS, a database"
        ),
        _ => {}
    }
    let index = PromptIndex::open(folder)?;
    let rows = usize::try_from(index.rows()).unwrap_or(usize::MAX);
    let mut bar = Bar::count("prompts", rows, common.quiet);
    let mut progress = |rows| bar.advance(rows);
    if let Some(address) = &arguments.to {
        export_index(
            &hub(common)?,
            &index,
            address,
            arguments.hnsw,
            &mut progress,
        )?;
    } else if let Some(path) = &common.out {
        index.export(path, &mut progress)?;
    }
    bar.finish();
    Ok(Finished::Whole)
}

#[derive(Serialize)]
struct Info<'a> {
    index: &'a str,
    prompts: u64,
    duplicates: u64,
    empty: u64,
    prompts_sha256: &'a str,
    clip: &'a ModelIdentity,
    clip_width: u64,
    sentence: &'a ModelIdentity,
    sentence_width: u64,
    /// Of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_rows: Option<u64>,
    /// Of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate: Option<bool>,
    bytes: u64,
}

fn write_info(mut records: RecordWriter, place: &str, store: &dyn PromptStore) -> Result<()> {
    let Extent { bytes, kept } = store.extent()?;
    let (segments, segment_rows, approximate) = match kept {
        Kept::Files { count, rows } => (Some(count), Some(rows), None),
        Kept::Table { approximate } => (None, None, Some(approximate)),
    };
    let prompts = store.prompts();
    let info = Info {
        index: place,
        prompts: prompts.rows,
        duplicates: prompts.duplicates,
        empty: prompts.empty,
        prompts_sha256: &prompts.sha256,
        clip: store.clip(),
        clip_width: store.width(Space::Clip),
        sentence: store.sentence(),
        sentence_width: store.width(Space::Sentence),
        segments,
        segment_rows,
        approximate,
        bytes,
    };
    if !records.write_json(&info)? {
        let output = records.raw();
        writeln!(
            output,
            "{} prompts ({} duplicates and {} empty rows left out)",
            info.prompts, info.duplicates, info.empty
        )?;
        for (kind, model, width) in [
            ("CLIP", info.clip, info.clip_width),
            ("sentences", info.sentence, info.sentence_width),
        ] {
            let ModelIdentity {
                name,
                revision,
                sha256,
                dtype,
            } = model;
            writeln!(
                output,
                "{kind}: {name}, {revision}, {width} numbers computed in {dtype}, SHA-256 {sha256}"
            )?;
        }
        let size = megabytes(bytes);
        match kept {
            Kept::Files { count, .. } => writeln!(output, "{size} in {count} files")?,
            Kept::Table { approximate } => {
                let search = match approximate {
                    true => "searched by HNSW indexes, which miss some of the nearest",
                    false => "searched row by row",
                };
                writeln!(output, "{size} in a table of PostgreSQL, {search}")?;
            }
        }
    }
    records.finish()
}
