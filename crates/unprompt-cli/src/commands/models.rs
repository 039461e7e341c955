//! `unprompt models`: list, fetch, check and move models.

use crate::{
    Finished,
    arguments::{Common, Models},
    missing::table,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON},
    setup::hub,
};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::{collections::HashSet, io::Write, path::PathBuf};
use unprompt::{
    Hub, ModelRef, Preset,
    hub::{ModelStatus, megabytes},
    missing_models, model_reference,
};

pub(crate) fn run(common: &Common, action: &Models) -> Result<Finished> {
    let hub = hub(common)?;
    let progress = LoadingProgress::new(common.quiet);
    if let Models::Export { models } = action {
        let Some(bundle) = &common.out else {
            bail!("models export needs --out FILE: where the bundle goes");
        };
        if bundle.exists() && !bundle.is_file() {
            bail!("--out {}: a bundle is written to a file", bundle.display());
        }
        hub.export(&references(&without_presets(models)?.0)?, bundle, &progress)?;
        return Ok(Finished::Whole);
    }
    let mut writer = Writer::new(common)?;
    let mut finished = Finished::Whole;
    match action {
        Models::List => list(&hub, &mut writer)?,
        Models::Pull { models } => {
            let (models, presets) = without_presets(models)?;
            for reference in references(&models)? {
                let model = hub.pull(&reference, &progress)?;
                writer.write(&Place {
                    name: model.name,
                    path: model.dir,
                })?;
            }
            for preset in presets {
                let missing = missing_models(&hub, &preset);
                if !missing.is_empty() {
                    complain(&format!(
                        "preset `{0}`: not all of it is here\n{1}",
                        preset.name,
                        table(&preset.name, &missing)
                    ));
                    finished = Finished::WithFailures;
                }
            }
        }
        Models::Verify { models } => {
            if !verify(&hub, models, &mut writer)? {
                finished = Finished::WithFailures;
            }
        }
        Models::Path { models } => {
            for (name, reference) in models.iter().zip(references(models)?) {
                let Some(model) = hub.locate(&reference)? else {
                    bail!(
                        "`{name}` is not on this machine; fetch it with `unprompt models pull {name}`"
                    );
                };
                writer.write(&Place {
                    name: name.clone(),
                    path: model.dir,
                })?;
            }
        }
        Models::Rm { models } => {
            for (name, reference) in models.iter().zip(references(models)?) {
                let bytes_freed = hub.remove(&reference)?;
                writer.write(&Removed {
                    name: name.clone(),
                    bytes_freed,
                })?;
            }
        }
        Models::Export { .. } => {}
        Models::Import { paths } => {
            for path in paths {
                for name in hub.import(path, &progress)? {
                    writer.write(&Imported { name })?;
                }
            }
        }
    }
    writer.finish()?;
    Ok(finished)
}

/// Names with those of presets, without any the one of `lite`, replaced by the models of these that
/// can be fetched; and the presets.
fn without_presets(names: &[String]) -> Result<(Vec<String>, Vec<Preset>)> {
    let lite = ["lite".to_owned()];
    let names = if names.is_empty() { &lite } else { names };
    let (mut models, mut presets) = (Vec::new(), Vec::new());
    for name in names {
        if !Preset::shipped().any(|shipped| shipped == name) && !name.ends_with(".toml") {
            models.push(name.clone());
            continue;
        }
        let preset = Preset::load(name)?;
        for model in preset.models() {
            if !matches!(model_reference(model)?, ModelRef::Local(_)) {
                models.push(model.to_owned());
            }
        }
        presets.push(preset);
    }
    let mut seen = HashSet::new();
    models.retain(|model| seen.insert(model.clone()));
    Ok((models, presets))
}

fn references(models: &[String]) -> Result<Vec<ModelRef>> {
    models
        .iter()
        .map(|name| model_reference(name).with_context(|| format!("model `{name}`")))
        .collect()
}

/// Rows that are one line of text or one JSON record.
struct Writer(RecordWriter);

trait Row: Serialize {
    fn text(&self) -> String;
}

impl Writer {
    fn new(common: &Common) -> Result<Self> {
        let output = Output::open(common.out.as_deref())?;
        Ok(Self(RecordWriter::new(
            output,
            common.format,
            &TEXT_OR_JSON,
        )?))
    }

    fn write(&mut self, row: &impl Row) -> Result<()> {
        if !self.0.write_json(row)? {
            writeln!(self.0.raw(), "{}", row.text())?;
        }
        self.0.flush()
    }

    fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

#[derive(Serialize)]
struct Place {
    name: String,
    path: PathBuf,
}

impl Row for Place {
    fn text(&self) -> String {
        self.path.display().to_string()
    }
}

#[derive(Serialize)]
struct Removed {
    name: String,
    bytes_freed: u64,
}

impl Row for Removed {
    fn text(&self) -> String {
        format!(
            "{}: removed, {} freed",
            self.name,
            megabytes(self.bytes_freed)
        )
    }
}

#[derive(Serialize)]
struct Imported {
    name: String,
}

impl Row for Imported {
    fn text(&self) -> String {
        format!("{}: imported", self.name)
    }
}

#[derive(Serialize)]
struct Listed {
    name: String,
    kind: String,
    description: String,
    licence: String,
    download_bytes: u64,
    installed: bool,
    path: Option<PathBuf>,
    bytes_on_disk: u64,
}

impl Row for Listed {
    fn text(&self) -> String {
        let state = match (self.installed, self.bytes_on_disk) {
            (true, bytes) => format!("here, {}", megabytes(bytes)),
            (false, 0) => format!("{} to fetch", megabytes(self.download_bytes)),
            (false, _) => format!("incomplete, {} to fetch", megabytes(self.download_bytes)),
        };
        format!("{:<28} {state:<18} {}", self.name, self.description)
    }
}

fn list(hub: &Hub, writer: &mut Writer) -> Result<()> {
    for status in hub.list() {
        let ModelStatus {
            name,
            kind,
            description,
            licence,
            download_bytes,
            installed,
            path,
            bytes_on_disk,
            ..
        } = status;
        writer.write(&Listed {
            name,
            kind: kind.to_string(),
            description,
            licence,
            download_bytes,
            installed,
            path,
            bytes_on_disk,
        })?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Verified {
    name: String,
    file: String,
    path: PathBuf,
    good: bool,
    state: String,
}

impl Row for Verified {
    fn text(&self) -> String {
        format!("{}\t{}\t{}", self.name, self.file, self.state)
    }
}

/// `true` when every file is what it should be.
fn verify(hub: &Hub, models: &[String], writer: &mut Writer) -> Result<bool> {
    let models: Vec<String> = if models.is_empty() {
        hub.list()
            .into_iter()
            .filter(|status| status.installed)
            .map(|status| status.name)
            .collect()
    } else {
        models.to_vec()
    };
    let mut all_good = true;
    for reference in references(&models)? {
        let verification = hub.verify(&reference)?;
        for file in verification.files {
            let good = !file.state.is_bad();
            all_good &= good;
            let row = Verified {
                name: verification.name.clone(),
                file: file.name,
                path: file.path,
                good,
                state: file.state.to_string(),
            };
            if !good {
                complain(&format!(
                    "{}: {}: {}",
                    row.name,
                    row.path.display(),
                    row.state
                ));
            }
            writer.write(&row)?;
        }
    }
    if !all_good {
        complain("fetch what is wrong again with `unprompt models pull NAME`");
    }
    Ok(all_good)
}
