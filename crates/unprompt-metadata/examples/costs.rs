//! What the worst files of 5 MB cost to read, for a quiet machine:
//! `cargo run --release -p unprompt-metadata --example costs`
//!
//! Prints the best time of five, and the memory that a process of its own needs.

#![allow(clippy::print_stdout)] // The table is the result.

#[path = "../tests/worst_files/mod.rs"]
mod worst_files;

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use unprompt_metadata::read;
use worst_files::{with_memory, worst_files};

fn time(bytes: &[u8]) -> Duration {
    let start = Instant::now();
    let _: Result<_, _> = read(bytes);
    start.elapsed()
}

fn main() -> Result<(), Box<dyn Error>> {
    let files = worst_files();
    if let Some(wanted) = std::env::args().nth(1) {
        let mut files = files.into_iter();
        let (_, bytes) = files
            .find(|(name, _)| *name == wanted)
            .ok_or("no worst file has this name")?;
        let (_, memory) = with_memory(|| read(&bytes));
        if let Some(memory) = memory {
            println!("{:.1}", memory as f64 / 1e6);
        }
        return Ok(());
    }
    println!("      ms       MB  file");
    for (name, bytes) in files {
        let best = (0..5).map(|_| time(&bytes)).min().unwrap_or_default();
        // Memory that making the files has freed must go back first, or it hides what reading takes.
        let child = Command::new(std::env::current_exe()?)
            .arg(name)
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .output()?;
        let memory = String::from_utf8(child.stdout)?;
        println!(
            "{:8.1} {:>8}  {name}",
            best.as_secs_f64() * 1e3,
            memory.trim()
        );
    }
    Ok(())
}
