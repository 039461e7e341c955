//! Indexes of prompts whose embeddings are known.
#![allow(dead_code, missing_docs)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use unprompt_index::{
    BuildOptions, BuildProgress, Embedders, Manifest, ModelIdentity, PromptIterator, Result, build,
};

pub fn identity(name: &str) -> ModelIdentity {
    ModelIdentity {
        name: name.to_owned(),
        revision: "local".to_owned(),
        sha256: format!("digest of {name}"),
        dtype: "f32".to_owned(),
    }
}

/// Numbers that look random and are the same every time.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn vector(&mut self, width: usize) -> Vec<f32> {
        let number = |_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0;
        (0..width).map(number).collect()
    }
}

/// The embedding of a text: always the same, as that of a network.
pub fn embedding(text: &str, width: usize) -> Vec<f32> {
    let seed = text.bytes().fold(width as u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    Numbers(seed).vector(width)
}

pub type Embed<'a> = &'a (dyn Fn(&str) -> Vec<f32> + Sync);

/// Builds an index of texts, with a function for each of the two embeddings.
pub fn build_with(
    folder: &Path,
    texts: &[String],
    clip: Embed<'_>,
    sentence: Embed<'_>,
    options: BuildOptions,
    progress: &mut dyn FnMut(BuildProgress),
) -> Result<Manifest> {
    let prompts = || {
        let texts: Vec<Result<String>> = texts.iter().cloned().map(Ok).collect();
        Ok(Box::new(texts.into_iter()) as PromptIterator)
    };
    let embedders = Embedders {
        clip_model: identity("clip"),
        clip: &|texts| Ok(texts.iter().map(|text| clip(text)).collect()),
        sentence_model: identity("sentence"),
        sentence: &|texts| Ok(texts.iter().map(|text| sentence(text)).collect()),
    };
    build(folder, &prompts, &embedders, options, progress)
}

/// The same with embeddings of 24 and 16 numbers that the texts decide.
pub fn build_plain(folder: &Path, texts: &[String], options: BuildOptions) -> Result<Manifest> {
    build_with(
        folder,
        texts,
        &|text| embedding(text, 24),
        &|text| embedding(text, 16),
        options,
        &mut |_| (),
    )
}

pub fn texts(count: usize) -> Vec<String> {
    (0..count).map(|row| format!("prompt {row}")).collect()
}

/// Every file of a folder with its content.
pub fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut content = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            content.extend(self::content(&path));
        } else {
            content.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    let strip = |(path, bytes): (PathBuf, Vec<u8>)| {
        (
            path.strip_prefix(folder)
                .map_or(path.clone(), Path::to_owned),
            bytes,
        )
    };
    content.into_iter().map(strip).collect()
}
