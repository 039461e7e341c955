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

/// The file that makes a repository a pipeline in the layout of diffusers.
const PIPELINE: &str = "model_index.json";

/// The folders of a pipeline that are used to draw. Others hold what looks at the result.
const PIPELINE_PARTS: [&str; 7] = [
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "unet",
    "vae",
];

fn is_pipeline(listing: &[RelativePath]) -> bool {
    listing.iter().any(|path| path.as_str() == PIPELINE)
}

/// The file's name, if it lies directly in this folder.
fn name_in<'a>(path: &'a RelativePath, folder: &str) -> Option<&'a str> {
    let name = path.as_str().strip_prefix(folder)?.strip_prefix('/')?;
    (!name.contains('/')).then_some(name)
}

/// The files of a listing that belong to the model.
///
/// Small ones: `json`, `txt`, `model` (sentencepiece) and `jinja` at the root or in a numbered
/// module folder (`1_Pooling`), as sentence-transformers lays them out, or in a part of a pipeline of
/// diffusers. Weights: see [`choose_weights`].
pub(crate) fn choose_small(listing: &[RelativePath]) -> Vec<&RelativePath> {
    let is_pipeline = is_pipeline(listing);
    let in_part = |path: &RelativePath| {
        let in_part = |part: &&str| name_in(path, part).is_some();
        is_pipeline && PIPELINE_PARTS.iter().any(in_part)
    };
    listing
        .iter()
        .filter(|path| in_module(path) || in_part(path))
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
/// Pickles are looked at only when there is no safetensors file at all. Of a pipeline of diffusers each
/// part has its own, in half precision only where there are no others; what lies at the root is the
/// same once more.
pub(crate) fn choose_weights<'a>(listing: &'a [RelativePath], allow_pickle: bool) -> Weights<'a> {
    if is_pipeline(listing) {
        let parts = PIPELINE_PARTS.iter();
        let weights = parts.flat_map(|part| part_weights(listing, part, allow_pickle));
        return Weights::Files(weights.collect());
    }
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

/// The weights of one part of a pipeline: a file, or an index with its shards.
fn part_weights<'a>(
    listing: &'a [RelativePath],
    part: &str,
    allow_pickle: bool,
) -> Vec<&'a RelativePath> {
    let find = |wanted: &dyn Fn(&str) -> bool| -> Vec<&'a RelativePath> {
        let is_wanted = |path: &&RelativePath| name_in(path, part).is_some_and(wanted);
        listing.iter().filter(is_wanted).collect()
    };
    for half in ["", ".fp16"] {
        for stem in ["model", "diffusion_pytorch_model"] {
            let whole = find(&|name| name == format!("{stem}{half}.safetensors"));
            if !whole.is_empty() {
                return whole;
            }
            let index = format!("{stem}.safetensors.index{half}.json");
            let mut shards = find(&|name| name == index);
            if !shards.is_empty() {
                shards.extend(find(&|name| {
                    let is_shard = name.starts_with(stem) && name.contains("-of-");
                    is_shard && is_safetensors(name) && name.contains(".fp16") != half.is_empty()
                }));
                return shards;
            }
        }
    }
    match allow_pickle {
        true => find(&|name| matches!(name, "pytorch_model.bin" | "diffusion_pytorch_model.bin")),
        false => Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str]) -> Vec<RelativePath> {
        let parse = |name: &&str| RelativePath::parse(name).unwrap();
        names.iter().map(parse).collect()
    }

    fn names(paths: &[&RelativePath]) -> Vec<String> {
        paths.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pipeline_is_its_parts_each_with_its_best_weights() {
        let listing = listing(&[
            "README.md",
            "model_index.json",
            "v1-5-pruned.safetensors",
            "safety_checker/config.json",
            "safety_checker/model.safetensors",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.fp16.safetensors",
            "text_encoder/model.safetensors",
            "text_encoder/pytorch_model.bin",
            "tokenizer/merges.txt",
            "tokenizer/vocab.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "vae/config.json",
            "vae/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.bin",
        ]);
        assert_eq!(
            names(&choose_small(&listing)),
            [
                "model_index.json",
                "scheduler/scheduler_config.json",
                "text_encoder/config.json",
                "tokenizer/merges.txt",
                "tokenizer/vocab.json",
                "unet/config.json",
                "vae/config.json",
            ]
        );
        let Weights::Files(files) = choose_weights(&listing, true) else {
            panic!("files are chosen")
        };
        assert_eq!(
            names(&files),
            [
                "text_encoder/model.safetensors",
                "unet/diffusion_pytorch_model.safetensors.index.json",
                "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
                "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
                "vae/diffusion_pytorch_model.fp16.safetensors",
            ]
        );
    }
}
