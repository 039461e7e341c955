//! BMP: the headers of Windows and OS/2, palettes, packed pixels, run lengths.
//!
//! Source: Microsoft's "Bitmap Header Types" and "Bitmap Compression". Where they leave it open, 5 and
//! 6 bits become 8 as in Pillow, and what run lengths skip is black.

use super::{Decoded, Samples, zeroed};
use crate::{Format, ImageError, Limits, Result};

/// The header of OS/2; all others begin as the one of 40 bytes.
const CORE_HEADER: u32 = 12;
const HEADERS: [u32; 6] = [CORE_HEADER, 40, 52, 56, 108, 124];
/// Where the header begins.
const HEADER_AT: usize = 14;

/// Values of `biCompression`.
const PLAIN: u32 = 0;
const RUNS_OF_8: u32 = 1;
const RUNS_OF_4: u32 = 2;
const BIT_FIELDS: u32 = 3;

struct Header {
    width: usize,
    height: usize,
    /// Whether the first row in the file is the picture's first.
    top_down: bool,
    bits: usize,
    pixels: Pixels,
    /// Where they begin.
    data: usize,
}

/// How pixels are stored.
enum Pixels {
    /// `bits` to an index, the first in the highest.
    Indexed(Palette),
    /// Runs of indices.
    Runs(Palette),
    /// Little-endian words with a field for red, green, blue and perhaps alpha.
    Packed([Field; 3], Option<Field>),
}

/// Entries that the file does not have are black.
type Palette = Box<[[u8; 3]; 256]>;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let header = Header::read(bytes, limits)?;
    let Header { width, height, .. } = header;
    let has_alpha = matches!(header.pixels, Pixels::Packed(_, Some(_)));
    let channels = if has_alpha { 4 } else { 3 };
    let mut samples = zeroed(limits.check_pixels(width as u64, height as u64, channels)?)?;
    let data = bytes.get(header.data..).ok_or_else(cut_short)?;
    if let Pixels::Runs(palette) = &header.pixels {
        header.read_runs(data, palette, &mut samples)?;
    } else {
        // Rows are whole numbers of four bytes.
        let stride = (width * header.bits).div_ceil(32) * 4;
        let data = data.get(..stride * height).ok_or_else(cut_short)?;
        for (row, data) in data.chunks_exact(stride).enumerate() {
            header.read_row(data, header.row_mut(&mut samples, row));
        }
    }
    Ok(Decoded {
        width: width as u32,
        height: height as u32,
        samples: if has_alpha {
            Samples::Rgba(samples)
        } else {
            Samples::Rgb(samples)
        },
        orientation: 1,
    })
}

