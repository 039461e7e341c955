//! CLIP Interrogator beside the package clip-interrogator, on random weights that the peer writes.

use super::{
    peer::{answer_of_peer, output_of, watched},
    row::Row,
    subject::PICTURE,
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};
use unprompt::{
    Compute, DeviceChoice, Dtype, Hub, LabelChoice, ModelRef, NoProgress, PictureInterrogator,
    image::{Limits, RgbImage, decode},
    interrogate::{Behaviour, InterrogateOptions, Mode, TableProgress},
};

const SCRIPT: &str = include_str!("../../../bench/interrogate.py");
const PEER: &str = "clip-interrogator 0.6.0";
const CAPTION: &str = "a rocket that is taking off";

/// A network with the sizes at which the package ends in reasonable time. The same on both sides.
struct Case {
    network: &'static str,
    names: [&'static str; 4],
    /// Every so many label of the lists.
    step: usize,
    candidates: usize,
    flavors: usize,
}

/// Small, with everything; ViT-L/14, with fewer labels, candidates and steps.
fn cases(quick: bool) -> [Case; 2] {
    let small = Case {
        network: "small",
        names: [
            "small CLIP: embedding all labels",
            "small CLIP: ranking all labels",
            "small CLIP: best",
            "small CLIP: best, peak memory",
        ],
        step: if quick { 100 } else { 1 },
        candidates: if quick { 100 } else { 2048 },
        flavors: if quick { 9 } else { 32 },
    };
    let large = Case {
        network: "ViT-L-14",
        names: [
            "ViT-L/14: embedding every 250th label",
            "ViT-L/14: ranking them",
            "ViT-L/14: best, 250 labels, 10 steps",
            "ViT-L/14: best, peak memory",
        ],
        step: if quick { 5000 } else { 250 },
        candidates: if quick { 5 } else { 250 },
        flavors: if quick { 2 } else { 10 },
    };
    [small, large]
}

/// Embedding labels, ranking them and the best prompt, each beside the package.
pub(super) fn interrogate(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    let script = folder.join("interrogate.py");
    fs::write(&script, SCRIPT)?;
    let picture = match &arguments.picture {
        Some(picture) => picture.clone(),
        None => {
            let path = folder.join("rocket.jpg");
            fs::write(&path, PICTURE)?;
            path
        }
    };
    let lists = hub.resolve(
        &"clip-interrogator-labels".parse::<ModelRef>()?,
        &NoProgress,
    )?;
    let mut rows = Vec::new();
    for case in cases(arguments.quick) {
        let labels = folder.join(format!("labels-{}", case.network));
        fs::create_dir(&labels)?;
        for (name, file) in &lists.files {
            if name.ends_with(".txt") {
                let text = fs::read_to_string(file)?;
                let lines: Vec<&str> = text.lines().step_by(case.step).collect();
                fs::write(labels.join(name), lines.join("\n"))?;
            }
        }
        if !common.quiet {
            complain(&format!("{}: {PEER}", case.network));
        }
        let threads = rayon::current_num_threads().to_string();
        let mut command = Command::new(&arguments.python);
        command
            .arg(&script)
            .arg(folder)
            .arg(case.network)
            .arg(&labels);
        command.arg(&picture).arg(CAPTION);
        command.args([
            case.candidates.to_string(),
            case.flavors.to_string(),
            threads,
        ]);
        match output_of(command).and_then(|answer| answer_of_peer(&answer)) {
            Ok(peer) => rows.extend(compare(
                common, hub, &case, &peer, &labels, &picture, folder,
            )?),
            Err(error) => rows.push(Row::missing(case.names[2], PEER, describe(&error))),
        }
    }
    Ok(rows)
}

/// Sums the time that tables take.
struct Timed {
    started: Cell<Instant>,
    ms: Cell<f64>,
}

impl TableProgress for Timed {
    fn start(&self, _: &str, _: usize) {
        self.started.set(Instant::now());
    }
    fn advance(&self, _: usize) {}
    fn finish(&self) {
        self.ms
            .set(self.ms.get() + milliseconds(self.started.get()));
    }
    fn note(&self, _: &str) {}
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// What we take for a case.
struct Ours {
    interrogator: PictureInterrogator,
    tables_ms: f64,
    rank_ms: f64,
    best_ms: f64,
    vector: Vec<f32>,
    prompt: String,
}

fn ours(
    hub: &Hub,
    case: &Case,
    model: &Path,
    labels: &LabelChoice,
    picture: &Path,
    dtype: Dtype,
) -> Result<Ours> {
    let options = InterrogateOptions {
        candidates: case.candidates,
        max_flavors: Some(case.flavors),
        ..InterrogateOptions::new(Mode::Best, Behaviour::Compat060)
    };
    let timed = Timed {
        started: Cell::new(Instant::now()),
        ms: Cell::new(0.0),
    };
    let compute = Compute::new(DeviceChoice::Cpu, Some(dtype))?;
    let model = model.to_str().context("a folder without a name")?;
    let (_, interrogator) =
        PictureInterrogator::load(hub, model, labels, options, &compute, &NoProgress, &timed)?;
    let decoding = interrogator
        .pictures()
        .preprocessor()
        .decode_options(Limits::default());
    let image: RgbImage = decode(&fs::read(picture)?, &decoding)?;
    let vector = interrogator
        .pictures()
        .embed(std::slice::from_ref(&image), unprompt::Views::Plain, false)?
        .swap_remove(0);
    let start = Instant::now();
    for table in interrogator.interrogator().tables() {
        table.rank(&vector, 32)?;
    }
    let rank_ms = milliseconds(start);
    let start = Instant::now();
    let found = interrogator
        .interrogate(&[image], &[Some(CAPTION)])?
        .swap_remove(0)?;
    let best_ms = milliseconds(start);
    Ok(Ours {
        interrogator,
        tables_ms: timed.ms.get(),
        rank_ms,
        best_ms,
        vector,
        prompt: found.prompt.unwrap_or_default(),
    })
}

fn compare(
    common: &Common,
    hub: &Hub,
    case: &Case,
    peer: &Value,
    labels: &Path,
    picture: &Path,
    folder: &Path,
) -> Result<Vec<Row>> {
    let model = folder.join(case.network);
    let choice = LabelChoice {
        folder: Some(labels.to_owned()),
        cache: Some(folder.join(format!("cache-{}", case.network))),
        ..LabelChoice::default()
    };
    let [tables, rank, best, memory] = case.names;
    let number = |key: &str| peer[key].as_f64().with_context(|| format!("no `{key}`"));
    let theirs = peer["prompt"].as_str().context("no `prompt`")?;
    let mut rows = Vec::new();
    let mut reference: Option<Ours> = None;
    for (name, dtype) in [("unprompt f32", Dtype::F32), ("unprompt int8", Dtype::Int8)] {
        if !common.quiet {
            complain(&format!("{}: {name}", case.network));
        }
        let ours = ours(hub, case, &model, &choice, picture, dtype)?;
        let name = format!("{name} to the package");
        let measured = [
            (tables, ours.tables_ms, "tables_ms"),
            (rank, ours.rank_ms, "rank_ms"),
            (best, ours.best_ms, "best_ms"),
        ];
        // Labels are embedded in f32 whatever tries candidates; these took them from the cache.
        let known = if dtype == Dtype::F32 { 0 } else { 2 };
        for (row, ours, key) in measured.into_iter().skip(known) {
            rows.push(Row {
                ours_to_this: Some(ours / number(key)?),
                ..Row::measured(row, name.clone(), ours)
            });
        }
        // Whatever found a prompt, f32 says what it is worth.
        let prompt = ours.prompt.clone();
        let judge = reference.get_or_insert(ours);
        let encoder = judge.interrogator.interrogator().encoder();
        let worth = encoder.similarities(&judge.vector, &[prompt.as_str(), theirs])?;
        if let Some(last) = rows.last_mut() {
            last.same_text = Some(prompt == theirs);
            last.largest_difference = Some((worth[0] - worth[1]).abs());
        }
    }
    for (row, key) in [(tables, "tables_ms"), (rank, "rank_ms"), (best, "best_ms")] {
        rows.push(Row::measured(row, PEER, number(key)?));
    }
    let theirs = number("peak_mb")?;
    for dtype in [Dtype::F32, Dtype::Int8] {
        let peak = peak(case, dtype, &model, &choice, picture)?;
        rows.push(Row {
            ours_to_this: Some(peak / theirs),
            ..Row::peak(memory, format!("unprompt {dtype} to the package"), peak)
        });
    }
    rows.push(Row::peak(memory, PEER, theirs));
    Ok(rows)
}

/// The largest memory of the command, with the tables in the cache.
fn peak(
    case: &Case,
    dtype: Dtype,
    model: &Path,
    labels: &LabelChoice,
    picture: &Path,
) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "interrogate",
        "--offline",
        "--quiet",
        "--format",
        "jsonl",
        "--compat",
        "0.6.0",
        "--dtype",
        dtype.name(),
    ]);
    command.args([
        "--caption",
        CAPTION,
        "--threads",
        &rayon::current_num_threads().to_string(),
    ]);
    command.args(["--candidates", &case.candidates.to_string()]);
    command.args(["--max-flavors", &case.flavors.to_string()]);
    let folders: [(&str, Option<&PathBuf>); 2] = [
        ("--labels", labels.folder.as_ref()),
        ("--label-cache", labels.cache.as_ref()),
    ];
    for (flag, folder) in folders {
        command.arg(flag).arg(folder.context("no folder")?);
    }
    command.arg("--clip").arg(model).arg(picture);
    let peak = watched(command)?.peak_mb;
    Ok(peak)
}
