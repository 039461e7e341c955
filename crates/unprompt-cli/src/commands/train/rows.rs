//! From a source of captioned pictures to the rows that a head is trained on.

use crate::{
    arguments::Common, commands::texts::Texts, output::complain, progress::Bar, records::one_line,
};
use anyhow::Result;
use rayon::prelude::*;
use unprompt::{
    FeatureTower, InputError,
    data::{Limits, NearDuplicates, Sample, Source, SourceSpec, picture_groups},
    image::{self, decode},
    train::{SourceRows, VectorStore, Vocabulary},
};

/// Bad records of a source that are shown one by one; of all the number is.
pub(super) const SHOWN: usize = 5;

/// What features and embeddings are made with, and where they are kept.
pub(super) struct Encoders {
    pub(super) towers: Vec<Tower>,
    pub(super) texts: Texts,
    /// Counts the captions' words, if anything is to be done with them.
    pub(super) vocabulary: Option<Vocabulary>,
    /// Compares the captions with each other, if pictures are to be divided by them.
    pub(super) likeness: Option<Likeness>,
}

/// Which captions of the pictures that gave rows are alike.
pub(super) struct Likeness {
    near: NearDuplicates,
    /// How many captions each picture has.
    counts: Vec<usize>,
}

impl Likeness {
    pub(super) fn new(width: usize) -> Self {
        Self {
            near: NearDuplicates::new(width),
            counts: Vec::new(),
        }
    }

    /// The group of each picture, of all sources one after the other.
    pub(super) fn groups(&self) -> Vec<usize> {
        let pictures = picture_groups(&self.counts, &self.near.groups());
        pictures.iter().map(|picture| picture.group).collect()
    }

    fn take(&mut self, samples: &[&Sample], texts: &Texts) -> Result<()> {
        let captions = samples.iter().flat_map(|sample| &sample.captions);
        let rows = captions.map(|caption| Ok(texts.of(caption)?.to_vec()));
        self.near.push(&rows.collect::<Result<Vec<_>>>()?);
        self.counts
            .extend(samples.iter().map(|sample| sample.captions.len()));
        Ok(())
    }
}

/// A tower and the features that it gave before.
pub(crate) struct Tower {
    pub(crate) network: FeatureTower,
    pub(crate) features: VectorStore,
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
            words: Vec::new(),
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
        let features = features(&samples, &mut encoders.towers)?;
        let targets = encoders.texts.targets(&samples)?;
        let mut whole = Vec::new();
        for ((sample, features), target) in samples.iter().zip(features).zip(targets) {
            match features {
                Ok(features) => {
                    rows.rows.features.push(features);
                    rows.rows.targets.push(target);
                    whole.push(sample);
                    if let Some(vocabulary) = &mut encoders.vocabulary {
                        rows.rows.words.push(vocabulary.take(&sample.captions));
                    }
                }
                Err(error) => rows.complain(common, &bar, &format!("{}: {error}", sample.id)),
            }
        }
        if let Some(likeness) = &mut encoders.likeness {
            likeness.take(&whole, &encoders.texts)?;
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

/// The features of each picture, those of all towers one after the other.
pub(crate) fn features(
    samples: &[Sample],
    towers: &mut [Tower],
) -> Result<Vec<Result<Vec<f32>, InputError>>> {
    let keys: Vec<[u8; 32]> = samples
        .par_iter()
        .map(|sample| VectorStore::key(&sample.picture))
        .collect();
    let mut rows: Vec<Result<Vec<f32>, InputError>> =
        samples.iter().map(|_| Ok(Vec::new())).collect();
    for tower in towers {
        for (row, found) in rows.iter_mut().zip(tower.of(samples, &keys)?) {
            match (row.as_mut(), found) {
                (Ok(row), Ok(features)) => row.extend(features),
                (Ok(_), Err(error)) => *row = Err(error),
                (Err(_), _) => {}
            }
        }
    }
    Ok(rows)
}

impl Tower {
    /// The features of each picture, from the store or computed now.
    fn of(
        &mut self,
        samples: &[Sample],
        keys: &[[u8; 32]],
    ) -> Result<Vec<Result<Vec<f32>, InputError>>> {
        let (network, known) = (&self.network, &self.features);
        let found: Vec<Result<Vec<f32>, InputError>> = samples
            .par_iter()
            .zip(keys)
            .map(|(sample, key)| match known.get(key) {
                Some(features) => Ok(features.to_vec()),
                None => features_of(&sample.picture, network),
            })
            .collect();
        let new = keys.iter().copied().zip(&found);
        self.features
            .put(new.filter_map(|(key, features)| Some((key, features.as_ref().ok()?.clone()))))?;
        Ok(found)
    }
}

fn features_of(picture: &[u8], tower: &FeatureTower) -> Result<Vec<f32>, InputError> {
    let options = tower.decode_options(image::Limits::default());
    tower.features(&decode(picture, &options)?)
}
