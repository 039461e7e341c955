//! Fetches the models named on the command line and prints their folders.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to its terminal"
)]

use std::process::ExitCode;
use unprompt_hub::{Hub, HubOptions, ModelRef, Progress};

struct Lines;

impl Progress for Lines {
    fn start(&self, name: &str, total_bytes: u64) {
        eprintln!("{name}: {total_bytes} bytes");
    }
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
    fn note(&self, message: &str) {
        eprintln!("{message}");
    }
}

fn main() -> ExitCode {
    let pull_all = || {
        let hub = Hub::from_env(HubOptions::default())?;
        for text in std::env::args().skip(1) {
            let model = hub.pull(&text.parse::<ModelRef>()?, &Lines)?;
            println!("{} {}", model.sha256()?, model.dir.display());
        }
        Ok::<_, unprompt_hub::Error>(())
    };
    match pull_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
