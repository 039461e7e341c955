//! The classifier alone, and whole predictions of a folder.

use super::{
    comparison::{largest_difference, median},
    peer::{Peers, SETTLE, Watched, answer_of_peer, watched},
    row::Row,
    subject::{ENCODER, write_pictures},
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, process::Command, thread, time::Instant};
use unprompt::{
    Hub, NoProgress,
    models::{EfficientNetLite, Pickle, imagenet_labels},
};

const SCRIPT: &str = include_str!("../../../bench/predict.py");
/// A preset that does as much as the script.
const PRESET: &str = include_str!("../../../bench/labels.toml");
const CLASSIFIER: &str = "efficientnet-lite0";
/// Its side in pixels.
const SIZE: usize = 224;
/// A pass takes milliseconds, so more of them are measured than asked for.
const PASSES_PER_RUN: u16 = 5;
/// Pictures in the folder, and with `--quick`.
const PICTURE_COUNT: usize = 600;
const FEW_PICTURES: usize = 60;
/// A folder takes seconds, so no more runs of it than these are measured.
const MOST_FOLDER_RUNS: u16 = 3;

/// Measures both.
pub(super) fn predict(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    let script = folder.join("predict.py");
    fs::write(&script, SCRIPT)?;
    let resolved = hub.resolve(&CLASSIFIER.parse()?, &NoProgress)?;
    let weights = resolved.files.values().next();
    let weights = weights.context("the classifier has no file")?;
    let mut rows = tower(common, arguments, &script, weights, folder)?;
    rows.extend(pictures(common, arguments, hub, &script, weights, folder)?);
    Ok(rows)
}

/// The network alone, on random pictures.
fn tower(
    common: &Common,
    arguments: &Bench,
    script: &Path,
    weights: &Path,
    folder: &Path,
) -> Result<Vec<Row>> {
    let model = EfficientNetLite::load(weights, Pickle::Deny)?;
    let mut rows = Vec::new();
    for (name, batch, threads) in [
        ("EfficientNet-Lite0, batch 1, 1 thread", 1, 1),
        ("EfficientNet-Lite0, batch 8, 1 thread", 8, 1),
        ("EfficientNet-Lite0, batch 1, 2 threads", 1, 2),
        ("EfficientNet-Lite0, batch 8, 2 threads", 8, 2),
    ] {
        if !common.quiet {
            complain(name);
        }
        let input = folder.join("pictures.f32");
        let mut command = Command::new(&arguments.python);
        command.arg(script).arg("tower").arg(weights).arg(&input);
        command.args([batch.to_string(), threads.to_string()]);
        let mut peers = match Peers::start(command) {
            Ok(peers) => peers,
            Err(error) => {
                rows.push(Row::missing(name, "onnxruntime", describe(&error)));
                continue;
            }
        };
        let pictures = pictures_in(&input, batch)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()?;
        let (mut our_times, mut peer_times) = (Vec::new(), Vec::new());
        let mut difference = None;
        // The first pass warms everything and is not counted.
        for pass in 0..=arguments.runs.saturating_mul(PASSES_PER_RUN) {
            thread::sleep(SETTLE);
            let (logits, elapsed) = pool.install(|| -> Result<_> {
                let start = Instant::now();
                let features = model.features(&pictures, SIZE, SIZE)?;
                let logits = model.logits_of(&features)?;
                Ok((logits, start.elapsed().as_secs_f64() * 1e3))
            })?;
            thread::sleep(SETTLE);
            let answer = peers.ask(0)?;
            difference = largest_difference(&serde_json::to_value(&logits[0])?, &answer["first"]);
            if pass > 0 {
                our_times.push(elapsed);
                peer_times.push(answer["ms"].as_f64().context("no `ms`")?);
            }
        }
        let (ours, theirs) = (median(&mut our_times), median(&mut peer_times));
        rows.push(Row::measured(name, "unprompt", ours));
        rows.push(Row {
            ours_to_this: Some(ours / theirs),
            largest_difference: difference,
            ..Row::measured(name, peers.name(0), theirs)
        });
    }
    Ok(rows)
}

