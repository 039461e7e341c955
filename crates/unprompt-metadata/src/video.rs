//! The small part of a video file that its tags are in.

use std::io::{self, Read, Seek, SeekFrom};

use unprompt_image::{OtherFormat, sniff, sniff_other};

use crate::container::{isobmff, matroska};

/// Enough of a file to tell what it is.
const START_BYTES: u64 = 64;
/// All that is loaded of a video.
const MAX_TAG_BYTES: u64 = 64 << 20;
/// Most boxes or elements that are stepped over.
const MOST_STEPS: usize = 1 << 20;

/// Loads of a video what [`crate::read`] needs of it, a valid file of its tags without the frames, which
/// are stepped over whatever their length. `None` for everything but a video, with the reader back at the
/// start.
///
/// # Errors
/// When the reader fails.
pub fn video_tags(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    let mut start = Vec::new();
    file.take(START_BYTES).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
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
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    for _ in 0..MOST_STEPS {
        let Some((_, length, kind)) = isobmff::box_header(&at_most(file, at, 16)?) else {
            break;
        };
        let length = if length == 0 { end - at } else { length };
        let is_kept = !matches!(
            &kind,
            b"mdat" | b"free" | b"skip" | b"wide" | b"moof" | b"sidx"
        );
        if is_kept && kept.len() as u64 + length.min(end - at) <= MAX_TAG_BYTES {
            kept.extend(at_most(file, at, length)?);
        }
        at = at.saturating_add(length);
        if at >= end {
            break;
        }
    }
    Ok(kept)
}

/// The elements `Tags` of the file.
fn elements(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let mut tags = Vec::new();
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    for _ in 0..MOST_STEPS {
        let Some(header) = matroska::header(&at_most(file, at, 12)?) else {
            break;
        };
        let length = match header.data {
            _ if header.is_entered() => header.length as u64,
            Some(data) => data.saturating_add(header.length as u64),
            None => break,
        };
        if header.id == matroska::TAGS && tags.len() as u64 + length <= MAX_TAG_BYTES {
            tags.extend(at_most(file, at, length)?);
        }
        at = at.saturating_add(length);
        if at >= end {
            break;
        }
    }
    Ok(matroska::file_of_tags(&tags))
}

fn at_most(file: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
