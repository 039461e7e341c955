//! The captions of sources, embedded and compared with each other as they come.

use super::report::SourceReport;
use crate::{
    arguments::Common,
    output::complain,
    progress::{Bar, LoadingProgress},
    records::one_line,
    setup::{compute, hub},
};
use anyhow::{Context, Result};
use unprompt::{
    SentenceEncoder,
    data::{Limits, NearDuplicates, Source, SourceSpec, TextGroup},
    load_sentence_encoder,
    train::VectorStore,
};

/// Texts that are embedded and compared together.
pub(super) const TEXTS_AT_ONCE: usize = 256;
/// Bad records of a source that are shown one by one; of all the number is.
const SHOWN: usize = 5;

/// A sentence encoder and what it said before.
pub(super) struct Encoder {
    pub(super) encoder: SentenceEncoder,
    store: VectorStore,
}

impl Encoder {
    pub(super) fn load(common: &Common, name: &str) -> Result<Self> {
        let (hub, compute) = (hub(common)?, compute(common)?);
        let progress = LoadingProgress::new(common.quiet);
        let (model, encoder) = load_sentence_encoder(&hub, name, &compute, &progress)?;
        // The same that `train` keeps: what was embedded for one is there for the other.
        let identity = compute.identity(model.sha256()?);
        let store = VectorStore::open(
            &hub.environment().own_cache.join("features"),
            &format!("texts {identity}"),
            encoder.width(),
        )?;
        Ok(Self { encoder, store })
    }

    /// The embeddings of texts, from the store or computed now.
    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let keys: Vec<[u8; 32]> = texts
            .iter()
            .map(|text| VectorStore::key(text.as_bytes()))
            .collect();
        let (mut new, mut new_keys) = (Vec::new(), Vec::new());
        for (text, key) in texts.iter().zip(&keys) {
            if self.store.get(key).is_none() {
                new.push(*text);
                new_keys.push(*key);
            }
        }
        let rows = self.encoder.embed(&new)?;
        self.store.put(new_keys.into_iter().zip(rows))?;
        keys.iter()
            .map(|key| {
                let row = self.store.get(key).map(<[f32]>::to_vec);
                row.context("an embedding is missing from its store")
            })
            .collect()
    }
}

/// A caption, by where it is from.
pub(super) struct Caption {
    pub(super) source: String,
    pub(super) id: String,
    pub(super) text: String,
}

pub(super) struct Captions<'a> {
    common: &'a Common,
    pub(super) encoder: Encoder,
    near: NearDuplicates,
    pub(super) list: Vec<Caption>,
    /// How many of them each picture has.
    pub(super) counts: Vec<usize>,
}

impl<'a> Captions<'a> {
    pub(super) fn new(common: &'a Common, encoder: Encoder) -> Self {
        Self {
            common,
            near: NearDuplicates::new(encoder.encoder.width()),
            encoder,
            list: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// What was found about each caption.
    pub(super) fn groups(&self) -> Vec<TextGroup> {
        self.near.groups()
    }

    /// Reads the captions of a source to its end, and shows each with its embedding; what is distinct
    /// is known once all are read.
    pub(super) fn read(
        &mut self,
        spec: &SourceSpec,
        mut show: impl FnMut(&[(&str, &[f32])]),
    ) -> Result<SourceReport> {
        let quiet = self.common.quiet;
        let mut source = Source::open(spec, Limits::default())?;
        let mut bar = Bar::open_ended(&format!("{}: captions", spec.name), quiet);
        let begin = self.list.len();
        let mut ended = false;
        while !ended {
            let from = self.list.len();
            while self.list.len() - from < TEXTS_AT_ONCE {
                match source.next() {
                    Some(Ok(sample)) => {
                        let id = sample.id;
                        self.counts.push(sample.captions.len());
                        self.list
                            .extend(sample.captions.into_iter().map(|text| Caption {
                                source: spec.name.clone(),
                                id: id.clone(),
                                text,
                            }));
                    }
                    Some(Err(error)) => {
                        if source.tally().bad <= SHOWN && !quiet {
                            let line = one_line(&format!("{}: {error}", spec.name));
                            bar.suspend(|| complain(&line));
                        }
                    }
                    None => {
                        ended = true;
                        break;
                    }
                }
            }
            let new = &self.list[from..];
            let texts: Vec<&str> = new.iter().map(|caption| caption.text.as_str()).collect();
            let rows = self.encoder.embed(&texts)?;
            let shown: Vec<(&str, &[f32])> = texts
                .iter()
                .copied()
                .zip(rows.iter().map(Vec::as_slice))
                .collect();
            show(&shown);
            self.near.push(&rows);
            bar.advance(rows.len() as u64);
        }
        bar.finish();
        let tally = source.tally();
        if tally.bad > SHOWN {
            let (name, bad) = (&spec.name, tally.bad);
            complain(&one_line(&format!(
                "{name}: {bad} records in all gave nothing"
            )));
        }
        Ok(SourceReport {
            name: spec.name.clone(),
            samples: tally.samples,
            bad: tally.bad,
            captions: self.list.len() - begin,
            distinct: 0,
        })
    }
}
