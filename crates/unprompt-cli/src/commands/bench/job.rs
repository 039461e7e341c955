//! What a job costs: the same pictures with one, without one, and with two shards side by side.

use super::{comparison::median, row::Row, subject::write_pictures};
use crate::{
    arguments::{Bench, Common},
    output::complain,
};
use anyhow::{Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

const PICTURE_COUNT: usize = 2000;
/// With `--quick`.
const FEW_PICTURES: usize = 100;
/// A folder takes minutes, so no more runs of it than these are measured.
const MOST_RUNS: u16 = 3;
const NAME: &str = "predict, a folder of pictures";

/// Measures the three in turn, as processes of their own.
pub(super) fn job(common: &Common, arguments: &Bench, folder: &Path) -> Result<Vec<Row>> {
    let count = if arguments.quick {
        FEW_PICTURES
    } else {
        PICTURE_COUNT
    };
    let pictures = write_pictures(folder, count)?;
    let threads = rayon::current_num_threads();
    let bench = Folder {
        program: std::env::current_exe()?,
        pictures,
        folder: folder.to_owned(),
    };
    let runs = arguments.runs.min(MOST_RUNS);
    let (mut plain, mut whole, mut shards) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        if !common.quiet {
            complain(&format!("{NAME}: run {} of {runs}", run + 1));
        }
        plain.push(bench.run(threads, &[None])?);
        whole.push(bench.run(threads, &[Some("1/1")])?);
        let half = (threads / 2).max(1);
        shards.push(bench.run(half, &[Some("1/2"), Some("2/2")])?);
    }
    let plain = median(&mut plain);
    let row = |program: &str, time: f64| Row {
        pictures_per_second: Some(count as f64 * 1e3 / time),
        ..Row::measured(NAME, program, time)
    };
    let beside = |program: &str, mut times: Vec<f64>| {
        let time = median(&mut times);
        Row {
            ours_to_this: Some(plain / time),
            ..row(program, time)
        }
    };
    Ok(vec![
        row("without a job", plain),
        beside("as a job", whole),
        beside("as two shards, half the threads", shards),
    ])
}

struct Folder {
    program: PathBuf,
    pictures: PathBuf,
    folder: PathBuf,
}

impl Folder {
    /// Milliseconds until all processes have ended, one for each shard or for no job.
    fn run(&self, threads: usize, shards: &[Option<&str>]) -> Result<f64> {
        let job = self.folder.join("job");
        let start = Instant::now();
        let children: Result<Vec<Child>> = shards
            .iter()
            .map(|shard| {
                let mut command = Command::new(&self.program);
                command.args(["predict", "--preset", "lite", "--no-metadata", "--offline"]);
                command.args(["--quiet", "--format", "jsonl", "--threads"]);
                command.arg(threads.to_string()).arg(&self.pictures);
                if let Some(shard) = shard {
                    command.arg("--job").arg(&job).args(["--shard", shard]);
                }
                Ok(command.stdout(Stdio::null()).spawn()?)
            })
            .collect();
        for mut child in children? {
            let status = child.wait()?;
            if !status.success() {
                bail!("predict: {status}");
            }
        }
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        if job.exists() {
            fs::remove_dir_all(&job)?;
        }
        Ok(elapsed)
    }
}
