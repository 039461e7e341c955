//! An index that is there, for reading.

use crate::{
    Extent, IndexError, Kept, Match, NearestPrompts, PromptStore, Result, Space,
    file_names::segment_path,
    manifest::{self, Manifest, ModelIdentity, PromptCounts, SegmentRecord},
    nearest::Neighbour,
    search::search,
    segment::Segment,
};
use rayon::prelude::*;
use std::path::Path;

/// An index on disk. Its files are mapped, not read, and each is checked against its digest when it
/// is first searched.
#[derive(Debug)]
pub struct PromptIndex {
    manifest: Manifest,
    segments: Vec<Segment>,
}

impl PromptIndex {
    /// Opens an index. Every file is there afterwards and has its size; see [`PromptIndex::check`] for
    /// what is in them.
    ///
    /// # Errors
    /// When there is none, it is unfinished, or a file is missing, damaged or another's.
    pub fn open(folder: &Path) -> Result<Self> {
        let Some(manifest) = Manifest::read(folder)? else {
            let folder = folder.to_owned();
            return Err(if manifest::has_plan(&folder) {
                IndexError::Unfinished { folder }
            } else {
                IndexError::Missing { folder }
            });
        };
        let open = |(index, record)| open_segment(folder, index, record, &manifest);
        let segments: Result<Vec<Segment>> =
            manifest.segments.iter().enumerate().map(open).collect();
        Ok(Self {
            segments: segments?,
            manifest,
        })
    }

    /// What the index says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Prompts in the index.
    pub fn rows(&self) -> u64 {
        self.manifest.prompts.rows
    }

    /// Reads every file once and compares it with its digest. `progress` is called with the prompts of
    /// each.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] for the first file, in their order, that is not what was written.
    pub fn check(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let check = |segment: &Segment| {
            let checked = segment.check();
            progress(segment.rows() as u64);
            checked
        };
        let checked: Vec<Result<()>> = self.segments.par_iter().map(check).collect();
        checked.into_iter().collect()
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The rows nearest to each query and their cosines; see [`NearestPrompts::nearest`], which adds
    /// what the rows hold.
    ///
    /// # Errors
    /// When a query is of another width or has no direction, or a file is damaged.
    pub fn nearest_rows(
        &self,
        space: Space,
        queries: &[Vec<f32>],
        count: usize,
    ) -> Result<Vec<Vec<Neighbour>>> {
        search(&self.segments, space, queries, count)
    }

    fn found(&self, neighbour: Neighbour) -> Match {
        let segment_rows = self.manifest.segment_rows;
        let segment = &self.segments[(neighbour.row / segment_rows) as usize];
        let row = (neighbour.row % segment_rows) as usize;
        Match {
            row: neighbour.row,
            prompt: segment.prompt(row).to_owned(),
            similarity: neighbour.similarity,
            embedding: segment.embedding(Space::Sentence, row),
        }
    }
}

impl NearestPrompts for PromptIndex {
    fn nearest(&self, space: Space, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Match>>> {
        let rows = self.nearest_rows(space, queries, count)?;
        let matches = rows
            .into_iter()
            .map(|rows| rows.into_iter().map(|row| self.found(row)).collect());
        let matches = matches.collect();
        self.segments.iter().for_each(Segment::release);
        Ok(matches)
    }
}

impl PromptStore for PromptIndex {
    fn clip(&self) -> &ModelIdentity {
        &self.manifest().clip
    }

    fn sentence(&self) -> &ModelIdentity {
        &self.manifest().sentence
    }

    fn prompts(&self) -> &PromptCounts {
        &self.manifest().prompts
    }

    fn width(&self, space: Space) -> u64 {
        self.manifest().width(space)
    }

    fn extent(&self) -> Result<Extent> {
        let manifest = self.manifest();
        Ok(Extent {
            bytes: manifest.bytes(),
            kept: Kept::Files {
                count: manifest.segment_count(),
                rows: manifest.segment_rows,
            },
        })
    }

    fn check(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        Self::check(self, progress)
    }
}

fn open_segment(
    folder: &Path,
    index: usize,
    record: &SegmentRecord,
    manifest: &Manifest,
) -> Result<Segment> {
    let segment = Segment::open(&segment_path(folder, index))?;
    let is_last = index + 1 == manifest.segments.len();
    let widths = [Space::Clip, Space::Sentence].map(|space| segment.width(space) as u64);
    let agrees = segment.rows() as u64 == record.rows
        && segment.bytes() as u64 == record.bytes
        && segment.digest() == record.sha256
        && widths == [manifest.clip_width, manifest.sentence_width]
        && widths.iter().all(|width| *width > 0)
        // One without rows could claim any width.
        && record.rows > 0
        && (record.rows == manifest.segment_rows
            || (is_last && record.rows < manifest.segment_rows));
    // The system brings pages beside those that were read; they add up over many segments.
    segment.release();
    if agrees {
        return Ok(segment);
    }
    let (rows, digest) = (segment.rows(), segment.digest());
    Err(IndexError::damaged(
        segment.path(),
        format!(
            "it holds {rows} rows of {widths:?} with the digest {digest}; the manifest expects {} rows of {:?} with {}",
            record.rows,
            [manifest.clip_width, manifest.sentence_width],
            record.sha256
        ),
    ))
}
