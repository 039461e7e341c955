//! A list of labels with its embeddings.

use crate::{
    InterrogateError, LabelList, PhraseEncoder, Result, TableCache,
    cache::Found,
    ranking::{End, rank_as_060, row_products, top},
    unfinished::Unfinished,
};
use half::f16;
use serde::Serialize;
use std::borrow::Cow;
use unprompt_checkpoint::Checkpoint;
use unprompt_models::to_unit_length;
use unprompt_nn::dot;

/// Labels that are embedded between two signs of progress.
const LABELS_AT_ONCE: usize = 2048;
/// Labels of a foreign file that are embedded anew to see whether the weights are the same.
const PROBES: usize = 8;
/// Least cosine of a foreign embedding with ours: rounding to half precision, and half-precision
/// arithmetic, stay far above it; other weights far below.
const SAME_WEIGHTS: f32 = 0.995;

/// Hears of tables being made, which may take minutes.
pub trait TableProgress {
    /// A table of so many labels is embedded.
    fn start(&self, table: &str, labels: usize);
    /// So many more labels are done.
    fn advance(&self, labels: usize);
    /// The table is done.
    fn finish(&self);
    /// Something that a user may want to know.
    fn note(&self, message: &str);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoTableProgress;

impl TableProgress for NoTableProgress {
    fn start(&self, _: &str, _: usize) {}
    fn advance(&self, _: usize) {}
    fn finish(&self) {}
    fn note(&self, _: &str) {}
}

/// A label with its cosine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankedLabel {
    /// The label.
    pub label: String,
    /// Its cosine with the picture.
    pub similarity: f32,
}

/// Labels with one embedding each, of unit length and rounded to half precision.
#[derive(Debug)]
pub struct LabelTable {
    list: LabelList,
    rows: Rows,
    width: usize,
}

#[derive(Debug)]
enum Rows {
    /// In a cache file, mapped.
    Stored(Checkpoint),
    /// Little-endian.
    Owned(Vec<u8>),
}

impl LabelTable {
    /// Takes a table from the cache; if it is not there, broken or of something else, it is made
    /// and, where that is possible, kept.
    ///
    /// # Errors
    /// When the network fails.
    pub fn load(
        list: LabelList,
        encoder: &PhraseEncoder,
        cache: Option<&TableCache>,
        progress: &dyn TableProgress,
    ) -> Result<Self> {
        let width = encoder.tower().width();
        let table = |list, rows| Self { list, rows, width };
        let Some(cache) = cache else {
            let (rows, _) = make(&list, encoder, None, progress)?;
            return Ok(table(list, Rows::Owned(bytes(&rows))));
        };
        match cache.find(&list, width) {
            Found::Ours(stored) => return Ok(table(list, Rows::Stored(stored))),
            Found::Foreign(stored) => {
                let path = stored.path().to_owned();
                let found = table(list.clone(), Rows::Stored(stored));
                if found.is_of(encoder)? {
                    return Ok(found);
                }
                progress.note(&format!(
                    "{}: not of these weights; it is made again",
                    path.display()
                ));
            }
            Found::Unusable(why) => progress.note(&format!("{why}; it is made again")),
            Found::Absent => {}
        }
        let (rows, unfinished) = make(&list, encoder, Some(cache), progress)?;
        match cache.write(&list, &rows, width) {
            Ok(stored) => {
                if let Some(unfinished) = unfinished {
                    unfinished.remove();
                }
                Ok(table(list, Rows::Stored(stored)))
            }
            Err(error) => {
                progress.note(&format!("{error}; the next run embeds these labels again"));
                Ok(table(list, Rows::Owned(bytes(&rows))))
            }
        }
    }

    /// The labels.
    pub fn list(&self) -> &LabelList {
        &self.list
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        self.list.name()
    }

    /// The cosine of every label with each of some pictures' unit vectors: for each picture one
    /// number a label.
    ///
    /// # Errors
    /// When the cache file cannot be read any more.
    pub fn similarities(&self, pictures: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        Ok(row_products(&self.rows()?, self.width, pictures))
    }

    /// The `count` labels that are most similar to a picture's unit vector, the most similar first,
    /// equal ones in the order of the list.
    ///
    /// # Errors
    /// As [`similarities`](Self::similarities).
    pub fn rank(&self, picture: &[f32], count: usize) -> Result<Vec<RankedLabel>> {
        let similarities = self.similarities(&[picture])?.swap_remove(0);
        let used = (0..similarities.len()).filter(|place| self.list.is_used(*place));
        let places = top(&similarities, used, count, End::Largest);
        Ok(places
            .into_iter()
            .map(|place| RankedLabel {
                label: self.list.labels()[place].clone(),
                similarity: similarities[place],
            })
            .collect())
    }

