//! One file of the index: some thousand prompts with both of their embeddings.
//!
//! All numbers are little-endian; every section begins at a multiple of 64 bytes:
//!
//! | section | holds |
//! |---|---|
//! | header, 64 bytes | `UNPRIDX1`, rows (u32), width of a CLIP embedding (u32), of a sentence embedding (u32), 0 (u32), bytes of text (u64) |
//! | CLIP rows | rows x width halves |
//! | sentence rows | rows x width halves |
//! | text ends | for each row, where its prompt ends in the text (u64) |
//! | text | the prompts, one after the other |
//! | digest, 32 bytes | SHA-256 of all that comes before |

use crate::{
    IndexError, Result, Space, durable,
    map::{map_file, prefetch, release},
};
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::{
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::OnceLock,
};

#[cfg(target_endian = "big")]
compile_error!("segments are read as they lie in the file, which is little-endian");

const MAGIC: [u8; 8] = *b"UNPRIDX1";
const HEADER: usize = 64;
const ALIGNMENT: usize = 64;
const DIGEST: usize = 32;

/// What a segment is made of.
pub(crate) struct Rows<'a> {
    pub(crate) prompts: &'a [String],
    /// Bits of halves, row after row.
    pub(crate) clip: &'a [u16],
    pub(crate) sentence: &'a [u16],
}

/// Where the sections of a segment lie.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    rows: usize,
    clip_width: usize,
    sentence_width: usize,
    clip: Range<usize>,
    sentence: Range<usize>,
    ends: Range<usize>,
    text: Range<usize>,
}

impl Layout {
    /// `None` where a size is larger than the address space.
    fn new(rows: usize, clip_width: usize, sentence_width: usize, text: usize) -> Option<Self> {
        let after = |end: usize, length: Option<usize>| {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            Some(start..start.checked_add(length?)?)
        };
        let halves = |width: usize| rows.checked_mul(width)?.checked_mul(2);
        let clip = after(HEADER, halves(clip_width))?;
        let sentence = after(clip.end, halves(sentence_width))?;
        let ends = after(sentence.end, rows.checked_mul(8))?;
        let text = after(ends.end, Some(text))?;
        text.end.checked_add(DIGEST)?;
        Some(Self {
            rows,
            clip_width,
            sentence_width,
            clip,
            sentence,
            ends,
            text,
        })
    }

    fn file_length(&self) -> usize {
        self.text.end + DIGEST
    }
}

/// Writes a segment, all or nothing.
pub(crate) fn write(path: &Path, content: &Rows<'_>) -> Result<()> {
    let rows = content.prompts.len();
    let text = content.prompts.iter().map(String::len).sum();
    let (clip_width, sentence_width) = (content.clip.len() / rows, content.sentence.len() / rows);
    let layout = Layout::new(rows, clip_width, sentence_width, text).filter(|_| {
        [rows, clip_width, sentence_width]
            .iter()
            .all(|size| u32::try_from(*size).is_ok())
    });
    let Some(layout) = layout else {
        let message = "a segment of more than fits its header".to_owned();
        return Err(IndexError::Embedding(message));
    };
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&(rows as u32).to_le_bytes());
    header[12..16].copy_from_slice(&(clip_width as u32).to_le_bytes());
    header[16..20].copy_from_slice(&(sentence_width as u32).to_le_bytes());
    header[24..32].copy_from_slice(&(text as u64).to_le_bytes());
    let mut end = 0;
    let ends: Vec<u64> = content
        .prompts
        .iter()
        .map(|prompt| {
            end += prompt.len() as u64;
            end
        })
        .collect();
    durable::write(path, |file| {
        let mut file = Hashing {
            inner: file,
            hasher: Sha256::new(),
            written: 0,
        };
        file.section(0, &header)?;
        file.section(layout.clip.start, bytemuck::cast_slice(content.clip))?;
        file.section(
            layout.sentence.start,
            bytemuck::cast_slice(content.sentence),
        )?;
        file.section(layout.ends.start, bytemuck::cast_slice(&ends))?;
        file.section(layout.text.start, &[])?;
        for prompt in content.prompts {
            file.add(prompt.as_bytes())?;
        }
        file.inner.write_all(&file.hasher.finalize())
    })
}

struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    written: usize,
}

impl<W: Write> Hashing<W> {
    fn section(&mut self, start: usize, bytes: &[u8]) -> io::Result<()> {
        self.add(&[0; ALIGNMENT][..start - self.written])?;
        self.add(bytes)
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len();
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }
}

