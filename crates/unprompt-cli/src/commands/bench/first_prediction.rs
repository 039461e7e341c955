//! From process start to the first prediction.

use super::{
    comparison::{largest_difference, median},
    peer::{answer_of_peer, output_of},
    row::Row,
    subject::{ENCODER, PICTURE},
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::Result;
use std::{fs, path::Path, process::Command, time::Instant};
use unprompt::{Hub, models::imagenet_labels};

const SCRIPT: &str = include_str!("../../../bench/first_prediction.py");
/// What the script computes, as a preset.
const PRESET: &str = include_str!("../../../bench/first_prediction.toml");

/// From process start to the first prediction with everything in the cache, beside a script that
/// does the same with Python's packages.
pub(super) fn first_prediction(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    const NAME: &str = "process to first prediction";
    let picture = match &arguments.picture {
        Some(picture) => picture.clone(),
        None => {
            let path = folder.join("rocket.jpg");
            fs::write(&path, PICTURE)?;
            path
        }
    };
    let minilm = hub.resolve(&ENCODER.parse()?, &unprompt::NoProgress)?.dir;
    let labels = folder.join("labels.txt");
    fs::write(&labels, imagenet_labels().join("\n"))?;
    let script = folder.join("first_prediction.py");
    fs::write(&script, SCRIPT)?;
    let preset = folder.join("first_prediction.toml");
    fs::write(&preset, PRESET)?;
    let threads = rayon::current_num_threads().to_string();

    let ours = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "predict",
            "--no-metadata",
            "--offline",
            "--format",
            "jsonl",
            "--quiet",
        ]);
        command.args(["--threads", &threads]);
        command.arg("--preset").arg(&preset).arg(&picture);
        output_of(command)
    };
    let peer = || {
        let mut command = Command::new(&arguments.python);
        command
            .arg(&script)
            .arg(&picture)
            .arg("--minilm")
            .arg(&minilm)
            .arg("--labels");
        command
            .arg(&labels)
            .args(["--threads", &threads, "--lemmas", "all"]);
        command.args(["--text-weight", "0.25"]);
        output_of(command)
    };
    let peer_name = "torch + sentence-transformers";
    let (mut our_times, mut peer_times) = (Vec::new(), Vec::new());
    let mut missing = None;
    let mut difference = None;
    // The first round warms the page cache and is not counted.
    for round in 0..=arguments.runs {
        if !common.quiet {
            complain(&format!("{NAME}: round {round} of {}", arguments.runs));
        }
        let start = Instant::now();
        let our_answer = ours()?;
        let our_time = start.elapsed().as_secs_f64() * 1e3;
        let mut peer_time = None;
        if missing.is_none() {
            let start = Instant::now();
            match peer().and_then(|answer| answer_of_peer(&answer)) {
                Ok(answer) => {
                    peer_time = Some(start.elapsed().as_secs_f64() * 1e3);
                    difference = largest_difference(&our_answer["embedding"], &answer["embedding"]);
                }
                Err(error) => missing = Some(describe(&error)),
            }
        }
        if round > 0 {
            our_times.push(our_time);
            peer_times.extend(peer_time);
        }
    }
    let our_median = median(&mut our_times);
    let mut rows = vec![Row::measured(NAME, "unprompt", our_median)];
    rows.push(match missing {
        Some(why) => Row::missing(NAME, peer_name, why),
        None => {
            let peer_median = median(&mut peer_times);
            Row {
                ours_to_this: Some(our_median / peer_median),
                largest_difference: difference,
                ..Row::measured(NAME, peer_name, peer_median)
            }
        }
    });
    Ok(rows)
}