impl Header {
    fn read(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let word = |at: usize| word(bytes, at).ok_or_else(cut_short);
        let size = word(HEADER_AT)?;
        if !HEADERS.contains(&size) {
            let message = format!("a header of {size} bytes");
            return Err(ImageError::unsupported(Format::Bmp, message));
        }
        let is_core = size == CORE_HEADER;
        let (width, height, planes_and_bits) = if is_core {
            let sides = word(18)?;
            (sides & 0xffff, (sides >> 16).cast_signed(), word(22)?)
        } else {
            (word(18)?, word(22)?.cast_signed(), word(26)?)
        };
        if width.cast_signed() < 0 {
            return Err(damaged("a width below zero".to_owned()));
        }
        limits.check_pixels(width.into(), height.unsigned_abs().into(), 3)?;
        let (planes, bits) = (planes_and_bits & 0xffff, planes_and_bits >> 16);
        if planes != 1 {
            return Err(damaged(format!("{planes} planes")));
        }
        let (compression, colours) = if is_core {
            (PLAIN, 0)
        } else {
            (word(30)?, word(46)?)
        };
        let top_down = height < 0;
        let after_header = HEADER_AT + size as usize;
        let palette = || {
            palette(
                bytes,
                after_header,
                bits,
                colours,
                if is_core { 3 } else { 4 },
            )
        };
        let pixels = match (compression, bits) {
            (RUNS_OF_8 | RUNS_OF_4, _) if top_down => {
                return Err(damaged("run lengths from the top".to_owned()));
            }
            (PLAIN, 2 | 16 | 32) if is_core => {
                return Err(damaged(format!("{bits} bits with a header of OS/2")));
            }
            (PLAIN, 1 | 2 | 4 | 8) => Pixels::Indexed(palette()?),
            (RUNS_OF_8, 8) | (RUNS_OF_4, 4) => Pixels::Runs(palette()?),
            (PLAIN, 16) => Pixels::Packed(Field::all([0x7c00, 0x03e0, 0x1f], 16)?, None),
            (PLAIN, 24 | 32) => Pixels::Packed(Field::all([0xff_0000, 0xff00, 0xff], 32)?, None),
            (BIT_FIELDS, 16 | 32) => {
                let colours = Field::all([word(54)?, word(58)?, word(62)?], bits)?;
                let alpha = if size >= 56 { word(66)? } else { 0 };
                let alpha = (alpha != 0).then(|| Field::new(alpha, bits)).transpose()?;
                Pixels::Packed(colours, alpha)
            }
            (PLAIN..=BIT_FIELDS, _) => {
                return Err(damaged(format!(
                    "{bits} bits with compression {compression}"
                )));
            }
            _ => {
                let message = format!("compression {compression}");
                return Err(ImageError::unsupported(Format::Bmp, message));
            }
        };
        Ok(Self {
            width: width as usize,
            height: height.unsigned_abs() as usize,
            top_down,
            bits: bits as usize,
            pixels,
            data: word(10)? as usize,
        })
    }

    /// The samples of the file's row of this number.
    fn row_mut<'s>(&self, samples: &'s mut [u8], row: usize) -> &'s mut [u8] {
        let length = samples.len() / self.height;
        let row = if self.top_down {
            row
        } else {
            self.height - 1 - row
        };
        &mut samples[row * length..(row + 1) * length]
    }

    fn read_row(&self, data: &[u8], samples: &mut [u8]) {
        match &self.pixels {
            Pixels::Indexed(palette) | Pixels::Runs(palette) => {
                for (x, sample) in samples.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    let at = x * self.bits;
                    let index = data[at / 8] >> (8 - self.bits - at % 8);
                    let mask = 0xff >> (8 - self.bits);
                    *sample = palette[usize::from(index & mask)];
                }
            }
            Pixels::Packed(colours, alpha) => {
                let channels = samples.len() / self.width;
                let pixels = data.chunks_exact(self.bits / 8);
                for (sample, pixel) in samples.chunks_exact_mut(channels).zip(pixels) {
                    let mut word = [0; 4];
                    word[..pixel.len()].copy_from_slice(pixel);
                    let word = u32::from_le_bytes(word);
                    for (sample, field) in sample.iter_mut().zip(colours.iter().chain(alpha)) {
                        *sample = field.of(word);
                    }
                }
            }
        }
    }

    /// Rows end where the file says so; the samples are black before.
    fn read_runs(&self, data: &[u8], palette: &Palette, samples: &mut [u8]) -> Result<()> {
        const END_OF_ROW: u8 = 0;
        const END: u8 = 1;
        const DELTA: u8 = 2;
        let outside = || damaged("a run lies outside of the picture".to_owned());
        let mut data = data.iter().copied();
        let mut next = || data.next().ok_or_else(cut_short);
        // Some writers let runs go on past the end of a row; they count on.
        let (mut row, mut x, mut counted) = (0, 0, 0);
        while row < self.height {
            match (next()?, next()?) {
                (0, END_OF_ROW) => (row, x, counted) = (row + 1, 0, 0),
                (0, END) => break,
                (0, DELTA) => {
                    let (right, down) = (usize::from(next()?), usize::from(next()?));
                    if down > 0 {
                        (row, x) = (row + down, counted);
                    }
                    (x, counted) = (x + right, counted + right);
                    if row >= self.height || x > self.width {
                        return Err(outside());
                    }
                }
                (0, count) => {
                    let count = usize::from(count);
                    if x + count > self.width {
                        return Err(outside());
                    }
                    // Whole pairs of bytes.
                    let length = (count * self.bits).div_ceil(16) * 2;
                    let mut indices = [0; 256];
                    for index in &mut indices[..length] {
                        *index = next()?;
                    }
                    let row = self.row_mut(samples, row);
                    self.read_row(&indices, &mut row[3 * x..3 * (x + count)]);
                    (x, counted) = (x + count, counted + count);
                }
                (count, indices) => {
                    let count = usize::from(count);
                    let fitting = count.min(self.width - x);
                    if fitting < count && self.bits == 4 {
                        return Err(outside());
                    }
                    let pair = match self.bits {
                        4 => [indices >> 4, indices & 15],
                        _ => [indices; 2],
                    };
                    let row = self.row_mut(samples, row);
                    let row = row[3 * x..3 * (x + fitting)].as_chunks_mut::<3>().0;
                    for (sample, index) in row.iter_mut().zip(pair.into_iter().cycle()) {
                        *sample = palette[usize::from(index)];
                    }
                    (x, counted) = (x + fitting, counted + count);
                }
            }
        }
        Ok(())
    }
}

