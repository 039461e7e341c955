//! A lossless WebP whose prefix codes take 1.3 GB for one pixel: 65,536 groups of five codes, each of which
//! needs a table of a thousand entries.

/// Bits, the first one lowest.
#[derive(Default)]
struct Bits(Vec<u8>, usize);

impl Bits {
    fn put(&mut self, value: u32, count: usize) {
        for place in 0..count {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            *self.0.last_mut().unwrap() |= ((value >> place & 1) as u8) << (self.1 % 8);
            self.1 += 1;
        }
    }
}

/// A lossless stream with `groups` groups of prefix codes, each of whose codes needs a table of a
/// thousand entries.
pub fn stream(side: u32, groups: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x2f, 8);
    bits.put(side - 1, 14);
    bits.put(side - 1, 14);
    bits.put(0, 4);
    // No transform, no colour cache, groups chosen by blocks of 4 x 4 pixels.
    bits.put(0, 1);
    bits.put(0, 1);
    bits.put(1, 1);
    bits.put(0, 3);
    // Every block has the last group: its number in red and green, a code of one symbol for each.
    bits.put(0, 1);
    for symbol in [(groups - 1) & 0xff, (groups - 1) >> 8, 0, 0, 0] {
        bits.put(1, 1);
        bits.put(0, 1);
        bits.put(1, 1);
        bits.put(symbol, 8);
    }
    // Of the lengths 1 to 10, six have codes of three bits and four of four.
    let order = [
        17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ];
    let length_of = |length: u32| match length {
        1..=6 => 3,
        7..=10 => 4,
        _ => 0,
    };
    let code_of = |length: u32| match length {
        1..=6 => (length - 1, 3),
        _ => (12 + length - 7, 4),
    };
    for _ in 0..groups * 5 {
        bits.put(0, 1);
        bits.put(15, 4);
        for length in order {
            bits.put(length_of(length), 3);
        }
        // The first eleven symbols alone have lengths.
        bits.put(1, 1);
        bits.put(1, 3);
        bits.put(9, 4);
        for length in (1..=10).chain([10]) {
            let (code, count) = code_of(length);
            bits.put(code.reverse_bits() >> (32 - count), count as usize);
        }
    }
    // Pixels of zero bits.
    bits.0.extend([0; 64]);
    bits.0
}
