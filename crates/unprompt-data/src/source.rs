//! A source that is open: samples, one after the other.

use crate::{
    DataError, Layout, Limits, RecordError, RecordProblem, Sample, SourceSpec,
    read::{self, Records},
};

/// The samples of a source, cleaned up, up to its cap; bad records are errors between them.
pub struct Source {
    records: Records,
    spec: SourceSpec,
    tally: Tally,
}

/// How many records were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Samples that were handed out.
    pub samples: usize,
    /// Records that gave none.
    pub bad: usize,
}

impl Source {
    /// Opens a source; its layout is told from what is there where the specification leaves it.
    ///
    /// # Errors
    /// When nothing is there, the layout cannot be told, or a list of pictures cannot be read.
    pub fn open(spec: &SourceSpec, limits: Limits) -> Result<Self, DataError> {
        let layout = match spec.layout {
            Some(layout) => layout,
            None => read::layout_of(&spec.path)?,
        };
        let records = match layout {
            Layout::Csv => read::csv::open(spec, limits)?,
            Layout::Sidecar => read::sidecar::open(spec, limits)?,
            Layout::Shards => read::shards::open(spec, limits)?,
            Layout::Jsonl => read::jsonl::open(spec, limits)?,
            Layout::Coco => read::coco::open(spec, limits)?,
            Layout::Parquet => read::parquet::open(spec, limits)?,
            Layout::DiffusionDb => read::diffusiondb::open(spec, limits)?,
            Layout::Tokens => read::tokens::open(spec, limits)?,
        };
        Ok(Self {
            records,
            spec: spec.clone(),
            tally: Tally::default(),
        })
    }

    /// What was read so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn cleaned(&self, mut sample: Sample) -> Result<Sample, RecordError> {
        let clean_up = self.spec.clean_up;
        let captions = sample.captions.iter();
        sample.captions = captions.filter_map(|text| clean_up.apply(text)).collect();
        if sample.captions.is_empty() {
            return Err(RecordProblem::NoCaption.of(sample.id));
        }
        Ok(sample)
    }
}

impl Iterator for Source {
    type Item = Result<Sample, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.tally.samples >= self.spec.most {
            return None;
        }
        let found = self.records.next()?;
        let found = found.and_then(|sample| self.cleaned(sample));
        match &found {
            Ok(_) => self.tally.samples += 1,
            Err(_) => self.tally.bad += 1,
        }
        Some(found)
    }
}
