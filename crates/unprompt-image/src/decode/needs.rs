//! What decoding a picture takes, told from its header.

use super::{contain, dimensions, jpeg};
use crate::{Format, sniff};

/// Bytes a pixel that a decoder holds at most, its result included; and, besides them, what it holds
/// for each byte of the file, up to a bound.
struct Price {
    a_pixel: u64,
    a_byte: u64,
    most: u64,
}

/// What any decoder has around its pixels: tables, lines, windows of decompression.
const AROUND: u64 = 256 << 10;

/// The most bytes that decoding a picture holds at once, the file itself and the preprocessing of its
/// pixels included; `None` where its header cannot be read, in which case decoding it fails before a
/// pixel is allocated.
///
/// It is a function of the header and of the file's length: pixels times a price of the format (for
/// JPEG of its components and of whether it is progressive), and for WebP the tables that its prefix
/// codes may ask for.
pub fn decoding_bytes(bytes: &[u8]) -> Option<u64> {
    let format = sniff(bytes)?;
    let (width, height) = dimensions(bytes)?;
    let mut pixels = u64::from(width).saturating_mul(height.into());
    let price = |a_pixel| Price {
        a_pixel,
        a_byte: 0,
        most: 0,
    };
    let price = match format {
        // Grey with transparency, two bytes, and the four that it becomes.
        Format::Png => price(6),
        Format::Jpeg => {
            // Components are made of whole units, of up to 32 x 32 pixels.
            let side = |side: u32| u64::from(side).next_multiple_of(32);
            pixels = side(width) * side(height);
            price(jpeg::bytes_a_pixel(bytes)?)
        }
        // A frame and the canvas of four bytes each, what transforms keep, and the result.
        Format::WebP => Price {
            a_pixel: 13,
            a_byte: 4096,
            most: 128 << 20,
        },
        Format::Gif => {
            // A frame may stick out, to each side by itself.
            let (right, bottom) = first_frame(bytes)?;
            pixels = right.max(width.into()) * bottom.max(height.into());
            price(5)
        }
        Format::Bmp => price(4),
        // Four samples of two bytes, the same as bytes in two orders, and the result.
        Format::Tiff => price(20),
    };
    // What is resized is as large as the picture once more, where only one side shrinks.
    let a_pixel = price.a_pixel + 3;
    let length = bytes.len() as u64;
    let tables = length.saturating_mul(price.a_byte).min(price.most);
    let pixels = pixels.saturating_mul(a_pixel);
    let all = pixels.saturating_add(tables).saturating_add(length);
    Some(all.saturating_add(AROUND))
}

/// Width and height of the smallest picture that the first frame of a GIF fits into.
fn first_frame(bytes: &[u8]) -> Option<(u64, u64)> {
    let read = || {
        let mut options = ::gif::DecodeOptions::new();
        options.set_color_output(::gif::ColorOutput::Indexed);
        let mut decoder = options.read_info(bytes).ok();
        let frame = decoder
            .as_mut()
            .and_then(|one| one.next_frame_info().ok()?.cloned());
        Ok(frame.map(|frame| {
            let side = |from: u16, length: u16| u64::from(from) + u64::from(length);
            let right = side(frame.left, frame.width);
            (right, side(frame.top, frame.height))
        }))
    };
    contain::contain_panics(Format::Gif, read).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixture_has_its_price_and_no_less_than_its_pixels() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pictures");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let Ok(image) = crate::decode(&bytes, &crate::DecodeOptions::default()) else {
                continue;
            };
            let needs = decoding_bytes(&bytes).unwrap();
            assert!(needs >= image.pixels.len() as u64 + bytes.len() as u64);
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_gif_has_the_price_of_its_screen_and_of_a_frame_that_sticks_out_of_it() {
        // The screen, and where a frame of one pixel lies.
        for (screen, place) in [
            ((17, 3584), (768, 2)),
            ((3584, 17), (2, 768)),
            ((17, 20), (3000, 2000)),
            ((900, 800), (3, 4)),
        ] {
            let mut bytes = b"GIF89a".to_vec();
            let numbers = |bytes: &mut Vec<u8>, numbers: &[u16]| {
                bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            };
            numbers(&mut bytes, &[screen.0, screen.1]);
            // A palette of two colours; the frame; clear, the first colour, the end.
            bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255, b',']);
            numbers(&mut bytes, &[place.0, place.1, 1, 1]);
            bytes.extend([0, 2, 2, 0x44, 1, 0, b';']);
            let image = crate::decode(&bytes, &crate::DecodeOptions::default()).unwrap();
            let size = |screen: u16, place: u16| u32::from(screen.max(place + 1));
            let expected = (size(screen.0, place.0), size(screen.1, place.1));
            assert_eq!((image.width, image.height), expected);
            let needs = decoding_bytes(&bytes).unwrap();
            let pixels = u64::from(image.width) * u64::from(image.height);
            assert!(needs >= 8 * pixels, "{needs} for {pixels} pixels");
        }
    }

    #[test]
    fn what_is_no_picture_has_no_price() {
        for bytes in [
            &b""[..],
            b"GIF89a",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xd9",
        ] {
            assert_eq!(decoding_bytes(bytes), None);
        }
    }
}
