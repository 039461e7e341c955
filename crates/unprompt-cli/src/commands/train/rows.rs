//! From a source of captioned pictures to the rows that a head is trained on.

use crate::{arguments::Common, output::complain, progress::Bar, records::one_line};
use anyhow::{Context, Result};
use rayon::prelude::*;
use unprompt::{
    Classifier, InputError, SentenceEncoder,
    data::{Limits, Sample, Source, SourceSpec},
    image::{self, decode},
    train::{SourceRows, VectorStore},
};

/// Texts that are embedded together.
const TEXTS_AT_ONCE: usize = 64;
/// Bad records of a source that are shown one by one; of all the number is.
const SHOWN: usize = 5;

/// What features and embeddings are made with, and where they are kept.
pub(super) struct Encoders {
    pub(super) tower: Classifier,
    pub(super) features: VectorStore,
    pub(super) encoder: SentenceEncoder,
    pub(super) embeddings: VectorStore,
}

/// The rows of a source, and how many of its records gave none.
pub(super) struct Rows {
    pub(super) rows: SourceRows,
    pub(super) bad: usize,
}

/// Reads a source to its end.
pub(super) fn read(common: &Common, spec: &SourceSpec, encoders: &mut Encoders) -> Result<Rows> {
    let mut source = Source::open(spec, Limits::default())?;
    let mut rows = Rows {
        rows: SourceRows {
            name: spec.name.clone(),
            weight: spec.weight,
            features: Vec::new(),
            targets: Vec::new(),
        },
        bad: 0,
    };
    let mut bar = Bar::open_ended(&format!("{}: pictures", spec.name), common.quiet);
    loop {
        let mut samples = Vec::new();
        while samples.len() < common.batch_size.into() {
            match source.next() {
                Some(Ok(sample)) => samples.push(sample),
                Some(Err(error)) => rows.complain(common, &bar, &error),
                None => break,
            }
        }
        if samples.is_empty() {
            break;
        }
        bar.advance(samples.len() as u64);
        let features = features(&samples, encoders)?;
        let targets = targets(&samples, encoders)?;
        for ((sample, features), target) in samples.iter().zip(features).zip(targets) {
            match features {
                Ok(features) => {
                    rows.rows.features.push(features);
                    rows.rows.targets.push(target);
                }
                Err(error) => rows.complain(common, &bar, &format!("{}: {error}", sample.id)),
            }
        }
    }
    bar.finish();
    if rows.bad > SHOWN {
        complain(&format!(
            "{}: {} records in all gave nothing",
            spec.name, rows.bad
        ));
    }
    Ok(rows)
}

impl Rows {
    fn complain(&mut self, common: &Common, bar: &Bar, error: &impl std::fmt::Display) {
        self.bad += 1;
        if self.bad <= SHOWN && !common.quiet {
            let line = one_line(&format!("{}: {error}", self.rows.name));
            bar.suspend(|| complain(&line));
        }
    }
}

/// The features of each picture, from the store or computed now.
fn features(
    samples: &[Sample],
    encoders: &mut Encoders,
) -> Result<Vec<Result<Vec<f32>, InputError>>> {
    let Encoders {
        tower,
        features: store,
        ..
    } = encoders;
    let known = &*store;
    let found: Vec<([u8; 32], Result<Vec<f32>, InputError>)> = samples
        .par_iter()
        .map(|sample| {
            let key = VectorStore::key(&sample.picture);
            let features = match known.get(&key) {
                Some(features) => Ok(features.to_vec()),
                None => features_of(&sample.picture, tower),
            };
            (key, features)
        })
        .collect();
    let new = found
        .iter()
        .filter_map(|(key, features)| Some((*key, features.as_ref().ok()?.clone())));
    store.put(new)?;
    Ok(found.into_iter().map(|(_, features)| features).collect())
}

fn features_of(picture: &[u8], tower: &Classifier) -> Result<Vec<f32>, InputError> {
    let options = tower
        .preprocessor()
        .decode_options(image::Limits::default());
    tower.features(&decode(picture, &options)?)
}

/// The mean of the embeddings of each picture's captions.
fn targets(samples: &[Sample], encoders: &mut Encoders) -> Result<Vec<Vec<f32>>> {
    let captions = || samples.iter().flat_map(|sample| &sample.captions);
    let store = &mut encoders.embeddings;
    let new: Vec<&String> = captions()
        .filter(|caption| store.get(&VectorStore::key(caption.as_bytes())).is_none())
        .collect();
    for texts in new.chunks(TEXTS_AT_ONCE) {
        let embeddings = encoders.encoder.embed(texts)?;
        let keys = texts.iter().map(|text| VectorStore::key(text.as_bytes()));
        store.put(keys.zip(embeddings))?;
    }
    let target = |sample: &Sample| {
        let mut sum = vec![0.0f32; encoders.encoder.width()];
        let share = 1.0 / sample.captions.len().max(1) as f32;
        for caption in &sample.captions {
            let embedding = store
                .get(&VectorStore::key(caption.as_bytes()))
                .context("an embedding is missing from its store")?;
            sum.iter_mut()
                .zip(embedding)
                .for_each(|(sum, value)| *sum += share * value);
        }
        Ok(sum)
    };
    samples.iter().map(target).collect()
}
