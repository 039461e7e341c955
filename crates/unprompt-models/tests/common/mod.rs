//! What the tests of the models share: fixtures, their tensors, and edited copies of them.
#![allow(dead_code)] // Each test file is a crate of its own and uses a part of this.

use std::path::{Path, PathBuf};
use unprompt_checkpoint::{Checkpoint, Pickle};

pub type TestResult = Result<(), Box<dyn std::error::Error>>;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/models")
        .join(name)
}

pub fn tensor(checkpoint: &Checkpoint, name: &str) -> (Vec<usize>, Vec<f32>) {
    let shape = checkpoint
        .tensor(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .shape
        .to_vec();
    let values = checkpoint.tensor_f32(name, &shape).unwrap();
    (shape, values)
}

/// Largest difference relative to the largest expected value.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1e-6f32, |largest, value| largest.max(value.abs()));
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    worst.fold(0.0, |worst: f32, difference| {
        assert!(difference.is_finite());
        worst.max(difference)
    }) / largest
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A copy of a fixture in which one file is edited.
pub fn edited(
    name: &str,
    file: &str,
    edit: impl Fn(&str) -> String,
) -> std::io::Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    copy_folder(&fixture(name), copy.path())?;
    let path = copy.path().join(file);
    std::fs::write(&path, edit(&std::fs::read_to_string(&path)?))?;
    Ok(copy)
}

pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The rows of a tensor of a safetensors file.
pub fn rows(path: &Path, name: &str) -> Vec<Vec<f32>> {
    let checkpoint = Checkpoint::open(path, Pickle::Deny).unwrap();
    let (shape, values) = tensor(&checkpoint, name);
    let width = values.len() / shape[0];
    values.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

/// A copy of a safetensors file in which tensors are renamed, cut or added: the edit gets each
/// header entry's name and shape, and says what becomes of them; data stays where it is.
pub fn edited_tensors(
    name: &str,
    file: &str,
    edit: impl Fn(&mut serde_json::Map<String, serde_json::Value>),
) -> std::io::Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    copy_folder(&fixture(name), copy.path())?;
    let path = copy.path().join(file);
    let bytes = std::fs::read(&path)?;
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = serde_json::from_slice(&bytes[8..8 + length])?;
    edit(&mut header);
    let header = serde_json::to_vec(&header)?;
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend(&bytes[8 + length..]);
    std::fs::write(path, out)?;
    Ok(copy)
}