fn palette(bytes: &[u8], at: usize, bits: u32, colours: u32, entry: usize) -> Result<Palette> {
    let most = 1 << bits;
    if colours > most {
        return Err(damaged(format!("{colours} colours with {bits} bits")));
    }
    let count = if colours == 0 { most } else { colours } as usize;
    let entries = bytes.get(at..at + count * entry).ok_or_else(cut_short)?;
    let mut palette = Box::new([[0; 3]; 256]);
    for (colour, entry) in palette.iter_mut().zip(entries.chunks_exact(entry)) {
        *colour = [entry[2], entry[1], entry[0]];
    }
    Ok(palette)
}

/// The bits of a word that are one channel.
struct Field {
    shift: u32,
    /// The largest value.
    most: u32,
    /// Added before the division: half of the divisor rounds, nothing truncates.
    rounding: u32,
}

impl Field {
    /// Red, green and blue.
    fn all(masks: [u32; 3], bits: u32) -> Result<[Self; 3]> {
        let mut fields = [
            Self::new(masks[0], bits)?,
            Self::new(masks[1], bits)?,
            Self::new(masks[2], bits)?,
        ];
        // The two layouts of 16 bits that Pillow reads, and how.
        if bits == 16 && [[0xf800, 0x07e0, 0x1f], [0x7c00, 0x03e0, 0x1f]].contains(&masks) {
            for field in &mut fields {
                field.rounding = 0;
            }
        }
        Ok(fields)
    }

    fn new(mask: u32, bits: u32) -> Result<Self> {
        let shift = mask.trailing_zeros();
        let length = mask.count_ones();
        let is_whole = length > 0 && (mask >> shift).trailing_ones() == length;
        if !is_whole || shift + length > bits {
            return Err(damaged(format!(
                "a channel of the bits {mask:#x} of {bits}"
            )));
        }
        // Of more than eight bits the highest.
        let kept = length.min(8);
        let most = (1 << kept) - 1;
        Ok(Self {
            shift: shift + length - kept,
            most,
            rounding: most / 2,
        })
    }

    fn of(&self, word: u32) -> u8 {
        let level = (word >> self.shift) & self.most;
        if self.most == 255 {
            return level as u8;
        }
        ((level * 255 + self.rounding) / self.most) as u8
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

fn cut_short() -> ImageError {
    damaged("cut short".to_owned())
}

fn damaged(message: String) -> ImageError {
    ImageError::malformed(Format::Bmp, message)
}
