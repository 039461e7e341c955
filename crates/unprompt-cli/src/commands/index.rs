//! `unprompt index`: a list of prompts that pictures are looked up in.

mod search;

use crate::{
    Finished,
    arguments::{Common, Index, IndexBuild, IndexExport},
    output::Output,
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON},
    setup::{compute, hub},
};
use anyhow::{Result, bail};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};
use unprompt::{
    hub::megabytes,
    index::{
        BuildOptions, BuildProgress, IndexRequest, Manifest, ModelIdentity, PromptIndex,
        build_index, export_index,
    },
};

pub(crate) fn run(common: &Common, action: &Index) -> Result<Finished> {
    match action {
        Index::Build(arguments) => build(common, arguments),
        Index::Search(arguments) => search::run(common, arguments),
        Index::Info { index, check } => info(common, index, *check),
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
    let manifest = build_index(&hub(common)?, &request, &downloads, &mut report)?;
    bar.finish();
    write_info(records, folder, &manifest)?;
    Ok(Finished::Whole)
}

fn info(common: &Common, folder: &Path, check: bool) -> Result<Finished> {
    let records = RecordWriter::new(
        Output::open(common.out.as_deref())?,
        common.format,
        &TEXT_OR_JSON,
    )?;
    let index = PromptIndex::open(folder)?;
    if check {
        let megabytes = usize::try_from(index.manifest().bytes() >> 20).unwrap_or(usize::MAX);
        let bar = Mutex::new((Bar::count("MiB checked", megabytes, common.quiet), 0));
        index.check(&|bytes| {
            let mut bar = bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let before = bar.1 >> 20;
            bar.1 += bytes;
            let by = (bar.1 >> 20) - before;
            bar.0.advance(by);
        })?;
        bar.into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .0
            .finish();
    }
    write_info(records, folder, index.manifest())?;
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
    index: PathBuf,
    prompts: u64,
    duplicates: u64,
    empty: u64,
    prompts_sha256: &'a str,
    clip: &'a ModelIdentity,
    clip_width: u64,
    sentence: &'a ModelIdentity,
    sentence_width: u64,
    segments: usize,
    segment_rows: u64,
    bytes: u64,
}

fn write_info(mut records: RecordWriter, folder: &Path, manifest: &Manifest) -> Result<()> {
    let info = Info {
        index: folder.to_owned(),
        prompts: manifest.prompts.rows,
        duplicates: manifest.prompts.duplicates,
        empty: manifest.prompts.empty,
        prompts_sha256: &manifest.prompts.sha256,
        clip: &manifest.clip,
        clip_width: manifest.clip_width,
        sentence: &manifest.sentence,
        sentence_width: manifest.sentence_width,
        segments: manifest.segment_count(),
        segment_rows: manifest.segment_rows,
        bytes: manifest.bytes(),
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
        let size = megabytes(info.bytes);
        writeln!(output, "{size} in {} files", info.segments)?;
    }
    records.finish()
}
