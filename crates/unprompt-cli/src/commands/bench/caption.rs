//! BLIP-large and OFA-large at full size, on random weights that a Python peer writes: one caption
//! with the number of tokens forced, and the memory that a run of the program takes.

use super::{
    comparison::median,
    peer::{Peers, SETTLE, watched},
    row::Row,
    subject::PICTURE,
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, process::Command, thread, time::Instant};
use unprompt::models::{Blip, Checkpoint, GenerationOptions, ImageToText, Ofa, Pickle};

const SCRIPT: &str = include_str!("../../../bench/caption.py");
/// As many tokens as OFA's own question.
const QUESTION: &str = "abcdefg";
/// What a run may take beside 1.2 times its weights.
const ROOM_MB: f64 = 500.0;

/// Measures both captioners.
pub(super) fn caption(common: &Common, arguments: &Bench, folder: &Path) -> Result<Vec<Row>> {
    let script = folder.join("caption.py");
    fs::write(&script, SCRIPT)?;
    let mut rows = Vec::new();
    for (name, memory, case) in [
        (
            "BLIP-large, 20 tokens",
            "BLIP-large, peak memory",
            "blip-large",
        ),
        (
            "OFA-large, 5 beams, 16 tokens",
            "OFA-large, peak memory",
            "ofa-large",
        ),
    ] {
        if !common.quiet {
            complain(&format!(
                "{name}: writing random weights, starting the peer"
            ));
        }
        let mut command = Command::new(&arguments.python);
        command.arg(&script).arg(folder).arg(case);
        command.arg(rayon::current_num_threads().to_string());
        match Peers::start(command) {
            Ok(peers) => {
                rows.extend(speed(name, arguments, peers, case, folder)?);
                rows.extend(peak(memory, case, folder)?);
                // Gigabytes, and the next case has its own.
                fs::remove_dir_all(folder.join(case))?;
            }
            Err(error) => rows.push(Row::missing(name, "peer", describe(&error))),
        }
    }
    Ok(rows)
}

fn options(case: &str, model: &dyn ImageToText) -> GenerationOptions {
    let own = model.default_options();
    match case {
        "blip-large" => GenerationOptions {
            max_new_tokens: Some(20),
            min_length: 21,
            ..own
        },
        _ => GenerationOptions {
            max_length: 17,
            min_length: 17,
            ..own
        },
    }
}

/// Both programs in turn, round by round.
fn speed(
    name: &'static str,
    arguments: &Bench,
    mut peers: Peers,
    case: &str,
    folder: &Path,
) -> Result<Vec<Row>> {
    let place = folder.join(case);
    let (model, prompt): (Box<dyn ImageToText>, _) = match case {
        "blip-large" => (Box::new(Blip::load(&place, None, Pickle::Deny)?), None),
        _ => (Box::new(Ofa::load(&place, Pickle::Deny)?), Some(QUESTION)),
    };
    let input = Checkpoint::open(folder.join("input.safetensors"), Pickle::Deny)?;
    let shape = input.tensor("pixels").context("no input `pixels`")?.shape;
    let pictures = [input.tensor_f32("pixels", shape)?];
    let options = options(case, &*model);
    let (mut our_times, mut peer_times) = (Vec::new(), Vec::new());
    let mut others = 0;
    // The first round warms everything and is not counted.
    for round in 0..=arguments.runs {
        thread::sleep(SETTLE);
        let start = Instant::now();
        let caption = model.caption(&pictures, prompt, &options)?.swap_remove(0);
        let our_time = start.elapsed().as_secs_f64() * 1e3;
        thread::sleep(SETTLE);
        let answer = peers.ask(0)?;
        let ids: Vec<u32> = serde_json::from_value(answer["first"].clone())?;
        if ids.len() != caption.token_ids.len() {
            bail!(
                "{name}: {} tokens beside the peer's {}",
                caption.token_ids.len(),
                ids.len()
            );
        }
        let pairs = ids.iter().zip(&caption.token_ids);
        others = pairs.filter(|(a, b)| a != b).count();
        if round > 0 {
            our_times.push(our_time);
            peer_times.push(answer["ms"].as_f64().context("no `ms`")?);
        }
    }
    if others > 0 {
        // Random weights: two tokens can be as likely but for rounding, and then all that follows
        // is another text.
        complain(&format!("{name}: {others} tokens are not the peer's"));
    }
    let (ours, theirs) = (median(&mut our_times), median(&mut peer_times));
    Ok(vec![
        Row::measured(name, "unprompt f32", ours),
        Row {
            ours_to_this: Some(ours / theirs),
            ..Row::measured(name, peers.name(0), theirs)
        },
    ])
}

/// The largest memory of a run of the program, beside what it may be.
fn peak(name: &'static str, case: &str, folder: &Path) -> Result<Vec<Row>> {
    let picture = folder.join("rocket.jpg");
    fs::write(&picture, PICTURE)?;
    let place = folder.join(case);
    let weights = fs::metadata(place.join("model.safetensors"))?.len() as f64 / 1e6;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["caption", "--offline", "--quiet", "--format", "jsonl"]);
    command.args(["--threads", &rayon::current_num_threads().to_string()]);
    command.arg("--model").arg(&place).arg(&picture);
    match case {
        "blip-large" => command.args(["--max-new-tokens", "20", "--min-length", "21"]),
        _ => command.args([
            "--max-length",
            "17",
            "--min-length",
            "17",
            "--prompt",
            QUESTION,
        ]),
    };
    let peak = watched(command)?.peak_mb;
    let bound = 1.2 * weights + ROOM_MB;
    Ok(vec![
        Row::peak(name, "unprompt f32", peak),
        Row {
            ours_to_this: Some(peak / bound),
            ..Row::peak(name, "1.2 x weights + 500 MB", bound)
        },
    ])
}