    /// The labels that 0.6.0 ranks first: those that are most similar, or least with `reverse`, where the
    /// table is larger than `chunk_size` chosen from a few of each chunk, and then always the most
    /// similar of those.
    ///
    /// # Errors
    /// As [`similarities`](Self::similarities), and where the chunks are too small to keep anything.
    pub fn rank_as_060(
        &self,
        picture: &[f32],
        count: usize,
        reverse: bool,
        chunk_size: usize,
    ) -> Result<Vec<String>> {
        let similarities = self.similarities(&[picture])?.swap_remove(0);
        let used = (0..similarities.len()).filter(|place| self.list.is_used(*place));
        let end = if reverse { End::Smallest } else { End::Largest };
        let places = rank_as_060(&similarities, used, count, end, chunk_size)?;
        let label = |place: usize| self.list.labels()[place].clone();
        Ok(places.into_iter().map(label).collect())
    }

    /// The embeddings, one row a label, each of [`width`](Self::width) numbers.
    ///
    /// # Errors
    /// When the cache file cannot be read any more.
    pub fn embeddings(&self) -> Result<Vec<f16>> {
        let rows = self.rows()?;
        let halves = rows.as_chunks::<2>().0.iter();
        Ok(halves.map(|bytes| f16::from_le_bytes(*bytes)).collect())
    }

    /// Numbers of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    fn rows(&self) -> Result<Cow<'_, [u8]>> {
        match &self.rows {
            Rows::Owned(bytes) => Ok(Cow::Borrowed(bytes)),
            Rows::Stored(stored) => {
                let lost = || InterrogateError::cache(stored.path(), "no `embeds` any more");
                let rows = stored.tensor("embeds").ok_or_else(lost)?;
                rows.data()
                    .map_err(|error| InterrogateError::cache(stored.path(), error))
            }
        }
    }

    /// Whether embeddings of unknown origin are those of this encoder, by a few of them.
    fn is_of(&self, encoder: &PhraseEncoder) -> Result<bool> {
        let count = self.list.labels().len();
        let places: Vec<usize> = match count {
            0 => return Ok(true),
            1..=PROBES => (0..count).collect(),
            _ => (0..PROBES)
                .map(|at| at * (count - 1) / (PROBES - 1))
                .collect(),
        };
        let labels: Vec<&str> = places
            .iter()
            .map(|place| text(&self.list, *place))
            .collect();
        let ours = encoder.embed(&labels)?;
        let rows = self.rows()?;
        Ok(places.iter().zip(ours).all(|(place, ours)| {
            let row = &rows[place * 2 * self.width..(place + 1) * 2 * self.width];
            let halves = row.as_chunks::<2>().0.iter();
            let mut row: Vec<f32> = halves.map(|x| f16::from_le_bytes(*x).to_f32()).collect();
            to_unit_length(&mut row);
            dot(&row, &ours) > SAME_WEIGHTS
        }))
    }
}

/// What is embedded for a label: nothing for one that no tokenizer takes.
fn text(list: &LabelList, index: usize) -> &str {
    let label = &list.labels()[index];
    if label.len() > 1 << 20 { "" } else { label }
}

/// Embeds a list. A large one is kept in a cache as far as it is made, and begins with what an
/// earlier run has kept.
fn make(
    list: &LabelList,
    encoder: &PhraseEncoder,
    cache: Option<&TableCache>,
    progress: &dyn TableProgress,
) -> Result<(Vec<f16>, Option<Unfinished>)> {
    let count = list.labels().len();
    // Neighbours in this order begin alike, and share the work for it.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|index| text(list, *index).to_lowercase());
    let width = encoder.tower().width();
    let blocks: Vec<usize> = order.chunks(LABELS_AT_ONCE).map(<[usize]>::len).collect();
    let kept = cache
        .filter(|_| blocks.len() > 1)
        .and_then(|cache| cache.unfinished(list, &blocks, width));
    let (mut unfinished, made) = kept.map_or((None, Vec::new()), |(file, rows)| (Some(file), rows));
    progress.start(list.name(), count);
    let mut rows = vec![f16::ZERO; count * width];
    let done = made.len() / width.max(1);
    for (place, row) in order.iter().zip(made.chunks_exact(width.max(1))) {
        rows[place * width..(place + 1) * width].copy_from_slice(row);
    }
    progress.advance(done);
    for places in order[done..].chunks(LABELS_AT_ONCE) {
        let texts: Vec<&str> = places.iter().map(|place| text(list, *place)).collect();
        let block: Vec<f16> = encoder
            .embed(&texts)?
            .into_iter()
            .flatten()
            .map(f16::from_f32)
            .collect();
        for (place, row) in places.iter().zip(block.chunks_exact(width.max(1))) {
            rows[place * width..(place + 1) * width].copy_from_slice(row);
        }
        // Where it cannot be kept, a run that is stopped begins again, and what there is takes no space.
        let kept = unfinished
            .as_mut()
            .is_none_or(|file| file.add(&block).is_ok());
        if let Some(file) = unfinished.take_if(|_| !kept) {
            file.remove();
        }
        progress.advance(places.len());
    }
    progress.finish();
    Ok((rows, unfinished))
}

fn bytes(rows: &[f16]) -> Vec<u8> {
    rows.iter().flat_map(|value| value.to_le_bytes()).collect()
}
