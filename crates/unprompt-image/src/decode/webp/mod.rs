//! WebP, through the `image-webp` crate.

mod prefix_codes;

use super::{Decoded, Samples, orient, zeroed};
use crate::{Format, ImageError, Limits, Result};
use image_webp::WebPDecoder;
use std::{borrow::Cow, io::Cursor};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let bytes = without_broken_promises(bytes);
    let mut decoder = WebPDecoder::new(Cursor::new(bytes.as_ref())).map_err(damaged)?;
    let budget = usize::try_from(limits.max_buffer_bytes).unwrap_or(usize::MAX);
    decoder.set_memory_limit(budget);
    let (width, height) = decoder.dimensions();
    let has_alpha = decoder.has_alpha();
    // Lossless and animated pictures pass through four channels inside the decoder.
    limits.check_pixels(width.into(), height.into(), 4)?;
    check_streams(&bytes[12..], (width, height), limits)?;
    let length = limits.check_pixels(width.into(), height.into(), if has_alpha { 4 } else { 3 })?;
    if decoder.is_animated() {
        // libwebp's animation decoder starts from a transparent canvas, not the hinted colour.
        decoder.set_background_color([0; 4]).map_err(damaged)?;
    }
    let mut buffer = zeroed(length)?;
    decoder.read_image(&mut buffer).map_err(damaged)?;
    let exif = decoder.exif_metadata().ok().flatten();
    let orientation = exif.map_or(1, |exif| orient::from_exif(&exif));
    let samples = if has_alpha {
        Samples::Rgba(buffer)
    } else {
        Samples::Rgb(buffer)
    };
    Ok(Decoded {
        width,
        height,
        samples,
        orientation,
    })
}

/// Looks at the streams of pixels in `chunks`: what the decoder allocates for them, it allocates by what
/// they say of themselves, and not by the size of the picture.
fn check_streams(chunks: &[u8], size: (u32, u32), limits: &Limits) -> Result<()> {
    let codes = limits.max_buffer_bytes / 2;
    let usual = |(width, height): (u32, u32)| Some((width as usize, height as usize));
    for (kind, body) in Chunks(chunks) {
        match kind {
            b"VP8L" => prefix_codes::check(body, None, codes)?,
            b"ALPH" if body.first().is_some_and(|flags| flags & 3 == 1) => {
                prefix_codes::check(&body[1..], usual(size), codes)?;
            }
            b"VP8 " => {
                // A frame's tag and start code, then 14 bits of each side and two of scaling.
                if let Some(&[w0, w1, h0, h1]) = body.get(6..).and_then(|rest| rest.first_chunk()) {
                    let side = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
                    limits.check_pixels(side(w0, w1), side(h0, h1), 4)?;
                }
            }
            // Place, size, duration and flags of a frame, then its chunks. Only the first is decoded.
            b"ANMF" => {
                if let Some((head, chunks)) = body.split_first_chunk::<16>() {
                    let side = |at: usize| {
                        1 + u32::from_le_bytes([head[at], head[at + 1], head[at + 2], 0])
                    };
                    limits.check_pixels(side(6).into(), side(9).into(), 4)?;
                    check_streams(chunks, (side(6), side(9)), limits)?;
                }
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Chunks with their kinds; the last one may be cut short.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.0.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let body = &rest[..length.min(rest.len())];
        let next = length.saturating_add(length % 2);
        self.0 = rest.get(next..).unwrap_or_default();
        Some((kind, body))
    }
}

/// Clears the flags of the extended header whose chunks are missing, which the decoder would refuse.
///
/// Programs that strip metadata cut the chunk and leave its flag; every viewer shows such a picture.
/// Only metadata and the alpha of a lossy picture can be missing: without the rest there are no
/// pixels.
fn without_broken_promises(bytes: &[u8]) -> Cow<'_, [u8]> {
    const FLAGS: usize = 20;
    const ALPHA: u8 = 0x10;
    const EXIF: u8 = 0x08;
    const XMP: u8 = 0x04;
    const ANIMATION: u8 = 0x02;
    if bytes.get(12..16) != Some(b"VP8X") || bytes.len() <= FLAGS {
        return Cow::Borrowed(bytes);
    }
    let mut missing = bytes[FLAGS] & (ALPHA | EXIF | XMP);
    let mut rest = &bytes[12..];
    while let Some((kind, after)) = rest.split_first_chunk::<4>() {
        missing &= match kind {
            b"EXIF" => !EXIF,
            b"XMP " => !XMP,
            // A lossless picture has its alpha in its pixels.
            b"ALPH" | b"VP8L" => !ALPHA,
            _ => !0,
        };
        let Some((length, data)) = after.split_first_chunk::<4>() else {
            break;
        };
        let length = u64::from(u32::from_le_bytes(*length));
        let Some(next) = usize::try_from(length + length % 2)
            .ok()
            .and_then(|length| data.get(length..))
        else {
            break;
        };
        rest = next;
    }
    if bytes[FLAGS] & ANIMATION != 0 {
        // The frames of an animation have their own alpha.
        missing &= !ALPHA;
    }
    if missing == 0 {
        return Cow::Borrowed(bytes);
    }
    let mut bytes = bytes.to_vec();
    bytes[FLAGS] &= !missing;
    Cow::Owned(bytes)
}

fn damaged(error: image_webp::DecodingError) -> ImageError {
    match error {
        image_webp::DecodingError::MemoryLimitExceeded => {
            ImageError::limit("its WebP chunks need more memory than allowed")
        }
        other => ImageError::malformed(Format::WebP, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pictures/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    fn pixels(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let decoded = decode(bytes, &Limits::default()).unwrap();
        let (Samples::Rgb(samples) | Samples::Rgba(samples)) = decoded.samples;
        (decoded.width, decoded.height, samples)
    }

    /// The simple file with an extended header of these flags in front of its picture.
    fn with_flags(simple: &[u8], flags: u8) -> Vec<u8> {
        let (width, height, _) = pixels(simple);
        let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
        let mut bytes = simple[..12].to_vec();
        bytes.extend(b"VP8X\x0a\0\0\0");
        bytes.extend([flags, 0, 0, 0]);
        bytes.extend([side(width), side(height)].concat());
        bytes.extend(&simple[12..]);
        let length = u32::try_from(bytes.len() - 8).unwrap();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn flags_without_their_chunks_do_not_cost_the_pixels() {
        for name in ["lossy.webp", "lossless.webp"] {
            let simple = fixture(name);
            for flags in [0x08, 0x04, 0x0c, 0x20] {
                assert_eq!(
                    pixels(&with_flags(&simple, flags)),
                    pixels(&simple),
                    "{name}"
                );
            }
        }
        let simple = fixture("lossy.webp");
        assert_eq!(pixels(&with_flags(&simple, 0x1c)), pixels(&simple));
    }

    #[test]
    fn what_is_there_keeps_its_flag() {
        for name in [
            "exif6.webp",
            "lossy_alpha.webp",
            "lossless_alpha.webp",
            "animated.webp",
        ] {
            let bytes = fixture(name);
            assert!(
                matches!(without_broken_promises(&bytes), Cow::Borrowed(_)),
                "{name}"
            );
        }
    }
}
