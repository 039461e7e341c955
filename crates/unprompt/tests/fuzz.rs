//! What the fuzz targets do, on the fixtures and on some changes of each: they compile, nothing panics, and a
//! change that once cost something can be added as a file.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests say what they tried"
)]

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

use bodies::BODIES;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Longer files take too long to be changed again and again without optimisation.
const LONGEST: u64 = 48 << 10;
/// Files of one folder, evenly chosen.
const FILES: usize = 12;
/// Changes of a file.
const CHANGES: u64 = 12;

/// The files that `fuzz/seeds` has or names for a target, none of them long.
fn seeds(body: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = root.join("fuzz/seeds");
    let list = fs::read_to_string(folders.join("folders.txt")).unwrap();
    let named = list.lines().filter_map(|line| line.split_once(' '));
    let named = named.filter(|(target, _)| *target == body);
    let mut places: Vec<PathBuf> = named.map(|(_, place)| root.join(place)).collect();
    places.extend(Some(folders.join(body)).filter(|own| own.is_dir()));
    places.iter().flat_map(|place| files(place)).collect()
}

/// A file, or some files of a folder.
fn files(place: &Path) -> Vec<Vec<u8>> {
    let mut paths = match place.is_dir() {
        true => {
            let entries = fs::read_dir(place).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        }
        false => vec![place.to_owned()],
    };
    paths.retain(|path| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LONGEST)
    });
    paths.sort();
    let step = paths.len().div_ceil(FILES).max(1);
    paths
        .iter()
        .step_by(step)
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn changed(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(bytes.len());
        match numbers.next(5) {
            _ if bytes.is_empty() => bytes.push(0),
            0 => bytes[at] ^= 1 << numbers.next(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.next(5)],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + 1 + numbers.next(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
        }
    }
    bytes
}

/// Keeps the bytes that made a body panic.
struct Tried<'a>(&'a str, &'a [u8]);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = std::env::temp_dir().join(format!("unprompt-fuzz-{}", self.0));
            let kept = fs::write(&path, self.1);
            eprintln!(
                "{} panicked; its input: {} {kept:?}",
                self.0,
                path.display()
            );
        }
    }
}

/// `UNPROMPT_FUZZ_SECONDS` goes on for so long with other changes, which begin with `UNPROMPT_FUZZ_SEED`.
#[test]
fn every_body_takes_every_fixture_and_what_becomes_of_it() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seconds = number("UNPROMPT_FUZZ_SECONDS").unwrap_or(0);
    let seed = number("UNPROMPT_FUZZ_SEED").unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ seed);
    let inputs = |name: &str| {
        let mut inputs = seeds(name);
        assert!(!inputs.is_empty(), "{name}");
        inputs.push(Vec::new());
        inputs
    };
    let all: Vec<_> = BODIES.map(|(name, body)| (name, body, inputs(name))).into();
    let mut runs = 0;
    let mut run = |name: &str, body: bodies::Body, bytes: &[u8]| {
        let _tried = Tried(name, bytes);
        body(bytes);
        runs += 1;
    };
    loop {
        for (name, body, inputs) in &all {
            for input in inputs {
                run(name, *body, input);
                for _ in 0..CHANGES {
                    run(name, *body, &changed(input, &mut numbers));
                }
            }
        }
        if Instant::now() >= end {
            break;
        }
    }
    println!("{runs} executions");
    assert!(runs > 500, "{runs}");
    let root = std::env::temp_dir().join(format!("unprompt-fuzz-{}", std::process::id()));
    let _ = fs::remove_dir_all(root);
}
