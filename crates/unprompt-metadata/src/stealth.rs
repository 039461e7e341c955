//! Prompts hidden in the lowest bits of the pixels ("stealth PNG info", first written by the web UI
//! extension of that name and used by NovelAI).
//!
//! Bits run down the columns, left to right: one of each pixel's alpha, or three of its red, green
//! and blue. They spell a 15-byte mark, the payload's length in bits as 32 bits, most significant
//! first, and the payload: UTF-8, gzip-compressed if the mark ends in `comp`.

use std::io::Cursor;

use unprompt_image::{Format, Limits, decode_rgba};

use crate::carried::Carried;
use crate::container::{Inflated, gunzip};
use crate::limits::MAX_TEXT_BYTES;
use crate::{Metadata, MetadataError, MetadataErrorKind, interpret};

const MARK_LENGTH: usize = 15;

/// Looks for a prompt hidden in the pixels of a decoded picture.
///
/// `rgba` has height, width, channel order (R, G, B, straight alpha), `width * height * 4` bytes,
/// as the file stores it; a resized or composited picture has lost the bits. Twice 120 bits decide
/// whether there is anything; only then are more pixels looked at.
///
/// # Errors
/// [`MetadataErrorKind::Malformed`] when the mark is there but the payload is damaged,
/// [`MetadataErrorKind::TooLarge`] when it expands beyond 8 MiB.
pub fn read_pixels(
    width: u32,
    height: u32,
    rgba: &[u8],
) -> Result<Option<Metadata>, MetadataError> {
    let (width, height) = (width as usize, height as usize);
    if width
        .checked_mul(height)
        .and_then(|pixels| pixels.checked_mul(4))
        != Some(rgba.len())
    {
        return Ok(None);
    }
    for channels in [Channels::Alpha, Channels::Rgb] {
        let bits = Bits {
            width,
            height,
            rgba,
            channels,
        };
        if let Some(text) = hidden_text(&bits)? {
            return Ok(interpret_payload(&text));
        }
    }
    Ok(None)
}

/// Decodes a file and looks at its pixels; a picture that cannot be decoded hides nothing.
pub(crate) fn read_encoded(
    format: Format,
    bytes: &[u8],
) -> Result<Option<Metadata>, MetadataError> {
    if format == Format::Png && !png_may_have_mark(bytes) {
        return Ok(None);
    }
    match decode_rgba(bytes, &limits(bytes.len())) {
        Ok(image) => read_pixels(image.width, image.height, &image.pixels),
        Err(_) => Ok(None),
    }
}

/// Allows pictures as large as a file of this length holds without being mostly of one colour, so that a
/// small file cannot cost much work: three pixels for four bytes, where drawn pictures have one or two
/// bytes a pixel. The file is in memory already, however long it is.
fn limits(encoded_bytes: usize) -> Limits {
    const ALWAYS_ALLOWED: u64 = 2 << 20;
    let default = Limits::default();
    Limits {
        max_encoded_bytes: default.max_encoded_bytes.max(encoded_bytes),
        max_pixels: default
            .max_pixels
            .min(ALWAYS_ALLOWED + encoded_bytes as u64 * 3 / 4),
        ..default
    }
}

/// Decodes the first rows of a PNG file, as far as the mark reaches down the first column, so that
/// most pictures need not be decoded whole. Of a picture that is interlaced, or too low for the
/// mark to end in the first column, this says that it may have one.
fn png_may_have_mark(bytes: &[u8]) -> bool {
    const ROWS: usize = MARK_LENGTH * 8;
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let Ok(mut reader) = decoder.read_info() else {
        return false;
    };
    let info = reader.info();
    let channels = info.color_type.samples();
    if info.interlaced || (info.height as usize) < ROWS {
        return true;
    }
    let mut column = Vec::with_capacity(ROWS * 4);
    for _ in 0..ROWS {
        let Ok(Some(row)) = reader.next_row() else {
            return false;
        };
        // `keeps_low_bits` has made sure of 8-bit red, green and blue, with alpha or without.
        let Some(pixel) = row.data().get(..channels) else {
            return false;
        };
        column.extend_from_slice(pixel);
        column.resize(column.len().next_multiple_of(4), u8::MAX);
    }
    [Channels::Alpha, Channels::Rgb]
        .into_iter()
        .any(|channels| {
            Bits {
                width: 1,
                height: ROWS,
                rgba: &column,
                channels,
            }
            .mark()
            .is_some()
        })
}

