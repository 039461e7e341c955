//! Huffman tables.

use super::{bits::BitReader, damaged};
use crate::Result;

/// Bits that one table look-up resolves; longer codes are rare.
const FAST_BITS: u32 = 9;

/// A Huffman table of T.81, Annex C.
pub(super) struct HuffmanTable {
    /// Code length (0: longer than `FAST_BITS`) and value for each prefix.
    fast: Vec<(u8, u8)>,
    /// Per length 1 to 16: one past the largest code, left-aligned to 16 bits.
    limits: [u32; 17],
    /// Per length: index of the first value less the first code.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl HuffmanTable {
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self> {
        let mut table = Self {
            fast: vec![(0, 0); 1 << FAST_BITS],
            limits: [0; 17],
            offsets: [0; 17],
            values: values.to_vec(),
        };
        let mut code = 0u32;
        let mut index = 0usize;
        for (length, &count) in (1u32..).zip(counts) {
            table.offsets[length as usize] = index as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << length {
                    return Err(damaged("a Huffman table has too many codes"));
                }
                if length <= FAST_BITS {
                    let spare = FAST_BITS - length;
                    let first = (code << spare) as usize;
                    table.fast[first..first + (1 << spare)].fill((length as u8, values[index]));
                }
                code += 1;
                index += 1;
            }
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// The next symbol.
    #[inline]
    pub(super) fn decode(&self, bits: &mut BitReader<'_>) -> Result<u8> {
        let prefix = bits.peek16();
        let (length, value) = self.fast[(prefix >> (16 - FAST_BITS)) as usize];
        if length != 0 {
            bits.skip(u32::from(length));
            return Ok(value);
        }
        for length in FAST_BITS + 1..=16 {
            if prefix < self.limits[length as usize] {
                bits.skip(length);
                let index = (prefix >> (16 - length)) as i32 + self.offsets[length as usize];
                return self
                    .values
                    .get(index as usize)
                    .copied()
                    .ok_or_else(bad_code);
            }
        }
        Err(bad_code())
    }
}

fn bad_code() -> crate::ImageError {
    damaged("its compressed data hold a code that means nothing")
}
