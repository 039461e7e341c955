//! The small part of a video file that its tags are in.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use unprompt_image::{OtherFormat, sniff, sniff_other};

use crate::container::{isobmff, matroska};

/// Enough of a file to tell what it is.
const START_BYTES: u64 = 64;
/// A video that is no longer is loaded whole, as pictures are.
const LOADED_WHOLE: u64 = 8 << 20;
/// The longest header: of a box with a length of eight bytes.
const MAX_HEADER_BYTES: usize = 16;
const BUFFER_BYTES: usize = 64 << 10;
/// All that is loaded of a longer one.
const MAX_TAG_BYTES: u64 = 64 << 20;
/// Most boxes or elements that are stepped over.
const MOST_STEPS: usize = 1 << 20;

/// Loads of a video what [`crate::read`] needs of it, a valid file of its tags without the frames, which
/// are stepped over whatever their length. `None` for everything but a video, and for one of at most 8 MiB,
/// which is as soon loaded whole; with the reader back at the start.
///
/// # Errors
/// When the reader fails.
pub fn video_tags(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    let mut start = Vec::new();
    file.take(START_BYTES).read_to_end(&mut start)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    if length <= LOADED_WHOLE {
        return Ok(None);
    }
    let format = match sniff(&start) {
        None => sniff_other(&start),
        Some(_) => None,
    };
    match format {
        Some(OtherFormat::Mp4 | OtherFormat::QuickTime) => boxes(file).map(Some),
        Some(OtherFormat::WebM | OtherFormat::Matroska) => elements(file).map(Some),
        _ => Ok(None),
    }
}

/// Every box of the file but those of frames and of padding.
fn boxes(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut file = Stepped::new(file)?;
    let mut at = 0;
    for _ in 0..MOST_STEPS {
        let Some((_, length, kind)) = isobmff::box_header(file.start(at)?) else {
            break;
        };
        let length = if length == 0 { file.end - at } else { length };
        let is_kept = !matches!(
            &kind,
            b"mdat" | b"free" | b"skip" | b"wide" | b"moof" | b"sidx"
        );
        if is_kept && kept.len() as u64 + length.min(file.end - at) <= MAX_TAG_BYTES {
            file.append(at, length, &mut kept)?;
        }
        at = at.saturating_add(length);
        if at >= file.end {
            break;
        }
    }
    Ok(kept)
}

/// The elements `Tags` of the file.
fn elements(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let mut tags = Vec::new();
    let mut file = Stepped::new(file)?;
    let mut at = 0;
    for _ in 0..MOST_STEPS {
        let Some(header) = matroska::header(file.start(at)?) else {
            break;
        };
        let length = match header.data {
            _ if header.is_entered() => header.length as u64,
            Some(data) => data.saturating_add(header.length as u64),
            None => break,
        };
        if header.id == matroska::TAGS && tags.len() as u64 + length <= MAX_TAG_BYTES {
            file.append(at, length, &mut tags)?;
        }
        at = at.saturating_add(length);
        if at >= file.end {
            break;
        }
    }
    Ok(matroska::file_of_tags(&tags))
}

/// A file that is walked through in steps. Steps within what was read already ask nothing of the
/// system, so that a file of nothing but headers costs little more than one that is read.
struct Stepped<'r, R> {
    file: BufReader<&'r mut R>,
    at: u64,
    end: u64,
    header: [u8; MAX_HEADER_BYTES],
}

impl<'r, R: Read + Seek> Stepped<'r, R> {
    fn new(file: &'r mut R) -> io::Result<Self> {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self {
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            at: 0,
            end,
            header: [0; MAX_HEADER_BYTES],
        })
    }

    fn go_to(&mut self, at: u64) -> io::Result<()> {
        match at.checked_signed_diff(self.at) {
            Some(step) => self.file.seek_relative(step)?,
            None => _ = self.file.seek(SeekFrom::Start(at))?,
        }
        self.at = at;
        Ok(())
    }

    /// The bytes from a place on in which a header lies; fewer at the end of the file.
    fn start(&mut self, at: u64) -> io::Result<&[u8]> {
        self.go_to(at)?;
        let mut length = 0;
        while let Some(rest) = self
            .header
            .get_mut(length..)
            .filter(|rest| !rest.is_empty())
        {
            match self.file.read(rest)? {
                0 => break,
                read => length += read,
            }
        }
        self.at += length as u64;
        Ok(&self.header[..length])
    }

    /// Adds what lies at a place, up to the end of the file.
    fn append(&mut self, at: u64, length: u64, to: &mut Vec<u8>) -> io::Result<()> {
        self.go_to(at)?;
        let read = Read::take(&mut self.file, length).read_to_end(to)?;
        self.at += read as u64;
        Ok(())
    }
}
