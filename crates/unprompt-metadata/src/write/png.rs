//! PNG: the text chunks `parameters` and `XML:com.adobe.xmp`.

use std::borrow::Cow;

use flate2::Crc;

use super::{Container, WriteError, exif, names_generator};
use crate::carried::Carried;
use crate::container::png::{self, next_chunk};
use crate::text::utf8_or_latin1;

const SIGNATURE_LENGTH: usize = 8;
const PARAMETERS: &str = "parameters";
const XMP: &str = "XML:com.adobe.xmp";
/// The keywords of the PNG specification whose texts are about the file and its rights.
const KEPT: [&str; 6] = [
    "Author",
    "Copyright",
    "Creation Time",
    "Disclaimer",
    "Software",
    "Warning",
];

/// A PNG file as its chunks.
pub(super) struct Png<'a> {
    signature: &'a [u8],
    chunks: Vec<Chunk<'a>>,
    /// What follows the last chunk.
    rest: &'a [u8],
}

struct Chunk<'a> {
    kind: [u8; 4],
    /// The whole chunk, its length and checksum included.
    bytes: Cow<'a, [u8]>,
}

impl<'a> Png<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WriteError> {
        let cut = || WriteError::Damaged("the PNG file is cut short before its last chunk".into());
        let (signature, mut rest) = bytes.split_at_checked(SIGNATURE_LENGTH).ok_or_else(cut)?;
        let mut chunks = Vec::new();
        loop {
            let chunk = next_chunk(rest).ok_or_else(cut)?;
            let length = rest.len() - chunk.after.len();
            chunks.push(Chunk {
                kind: chunk.kind,
                bytes: rest[..length].into(),
            });
            rest = chunk.after;
            if &chunk.kind == b"IEND" {
                break;
            }
        }
        Ok(Self {
            signature,
            chunks,
            rest,
        })
    }

    /// The text under a keyword, as the reader sees it.
    fn text(&self, keyword: &str) -> Result<Option<String>, WriteError> {
        let mut carried = Carried::default();
        for chunk in self
            .chunks
            .iter()
            .filter(|chunk| chunk.keyword().as_deref() == Some(keyword))
        {
            png::read_chunk(&chunk.kind, chunk.data(), &mut carried);
        }
        let text = match keyword {
            XMP => carried.xmp().last().cloned(),
            _ => carried.text(keyword).map(str::to_owned),
        };
        match carried.into_damage() {
            Some(damage) if text.is_none() => Err(WriteError::Damaged(damage.to_string())),
            _ => Ok(text),
        }
    }

    /// Puts a text in the place of those of its keyword, or before the pixels.
    fn set_text(&mut self, keyword: &str, text: Option<&str>, international: bool) {
        let is_it = |chunk: &Chunk| chunk.keyword().as_deref() == Some(keyword);
        let place = self.chunks.iter().position(is_it);
        self.chunks.retain(|chunk| !is_it(chunk));
        let Some(text) = text else {
            return;
        };
        // The packet comes last, whichever was there first.
        let is_behind =
            |chunk: &Chunk| &chunk.kind == b"IDAT" || chunk.keyword().as_deref() == Some(XMP);
        let pixels = self.chunks.iter().position(is_behind);
        let place = place.or(pixels).unwrap_or(self.chunks.len() - 1);
        let chunk = if international || !text.is_ascii() {
            // No compression, no language, no translated keyword.
            Chunk::new(
                *b"iTXt",
                &[keyword.as_bytes(), &[0; 5], text.as_bytes()].concat(),
            )
        } else {
            Chunk::new(
                *b"tEXt",
                &[keyword.as_bytes(), &[0], text.as_bytes()].concat(),
            )
        };
        self.chunks.insert(place, chunk);
    }
}

impl Chunk<'_> {
    fn new(kind: [u8; 4], data: &[u8]) -> Self {
        let mut sum = Crc::new();
        sum.update(&kind);
        sum.update(data);
        // A text is a megabyte at most, and a block of EXIF was a chunk before.
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
        Self {
            kind,
            bytes: [&length, &kind[..], data, &sum.sum().to_be_bytes()]
                .concat()
                .into(),
        }
    }

    fn data(&self) -> &[u8] {
        &self.bytes[8..self.bytes.len() - 4]
    }

    /// The keyword of a text.
    fn keyword(&self) -> Option<String> {
        if !matches!(&self.kind, b"tEXt" | b"zTXt" | b"iTXt") {
            return None;
        }
        let data = self.data();
        let end = data
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(data.len());
        Some(utf8_or_latin1(&data[..end.min(79)]))
    }
}

impl Container for Png<'_> {
    fn xmp(&self) -> Result<Option<String>, WriteError> {
        self.text(XMP)
    }

    fn set_xmp(&mut self, packet: Option<&str>) -> Result<(), WriteError> {
        if self.text(XMP)?.as_deref() != packet {
            self.set_text(XMP, packet, true);
        }
        Ok(())
    }

    fn parameters(&self, _known: Option<&str>) -> Result<Option<String>, WriteError> {
        self.text(PARAMETERS)
    }

    fn set_parameters(&mut self, text: Option<&str>) -> Result<(), WriteError> {
        if self.text(PARAMETERS).ok().flatten().as_deref() != text {
            self.set_text(PARAMETERS, text, false);
        }
        Ok(())
    }

    fn strip_records(&mut self) -> Result<(), WriteError> {
        let mut kept = Vec::new();
        for mut chunk in std::mem::take(&mut self.chunks) {
            let is_kept = match chunk.keyword().as_deref() {
                None => true,
                Some(XMP) => true,
                Some("Software") => {
                    let text = chunk.data().get("Software".len()..).unwrap_or_default();
                    !names_generator(&utf8_or_latin1(text))
                }
                // Colour profiles, as ImageMagick keeps them.
                Some("Raw profile type icc" | "Raw profile type icm") => true,
                Some(keyword) => KEPT.contains(&keyword),
            };
            if &chunk.kind == b"eXIf" {
                match exif::without_records(chunk.data())? {
                    Some(block) if block != chunk.data() => chunk = Chunk::new(*b"eXIf", &block),
                    Some(_) => {}
                    None => continue,
                }
            }
            if is_kept {
                kept.push(chunk);
            }
        }
        self.chunks = kept;
        Ok(())
    }

    fn finish(&self) -> Result<Vec<u8>, WriteError> {
        let chunks = self.chunks.iter().map(|chunk| chunk.bytes.as_ref());
        let parts = std::iter::once(self.signature)
            .chain(chunks)
            .chain([self.rest]);
        Ok(parts.collect::<Vec<&[u8]>>().concat())
    }
}
