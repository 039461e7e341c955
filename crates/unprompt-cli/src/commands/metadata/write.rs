//! `unprompt metadata --write`, `--from` and `--strip`: files that change.

use super::prompts::Prompts;
use crate::{
    Finished,
    arguments::{Common, Format, Metadata as Arguments},
    commands::inputs,
    output::Output,
    records::{RecordWriter, escaped},
};
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::Serialize;
use std::{
    fs,
    io::Write,
    path::{Component, Path, PathBuf},
};
use unprompt::{
    FailureRecord, Source,
    image::Limits,
    metadata::write::{Form, strip, write},
};
use unprompt_files::replace;

const IN_PIXELS: &str = "the texts are without prompts, but one is hidden in the pixels, which are \
    never touched: save the picture as a JPEG, or without its lowest bits";

/// What becomes of the files.
enum Change {
    Write(Prompts, Form),
    Strip,
}

/// A file that is as it was asked to be.
#[derive(Serialize)]
#[serde(untagged)]
enum Record {
    Written {
        path: String,
        /// Where: `xmp`, `parameters`.
        written: Vec<&'static str>,
        prompt: String,
        changed: bool,
    },
    Stripped {
        path: String,
        stripped: bool,
    },
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let sources = inputs::pictures(common, &arguments.paths)?;
    if sources.iter().any(|source| source == Source::Stdin) {
        bail!("-: a picture on standard input has no file that could be changed");
    }
    let change = match (&arguments.write, &arguments.from) {
        (Some(prompt), _) if prompt.trim().is_empty() => {
            bail!("--write: the prompt is empty; to take prompts out, use --strip")
        }
        (Some(prompt), _) => Change::Write(Prompts::one(prompt), arguments.form.form()),
        (None, Some(table)) => {
            let prompts = Prompts::read(table, &sources.iter().collect::<Vec<Source>>())?;
            if !common.quiet {
                prompts.complain(table);
            }
            Change::Write(prompts, arguments.form.form())
        }
        (None, None) => Change::Strip,
    };
    let output = Output::open(common.out.as_deref())?;
    let formats = [Format::Text, Format::Json, Format::Jsonl];
    let mut records = RecordWriter::new(output, common.format, &formats)?;
    let one = |source: &Source| {
        change
            .apply(source, &arguments.paths)
            .map_err(|error| inputs::failure(source, &format!("{error:#}")))
    };
    let work = |batch: &[Source]| batch.par_iter().map(one).collect();
    let write = |path: &Path, result: Result<Record, FailureRecord>| {
        match result {
            Ok(record) => {
                if !records.write_json_of(path, &record)? {
                    writeln!(records.raw(), "{}", record.text())?;
                }
            }
            Err(failure) => {
                records.write_json_of(path, &failure)?;
            }
        }
        records.flush()
    };
    let finished = inputs::for_each(common, &sources, work, write)?;
    records.finish()?;
    Ok(finished)
}

impl Change {
    fn apply(&self, source: &Source, named: &[PathBuf]) -> Result<Record> {
        let bytes = source.read(&Limits::default())?;
        let file = source.path();
        if let Some(link) = link_on_the_way(file, named) {
            bail!(
                "{} is a link; files are changed only where they are named themselves",
                link.display()
            );
        }
        let path = file.to_string_lossy().into_owned();
        match self {
            Self::Write(prompts, form) => {
                let prompt = prompts.of(file)?;
                let written = write(&bytes, prompt, *form)?;
                let changed = written.bytes != bytes;
                if changed {
                    put(file, &bytes, &written.bytes)?;
                }
                let places = [
                    (written.description, "xmp"),
                    (written.parameters, "parameters"),
                ];
                Ok(Record::Written {
                    path,
                    written: places
                        .into_iter()
                        .filter(|place| place.0)
                        .map(|place| place.1)
                        .collect(),
                    prompt: prompt.to_owned(),
                    changed,
                })
            }
            Self::Strip => {
                let found = strip(&bytes)?;
                let stripped = found.bytes != bytes;
                if stripped {
                    put(file, &bytes, &found.bytes)?;
                }
                if found.in_pixels {
                    bail!(IN_PIXELS);
                }
                Ok(Record::Stripped { path, stripped })
            }
        }
    }
}

/// Replaces a file that is still what was read.
fn put(file: &Path, before: &[u8], after: &[u8]) -> Result<()> {
    let failed = || "cannot replace the file";
    if fs::metadata(file).with_context(failed)?.len() != before.len() as u64 {
        bail!("the file was changed by somebody else meanwhile; it is left as it is");
    }
    replace(file, after).with_context(failed)
}

/// The first link between a path that was named and a file below it, the named path included.
fn link_on_the_way(file: &Path, named: &[PathBuf]) -> Option<PathBuf> {
    let is_above = |root: &&PathBuf| file.starts_with(root);
    // The longest: a folder and a file in it may both be named.
    let root = named
        .iter()
        .filter(is_above)
        .max_by_key(|root| root.components().count())?;
    let below = file.strip_prefix(root).ok()?;
    let mut path = root.clone();
    // A name with a slash behind it is that of the folder, not of the link.
    let mut steps = vec![path.clone()];
    for component in below.components() {
        if let Component::Normal(name) = component {
            path.push(name);
            steps.push(path.clone());
        }
    }
    steps
        .into_iter()
        .find(|step| fs::symlink_metadata(step).is_ok_and(|found| found.is_symlink()))
}

impl Record {
    fn text(&self) -> String {
        match self {
            Self::Written {
                path,
                written,
                changed,
                ..
            } => {
                let state = if *changed { "written" } else { "there already" };
                format!("{}\t{state}: {}", escaped(path), written.join(", "))
            }
            Self::Stripped {
                path,
                stripped: true,
            } => format!("{}\tstripped", escaped(path)),
            Self::Stripped {
                path,
                stripped: false,
            } => format!("{}\tno prompt in this file", escaped(path)),
        }
    }
}
