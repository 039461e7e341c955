//! The pictures and targets of a run in its own folder, read from their sources once: archives and lists
//! can only be read from their beginning, and a run that goes on is to see the same.

use super::rows::SHOWN;
use crate::{
    arguments::Common, commands::texts::Texts, output::complain, progress::Bar, records::one_line,
};
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fs, path::Path};
use unprompt::{
    data::{Limits, Sample, Source, SourceSpec},
    image::{DecodeOptions, decode},
    train::{PictureFile, PictureFileWriter, Place, SourceItems, VectorStore},
};

const PICTURES: &str = "pictures";
const TARGETS: &str = "targets";
const LIST: &str = "samples.json";

/// What a run sees.
pub(super) struct Samples {
    pub(super) list: List,
    /// Each item's target, one after the other.
    pub(super) targets: Vec<f32>,
    pub(super) pictures: PictureFile,
    /// The digest of all of it.
    pub(super) digest: String,
}

/// What is written beside pictures and targets.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct List {
    pub(super) sources: Vec<Counted>,
    /// Numbers of a target.
    pub(super) width: usize,
    pub(super) items: Vec<Item>,
}

/// A source, and what became of its records.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Counted {
    pub(super) name: String,
    pub(super) samples: usize,
    pub(super) bad: usize,
    /// Items that are of none of the sources before it; they follow those of these.
    pub(super) items: usize,
}

/// Pictures with the same captions.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Item {
    pub(super) ids: Vec<String>,
    pub(super) places: Vec<Place>,
}

impl Samples {
    /// Whether a folder has what [`prepare`](Self::prepare) writes.
    pub(super) fn are_in(folder: &Path) -> bool {
        folder.join(LIST).is_file()
    }

    /// Reads all sources to their ends. The list is written last.
    pub(super) fn prepare(
        common: &Common,
        folder: &Path,
        specs: &[SourceSpec],
        texts: &mut Texts,
        decoding: &DecodeOptions,
    ) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut pictures = PictureFileWriter::create(&folder.join(PICTURES))?;
        let mut list = List {
            width: texts.width(),
            ..List::default()
        };
        let (mut known, mut targets) = (HashMap::new(), Vec::new());
        for spec in specs {
            let before = list.items.len();
            let mut counted = read(common, spec, decoding, |samples| {
                for (sample, target) in samples.iter().zip(texts.targets(samples)?) {
                    let captions = sample.captions.join("\n");
                    let next = list.items.len();
                    let item = *known
                        .entry(VectorStore::key(captions.as_bytes()))
                        .or_insert(next);
                    if item == next {
                        list.items.push(Item::default());
                        targets.extend(target);
                    }
                    list.items[item]
                        .ids
                        .push(format!("{}: {}", spec.name, sample.id));
                    list.items[item]
                        .places
                        .push(pictures.push(&sample.picture)?);
                }
                Ok(())
            })?;
            counted.items = list.items.len() - before;
            list.sources.push(counted);
        }
        if list.items.is_empty() {
            bail!("there is no picture to train on");
        }
        pictures.finish()?;
        let bytes: Vec<u8> = targets
            .iter()
            .flat_map(|value: &f32| value.to_le_bytes())
            .collect();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            unprompt_files::write(&path, bytes)
                .with_context(|| format!("cannot write {}", path.display()))
        };
        write(TARGETS, &bytes)?;
        write(LIST, serde_json::to_string(&list)?.as_bytes())
    }

    /// Opens what was prepared.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (text, bytes) = (read(LIST)?, read(TARGETS)?);
        let damaged = || format!("{}: damaged; begin anew elsewhere", folder.display());
        let list: List = serde_json::from_slice(&text).with_context(damaged)?;
        let chunks = bytes.as_chunks::<4>().0.iter();
        let targets: Vec<f32> = chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let items: usize = list.sources.iter().map(|source| source.items).sum();
        if targets.len() != list.items.len() * list.width || items != list.items.len() {
            bail!(damaged());
        }
        let digest = VectorStore::key(&[text, bytes].concat());
        Ok(Self {
            list,
            targets,
            pictures: PictureFile::open(&folder.join(PICTURES))?,
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// The items of each source with its weight, which `specs` has.
    pub(super) fn mixture(&self, specs: &[SourceSpec]) -> Result<Vec<SourceItems>> {
        let names = specs.iter().map(|spec| &spec.name);
        if !names.eq(self.list.sources.iter().map(|source| &source.name)) {
            bail!("the run was begun with other data; give the same --data again");
        }
        let mut items = self.list.items.iter();
        let sources = specs.iter().zip(&self.list.sources);
        let source = sources.map(|(spec, source)| SourceItems {
            weight: spec.weight,
            pictures: items
                .by_ref()
                .take(source.items)
                .map(|item| item.places.len())
                .collect(),
        });
        Ok(source.collect())
    }

    /// An item's target.
    pub(super) fn target(&self, item: usize) -> &[f32] {
        &self.targets[item * self.list.width..(item + 1) * self.list.width]
    }
}

/// Hands over the samples of a source whose pictures can be decoded.
fn read(
    common: &Common,
    spec: &SourceSpec,
    decoding: &DecodeOptions,
    mut take: impl FnMut(&[Sample]) -> Result<()>,
) -> Result<Counted> {
    let mut source = Source::open(spec, Limits::default())?;
    let mut counted = Counted {
        name: spec.name.clone(),
        samples: 0,
        bad: 0,
        items: 0,
    };
    let mut bar = Bar::open_ended(&format!("{}: pictures", spec.name), common.quiet);
    let note = |counted: &mut Counted, bar: &Bar, error: &dyn std::fmt::Display| {
        counted.bad += 1;
        if counted.bad <= SHOWN && !common.quiet {
            let line = one_line(&format!("{}: {error}", spec.name));
            bar.suspend(|| complain(&line));
        }
    };
    loop {
        let mut samples = Vec::new();
        while samples.len() < common.batch_size.into() {
            match source.next() {
                Some(Ok(sample)) => samples.push(sample),
                Some(Err(error)) => note(&mut counted, &bar, &error),
                None => break,
            }
        }
        if samples.is_empty() {
            break;
        }
        bar.advance(samples.len() as u64);
        let decoded: Vec<_> = samples
            .par_iter()
            .map(|sample| decode(&sample.picture, decoding).map(drop))
            .collect();
        let mut whole = Vec::with_capacity(samples.len());
        for (sample, decoded) in samples.into_iter().zip(decoded) {
            match decoded {
                Ok(()) => whole.push(sample),
                Err(error) => note(&mut counted, &bar, &format!("{}: {error}", sample.id)),
            }
        }
        counted.samples += whole.len();
        take(&whole)?;
    }
    bar.finish();
    if counted.bad > SHOWN {
        complain(&format!(
            "{}: {} records in all gave nothing",
            counted.name, counted.bad
        ));
    }
    Ok(counted)
}
