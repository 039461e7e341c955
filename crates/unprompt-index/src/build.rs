//! Making an index, so that it can be killed at any moment and gone on with.
//!
//! First the prompts are read through once, which tells how many there are and gives them a digest;
//! that and the models are the plan (`build.json`). Then they are read again, embedded and written
//! segment by segment. A segment that is there already is checked and kept. The manifest comes last:
//! what has none is no index.

use crate::{
    IndexError, ModelIdentity, Result, durable,
    file_names::{segment_folder, segment_path},
    manifest::{Manifest, Plan, PromptCounts, SegmentRecord},
    prompts::PromptIterator,
    segment::{self, Rows, Segment, hexadecimal},
    unique::Unique,
};
use half::f16;
use sha2::{Digest, Sha256};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

/// A function that gives each text a vector, for example a model's text tower.
pub type Embedder<'a> = dyn Fn(&[String]) -> std::result::Result<Vec<Vec<f32>>, Box<dyn std::error::Error + Send + Sync>>
    + 'a;

/// Where a build gets its embeddings from.
pub struct Embedders<'a> {
    /// The CLIP that `clip` is.
    pub clip_model: ModelIdentity,
    /// Its text tower.
    pub clip: &'a Embedder<'a>,
    /// The sentence encoder that `sentence` is.
    pub sentence_model: ModelIdentity,
    /// The sentence encoder.
    pub sentence: &'a Embedder<'a>,
}

/// How an index is built.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions {
    /// Prompts that are embedded together. Changes no byte of the index.
    pub batch: usize,
    /// Prompts in a segment: what is lost at most when a build is interrupted.
    pub segment_rows: usize,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            batch: 64,
            segment_rows: 2048,
        }
    }
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildProgress {
    /// So many rows of the input have been read in the first pass.
    Read(u64),
    /// Prompts in the index to be, and how many of them an earlier run has embedded.
    Begun {
        /// All prompts.
        rows: u64,
    },
    /// So many more are done.
    Embedded(u64),
    /// So many more were found done.
    Found(u64),
}

/// Builds an index in `folder`, or goes on with one that was interrupted; where it is there already,
/// nothing is done. `prompts` begins to read the list from its start, twice.
///
/// Prompts are trimmed; empty ones and those seen before are left out. Embeddings are brought to
/// unit length and rounded to half precision. The same prompts and models give the same bytes,
/// however often the build was interrupted.
///
/// # Errors
/// When the folder holds another index, the prompts cannot be read or change in between, an
/// embedding is not finite, or the disk fails. What was written stays, and the next run uses it.
pub fn build(
    folder: &Path,
    prompts: &dyn Fn() -> Result<PromptIterator>,
    embedders: &Embedders<'_>,
    options: BuildOptions,
    progress: &mut dyn FnMut(BuildProgress),
) -> Result<Manifest> {
    durable::create_folder(&segment_folder(folder))?;
    let _lock = lock(folder)?;
    durable::remove_leftovers(folder);
    durable::remove_leftovers(&segment_folder(folder));

    let segment_rows = options.segment_rows.clamp(1, 1 << 20);
    let counts = count(prompts()?, progress)?;
    let asked = Plan {
        clip: embedders.clip_model.clone(),
        sentence: embedders.sentence_model.clone(),
        prompts: counts,
        segment_rows: segment_rows as u64,
    };
    let refuse = |plan: &Plan, what: &str| match plan.difference(&asked) {
        None => Ok(()),
        Some(difference) => Err(IndexError::Occupied {
            folder: folder.to_owned(),
            message: format!("{what} is here: {difference}"),
        }),
    };
    if let Some(manifest) = Manifest::read(folder)? {
        refuse(&manifest.plan(), "another index")?;
        Plan::remove(folder)?;
        return Ok(manifest);
    }
    let plan = match Plan::read(folder)? {
        Some(plan) => {
            refuse(&plan, "an unfinished index")?;
            plan
        }
        None => {
            refuse_foreign(folder)?;
            asked.write(folder)?;
            asked
        }
    };
    progress(BuildProgress::Begun {
        rows: plan.prompts.rows,
    });
    let mut builder = Builder {
        folder,
        embedders,
        batch: options.batch.max(1),
        widths: None,
        segments: Vec::new(),
        progress,
    };
    let mut hasher = PromptHasher::default();
    let mut pending = Vec::new();
    let mut unique = Unique::new(prompts()?);
    for prompt in &mut unique {
        let prompt = prompt?;
        hasher.add(&prompt);
        pending.push(prompt);
        if pending.len() == segment_rows {
            builder.segment(&pending)?;
            pending.clear();
        }
    }
    if !pending.is_empty() {
        builder.segment(&pending)?;
    }
    if hasher.finish() != plan.prompts.sha256 {
        return Err(IndexError::Embedding(
            "the list of prompts changed while it was read; build the index again in another folder"
                .to_owned(),
        ));
    }
    let (clip_width, sentence_width) = builder.widths.unwrap_or_default();
    let segments = builder.segments;
    let manifest = Manifest::new(plan, clip_width as u64, sentence_width as u64, segments);
    manifest.write(folder)?;
    Plan::remove(folder)?;
    Ok(manifest)
}

/// One build at a time. The lock goes with the process, however that ends.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let failed = |error| IndexError::io("lock", &path, error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::Busy {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A folder without a plan must hold nothing that a build would mix with.
fn refuse_foreign(folder: &Path) -> Result<()> {
    let names = std::fs::read_dir(folder).map_err(|error| IndexError::io("read", folder, error))?;
    let names = names
        .chain(
            std::fs::read_dir(segment_folder(folder))
                .into_iter()
                .flatten(),
        )
        .flatten()
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter(|name| name != Path::new("lock") && name != Path::new("segments"));
    // The first by name: the system lists them in any order.
    match names.min() {
        None => Ok(()),
        Some(name) => Err(IndexError::Occupied {
            folder: folder.to_owned(),
            message: format!("the folder holds other files, such as {}", name.display()),
        }),
    }
}

