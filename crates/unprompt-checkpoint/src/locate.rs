//! Finds the weight files of a model folder.

use crate::{
    error::{CheckpointError, CheckpointErrorKind, Fault, Quoted, Result},
    pickle::{Pickle, pickle_denied},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Names that transformers, open_clip and diffusers give to pickled weights.
const PICKLE_NAMES: [&str; 3] = [
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
    "diffusion_pytorch_model.bin",
];
/// What transformers and diffusers call weights, each beside the index of its shards; those in half
/// precision are read only where there are no others.
const USUAL_NAMES: [[&str; 2]; 4] = [
    ["model.safetensors", "model.safetensors.index.json"],
    [
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
    ],
    [
        "model.fp16.safetensors",
        "model.safetensors.index.fp16.json",
    ],
    [
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors.index.fp16.json",
    ],
];
const MAX_INDEX_BYTES: u64 = 16 << 20;
const MAX_SHARDS: usize = 1024;

/// What a folder's weights are kept in.
pub(crate) enum Located {
    /// One file of either kind.
    Single(PathBuf),
    /// Several safetensors files, each with the tensor names that the index puts there.
    Shards(BTreeMap<PathBuf, Vec<String>>),
}

/// The weights of `folder`: the first there is of the usual names, each a file or the shards of its
/// index, then the only other safetensors file, then, if allowed, a pickle.
pub(crate) fn locate(folder: &Path, pickle: Pickle) -> Result<Located> {
    for [usual, index] in USUAL_NAMES.map(|names| names.map(|name| folder.join(name))) {
        if usual.is_file() {
            return Ok(Located::Single(usual));
        }
        if index.is_file() {
            return read_index(folder, &index).map(Located::Shards);
        }
    }
    let files = files_of(folder)?;
    if let Some(path) = the_only(&files, &["safetensors"], folder)? {
        return Ok(Located::Single(path));
    }
    let usual = PICKLE_NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    let found = match usual {
        Some(path) => Some(path),
        None => the_only(&files, &["pth", "pt"], folder)?,
    };
    match (found, pickle) {
        (Some(path), Pickle::Allow) => Ok(Located::Single(path)),
        (Some(path), Pickle::Deny) => Err(pickle_denied(&path)),
        (None, _) => Err(Fault::new(
            CheckpointErrorKind::Io,
            "the folder holds no weights: expected model.safetensors, \
             model.safetensors.index.json with its shards, or pytorch_model.bin",
        )
        .at(folder)),
    }
}

/// The files directly in `folder`, sorted by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = |source| CheckpointError::io(folder, "list the folder", source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(listing)? {
        let path = entry.map_err(listing)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The one file with one of these extensions, nothing when there is none, an error when there
/// are several: to guess could load another model than was meant.
fn the_only(files: &[PathBuf], extensions: &[&str], folder: &Path) -> Result<Option<PathBuf>> {
    let mut candidates = files.iter().filter(|path| {
        path.extension()
            .and_then(OsStr::to_str)
            .is_some_and(|found| extensions.contains(&found))
    });
    match (candidates.next(), candidates.next()) {
        (Some(first), Some(second)) => Err(Fault::unsupported(format!(
            "the folder holds several weight files, {} and {} among them; name the one to read",
            Quoted(&first.file_name().unwrap_or_default().to_string_lossy()),
            Quoted(&second.file_name().unwrap_or_default().to_string_lossy()),
        ))
        .at(folder)),
        (found, _) => Ok(found.cloned()),
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn read_index(folder: &Path, path: &Path) -> Result<BTreeMap<PathBuf, Vec<String>>> {
    let reading = |source| CheckpointError::io(path, "read", source);
    let mut text = Vec::new();
    unprompt_files::open_regular(path)
        .map_err(reading)?
        .take(MAX_INDEX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(reading)?;
    if text.len() as u64 > MAX_INDEX_BYTES {
        return Err(Fault::too_large(format!("an index above {MAX_INDEX_BYTES} bytes")).at(path));
    }
    let index: Index = serde_json::from_slice(&text).map_err(|error| {
        Fault::malformed(format!("not an index of safetensors shards: {error}")).at(path)
    })?;
    let mut shards = BTreeMap::<PathBuf, Vec<String>>::new();
    for (name, file) in index.weight_map {
        // Stricter than the format: a bare name cannot lead out of the folder.
        let is_bare = file.ends_with(".safetensors")
            && !file.starts_with('.')
            && !file.contains(['/', '\\', ':', '\0']);
        if !is_bare {
            return Err(Fault::malformed(format!(
                "the index puts tensor {} into {}; a shard is a safetensors file in the same \
                 folder",
                Quoted(&name),
                Quoted(&file)
            ))
            .at(path));
        }
        shards.entry(folder.join(file)).or_default().push(name);
    }
    if shards.len() > MAX_SHARDS {
        let count = shards.len();
        return Err(Fault::too_large(format!("{count} shards, at most {MAX_SHARDS}")).at(path));
    }
    Ok(shards)
}
