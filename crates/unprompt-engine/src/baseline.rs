//! Answers that look at no picture: what a prediction has to beat.

use crate::{
    error::{EngineError, Result},
    lists::{phrase_table::PhraseTable, prompt_list::prompt_list},
    pipeline::Predictor,
};
use unprompt_hub::Hub;
use unprompt_interrogate::TableProgress;
use unprompt_models::Compute;

/// The list that both answers are made of, which is part of the program.
const LIST: &str = "parti";

/// Two answers that are the same for every picture, made of the shipped prompt list.
#[derive(Clone, Debug)]
pub struct Baselines {
    /// The list's name.
    pub list: &'static str,
    /// How many prompts it has.
    pub prompts: usize,
    /// The mean of the prompts' embeddings, not normalised.
    pub mean_embedding: Vec<f64>,
    /// The prompt that is nearest to all of the list; the first of several.
    pub constant_prompt: String,
    /// Its embedding, of unit length.
    pub constant_embedding: Vec<f32>,
}

impl Baselines {
    /// The baselines in the space of a predictor's sentence encoder. `compute` is what the predictor
    /// was loaded with; `tables` hears of a list that is embedded for the first time.
    ///
    /// # Errors
    /// When the prompts cannot be embedded.
    pub fn new(
        hub: &Hub,
        predictor: &Predictor,
        compute: &Compute,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        let preset = predictor.preset();
        let prompts = prompt_list(LIST).map_err(|message| EngineError::Preset {
            preset: preset.name.clone(),
            message,
        })?;
        let identity = compute.identity(predictor.encoder_sha256()?);
        let cache = &hub.environment().own_cache;
        let encoder = (predictor.encoder()?, identity.as_str());
        let table = PhraseTable::new(LIST, prompts, encoder, cache, tables);
        let table = table.map_err(|reason| EngineError::Model {
            name: preset.encoder.clone(),
            reason,
        })?;
        // The mean cosine of a unit row with all of them is its product with their mean.
        let closeness = |row: &[f32]| -> f64 {
            let products = row.iter().zip(&table.mean);
            products.map(|(value, mean)| f64::from(*value) * mean).sum()
        };
        let mut best = (f64::NEG_INFINITY, 0);
        for (index, row) in table.rows.iter().enumerate() {
            let closeness = closeness(row);
            if closeness > best.0 {
                best = (closeness, index);
            }
        }
        let constant = table.candidate(best.1);
        Ok(Self {
            list: LIST,
            prompts: table.texts.len(),
            mean_embedding: table.mean,
            constant_prompt: constant.text,
            constant_embedding: constant.embedding,
        })
    }
}
