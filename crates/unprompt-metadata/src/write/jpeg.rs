//! JPEG: the EXIF comment and the XMP packet, each in segments APP1.

use std::borrow::Cow;

use super::{Container, WriteError, exif};
use crate::container::jpeg::{
    APP1, COMMENT, END_OF_IMAGE, EXIF_HEADER, START_OF_SCAN, XMP_HEADER, next_segment,
};

const APP0: u8 = 0xe0;
/// The longest data of a segment: its length, of two bytes, counts itself.
const LONGEST_SEGMENT: usize = 0xffff - 2;

/// A JPEG file: its segments, then the scans as they are.
pub(super) struct Jpeg<'a> {
    /// Up to the first marker that is none of the segments.
    start: &'a [u8],
    segments: Vec<Segment<'a>>,
    rest: &'a [u8],
}

struct Segment<'a> {
    marker: u8,
    /// Everything from the segment before on: fill bytes, marker, length, data.
    bytes: Cow<'a, [u8]>,
    /// How long the data at the end are.
    length: usize,
}

impl<'a> Jpeg<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WriteError> {
        let cut = || WriteError::Damaged("the JPEG file ends before its first scan".into());
        let (start, mut rest) = bytes.split_at_checked(2).ok_or_else(cut)?;
        let mut segments = Vec::new();
        loop {
            let (marker, data, after) = next_segment(rest).ok_or_else(cut)?;
            if matches!(marker, START_OF_SCAN | END_OF_IMAGE) {
                break;
            }
            segments.push(Segment {
                marker,
                bytes: rest[..rest.len() - after.len()].into(),
                length: data.len(),
            });
            rest = after;
        }
        Ok(Self {
            start,
            segments,
            rest,
        })
    }

    /// The EXIF block, which may go on in several segments.
    fn exif(&self) -> Option<Vec<u8>> {
        let parts: Vec<&[u8]> = self
            .segments
            .iter()
            .filter_map(|one| one.after(EXIF_HEADER))
            .collect();
        (!parts.is_empty()).then(|| parts.concat())
    }

    fn set_exif(&mut self, block: Option<Vec<u8>>) -> Result<(), WriteError> {
        if self.exif() == block {
            return Ok(());
        }
        let parts = self
            .segments
            .iter()
            .filter(|one| one.after(EXIF_HEADER).is_some())
            .count();
        let most = LONGEST_SEGMENT - EXIF_HEADER.len();
        let block = block.unwrap_or_default();
        // Where one segment was enough, every reader reads one, and few read more.
        if block.len() > most && parts <= 1 {
            return Err(WriteError::TooLong {
                place: "the EXIF segment of a JPEG file",
            });
        }
        self.set(EXIF_HEADER, block.chunks(most));
        Ok(())
    }

    /// Puts segments in the place of those with this header, or else behind those that must be
    /// first.
    fn set<'b>(&mut self, header: &[u8], parts: impl Iterator<Item = &'b [u8]>) {
        let place = self
            .segments
            .iter()
            .position(|one| one.after(header).is_some());
        self.segments.retain(|one| one.after(header).is_none());
        let leads = |one: &Segment| one.marker == APP0 || one.after(EXIF_HEADER).is_some();
        let first = || self.segments.iter().take_while(|one| leads(one)).count();
        let place = place.unwrap_or_else(first);
        let parts = parts.map(|part| Segment::new(header, part));
        self.segments.splice(place..place, parts);
    }
}

impl Segment<'_> {
    /// A segment APP1, whose length was checked.
    fn new(header: &[u8], part: &[u8]) -> Self {
        let length = header.len() + part.len();
        let counted = u16::try_from(length + 2).unwrap_or(u16::MAX).to_be_bytes();
        Self {
            marker: APP1,
            bytes: [&[0xff, APP1], &counted[..], header, part].concat().into(),
            length,
        }
    }

    /// The data behind a header, where this is such a segment.
    fn after(&self, header: &[u8]) -> Option<&[u8]> {
        let data = &self.bytes[self.bytes.len() - self.length..];
        data.strip_prefix(header).filter(|_| self.marker == APP1)
    }
}

impl Container for Jpeg<'_> {
    fn xmp(&self) -> Result<Option<String>, WriteError> {
        let found = self.segments.iter().find_map(|one| one.after(XMP_HEADER));
        let text = found
            .map(|packet| String::from_utf8(packet.to_vec()))
            .transpose();
        text.map_err(|_| WriteError::Damaged("the XMP packet is not UTF-8".into()))
    }

    fn set_xmp(&mut self, packet: Option<&str>) -> Result<(), WriteError> {
        if self.xmp()?.as_deref() == packet {
            return Ok(());
        }
        if packet.is_some_and(|packet| packet.len() > LONGEST_SEGMENT - XMP_HEADER.len()) {
            return Err(WriteError::TooLong {
                place: "the XMP segment of a JPEG file",
            });
        }
        self.set(XMP_HEADER, packet.map(str::as_bytes).into_iter());
        Ok(())
    }

    fn parameters(&self, known: Option<&str>) -> Result<Option<String>, WriteError> {
        Ok(self.exif().and_then(|block| exif::comment(&block, known)))
    }

    fn set_parameters(&mut self, text: Option<&str>) -> Result<(), WriteError> {
        let block = exif::with_parameters(self.exif().as_deref(), text)?;
        self.set_exif(block)
    }

    fn strip_records(&mut self) -> Result<(), WriteError> {
        self.segments.retain(|one| one.marker != COMMENT);
        match self.exif() {
            Some(block) => self.set_exif(exif::without_records(&block)?),
            None => Ok(()),
        }
    }

    fn finish(&self) -> Result<Vec<u8>, WriteError> {
        let segments = self.segments.iter().map(|one| one.bytes.as_ref());
        let parts = std::iter::once(self.start)
            .chain(segments)
            .chain([self.rest]);
        Ok(parts.collect::<Vec<&[u8]>>().concat())
    }
}
