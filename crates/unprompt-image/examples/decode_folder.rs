//! Decodes every file below some folders, each in a process of its own, and says what became of them:
//! `cargo run --release -p unprompt-image --example decode_folder -- FOLDER...`
//!
//! Ends with 1 where a process ended with neither a picture nor an error, or where one grew by more than
//! `decoding_bytes` says.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};
use unprompt_image::{DecodeOptions, decode, decoding_bytes};

/// How the parent asks for one file.
const ONE: &str = "--one";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [one, path] if one == ONE => decode_one(Path::new(path)),
        [] => {
            eprintln!("decode_folder FOLDER...");
            ExitCode::FAILURE
        }
        folders => decode_folders(folders),
    }
}

/// Prints what became of a file in one word, by how many bytes the process grew, and by how many it may grow.
fn decode_one(path: &Path) -> ExitCode {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let needs = decoding_bytes(&bytes).unwrap_or(0);
    let before = peak();
    let decoded = decode(&bytes, &DecodeOptions::default());
    let grown = peak().saturating_sub(before);
    match decoded {
        Ok(_) => println!("picture {grown} {needs}"),
        Err(error) => {
            println!("{:?} {grown} {needs}", error.kind());
            eprintln!("{}: {error}", path.display());
        }
    }
    ExitCode::SUCCESS
}

/// The most memory that this process ever had, in bytes; 0 where the system does not tell.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn decode_folders(folders: &[String]) -> ExitCode {
    /// Pages of code, and what a decoder has around its pixels.
    const AROUND: u64 = 2 << 20;
    let mut files = Vec::new();
    for folder in folders {
        collect(Path::new(folder), &mut files);
    }
    let (mut kinds, mut most, mut bad) = (BTreeMap::<String, usize>::new(), 0, 0);
    for file in &files {
        let program = env::current_exe().expect("a running program has a path");
        let ended = Command::new(program).arg(ONE).arg(file).output();
        let ended = ended.expect("this program can be started");
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        let words: Vec<&str> = said.split_whitespace().collect();
        let (kind, grown, needs) = match words.as_slice() {
            [kind, grown, needs] => (
                *kind,
                grown.parse().unwrap_or(0),
                needs.parse().unwrap_or(0),
            ),
            _ => ("died", 0, 0),
        };
        let above = grown > needs + AROUND;
        if !ended.status.success() || above || kind == "DecoderPanicked" {
            bad += 1;
            let told = String::from_utf8_lossy(&ended.stderr);
            println!("{}: {}: {said}{told}", file.display(), ended.status);
        }
        most = most.max(grown);
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    println!("{} files, {bad} of them bad", files.len());
    println!("most memory that one took: {} MiB", most >> 20);
    for (kind, count) in kinds {
        println!("{count:6} {kind}");
    }
    match (files.is_empty(), bad) {
        (false, 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The files of a folder and of those below it, in order.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return;
        }
    };
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}