/// Payloads are a JSON object of texts, or one text, which is the web UI's infotext.
fn interpret_payload(text: &str) -> Option<Metadata> {
    interpret::free_text(text).or_else(|| {
        let mut carried = Carried::default();
        carried.push_keyed("parameters", text);
        interpret::interpret(&carried)
    })
}

#[derive(Debug, Clone, Copy)]
enum Channels {
    Alpha,
    Rgb,
}

struct Bits<'a> {
    width: usize,
    height: usize,
    rgba: &'a [u8],
    channels: Channels,
}

impl Bits<'_> {
    fn capacity(&self) -> usize {
        let pixels = self.width * self.height;
        match self.channels {
            Channels::Alpha => pixels,
            Channels::Rgb => pixels * 3,
        }
    }

    /// Whether the mark announces a compressed payload; `None` without a mark.
    fn mark(&self) -> Option<bool> {
        match (self.channels, self.bytes(0, MARK_LENGTH)?.as_slice()) {
            (Channels::Alpha, b"stealth_pnginfo") | (Channels::Rgb, b"stealth_rgbinfo") => {
                Some(false)
            }
            (Channels::Alpha, b"stealth_pngcomp") | (Channels::Rgb, b"stealth_rgbcomp") => {
                Some(true)
            }
            _ => None,
        }
    }

    fn bit(&self, index: usize) -> u8 {
        let (pixel, channel) = match self.channels {
            Channels::Alpha => (index, 3),
            Channels::Rgb => (index / 3, index % 3),
        };
        let (x, y) = (pixel / self.height, pixel % self.height);
        self.rgba[(y * self.width + x) * 4 + channel] & 1
    }

    /// `length` bytes from a bit on; `None` when the picture has not so many.
    fn bytes(&self, start: usize, length: usize) -> Option<Vec<u8>> {
        let end = length.checked_mul(8)?.checked_add(start)?;
        if end > self.capacity() {
            return None;
        }
        let byte = |at| (0..8).fold(0, |byte, bit| byte << 1 | self.bit(at + bit));
        Some((start..end).step_by(8).map(byte).collect())
    }
}

fn hidden_text(bits: &Bits) -> Result<Option<String>, MetadataError> {
    let Some(compressed) = bits.mark() else {
        return Ok(None);
    };
    let payload = bits.bytes(MARK_LENGTH * 8, 4).and_then(|length| {
        let length = length
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte));
        bits.bytes(MARK_LENGTH * 8 + 32, length / 8)
    });
    let Some(payload) = payload else {
        return Err(MetadataError::malformed(
            "the text hidden in the pixels is longer than the picture has room for",
        ));
    };
    let text = if compressed {
        match gunzip(&payload, MAX_TEXT_BYTES) {
            Inflated::Text(text) => text,
            Inflated::TooLong => {
                return Err(MetadataError::too_large(format_args!(
                    "the text hidden in the pixels expands beyond what is read ({MAX_TEXT_BYTES} bytes)"
                )));
            }
            Inflated::Corrupt(_) => {
                return Err(MetadataError::malformed(
                    "the text hidden in the pixels cannot be decompressed",
                ));
            }
        }
    } else if payload.len() > MAX_TEXT_BYTES {
        return Err(MetadataError::new(
            MetadataErrorKind::TooLarge,
            format!("the text hidden in the pixels is longer than {MAX_TEXT_BYTES} bytes"),
        ));
    } else {
        payload
    };
    String::from_utf8(text)
        .map(Some)
        .map_err(|_| MetadataError::malformed("the text hidden in the pixels is not UTF-8"))
}
