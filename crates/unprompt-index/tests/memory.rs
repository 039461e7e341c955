//! A search needs memory for its batch, not for the index. A test program of its own: the largest
//! memory is that of the whole process.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use common::{Numbers, build_with};
use std::fs;
use unprompt_index::{BuildOptions, PromptIndex, Regression, Space};

const ROWS: usize = 24_000;
const WIDTH: usize = 1024;

/// The largest resident memory since it was last forgotten, in bytes.
fn peak() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[test]
fn a_search_passes_over_the_index_without_holding_it() {
    let noise = Numbers(5).vector(ROWS + WIDTH);
    let texts: Vec<String> = (0..ROWS).map(|row| row.to_string()).collect();
    let row = |text: &str| text.parse::<usize>().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = BuildOptions {
        segment_rows: 1000,
        ..BuildOptions::default()
    };
    build_with(
        folder.path(),
        &texts,
        &|text| noise[row(text)..][..WIDTH].to_vec(),
        &|text| noise[row(text)..][..8].to_vec(),
        options,
        &mut |_| (),
    )
    .unwrap();
    let index = PromptIndex::open(folder.path()).unwrap();
    let queries: Vec<Vec<f32>> = (0..16)
        .map(|query| noise[query * 1400 + 3..][..WIDTH].to_vec())
        .collect();
    // What is resident before counts for nothing, where the system lets it be forgotten.
    if fs::write("/proc/self/clear_refs", "5").is_err() {
        return;
    }
    let Some(before) = peak() else { return };
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2);
    let found = threads
        .build()
        .unwrap()
        .install(|| Regression::default().predict(&index, Space::Clip, &queries))
        .unwrap();
    let grown = peak().unwrap().saturating_sub(before);
    for (query, found) in found.iter().enumerate() {
        assert_eq!(found.matches.len(), 100);
        assert_eq!(found.matches[0].row, query as u64 * 1400 + 3);
    }
    let held = index.manifest().bytes() as usize;
    assert!(held > ROWS * WIDTH * 2);
    assert!(grown < held / 2, "{grown} of {held} bytes");
}
