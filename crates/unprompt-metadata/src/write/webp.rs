//! WebP: the chunks `EXIF` and `XMP ` of an extended file, which a simple one is made into.

use std::borrow::Cow;

use super::{Container, WriteError, exif};
use crate::container::webp::{RIFF_HEADER_LENGTH, next_chunk};

const HEADER: &[u8; 4] = b"VP8X";
const EXIF: &[u8; 4] = b"EXIF";
const XMP: &[u8; 4] = b"XMP ";
const ALPHA_FLAG: u8 = 0x10;
const EXIF_FLAG: u8 = 0x08;
const XMP_FLAG: u8 = 0x04;
/// Some writers put JPEG's header before the block.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// A WebP file as its chunks.
pub(super) struct WebP<'a> {
    chunks: Vec<Chunk<'a>>,
    /// What follows the last chunk.
    rest: &'a [u8],
}

struct Chunk<'a> {
    kind: [u8; 4],
    data: Cow<'a, [u8]>,
    /// A zero almost always.
    padding: Option<u8>,
}

impl<'a> WebP<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WriteError> {
        let mut chunks = Vec::new();
        let mut rest = bytes.get(RIFF_HEADER_LENGTH..).unwrap_or_default();
        while let Some((kind, data, after)) = next_chunk(rest) {
            let length = rest.len() - after.len();
            chunks.push(Chunk {
                kind,
                data: data.into(),
                padding: rest
                    .get(8 + data.len()..length)
                    .and_then(|rest| rest.first().copied()),
            });
            rest = after;
        }
        let claimed = bytes.get(4..).and_then(|rest| rest.first_chunk::<4>());
        let end = claimed.map_or(0, |length| u64::from(u32::from_le_bytes(*length)) + 8);
        if chunks.is_empty() || ((bytes.len() - rest.len()) as u64) < end && !rest.is_empty() {
            return Err(WriteError::Damaged("the WebP file is cut short".into()));
        }
        Ok(Self { chunks, rest })
    }

    fn find(&self, kind: &[u8; 4]) -> Option<&Chunk<'a>> {
        self.chunks.iter().find(|chunk| &chunk.kind == kind)
    }

    /// Puts a chunk in the place of those of its kind, or behind the picture: EXIF, then XMP.
    fn set(&mut self, kind: &[u8; 4], data: Option<Vec<u8>>) {
        let place = self.chunks.iter().position(|chunk| &chunk.kind == kind);
        self.chunks.retain(|chunk| &chunk.kind != kind);
        let Some(data) = data else {
            return;
        };
        let is_before = |chunk: &Chunk| {
            let picture = matches!(&chunk.kind, b"VP8 " | b"VP8L" | b"ANMF" | b"ALPH");
            picture || (kind == XMP && &chunk.kind == EXIF)
        };
        let behind = || {
            self.chunks
                .iter()
                .rposition(is_before)
                .map_or(self.chunks.len(), |at| at + 1)
        };
        let place = place.unwrap_or_else(behind);
        self.chunks.insert(place, Chunk::new(*kind, data));
    }

    fn exif(&self) -> Option<&[u8]> {
        let data = self.find(EXIF)?.data.as_ref();
        Some(data.strip_prefix(EXIF_PREFIX).unwrap_or(data))
    }

    fn set_exif(&mut self, block: Option<Vec<u8>>) {
        if self.exif() == block.as_deref() {
            return;
        }
        let prefixed = self
            .find(EXIF)
            .is_some_and(|chunk| chunk.data.starts_with(EXIF_PREFIX));
        let prefix: &[u8] = if prefixed { EXIF_PREFIX } else { b"" };
        self.set(EXIF, block.map(|block| [prefix, &block].concat()));
    }

    /// The header of an extended file for the picture of a simple one.
    fn header(&self) -> Result<Chunk<'static>, WriteError> {
        let picture = self
            .chunks
            .first()
            .map(|chunk| (&chunk.kind, chunk.data.as_ref()));
        let (width, height, alpha) = match picture {
            // A key frame: three bytes of its tag, a mark, then 14 bits each, and two of scaling.
            Some((b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..])) => {
                let side = |bytes: [u8; 2]| u32::from(u16::from_le_bytes(bytes) & 0x3fff);
                (side([*w0, *w1]), side([*h0, *h1]), false)
            }
            // A mark, then 14 bits each of the sides less one, and a bit for transparency.
            Some((b"VP8L", [0x2f, b0, b1, b2, b3, ..])) => {
                let bits = u32::from_le_bytes([*b0, *b1, *b2, *b3]);
                (
                    (bits & 0x3fff) + 1,
                    ((bits >> 14) & 0x3fff) + 1,
                    bits >> 28 & 1 == 1,
                )
            }
            _ => {
                return Err(WriteError::Damaged(
                    "the WebP file does not begin with a picture".into(),
                ));
            }
        };
        let (Some(right), Some(bottom)) = (width.checked_sub(1), height.checked_sub(1)) else {
            return Err(WriteError::Damaged("the WebP picture has no pixels".into()));
        };
        let [w0, w1, w2, _] = right.to_le_bytes();
        let [h0, h1, h2, _] = bottom.to_le_bytes();
        let flags = if alpha { ALPHA_FLAG } else { 0 };
        Ok(Chunk::new(
            *HEADER,
            vec![flags, 0, 0, 0, w0, w1, w2, h0, h1, h2],
        ))
    }
}