/// The first pass.
fn count(prompts: PromptIterator, progress: &mut dyn FnMut(BuildProgress)) -> Result<PromptCounts> {
    let mut hasher = PromptHasher::default();
    let mut unique = Unique::new(prompts);
    let mut rows = 0;
    for prompt in &mut unique {
        hasher.add(&prompt?);
        rows += 1;
        progress(BuildProgress::Read(rows));
    }
    if rows == 0 {
        return Err(IndexError::Embedding(format!(
            "the list holds no prompt ({} empty rows); an index needs one at least",
            unique.empty()
        )));
    }
    Ok(PromptCounts {
        rows,
        duplicates: unique.duplicates(),
        empty: unique.empty(),
        sha256: hasher.finish(),
    })
}

/// The digest of [`PromptCounts::sha256`].
#[derive(Debug, Default)]
pub struct PromptHasher(Sha256);

impl PromptHasher {
    /// Takes the next prompt.
    pub fn add(&mut self, prompt: &str) {
        self.0.update((prompt.len() as u64).to_le_bytes());
        self.0.update(prompt);
    }

    /// In hexadecimal digits.
    pub fn finish(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

struct Builder<'a> {
    folder: &'a Path,
    embedders: &'a Embedders<'a>,
    batch: usize,
    /// Of the CLIP embeddings and the sentence embeddings, once known.
    widths: Option<(usize, usize)>,
    segments: Vec<SegmentRecord>,
    progress: &'a mut dyn FnMut(BuildProgress),
}

impl Builder<'_> {
    /// The next segment: found, or made.
    fn segment(&mut self, prompts: &[String]) -> Result<()> {
        let path = segment_path(self.folder, self.segments.len());
        if path.exists()
            && let Ok(segment) = Segment::open(&path)
            && self.holds(&segment, prompts)
        {
            (self.progress)(BuildProgress::Found(prompts.len() as u64));
            return self.add(&segment);
        }
        let (mut clip, mut sentence) = (Vec::new(), Vec::new());
        for batch in prompts.chunks(self.batch) {
            let width = append(
                &mut clip,
                batch,
                self.embedders.clip,
                self.widths.map(|w| w.0),
            )?;
            let sentence_width = append(
                &mut sentence,
                batch,
                self.embedders.sentence,
                self.widths.map(|w| w.1),
            )?;
            self.widths = Some((width, sentence_width));
            (self.progress)(BuildProgress::Embedded(batch.len() as u64));
        }
        let rows = Rows {
            prompts,
            clip: &clip,
            sentence: &sentence,
        };
        segment::write(&path, &rows)?;
        self.add(&Segment::open(&path)?)
    }

    /// Whether an earlier run wrote just this.
    fn holds(&self, segment: &Segment, prompts: &[String]) -> bool {
        let widths = (
            segment.width(crate::Space::Clip),
            segment.width(crate::Space::Sentence),
        );
        segment.rows() == prompts.len()
            && self.widths.is_none_or(|known| known == widths)
            && segment.check().is_ok()
            && (0..prompts.len()).all(|row| segment.prompt(row) == prompts[row])
    }

    fn add(&mut self, segment: &Segment) -> Result<()> {
        self.widths = Some((
            segment.width(crate::Space::Clip),
            segment.width(crate::Space::Sentence),
        ));
        self.segments.push(SegmentRecord {
            rows: segment.rows() as u64,
            bytes: segment.bytes() as u64,
            sha256: segment.digest(),
        });
        segment.release();
        Ok(())
    }
}

/// Embeds a batch and adds it to the rows of a segment; returns the width of the embeddings.
fn append(
    rows: &mut Vec<u16>,
    batch: &[String],
    embed: &Embedder<'_>,
    width: Option<usize>,
) -> Result<usize> {
    let embeddings = embed(batch).map_err(IndexError::Embedder)?;
    let width = width.or(embeddings.first().map(Vec::len)).unwrap_or(0);
    if embeddings.len() != batch.len() || width == 0 {
        let (given, expected) = (embeddings.len(), batch.len());
        let message = format!("{given} embeddings of width {width} for {expected} prompts");
        return Err(IndexError::Embedding(message));
    }
    for (embedding, prompt) in embeddings.iter().zip(batch) {
        let unit = to_unit_length(embedding, width).map_err(|message| {
            let prompt: String = prompt
                .chars()
                .take(60)
                .flat_map(char::escape_default)
                .collect();
            IndexError::Embedding(format!("the embedding of `{prompt}` {message}"))
        })?;
        rows.extend(unit.map(|value| f16::from_f32(value).to_bits()));
    }
    Ok(width)
}

/// The values of a vector brought to unit length, or what is wrong with it.
pub(crate) fn to_unit_length(
    vector: &[f32],
    width: usize,
) -> std::result::Result<impl Iterator<Item = f32>, String> {
    if vector.len() != width {
        return Err(format!("has {} numbers, expected {width}", vector.len()));
    }
    let squares: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    let norm = squares.sqrt();
    if !norm.is_finite() || norm == 0.0 {
        return Err(format!("has the length {norm}, so it has no direction"));
    }
    Ok(vector
        .iter()
        .map(move |value| (f64::from(*value) / norm) as f32))
}

#[cfg(test)]
mod tests;
