//! The prompts that a preset knows: what of a set of pictures it may have been given beforehand.

use crate::{
    error::{EngineError, Result},
    lists::{
        phrase_table::PhraseTable,
        store::{open_store, shown},
    },
    pipeline::Predictor,
};
use rayon::prelude::*;
use std::sync::Arc;
use unprompt_eye::TextList;
use unprompt_hub::Hub;
use unprompt_index::{PromptStore, Space};
use unprompt_interrogate::TableProgress;
use unprompt_models::Compute;

/// All lists and indexes of prompts that the members of a preset look at, and the list that its text is
/// chosen from.
pub struct KnownPrompts {
    lists: Vec<(String, Prompts)>,
}

enum Prompts {
    Carried(&'static TextList),
    Table(PhraseTable),
    Index(Arc<dyn PromptStore>),
}

/// The known prompt that is nearest to a text.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownPrompt {
    /// The list or the index, as the preset names it.
    pub list: String,
    /// The prompt.
    pub prompt: String,
    /// Cosine of the sentence embeddings; of the carried list to within .01, for its rows have 8 bits.
    pub similarity: f32,
}

impl KnownPrompts {
    /// The list that the program carries; `None` where it is not in the space of the sentence encoder
    /// of this name.
    ///
    /// # Errors
    /// When the program was built from a damaged file.
    pub fn carried(encoder: &str) -> Result<Option<Self>> {
        if encoder != unprompt_eye::ENCODER {
            return Ok(None);
        }
        let prompts = Prompts::Carried(carried_list(unprompt_eye::NAME)?);
        Ok(Some(Self {
            lists: vec![(unprompt_eye::NAME.to_owned(), prompts)],
        }))
    }

    /// What the preset of a predictor knows, in the space of its sentence encoder. `compute` is what
    /// the predictor was loaded with; `tables` hears of a list that is embedded for the first time.
    ///
    /// # Errors
    /// When a list or an index cannot be read.
    pub fn new(
        hub: &Hub,
        predictor: &Predictor,
        compute: &Compute,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        let preset = predictor.preset();
        let mut lists: Vec<(String, Prompts)> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for member in &preset.members {
            names.extend(member.kind.lists());
        }
        if preset.text.is_some() {
            names.push(unprompt_eye::NAME);
        }
        for name in names {
            // A part of the carried list, such as `eye/parti`, is looked up in the whole of it.
            let is_carried = preset.encoder == unprompt_eye::ENCODER && is_carried(name)?;
            let name = if is_carried { unprompt_eye::NAME } else { name };
            if lists.iter().any(|(known, _)| known == name) {
                continue;
            }
            let prompts = if is_carried {
                Prompts::Carried(carried_list(&preset.name)?)
            } else {
                Prompts::Table(predictor.table_of(name, hub, compute, tables)?)
            };
            lists.push((name.to_owned(), prompts));
        }
        for index in preset
            .members
            .iter()
            .filter_map(|member| member.kind.index())
        {
            let name = shown(index.place);
            if !lists.iter().any(|(known, _)| *known == name) {
                lists.push((name, Prompts::Index(open_store(hub, index.place)?)));
            }
        }
        Ok(Self { lists })
    }

    /// The names of the lists and indexes, in the order of the preset.
    pub fn names(&self) -> Vec<&str> {
        self.lists.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The nearest known prompt to each text, by its sentence embedding of unit length; `None` where
    /// nothing is known. Of equally near ones it is the first of the first list.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn nearest(&self, embeddings: &[Vec<f32>]) -> Result<Vec<Option<KnownPrompt>>> {
        let mut found: Vec<Option<KnownPrompt>> = vec![None; embeddings.len()];
        for (name, prompts) in &self.lists {
            let nearest = prompts.nearest(embeddings)?;
            for (best, (prompt, similarity)) in found.iter_mut().zip(nearest) {
                if best
                    .as_ref()
                    .is_none_or(|best| similarity > best.similarity)
                {
                    *best = Some(KnownPrompt {
                        list: name.clone(),
                        prompt,
                        similarity,
                    });
                }
            }
        }
        Ok(found)
    }
}

impl Prompts {
    /// The nearest prompt to each embedding, and its cosine.
    fn nearest(&self, embeddings: &[Vec<f32>]) -> Result<Vec<(String, f32)>> {
        match self {
            Self::Carried(list) => list
                .products_of_all(embeddings)
                .iter()
                .map(|products| {
                    let (row, similarity) = largest(products);
                    let text = list.text(row).map_err(|error| EngineError::Preset {
                        preset: unprompt_eye::NAME.to_owned(),
                        message: error.to_string(),
                    })?;
                    Ok((text, similarity))
                })
                .collect(),
            Self::Table(table) => Ok(embeddings
                .par_iter()
                .map(|embedding| {
                    let products: Vec<f32> = table
                        .rows
                        .iter()
                        .map(|row| row.iter().zip(embedding).map(|(a, b)| a * b).sum())
                        .collect();
                    let (row, similarity) = largest(&products);
                    (table.texts[row].clone(), similarity)
                })
                .collect()),
            Self::Index(index) => {
                let found = index.nearest(Space::Sentence, embeddings, 1)?;
                let first = found.into_iter().map(|mut found| match found.is_empty() {
                    true => (String::new(), f32::NEG_INFINITY),
                    false => {
                        let found = found.swap_remove(0);
                        (found.prompt, found.similarity)
                    }
                });
                Ok(first.collect())
            }
        }
    }
}

/// Whether a preset means the carried list by this name, or a part of it, and not a file of one's own.
fn is_carried(name: &str) -> Result<bool> {
    let Some(part) = name.strip_prefix(unprompt_eye::NAME) else {
        return Ok(false);
    };
    Ok(match part.strip_prefix('/') {
        None => part.is_empty(),
        // What the head was trained on: of its texts only the mean is carried.
        Some("captions") => true,
        Some(part) => carried_list(name)?.segment(part).is_some(),
    })
}

fn carried_list(preset: &str) -> Result<&'static TextList> {
    unprompt_eye::prompts().map_err(|error| EngineError::Preset {
        preset: preset.to_owned(),
        message: error.to_string(),
    })
}

/// The largest value and where it is, the first of equal ones.
fn largest(values: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, value) in values.iter().enumerate() {
        if *value > best.1 {
            best = (index, *value);
        }
    }
    best
}
