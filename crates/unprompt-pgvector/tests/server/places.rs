//! Indexes of prompts whose embeddings are known.

use std::path::Path;
use tempfile::TempDir;
use unprompt_index::{BuildOptions, Embedders, ModelIdentity, PromptIndex, PromptIterator, build};
use unprompt_pgvector::Address;

pub const CLIP_WIDTH: usize = 24;
pub const SENTENCE_WIDTH: usize = 16;

/// An index in a folder of its own.
pub struct Place {
    pub folder: TempDir,
    pub index: PromptIndex,
}

impl Place {
    /// `rows` prompts; every tenth shares its embeddings with those of the same number modulo 100, so that
    /// there are ties.
    pub fn new(rows: usize) -> Self {
        Self::of((0..rows).map(|row| format!("prompt {row}")).collect())
    }

    pub fn of(texts: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        build_in(folder.path(), &texts);
        let index = PromptIndex::open(folder.path()).unwrap();
        Self { folder, index }
    }
}

fn build_in(folder: &Path, texts: &[String]) {
    let identity = |name: &str| ModelIdentity {
        name: name.to_owned(),
        revision: "local".to_owned(),
        sha256: format!("digest of {name}"),
        dtype: "f32".to_owned(),
    };
    let embed = |texts: &[String], width| {
        let of_text = |text: &String| {
            let number: u64 = text.bytes().fold(7, |seed: u64, byte| {
                seed.wrapping_mul(31).wrapping_add(byte.into())
            });
            let row = text
                .rsplit(' ')
                .next()
                .and_then(|row| row.parse::<u64>().ok());
            match row {
                Some(row) if row % 10 == 0 => vector(row % 100, width),
                _ => vector(number, width),
            }
        };
        texts.iter().map(of_text).collect()
    };
    let embedders = Embedders {
        clip_model: identity("clip"),
        clip: &|texts| Ok(embed(texts, CLIP_WIDTH)),
        sentence_model: identity("sentence"),
        sentence: &|texts| Ok(embed(texts, SENTENCE_WIDTH)),
    };
    let prompts = || {
        let texts: Vec<_> = texts.iter().cloned().map(Ok).collect();
        Ok(Box::new(texts.into_iter()) as PromptIterator)
    };
    let options = BuildOptions {
        segment_rows: 512,
        ..BuildOptions::default()
    };
    build(folder, &prompts, &embedders, options, &mut |_| {}).unwrap();
}

/// Numbers between -1 and 1 that look random, by SplitMix64.
pub fn vector(seed: u64, width: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0xd134_2543_de82_ef95);
    let number = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..width).map(number).collect()
}

pub fn queries(count: u64, width: usize) -> Vec<Vec<f32>> {
    (0..count).map(|query| vector(!query, width)).collect()
}

pub fn parse(address: &str) -> Address {
    Address::parse(address).unwrap()
}