impl Chunk<'_> {
    fn new(kind: [u8; 4], data: Vec<u8>) -> Self {
        Self {
            padding: (data.len() % 2 == 1).then_some(0),
            kind,
            data: data.into(),
        }
    }
}

impl Container for WebP<'_> {
    fn xmp(&self) -> Result<Option<String>, WriteError> {
        let text = self
            .find(XMP)
            .map(|chunk| String::from_utf8(chunk.data.to_vec()))
            .transpose();
        text.map_err(|_| WriteError::Damaged("the XMP packet is not UTF-8".into()))
    }

    fn set_xmp(&mut self, packet: Option<&str>) -> Result<(), WriteError> {
        if self.xmp()?.as_deref() != packet {
            self.set(XMP, packet.map(|packet| packet.as_bytes().to_vec()));
        }
        Ok(())
    }

    fn parameters(&self, known: Option<&str>) -> Result<Option<String>, WriteError> {
        Ok(self.exif().and_then(|block| exif::comment(block, known)))
    }

    fn set_parameters(&mut self, text: Option<&str>) -> Result<(), WriteError> {
        let block = exif::with_parameters(self.exif(), text)?;
        self.set_exif(block);
        Ok(())
    }

    fn strip_records(&mut self) -> Result<(), WriteError> {
        if let Some(block) = self.exif() {
            let block = exif::without_records(block)?;
            self.set_exif(block);
        }
        Ok(())
    }

    fn needs_extension(&self) -> bool {
        self.find(HEADER).is_none()
    }

    fn extend(&mut self) -> Result<(), WriteError> {
        let header = self.header()?;
        self.chunks.insert(0, header);
        Ok(())
    }

    fn unextend(&mut self) {
        let extends = |chunk: &Chunk| {
            matches!(
                &chunk.kind,
                b"EXIF" | b"XMP " | b"ICCP" | b"ANIM" | b"ANMF" | b"ALPH"
            )
        };
        if let [header, others @ ..] = &self.chunks[..]
            && &header.kind == HEADER
            && !others.iter().any(extends)
        {
            self.chunks.remove(0);
        }
    }

    fn finish(&self) -> Result<Vec<u8>, WriteError> {
        let mut out = b"RIFF\0\0\0\0WEBP".to_vec();
        let last = self.chunks.len() - 1;
        for (index, chunk) in self.chunks.iter().enumerate() {
            let length = u32::try_from(chunk.data.len());
            let length = length.map_err(|_| WriteError::TooLong {
                place: "a WebP file",
            })?;
            out.extend_from_slice(&chunk.kind);
            out.extend_from_slice(&length.to_le_bytes());
            let start = out.len();
            out.extend_from_slice(&chunk.data);
            if &chunk.kind == HEADER
                && let Some(flags) = out.get_mut(start)
            {
                *flags &= !(EXIF_FLAG | XMP_FLAG);
                *flags |= if self.find(EXIF).is_some() {
                    EXIF_FLAG
                } else {
                    0
                };
                *flags |= if self.find(XMP).is_some() {
                    XMP_FLAG
                } else {
                    0
                };
            }
            match chunk.padding {
                Some(byte) => out.push(byte),
                // Only at the very end is it ever left out.
                None if chunk.data.len() % 2 == 1 && index < last => out.push(0),
                None => {}
            }
        }
        let length = u32::try_from(out.len() - 8);
        let length = length.map_err(|_| WriteError::TooLong {
            place: "a WebP file",
        })?;
        out[4..8].copy_from_slice(&length.to_le_bytes());
        out.extend_from_slice(self.rest);
        Ok(out)
    }
}
