//! What the worst files of 5 MB cost to read, for a quiet machine:
//! `cargo run --release --example costs`, with the name of a file for that one alone.
//!
//! Each file is read by a process of its own from the disk. Printed are the best processor time of five,
//! and the most memory that the process held beyond one that reads a tiny file.

#![allow(clippy::print_stdout)] // The table is the result.

#[path = "../tests/worst_files/mod.rs"]
mod worst_files;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use unprompt_metadata::read_file;
use worst_files::{peak_memory, smallest_file, worst_files};

/// Before the path of the file that a process of its own reads.
const READ: &str = "--read";

/// Processor time of this thread so far, where the system says it; else the time of day.
fn now(start: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn time(path: &Path) -> Duration {
    let epoch = Instant::now();
    let start = now(epoch);
    let _: Result<_, _> = read_file(path);
    now(epoch).saturating_sub(start)
}

/// The best time in milliseconds, and the peak of memory in bytes after the first time.
fn measured(bytes: &[u8]) -> Result<(f64, f64), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("unprompt-costs-{}", std::process::id()));
    std::fs::write(&path, bytes)?;
    let child = Command::new(std::env::current_exe()?)
        .arg(READ)
        .arg(&path)
        .output();
    std::fs::remove_file(&path)?;
    let said = String::from_utf8(child?.stdout)?;
    let (time, memory) = said.trim().split_once(' ').ok_or("a process failed")?;
    Ok((time.parse()?, memory.parse()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, path] = arguments.as_slice()
        && first == READ
    {
        let path = Path::new(path);
        let first = time(path);
        let peak = peak_memory().unwrap_or_default();
        let best = (0..4).map(|_| time(path)).fold(first, Duration::min);
        println!("{} {peak}", best.as_secs_f64() * 1e3);
        return Ok(());
    }
    let (_, least) = measured(&smallest_file())?;
    println!("      ms       MB  file");
    for (name, bytes) in worst_files() {
        if arguments.first().is_none_or(|wanted| wanted == name) {
            let (time, memory) = measured(&bytes)?;
            println!("{time:8.1} {:8.1}  {name}", (memory - least) / 1e6);
        }
    }
    Ok(())
}
