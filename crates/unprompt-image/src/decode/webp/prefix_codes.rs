//! What the prefix codes of a lossless WebP stream need, told before anything is decoded.
//!
//! A stream may have 65,536 groups of five codes, whatever the size of the picture, and the decoder
//! builds the tables of all: 1.3 GB out of 3.8 MB for one pixel. Those of an encoder are some hundred
//! groups (libwebp makes at most 2,600), so the codes are walked through first, no table is built, and
//! the bytes that the decoder would need are summed up.
//!
//! Source: RFC 9649, section 3.

use crate::{Format, ImageError, Result};

/// Codes of a group: green with lengths and the colour cache, red, blue, alpha, distance.
const ALPHABETS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
/// The order in which the lengths of the code for code lengths are stored.
const LENGTHS_ORDER: [usize; 19] = [
    17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];
const LONGEST: usize = 15;
/// The decoder's first table has at most so many bits; longer codes are nodes of a tree.
const TABLE_BITS: usize = 10;
/// Bytes of one entry of that table, of one node, and of a code without its tables.
const ENTRY_BYTES: u64 = 4;
const NODE_BYTES: u64 = 16;
const CODE_BYTES: u64 = 64;
/// Distances of backward references that are near in two dimensions, as (x, y).
#[rustfmt::skip]
const NEAR: [(i32, i32); 120] = [
    (0, 1),  (1, 0),  (1, 1),  (-1, 1), (0, 2),  (2, 0),  (1, 2),  (-1, 2),
    (2, 1),  (-2, 1), (2, 2),  (-2, 2), (0, 3),  (3, 0),  (1, 3),  (-1, 3),
    (3, 1),  (-3, 1), (2, 3),  (-2, 3), (3, 2),  (-3, 2), (0, 4),  (4, 0),
    (1, 4),  (-1, 4), (4, 1),  (-4, 1), (3, 3),  (-3, 3), (2, 4),  (-2, 4),
    (4, 2),  (-4, 2), (0, 5),  (3, 4),  (-3, 4), (4, 3),  (-4, 3), (5, 0),
    (1, 5),  (-1, 5), (5, 1),  (-5, 1), (2, 5),  (-2, 5), (5, 2),  (-5, 2),
    (4, 4),  (-4, 4), (3, 5),  (-3, 5), (5, 3),  (-5, 3), (0, 6),  (6, 0),
    (1, 6),  (-1, 6), (6, 1),  (-6, 1), (2, 6),  (-2, 6), (6, 2),  (-6, 2),
    (4, 5),  (-4, 5), (5, 4),  (-5, 4), (3, 6),  (-3, 6), (6, 3),  (-6, 3),
    (0, 7),  (7, 0),  (1, 7),  (-1, 7), (5, 5),  (-5, 5), (7, 1),  (-7, 1),
    (4, 6),  (-4, 6), (6, 4),  (-6, 4), (2, 7),  (-2, 7), (7, 2),  (-7, 2),
    (3, 7),  (-3, 7), (7, 3),  (-7, 3), (5, 6),  (-5, 6), (6, 5),  (-6, 5),
    (8, 0),  (4, 7),  (-4, 7), (7, 4),  (-7, 4), (8, 1),  (8, 2),  (6, 6),
    (-6, 6), (8, 3),  (5, 7),  (-5, 7), (7, 5),  (-7, 5), (8, 4),  (6, 7),
    (-6, 7), (7, 6),  (-7, 6), (8, 5),  (7, 7),  (-7, 7), (8, 6),  (8, 7)
];