/// The pictures that the peer wrote.
fn pictures_in(path: &Path, batch: usize) -> Result<Vec<Vec<f32>>> {
    let bytes = fs::read(path)?;
    let (values, _) = bytes.as_chunks();
    if values.len() != batch * SIZE * SIZE * 3 {
        bail!("{}: {} values", path.display(), values.len());
    }
    let pictures = values.chunks_exact(SIZE * SIZE * 3);
    let picture = |values: &[[u8; 4]]| values.iter().map(|v| f32::from_le_bytes(*v)).collect();
    Ok(pictures.map(picture).collect())
}

/// `unprompt predict` of a folder, as a process of its own, beside a script that does the same.
fn pictures(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    script: &Path,
    weights: &Path,
    folder: &Path,
) -> Result<Vec<Row>> {
    const NAME: &str = "a folder of pictures";
    const PEER: &str = "onnxruntime, sentence-transformers";
    let count = if arguments.quick {
        FEW_PICTURES
    } else {
        PICTURE_COUNT
    };
    let pictures = write_pictures(folder, count)?;
    let minilm = hub.resolve(&ENCODER.parse()?, &NoProgress)?.dir;
    let texts = folder.join("labels.txt");
    fs::write(&texts, imagenet_labels().join("\n"))?;
    let preset = folder.join("labels.toml");
    fs::write(&preset, PRESET)?;
    let threads = rayon::current_num_threads().to_string();
    let program = std::env::current_exe()?;
    let ours = || {
        let mut command = Command::new(&program);
        command.args(["predict", "--no-metadata", "--offline"]);
        command.arg("--preset").arg(&preset);
        command.args(["--quiet", "--format", "jsonl", "--threads", &threads]);
        command.arg(&pictures);
        command
    };
    let peer = || {
        let mut command = Command::new(&arguments.python);
        command.arg(script).arg("folder").arg(weights);
        command.args([&pictures, &texts, &minilm]).arg(&threads);
        command
    };
    let runs = arguments.runs.min(MOST_FOLDER_RUNS);
    let (mut our_runs, mut peer_runs) = (Vec::new(), Vec::new());
    let mut missing = None;
    // The first run fills the caches of both, and is not counted.
    for run in 0..=runs {
        if !common.quiet {
            complain(&format!("{NAME}: run {run} of {runs}"));
        }
        our_runs.push(watched(ours())?);
        if missing.is_none() {
            match watched(peer()).and_then(|run| answer_of_peer(&run.answer).map(|_| run)) {
                Ok(run) => peer_runs.push(run),
                Err(error) => missing = Some(describe(&error)),
            }
        }
    }
    let (ours, our_median) = row(NAME, "unprompt", count, &our_runs[1..]);
    Ok(vec![
        ours,
        match missing {
            Some(why) => Row::missing(NAME, PEER, why),
            None => {
                let (theirs, peer_median) = row(NAME, PEER, count, &peer_runs[1..]);
                Row {
                    ours_to_this: Some(our_median / peer_median),
                    ..theirs
                }
            }
        },
    ])
}

/// The result of a program's runs, and their median.
fn row(name: &'static str, program: &'static str, pictures: usize, runs: &[Watched]) -> (Row, f64) {
    let of = |number: fn(&Watched) -> f64| runs.iter().map(number).collect::<Vec<f64>>();
    let whole = median(&mut of(|run| run.whole_ms));
    let row = Row {
        processor_ms: Some(median(&mut of(|run| run.processor_ms))),
        pictures_per_second: Some(pictures as f64 * 1e3 / whole),
        peak_mb: of(|run| run.peak_mb).into_iter().reduce(f64::max),
        ..Row::measured(name, program, whole)
    };
    (row, whole)
}
