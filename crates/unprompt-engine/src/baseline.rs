//! Answers that look at no picture: what a prediction has to beat.

use crate::{
    error::{EngineError, Result},
    pipeline::Predictor,
    vectors::{unit, widened},
};
use unprompt_hub::Hub;
use unprompt_interrogate::TableProgress;
use unprompt_models::{Compute, Head};

/// The list that both answers are made of, which is part of the program.
const LIST: &str = "parti";

/// Answers that are the same for every picture: two of the shipped prompt list, and the means of what
/// the program carries.
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
    /// What the lists that the program carries have in common, where they are in the space of the
    /// predictor's encoder: each list's mean embedding, and all of them together.
    pub priors: Vec<Prior>,
}

/// The mean of prompts as the answer to every picture.
#[derive(Clone, Debug)]
pub struct Prior {
    /// What it is made of, as a preset's member of kind `prior` names it.
    pub lists: String,
    /// The mean embedding, of any length.
    pub embedding: Vec<f64>,
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
        let table = predictor.table_of(LIST, hub, compute, tables)?;
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
            priors: match predictor.preset().encoder == unprompt_eye::ENCODER {
                true => carried_priors()?,
                false => Vec::new(),
            },
        })
    }
}

/// The mean of each list that the program carries and of the captions that its head was trained on;
/// then the sum of all means, each at unit length, which is the prior of the default preset.
fn carried_priors() -> Result<Vec<Prior>> {
    let damaged = |error: unprompt_eye::Damaged| EngineError::Preset {
        preset: unprompt_eye::NAME.to_owned(),
        message: error.to_string(),
    };
    let prompts = unprompt_eye::prompts().map_err(damaged)?;
    let head = Head::carried(unprompt_eye::head()).map_err(|reason| EngineError::Model {
        name: unprompt_eye::NAME.to_owned(),
        reason,
    })?;
    let lists = prompts.segments().iter();
    let lists = lists.map(|list| (list.name.as_str(), widened(&list.mean)));
    let captions = ("captions", widened(head.target_mean()));
    let mut priors: Vec<Prior> = lists
        .chain([captions])
        .map(|(list, embedding)| Prior {
            lists: format!("{}/{list}", unprompt_eye::NAME),
            embedding,
        })
        .collect();
    let mut sum = vec![0.0; prompts.width()];
    for prior in &priors {
        let values = sum.iter_mut().zip(unit(&prior.embedding));
        values.for_each(|(sum, value)| *sum += value);
    }
    let names: Vec<&str> = priors.iter().map(|prior| prior.lists.as_str()).collect();
    priors.push(Prior {
        lists: names.join(" + "),
        embedding: sum,
    });
    Ok(priors)
}
