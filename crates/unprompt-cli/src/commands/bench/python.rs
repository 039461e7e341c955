//! The Python package: how long it takes to import, and a folder of pictures beside the command line.

use super::{
    comparison::{largest_difference, median},
    peer::{Watched, answer_of_peer, output_of, watched},
    row::Row,
    subject::{ENCODER, write_pictures},
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path, process::Command};
use unprompt::{Hub, NoProgress, models::imagenet_labels};

const SCRIPT: &str = include_str!("../../../bench/python.py");
/// A preset that does as much as the script's torch.
const PRESET: &str = include_str!("../../../bench/labels.toml");
const CLASSIFIER: &str = "efficientnet-lite0";
const PACKAGE: &str = "unprompt, the Python package";
const TORCH: &str = "torch, sentence-transformers";
/// Pictures in the folder, and with `--quick`.
const PICTURE_COUNT: usize = 600;
const FEW_PICTURES: usize = 60;
/// A folder takes seconds, so no more runs of it than these are measured.
const MOST_FOLDER_RUNS: u16 = 3;

/// Measures both.
pub(super) fn python(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    let script = folder.join("python.py");
    fs::write(&script, SCRIPT)?;
    let mut rows = vec![import(arguments, &script)?];
    rows.extend(pictures(common, arguments, hub, &script, folder)?);
    Ok(rows)
}

/// `import unprompt` in fresh processes, as they measure it themselves.
fn import(arguments: &Bench, script: &Path) -> Result<Row> {
    const NAME: &str = "import unprompt";
    let mut times = Vec::new();
    // The first run writes what Python keeps of a package, and is not counted.
    for run in 0..=arguments.runs {
        let mut command = Command::new(&arguments.python);
        command.arg(script).arg("import");
        match output_of(command).and_then(|answer| answer_of_peer(&answer)) {
            Ok(answer) if run > 0 => times.push(answer["ms"].as_f64().context("no `ms`")?),
            Ok(_) => {}
            Err(error) => return Ok(Row::missing(NAME, PACKAGE, describe(&error))),
        }
    }
    Ok(Row::measured(NAME, PACKAGE, median(&mut times)))
}

/// Runs of one program, or why there are none.
struct Program {
    name: &'static str,
    runs: Vec<Watched>,
    missing: Option<String>,
}

impl Program {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            runs: Vec::new(),
            missing: None,
        }
    }

    fn run(&mut self, command: Command) {
        if self.missing.is_some() {
            return;
        }
        match watched(command).and_then(|run| answer_of_peer(&run.answer).map(|_| run)) {
            Ok(run) => self.runs.push(run),
            Err(error) => self.missing = Some(describe(&error)),
        }
    }

    /// The median of the counted runs, in milliseconds.
    fn median(&self) -> f64 {
        median(&mut self.of(|run| run.whole_ms))
    }

    fn of(&self, number: fn(&Watched) -> f64) -> Vec<f64> {
        self.runs.iter().skip(1).map(number).collect()
    }

    /// Its result beside the command line's median and first record.
    fn row(self, measurement: &'static str, pictures: usize, ours: Option<(f64, &Value)>) -> Row {
        if let Some(why) = self.missing {
            return Row::missing(measurement, self.name, why);
        }
        let whole = self.median();
        let first = self.runs.first().map(|run| &run.answer["embedding"]);
        Row {
            processor_ms: Some(median(&mut self.of(|run| run.processor_ms))),
            pictures_per_second: Some(pictures as f64 * 1e3 / whole),
            peak_mb: self.of(|run| run.peak_mb).into_iter().reduce(f64::max),
            ours_to_this: ours.map(|(ours, _)| ours / whole),
            largest_difference: ours
                .zip(first)
                .and_then(|((_, ours), first)| largest_difference(ours, first)),
            ..Row::measured(measurement, self.name, whole)
        }
    }
}

/// The same folder by the command line, by the package and by torch, each as a process of its own.
fn pictures(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    script: &Path,
    folder: &Path,
) -> Result<Vec<Row>> {
    const NAME: &str = "a folder of pictures";
    let count = if arguments.quick {
        FEW_PICTURES
    } else {
        PICTURE_COUNT
    };
    let pictures = write_pictures(folder, count)?;
    let resolved = hub.resolve(&CLASSIFIER.parse()?, &NoProgress)?;
    let weights = resolved.files.values().next();
    let weights = weights.context("the classifier has no file")?;
    let minilm = hub.resolve(&ENCODER.parse()?, &NoProgress)?.dir;
    let texts = folder.join("labels.txt");
    fs::write(&texts, imagenet_labels().join("\n"))?;
    let preset = folder.join("labels.toml");
    fs::write(&preset, PRESET)?;
    let threads = rayon::current_num_threads().to_string();
    let mut line = Program::new("unprompt, the command line");
    let mut package = Program::new(PACKAGE);
    let mut torch = Program::new(TORCH);
    let runs = arguments.runs.min(MOST_FOLDER_RUNS);
    // The first run fills the caches of all, and is not counted.
    for run in 0..=runs {
        if !common.quiet {
            complain(&format!("{NAME}: run {run} of {runs}"));
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["predict", "--no-metadata", "--offline", "--preset"]);
        command.arg(&preset).args(["--quiet", "--format", "jsonl"]);
        command.args(["--threads", &threads]).arg(&pictures);
        line.runs.push(watched(command)?);
        let mut command = Command::new(&arguments.python);
        command.arg(script).arg("wheel").arg(&preset).arg(&pictures);
        command.arg(&threads);
        package.run(command);
        let mut command = Command::new(&arguments.python);
        command.arg(script).arg("torch").arg(weights);
        command.args([&pictures, &texts, &minilm]).arg(&threads);
        torch.run(command);
    }
    let first = line.runs.first().map(|run| run.answer["embedding"].clone());
    let first = first.unwrap_or_default();
    let ours = Some((line.median(), &first));
    Ok(vec![
        line.row(NAME, count, None),
        package.row(NAME, count, ours),
        torch.row(NAME, count, ours),
    ])
}
