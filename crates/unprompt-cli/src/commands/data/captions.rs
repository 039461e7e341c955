//! The captions of sources, embedded and compared with each other as they come.

use super::report::SourceReport;
use crate::{
    arguments::Common,
    commands::texts::Texts,
    output::complain,
    progress::Bar,
    records::one_line,
    setup::{compute, hub},
};
use anyhow::Result;
use unprompt::data::{Limits, NearDuplicates, Source, SourceSpec, TextGroup};

/// Texts that are embedded and compared together.
pub(super) const TEXTS_AT_ONCE: usize = 256;
/// Bad records of a source that are shown one by one; of all the number is.
const SHOWN: usize = 5;

/// The encoder and what it said before: what was embedded for `train` is there for this, too.
pub(super) fn load(common: &Common, encoder: &str) -> Result<Texts> {
    let (hub, compute) = (hub(common)?, compute(common)?);
    Ok(Texts::load(common, &hub, encoder, &compute)?.1)
}

/// A caption, by where it is from.
pub(super) struct Caption {
    pub(super) source: String,
    pub(super) id: String,
    pub(super) text: String,
}

pub(super) struct Captions<'a> {
    common: &'a Common,
    pub(super) texts: Texts,
    near: NearDuplicates,
    pub(super) list: Vec<Caption>,
    /// How many of them each picture has.
    pub(super) counts: Vec<usize>,
}

impl<'a> Captions<'a> {
    pub(super) fn new(common: &'a Common, texts: Texts) -> Self {
        Self {
            common,
            near: NearDuplicates::new(texts.width()),
            texts,
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
            self.texts.take(texts.iter().copied())?;
            let rows = texts.iter().map(|text| Ok(self.texts.of(text)?.to_vec()));
            let rows = rows.collect::<Result<Vec<_>>>()?;
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