/// A segment on disk, mapped. Its sizes are checked when it is opened, its content when
/// [`Segment::check`] is called first.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    map: Mmap,
    layout: Layout,
    /// What the check found; `None` where all is well.
    checked: OnceLock<Option<String>>,
}

impl Segment {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let map = map_file(path)?;
        let damaged = |message: String| Err(IndexError::damaged(path, message));
        let Some(header) = map.first_chunk::<HEADER>() else {
            return damaged(format!("{} bytes, fewer than a header has", map.len()));
        };
        if header[..8] != MAGIC {
            return damaged("the header is not that of a segment".to_owned());
        }
        let size = |start: usize, length: usize| {
            let mut bytes = [0; 8];
            bytes[..length].copy_from_slice(&header[start..start + length]);
            usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        let layout = Layout::new(size(8, 4), size(12, 4), size(16, 4), size(24, 8));
        let expected = layout.as_ref().map(Layout::file_length);
        match layout {
            Some(layout) if expected == Some(map.len()) => Ok(Self {
                path: path.to_owned(),
                map,
                layout,
                checked: OnceLock::new(),
            }),
            _ => damaged(match expected {
                Some(expected) => format!("{} bytes, expected {expected}", map.len()),
                None => format!(
                    "{} bytes, and the header asks for more than 2^64",
                    map.len()
                ),
            }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn rows(&self) -> usize {
        self.layout.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn width(&self, space: Space) -> usize {
        match space {
            Space::Clip => self.layout.clip_width,
            Space::Sentence => self.layout.sentence_width,
        }
    }

    /// The digest that the file carries, in hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        hexadecimal(&self.map[self.map.len() - DIGEST..])
    }

    /// Reads the whole file once and compares it with its digest; later calls know the answer.
    pub(crate) fn check(&self) -> Result<()> {
        let found = self.checked.get_or_init(|| {
            let (content, digest) = self.map.split_at(self.map.len() - DIGEST);
            prefetch(&self.map, &(0..self.map.len()));
            let found = Sha256::digest(content);
            let problem = if found[..] == *digest {
                self.check_text().err()
            } else {
                let (found, expected) = (hexadecimal(&found), hexadecimal(digest));
                Some(format!("its SHA-256 is {found}, expected {expected}"))
            };
            self.release();
            problem
        });
        match found {
            None => Ok(()),
            Some(message) => Err(IndexError::damaged(&self.path, message.clone())),
        }
    }

    fn check_text(&self) -> std::result::Result<(), String> {
        let text = &self.map[self.layout.text.clone()];
        let text = std::str::from_utf8(text).map_err(|error| format!("the text: {error}"))?;
        let mut before = 0;
        for row in 0..self.rows() {
            let end = self.text_end(row);
            if end < before || !text.is_char_boundary(end) {
                return Err(format!(
                    "the prompt of row {row} ends at {end} of {}",
                    text.len()
                ));
            }
            before = end;
        }
        if before == text.len() {
            Ok(())
        } else {
            Err(format!("the prompts end at {before} of {}", text.len()))
        }
    }

    /// The embeddings of one space, row after row.
    pub(crate) fn embeddings(&self, space: Space) -> &[u16] {
        // A map begins at a page and each section at a multiple of 64, so this is always aligned.
        bytemuck::try_cast_slice(&self.map[self.section(space)]).unwrap_or(&[])
    }

    /// Brings the embeddings of one space into memory.
    pub(crate) fn prefetch(&self, space: Space) {
        prefetch(&self.map, &self.section(space));
    }

    /// Gives back the memory of all that was read.
    pub(crate) fn release(&self) {
        release(&self.map, &(0..self.map.len()));
    }

    /// The prompt of a row. [`Segment::check`] has been called.
    pub(crate) fn prompt(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.text_end(before));
        let text = self.map[self.layout.text.clone()].get(start..self.text_end(row));
        // Checked before; another process may have changed it since.
        std::str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    }

    /// The embedding of a row.
    pub(crate) fn embedding(&self, space: Space, row: usize) -> Vec<f32> {
        let width = self.width(space);
        let halves = &self.embeddings(space)[row * width..(row + 1) * width];
        halves
            .iter()
            .map(|bits| half::f16::from_bits(*bits).to_f32())
            .collect()
    }

    fn section(&self, space: Space) -> Range<usize> {
        match space {
            Space::Clip => self.layout.clip.clone(),
            Space::Sentence => self.layout.sentence.clone(),
        }
    }

    fn text_end(&self, row: usize) -> usize {
        let start = self.layout.ends.start + row * 8;
        let bytes = self.map[start..].first_chunk().copied().unwrap_or_default();
        usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
