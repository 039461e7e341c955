//! The worst files of 5 MB end in a typed result and in bounded memory, whatever their shape.
//!
//! What they take in time is measured by the example `costs`.

#![allow(clippy::print_stdout)] // By which a process of its own tells the test what it took.

mod worst_files;

use std::path::Path;
use std::process::Command;

use unprompt_metadata::{MetadataErrorKind, read_file};
use worst_files::{peak_memory, smallest_file, worst_files};

const MOST_MEMORY: usize = 64_000_000;
/// Names the file that a process of its own reads.
const FILE: &str = "UNPROMPT_TEST_WORST_FILE";
const PEAK: &str = "peak memory: ";

/// Does nothing but in the processes that the test below starts.
#[test]
fn one_file_is_read() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    if let Err(error) = read_file(Path::new(&path)) {
        let kind = error.kind();
        let is_refused = matches!(
            kind,
            MetadataErrorKind::Malformed | MetadataErrorKind::TooLarge
        );
        assert!(is_refused, "{kind:?}: {error}");
    }
    if let Some(peak) = peak_memory() {
        println!("\n{PEAK}{peak}");
    }
}

/// Reads a file in a process of its own; gives the most memory that it held.
fn peak_of_reading(bytes: &[u8], name: &str) -> Option<usize> {
    let path = std::env::temp_dir().join(format!("unprompt-worst-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_file_is_read", "--nocapture"])
        .env(FILE, &path)
        .output();
    std::fs::remove_file(&path).unwrap();
    let child = child.unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let why = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{name}: {said}{why}");
    let peak = said.lines().find_map(|line| line.strip_prefix(PEAK))?;
    peak.parse().ok()
}

#[test]
fn the_worst_files_end_in_a_typed_result_and_bounded_memory() {
    let least = peak_of_reading(&smallest_file(), "the smallest file");
    for (name, bytes) in worst_files() {
        let peak = peak_of_reading(&bytes, name);
        if let (Some(peak), Some(least)) = (peak, least) {
            let taken = peak.saturating_sub(least);
            assert!(taken < MOST_MEMORY, "{name} took {taken} bytes");
        }
    }
}
