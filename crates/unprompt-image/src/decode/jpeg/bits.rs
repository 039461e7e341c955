//! The bits of one scan.

use super::{damaged, next_marker};
use crate::Result;

/// Reads entropy-coded bits, removing stuffed zero bytes and stopping at markers.
///
/// Past the data it hands out zero bits; [`BitReader::check`] tells whether any was used.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Upcoming bits, the first one in the highest place.
    window: u64,
    available: u32,
    /// Zero bits made up at the end of `window`.
    invented: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            window: 0,
            available: 0,
            invented: 0,
        }
    }

    fn fill(&mut self) {
        while self.available <= 56 {
            let byte = match self.bytes.get(self.position) {
                Some(0xff) if self.bytes.get(self.position + 1) == Some(&0) => {
                    self.position += 2;
                    0xff
                }
                None | Some(0xff) => {
                    self.invented = self.invented.saturating_add(8);
                    0
                }
                Some(&byte) => {
                    self.position += 1;
                    byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.available);
            self.available += 8;
        }
    }

    /// The next 16 bits, not consumed.
    #[inline]
    pub(super) fn peek16(&mut self) -> u32 {
        if self.available < 16 {
            self.fill();
        }
        (self.window >> 48) as u32
    }

    /// `count` is at most 16, and covered by an earlier peek.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.window <<= count;
        self.available -= count;
    }

    /// The next `count` bits, at most 16.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> i32 {
        let value = self.peek16() >> (16 - count);
        self.skip(count);
        value as i32
    }

    /// A signed value of `size` bits in JPEG's coding: a leading 0 marks a negative one.
    #[inline]
    pub(super) fn take_signed(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let value = self.take(size);
        if value < 1 << (size - 1) {
            value - (1 << size) + 1
        } else {
            value
        }
    }

    /// Fails when bits were used that the file does not have.
    pub(super) fn check(&self) -> Result<()> {
        if self.invented > self.available {
            return Err(damaged("its compressed data end too early"));
        }
        Ok(())
    }

    /// Goes past the next restart marker, which must be number `expected` (0 to 7).
    pub(super) fn restart(&mut self, expected: usize) -> Result<()> {
        match next_marker(self.bytes, self.position) {
            Some((marker, start)) if usize::from(marker) == 0xd0 + expected => {
                *self = Self {
                    position: start,
                    ..Self::new(self.bytes)
                };
                Ok(())
            }
            _ => Err(damaged("a restart marker is missing")),
        }
    }

    /// Where the reading stopped; the scan's closing marker is here or later.
    pub(super) fn position(&self) -> usize {
        self.position
    }
}
