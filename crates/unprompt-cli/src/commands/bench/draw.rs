//! Stable Diffusion 1.5 at full size, on random weights that a Python peer writes: a picture in two
//! steps, its second step alone, and the memory that a run of the program takes.

use super::{
    comparison::median,
    peer::{Peers, SETTLE, watched},
    row::Row,
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command, thread, time::Instant};
use unprompt::diffusion::{Drawing, Pipeline, Settings};

const SCRIPT: &str = include_str!("../../../bench/draw.py");
/// What a run may take beside 1.15 times its weights in f32.
const ROOM_MB: f64 = 2000.0;
/// Each is most of a minute.
pub(super) const MOST_RUNS: u16 = 3;
/// Width and height of a picture.
const SIDE: usize = 512;
const QUICK_SIDE: usize = 128;

const STEP: &str = "SD 1.5, a guided step";
const PICTURE: &str = "SD 1.5, a picture in two steps";
const MEMORY: &str = "SD 1.5, peak memory";

/// Measures both programs.
pub(super) fn draw(common: &Common, arguments: &Bench, folder: &Path) -> Result<Vec<Row>> {
    let script = folder.join("draw.py");
    fs::write(&script, SCRIPT)?;
    let side = if arguments.quick { QUICK_SIDE } else { SIDE };
    if !common.quiet {
        complain("writing random weights, starting the peer");
    }
    let mut command = Command::new(&arguments.python);
    command.arg(&script).arg(folder).arg(side.to_string());
    command.arg(rayon::current_num_threads().to_string());
    let peers = match Peers::start(command) {
        Ok(peers) => peers,
        Err(error) => return Ok(vec![Row::missing(PICTURE, "peer", describe(&error))]),
    };
    let place = folder.join("sd15");
    let mut rows = speed(arguments, peers, &place, side)?;
    rows.extend(peak(&place, side)?);
    Ok(rows)
}

/// Both programs in turn, round by round.
fn speed(arguments: &Bench, mut peers: Peers, place: &Path, side: usize) -> Result<Vec<Row>> {
    let pipeline = Pipeline::open(place, &Default::default(), &mut |_| {})?;
    let settings = Settings {
        width: side,
        height: side,
        steps: 2,
        ..Settings::of(&pipeline)
    };
    let mut ours = [Vec::new(), Vec::new()];
    let mut theirs = [Vec::new(), Vec::new()];
    // The first round warms everything and is not counted.
    for round in 0..=arguments.runs.min(MOST_RUNS) {
        thread::sleep(SETTLE);
        let mut steps = Vec::new();
        let start = Instant::now();
        let drawings = [Drawing::new("a cat", 0)];
        pipeline.draw(&drawings, &settings, &mut |_, _| {
            steps.push(start.elapsed())
        })?;
        let whole = start.elapsed();
        thread::sleep(SETTLE);
        let answer = peers.ask(0)?;
        if round > 0 {
            let step = steps[1].saturating_sub(steps[0]);
            for (times, time) in ours.iter_mut().zip([step, whole]) {
                times.push(time.as_secs_f64() * 1e3);
            }
            for (times, key) in theirs.iter_mut().zip(["step_ms", "ms"]) {
                times.push(
                    answer[key]
                        .as_f64()
                        .with_context(|| format!("no `{key}`"))?,
                );
            }
        }
    }
    let mut rows = Vec::new();
    for ((name, ours), theirs) in [STEP, PICTURE].into_iter().zip(&mut ours).zip(&mut theirs) {
        let (ours, theirs) = (median(ours), median(theirs));
        rows.push(Row::measured(name, "unprompt f32", ours));
        rows.push(Row {
            ours_to_this: Some(ours / theirs),
            ..Row::measured(name, peers.name(0), theirs)
        });
    }
    Ok(rows)
}

/// The largest memory of a run of the program, beside what it may be.
fn peak(place: &Path, side: usize) -> Result<Vec<Row>> {
    let mut weights = 0.0;
    for part in [
        "text_encoder/model",
        "unet/diffusion_pytorch_model",
        "vae/diffusion_pytorch_model",
    ] {
        let bytes = fs::metadata(place.join(format!("{part}.safetensors")))?.len();
        // In half precision there, in f32 in memory.
        weights += 2.0 * bytes as f64 / 1e6;
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["draw", "a cat", "--offline", "--quiet", "--format", "jsonl"]);
    command.args(["--steps", "1", "--size", &format!("{side}x{side}")]);
    command.args(["--threads", &rayon::current_num_threads().to_string()]);
    command.arg("--model").arg(place);
    command.arg("--out").arg(place.join("drawn"));
    let peak = watched(command)?.peak_mb;
    let bound = 1.15 * weights + ROOM_MB;
    Ok(vec![
        Row::peak(MEMORY, "unprompt f32", peak),
        Row {
            ours_to_this: Some(peak / bound),
            ..Row::peak(MEMORY, "1.15 x weights + 2 GB", bound)
        },
    ])
}
