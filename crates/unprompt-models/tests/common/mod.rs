//! What the tests of the models share: fixtures, their tensors, and edited copies of them.
#![allow(dead_code)] // Each test file is a crate of its own and uses a part of this.

use std::path::{Path, PathBuf};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_models::ModelError;

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

/// Rows are the reference's up to the rounding of another order of additions.
#[track_caller]
pub fn assert_near(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    let error = relative_error(&found.concat(), &expected.concat());
    assert!(error < 1e-5, "{what}: {error}");
}

/// An input gives the same bits alone, in the opposite order, and among `many`, more than go
/// through the network at once.
pub fn assert_independent<T>(
    what: &str,
    inputs: &[T],
    many: usize,
    forward: impl Fn(&[&T]) -> Result<Vec<Vec<f32>>, ModelError>,
) -> TestResult {
    let all: Vec<&T> = inputs.iter().collect();
    let found = forward(&all)?;
    for (input, output) in inputs.iter().zip(&found) {
        let alone = forward(&[input])?;
        assert_eq!(alone, std::slice::from_ref(output), "{what}: alone");
    }
    let reversed: Vec<&T> = inputs.iter().rev().collect();
    assert!(forward(&reversed)?.iter().rev().eq(&found), "{what}");
    for many in [
        all.iter().copied().cycle().take(many).collect::<Vec<_>>(),
        reversed.iter().copied().cycle().take(many).collect(),
    ] {
        let expected: Vec<_> = many
            .iter()
            .map(|input| {
                let index = inputs.iter().position(|other| std::ptr::eq(other, *input));
                &found[index.unwrap()]
            })
            .collect();
        assert!(forward(&many)?.iter().eq(expected), "{what}: many");
    }
    Ok(())
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The reference's inputs and outputs, beside a network.
pub fn expected(name: &str) -> PathBuf {
    fixture(name).join("expected.safetensors")
}

/// The reference's texts. Their ids are stored as floats, so that one reader serves all.
pub fn ids(expected: &Path) -> Vec<Vec<u32>> {
    let whole = |text: Vec<f32>| text.into_iter().map(|id| id as u32).collect();
    rows(expected, "ids").into_iter().map(whole).collect()
}

/// Each of `cases` names a fixture, a text of its configuration, another one in its place, and what
/// the error says that comes of it. The configuration is open_clip's where there is one.
pub fn assert_refused(
    cases: &[(&str, &str, &str, &str)],
    build: impl Fn(&Path) -> Result<(), ModelError>,
) -> TestResult {
    for (name, from, to, expected) in cases {
        let open_clip = "open_clip_config.json";
        let file = match fixture(name).join(open_clip).exists() {
            true => open_clip,
            false => "config.json",
        };
        let copy = edited(name, file, |text| {
            assert!(text.contains(from), "{name}: {from}");
            text.replacen(from, to, 1)
        })?;
        let message = match build(copy.path()) {
            Ok(()) => panic!("{name} with {to} was accepted"),
            Err(error) => error.to_string(),
        };
        assert!(message.contains(expected), "{name}, {to}: {message}");
    }
    Ok(())
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
