//! `unprompt train head`: a head in closed form.

use super::rows::{Encoders, Rows, read};
use crate::{
    Finished,
    arguments::{Common, Format, Solver, TrainHead},
    commands::{compute, hub},
    output::Output,
    progress::LoadingProgress,
    records::RecordWriter,
};
use anyhow::{Result, bail};
use serde::Serialize;
use std::{io::Write as _, time::Instant};
use unprompt::{
    Classifier,
    data::SourceSpec,
    eval::cosine,
    load_sentence_encoder,
    train::{
        HeadConfig, Ridge, RidgeOptions, SourceNotice, SourceRows, VectorStore, ridge, save_head,
    },
};

const FORMATS: [Format; 3] = [Format::Text, Format::Json, Format::Jsonl];

/// One line of the log.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    samples: usize,
    bad: usize,
    weight: f64,
    /// The mean cosine of what the head and the mean of all captions give with the captions
    /// themselves, on the pictures that it was trained on.
    mean_cosine: f64,
    seconds: f64,
}

pub(crate) fn run(common: &Common, arguments: &TrainHead) -> Result<Finished> {
    let Some(folder) = &common.out else {
        bail!("train head needs --out DIR: where the head goes");
    };
    if folder.join("config.json").exists() {
        bail!("--out {}: a head is there already", folder.display());
    }
    let Solver::Ridge = arguments.solver;
    let specs = arguments.data.iter().map(|spec| spec.parse());
    let specs: Vec<SourceSpec> = specs.collect::<Result<_, _>>()?;
    let mut records = RecordWriter::new(Output::open(None)?, common.format, &FORMATS)?;

    let (hub, compute) = (hub(common)?, compute(common)?);
    let progress = LoadingProgress::new(common.quiet);
    let (tower_model, tower) = Classifier::load(&hub, &arguments.tower, &compute, &progress)?;
    let Some(inputs) = tower.features_width() else {
        bail!(
            "--tower {}: the features of an EfficientNet-Lite are needed",
            arguments.tower
        );
    };
    let (encoder_model, encoder) =
        load_sentence_encoder(&hub, &arguments.encoder, &compute, &progress)?;
    let store = hub.environment().own_cache.join("features");
    let outputs = encoder.width();
    let tower_sha256 = tower_model.sha256()?.to_owned();
    let identity = compute.identity(&tower_sha256);
    let features = VectorStore::open(&store, &format!("pictures {identity}"), inputs)?;
    let identity = compute.identity(encoder_model.sha256()?);
    let embeddings = VectorStore::open(&store, &format!("texts {identity}"), outputs)?;
    let mut encoders = Encoders {
        tower,
        features,
        encoder,
        embeddings,
    };

    let (mut sources, mut notices, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for spec in &specs {
        let start = Instant::now();
        let Rows { rows, bad } = read(common, spec, &mut encoders)?;
        seconds.push(start.elapsed().as_secs_f64());
        notices.push(SourceNotice {
            name: rows.name.clone(),
            samples: rows.features.len(),
            bad,
            weight: rows.weight,
        });
        sources.push(rows);
    }
    let options = RidgeOptions {
        strength: arguments.strength,
    };
    let head = ridge(&sources, options)?;
    let config = HeadConfig {
        model_type: "head",
        tower: arguments.tower.clone(),
        tower_sha256,
        encoder: arguments.encoder.clone(),
        inputs,
        outputs,
        solver: "ridge".into(),
        strength: arguments.strength,
        data: notices,
    };
    save_head(folder, &head, &config)?;

    let mut log = Output::open(Some(&folder.join("log.jsonl")))?;
    let failures = config.data.iter().any(|notice| notice.bad > 0);
    for ((rows, notice), seconds) in sources.iter().zip(&config.data).zip(seconds) {
        let entry = Entry {
            name: &notice.name,
            samples: notice.samples,
            bad: notice.bad,
            weight: notice.weight,
            mean_cosine: mean_cosine(&head, rows),
            seconds,
        };
        serde_json::to_writer(&mut log, &entry)?;
        writeln!(log)?;
        if !records.write_json(&entry)? {
            let Entry {
                name,
                samples,
                bad,
                mean_cosine,
                ..
            } = entry;
            let out = records.raw();
            writeln!(
                out,
                "{name}: {samples} pictures, {bad} left out, cosine {mean_cosine:.3}"
            )?;
        }
    }
    log.finish()?;
    records.finish()?;
    Ok(match failures {
        true => Finished::WithFailures,
        false => Finished::Whole,
    })
}

fn mean_cosine(head: &Ridge, rows: &SourceRows) -> f64 {
    let cosines = rows
        .features
        .iter()
        .zip(&rows.targets)
        .map(|(features, target)| {
            let output = head.output(features);
            let prediction: Vec<f64> = output
                .iter()
                .zip(&head.target_mean)
                .map(|(output, mean)| output + mean)
                .collect();
            let target: Vec<f64> = target.iter().copied().map(f64::from).collect();
            cosine(&prediction, &target).unwrap_or(0.0)
        });
    cosines.sum::<f64>() / rows.features.len().max(1) as f64
}
