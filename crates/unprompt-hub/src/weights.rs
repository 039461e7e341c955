//! Which files of a repository make up the model.

use crate::{Error, Result, relative_path::RelativePath};

const PICKLE_EXTENSIONS: &[&str] = &["bin", "pth", "pt", "ckpt", "pkl"];

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

pub(crate) fn is_pickle(name: &str) -> bool {
    let extension = extension(name).to_ascii_lowercase();
    PICKLE_EXTENSIONS.contains(&extension.as_str())
}

pub(crate) fn is_safetensors(name: &str) -> bool {
    extension(name) == "safetensors"
}

/// Whether a file of this name could be chosen, wherever it lies.
pub(crate) fn could_matter(name: &str) -> bool {
    let name = name.trim_end_matches([' ', '.', '\0']).to_ascii_lowercase();
    is_small(&name) || is_safetensors(&name) || is_pickle(&name)
}

fn is_small(name: &str) -> bool {
    matches!(extension(name), "json" | "txt" | "model" | "jinja")
}

/// Refuses a set of files that has pickled weights and no safetensors.
pub(crate) fn refuse_pickles<'a>(
    name: &str,
    files: impl Iterator<Item = &'a String> + Clone,
    allow_pickle: bool,
) -> Result<()> {
    if allow_pickle || files.clone().any(|file| is_safetensors(file)) {
        return Ok(());
    }
    let pickles: Vec<String> = files
        .filter(|file| is_pickle(file))
        .take(10)
        .cloned()
        .collect();
    if pickles.is_empty() {
        return Ok(());
    }
    Err(Error::PickleRefused {
        name: name.to_owned(),
        files: pickles,
    })
}

/// The files of a listing that belong to the model.
///
/// Small ones: `json`, `txt`, `model` (sentencepiece) and `jinja` at the root or in a numbered
/// module folder (`1_Pooling`), as sentence-transformers lays them out. Weights: see
/// [`choose_weights`].
pub(crate) fn choose_small(listing: &[RelativePath]) -> Vec<&RelativePath> {
    listing
        .iter()
        .filter(|path| in_module(path))
        .filter(|path| {
            let name = path.as_str();
            is_small(name)
                && !name.ends_with(".index.json")
                && !name.to_ascii_lowercase().contains("readme")
                && !name.to_ascii_lowercase().contains("license")
        })
        .collect()
}

/// What the weights of a repository are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weights<'a> {
    /// These files, and nothing else.
    Files(Vec<&'a RelativePath>),
    /// The shards that this index names.
    Sharded(&'a RelativePath),
}

/// Chooses the weights at the root: the first that exists of a shard index, `model`, then
/// `open_clip_model`, then any other file of the format; and those in numbered module folders.
/// Pickles are looked at only when there is no safetensors file at all.
pub(crate) fn choose_weights<'a>(listing: &'a [RelativePath], allow_pickle: bool) -> Weights<'a> {
    let safetensors = choose_format(
        listing,
        is_safetensors,
        &["model.safetensors", "open_clip_model.safetensors"],
    );
    match safetensors {
        Weights::Files(files) if files.is_empty() && allow_pickle => choose_format(
            listing,
            is_pickle,
            &[
                "pytorch_model.bin",
                "open_clip_pytorch_model.bin",
                "model.pth",
            ],
        ),
        chosen => chosen,
    }
}

fn choose_format<'a>(
    listing: &'a [RelativePath],
    is_format: impl Fn(&str) -> bool,
    preferred: &[&str],
) -> Weights<'a> {
    let find = |name: &str| listing.iter().find(|path| path.as_str() == name);
    let modules = listing
        .iter()
        .filter(|path| path.depth() == 1 && in_module(path) && is_format(path.as_str()));
    if let Some(single) = preferred.iter().find_map(|name| find(name)) {
        return Weights::Files(std::iter::once(single).chain(modules).collect());
    }
    let index = preferred
        .iter()
        .find_map(|name| find(&format!("{name}.index.json")));
    if let Some(index) = index {
        return Weights::Sharded(index);
    }
    let at_root = listing
        .iter()
        .filter(|path| path.depth() == 0 && is_format(path.as_str()));
    Weights::Files(at_root.chain(modules).collect())
}

/// At the root, or in a folder that starts with a number and an underscore.
fn in_module(path: &RelativePath) -> bool {
    match path.depth() {
        0 => true,
        1 => path.as_str().split_once('_').is_some_and(|(number, _)| {
            !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
        }),
        _ => false,
    }
}

/// The shards that a `*.index.json` names, each once, in order.
pub(crate) fn shards(index: &[u8], subject: &str) -> Result<Vec<RelativePath>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| Error::Network {
        address: subject.to_owned(),
        reason: format!("not a shard index: {error}"),
    })?;
    let names: std::collections::BTreeSet<String> = index.weight_map.into_values().collect();
    names.iter().map(|name| RelativePath::parse(name)).collect()
}