/// Refuses a stream whose prefix codes need more than `most` bytes. `size` is that of a stream that
/// does not begin with its own, as one of transparency.
///
/// # Errors
/// [`LimitExceeded`](crate::ImageErrorKind::LimitExceeded), or
/// [`Malformed`](crate::ImageErrorKind::Malformed) where the stream ends or makes no sense before the
/// pixels begin.
pub(super) fn check(stream: &[u8], size: Option<(usize, usize)>, most: u64) -> Result<()> {
    // A byte of the stream makes tables of about a kilobyte, never of four.
    if stream.len() as u64 <= most >> 12 {
        return Ok(());
    }
    match (Walk {
        bits: Bits {
            bytes: stream,
            at: 0,
        },
    })
    .needs(size, most)
    {
        Some(needs) if needs > most => Err(ImageError::limit(format_args!(
            "its WebP prefix codes need more than the {most} bytes allowed"
        ))),
        Some(_) => Ok(()),
        None => Err(ImageError::malformed(
            Format::WebP,
            "its lossless stream is broken before the pixels",
        )),
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 24, the first one lowest.
    fn take(&mut self, count: usize) -> Option<usize> {
        let end = self.at + count;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let mut value = 0;
        for (index, byte) in self.bytes[self.at / 8..end.div_ceil(8)].iter().enumerate() {
            value |= u64::from(*byte) << (8 * index);
        }
        let value = (value >> (self.at % 8)) & ((1 << count) - 1);
        self.at = end;
        usize::try_from(value).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }
}

/// A prefix code: how many symbols there are of each length, and the symbols in the order of their codes.
struct Code {
    counts: [usize; LONGEST + 1],
    symbols: Vec<usize>,
}

impl Code {
    fn single(symbol: usize) -> Self {
        Self {
            counts: [0; LONGEST + 1],
            symbols: vec![symbol],
        }
    }

    /// `None` where the lengths are those of no code.
    fn of_lengths(lengths: &[usize]) -> Option<Self> {
        let mut counts = [0; LONGEST + 1];
        let mut used: Vec<usize> = (0..lengths.len())
            .filter(|&symbol| lengths[symbol] > 0)
            .collect();
        if let [symbol] = used[..] {
            return Some(Self::single(symbol));
        }
        used.sort_by_key(|&symbol| lengths[symbol]);
        for &symbol in &used {
            counts[lengths[symbol]] += 1;
        }
        let taken: usize = (1..=LONGEST)
            .map(|length| counts[length] << (LONGEST - length))
            .sum();
        (taken == 1 << LONGEST).then_some(Self {
            counts,
            symbols: used,
        })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Option<usize> {
        if let [symbol] = self.symbols[..] {
            return Some(symbol);
        }
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// Bytes that the decoder needs for it.
    fn needs(&self) -> u64 {
        let Some(longest) = (1..=LONGEST).rev().find(|&length| self.counts[length] > 0) else {
            return CODE_BYTES;
        };
        let in_tree: usize = self.counts[TABLE_BITS + 1..].iter().sum();
        // A branch for each leaf, and as much again where the list grows.
        CODE_BYTES + (ENTRY_BYTES << longest.min(TABLE_BITS)) + 4 * NODE_BYTES * in_tree as u64
    }
}

struct Walk<'a> {
    bits: Bits<'a>,
}

impl Walk<'_> {
    /// Bytes of all prefix codes of the picture, or, once there are more than `most`, of those until
    /// then.
    fn needs(&mut self, size: Option<(usize, usize)>, most: u64) -> Option<u64> {
        let (width, height) = match size {
            Some(size) => size,
            None => {
                if self.bits.take(8)? != 0x2f {
                    return None;
                }
                let size = (self.bits.take(14)? + 1, self.bits.take(14)? + 1);
                // Whether there is transparency, and the version.
                self.bits.take(4)?;
                size
            }
        };
        let width = self.transforms(width, height)?;
        let cache = self.colour_cache()?;
        let mut groups = 1;
        if self.bits.flag()? {
            let block = self.bits.take(3)? + 2;
            let choice = self.image(blocks(width, block), blocks(height, block))?;
            let number = |pixel: &u32| (pixel >> 8 & 0xffff) as usize + 1;
            groups = choice.iter().map(number).max()?;
        }
        let mut needs = 0;
        for _ in 0..groups {
            for code in self.group(cache)? {
                needs += code.needs();
            }
            if needs > most {
                break;
            }
        }
        Some(needs)
    }

    /// Goes past the transforms, and gives the width of what follows.
    fn transforms(&mut self, mut width: usize, height: usize) -> Option<usize> {
        let mut seen = [false; 4];
        while self.bits.flag()? {
            let kind = self.bits.take(2)?;
            if std::mem::replace(&mut seen[kind], true) {
                return None;
            }
            match kind {
                0 | 1 => {
                    let block = self.bits.take(3)? + 2;
                    self.image(blocks(width, block), blocks(height, block))?;
                }
                2 => {}
                _ => {
                    let colours = self.bits.take(8)? + 1;
                    self.image(colours, 1)?;
                    width = blocks(
                        width,
                        match colours {
                            0..=2 => 3,
                            3..=4 => 2,
                            5..=16 => 1,
                            _ => 0,
                        },
                    );
                }
            }
        }
        Some(width)
    }

    /// The bits of the colour cache; 0 where there is none.
    fn colour_cache(&mut self) -> Option<usize> {
        if !self.bits.flag()? {
            return Some(0);
        }
        let bits = self.bits.take(4)?;
        (1..=11).contains(&bits).then_some(bits)
    }

    fn group(&mut self, cache: usize) -> Option<[Code; 5]> {
        let cached = if cache > 0 { 1 << cache } else { 0 };
        let mut code = |index: usize| {
            let alphabet = ALPHABETS[index] + if index == 0 { cached } else { 0 };
            self.code(alphabet)
        };
        Some([code(0)?, code(1)?, code(2)?, code(3)?, code(4)?])
    }

    fn code(&mut self, alphabet: usize) -> Option<Code> {
        let bits = &mut self.bits;
        if bits.flag()? {
            let two = bits.flag()?;
            let length = if bits.flag()? { 8 } else { 1 };
            let first = bits.take(length)?;
            let second = if two { Some(bits.take(8)?) } else { None };
            if first >= alphabet || second.is_some_and(|second| second >= alphabet) {
                return None;
            }
            return Some(match second {
                None => Code::single(first),
                Some(second) => {
                    let mut counts = [0; LONGEST + 1];
                    counts[1] = 2;
                    Code {
                        counts,
                        symbols: vec![first, second],
                    }
                }
            });
        }
        let mut lengths = [0; LENGTHS_ORDER.len()];
        let stored = 4 + bits.take(4)?;
        for place in &LENGTHS_ORDER[..stored] {
            lengths[*place] = bits.take(3)?;
        }
        let code = Code::of_lengths(&lengths)?;
        let mut left = alphabet;
        if bits.flag()? {
            let length = 2 + 2 * bits.take(3)?;
            left = 2 + bits.take(length)?;
            if left > alphabet {
                return None;
            }
        }
        let mut lengths = vec![0; alphabet];
        let (mut symbol, mut before) = (0, 8);
        while symbol < alphabet && left > 0 {
            left -= 1;
            let (length, repeat) = match code.read(bits)? {
                16 => (before, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (length, 1),
            };
            lengths.get_mut(symbol..symbol + repeat)?.fill(length);
            symbol += repeat;
            if length > 0 {
                before = length;
            }
        }
        Code::of_lengths(&lengths)
    }

    /// A small picture within the stream: one group of codes for all of it. Pixels are ARGB.
    fn image(&mut self, width: usize, height: usize) -> Option<Vec<u32>> {
        let cache_bits = self.colour_cache()?;
        let mut cache = vec![0u32; if cache_bits > 0 { 1 << cache_bits } else { 0 }];
        let [green, red, blue, alpha, distance] = self.group(cache_bits)?;
        let place =
            |pixel: u32| (0x1e35_a7bd_u32.wrapping_mul(pixel) >> (32 - cache_bits)) as usize;
        let bits = &mut self.bits;
        let count = width * height;
        let mut pixels: Vec<u32> = Vec::new();
        while pixels.len() < count {
            let begin = pixels.len();
            match green.read(bits)? {
                value @ ..256 => {
                    let (red, blue) = (red.read(bits)?, blue.read(bits)?);
                    let alpha = alpha.read(bits)?;
                    pixels.push((alpha << 24 | red << 16 | value << 8 | blue) as u32);
                }
                length @ 256..280 => {
                    let length = reference(length - 256, bits)?;
                    let far = reference(distance.read(bits)?, bits)?;
                    let back = match NEAR.get(far - 1) {
                        None => far - NEAR.len(),
                        Some((x, y)) => {
                            let near = *x + *y * i32::try_from(width).ok()?;
                            usize::try_from(near.max(1)).ok()?
                        }
                    };
                    if back > begin || length > count - begin {
                        return None;
                    }
                    for at in begin..begin + length {
                        pixels.push(pixels[at - back]);
                    }
                }
                cached => pixels.push(*cache.get(cached - 280)?),
            }
            if cache_bits > 0 {
                for &pixel in &pixels[begin..] {
                    cache[place(pixel)] = pixel;
                }
            }
        }
        Some(pixels)
    }
}

/// A length or a distance out of its prefix and the bits after it.
fn reference(prefix: usize, bits: &mut Bits<'_>) -> Option<usize> {
    if prefix < 4 {
        return Some(prefix + 1);
    }
    let extra = (prefix - 2) >> 1;
    let offset = (2 + (prefix & 1)) << extra;
    Some(offset + bits.take(extra)? + 1)
}

fn blocks(side: usize, bits: usize) -> usize {
    side.div_ceil(1 << bits)
}
