//! Memory for a result that is written once, from front to back, without being cleared first.
//!
//! To clear it costs as much as a small product: the memory is new to the caches each time.
#![allow(unsafe_code)]

use crate::prefetch::prefetch_soon;
use candle_core::{Result, bail};
use std::{
    mem::{MaybeUninit, take},
    sync::atomic::{AtomicUsize, Ordering},
};

/// `length` values that `write` writes.
///
/// # Errors
/// When it leaves some unwritten.
pub(crate) fn written(length: usize, write: impl FnOnce(Unwritten<'_>)) -> Result<Vec<f32>> {
    written_in(Vec::new(), length, write)
}

/// The same in the memory of other values, if it is as large.
///
/// # Errors
/// When it leaves some unwritten.
pub(crate) fn written_in(
    mut values: Vec<f32>,
    length: usize,
    write: impl FnOnce(Unwritten<'_>),
) -> Result<Vec<f32>> {
    values.clear();
    values.reserve_exact(length);
    let count = AtomicUsize::new(0);
    write(Unwritten {
        slots: &mut values.spare_capacity_mut()[..length],
        written: 0,
        count: &count,
    });
    if count.into_inner() != length {
        bail!("an output of {length} values that are not all written");
    }
    // SAFETY: the capacity is at least `length`, and all of the first `length` values are written:
    // `Unwritten` counts a value when it writes it and then lets go of its slot, which no other
    // `Unwritten` has, so that as many were written as were counted.
    unsafe { values.set_len(length) };
    Ok(values)
}

/// A part of an output. It adds what it has written to the whole's count when it is dropped; what
/// is never dropped is never counted.
pub(crate) struct Unwritten<'a> {
    slots: &'a mut [MaybeUninit<f32>],
    written: usize,
    count: &'a AtomicUsize,
}

impl<'a> Unwritten<'a> {
    /// Values that are not written yet.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Starts to bring the memory of the first `length` values as near as it gets.
    #[inline(always)]
    pub(crate) fn prefetch(&self, length: usize) {
        prefetch_soon(&self.slots[..length.min(self.slots.len())]);
    }

    /// Takes the first `length` values away, all if there are fewer, as a part of its own.
    pub(crate) fn take(&mut self, length: usize) -> Self {
        let slots = take(&mut self.slots);
        let (first, rest) = slots.split_at_mut(length.min(slots.len()));
        self.slots = rest;
        Self {
            slots: first,
            written: 0,
            count: self.count,
        }
    }

    /// Writes the first values, of those that `values` holds as many as there is room for.
    #[inline(always)]
    pub(crate) fn push<const LENGTH: usize>(&mut self, values: &[f32; LENGTH]) {
        let slots = take(&mut self.slots);
        let length = LENGTH.min(slots.len());
        let (first, rest) = slots.split_at_mut(length);
        // Nearly always all of them, which the compiler then copies as a few vectors.
        match first.first_chunk_mut() {
            Some(first) => *first = values.map(MaybeUninit::new),
            None => {
                first.write_copy_of_slice(&values[..length]);
            }
        }
        self.slots = rest;
        self.written += length;
    }

    /// The same for a slice.
    pub(crate) fn extend(&mut self, values: &[f32]) {
        let slots = take(&mut self.slots);
        let length = values.len().min(slots.len());
        let (first, rest) = slots.split_at_mut(length);
        first.write_copy_of_slice(&values[..length]);
        self.slots = rest;
        self.written += length;
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if self.written > 0 {
            self.count.fetch_add(self.written, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_their_places_and_every_gap_is_found() -> Result<()> {
        let values = written(7, |mut whole| {
            let mut first = whole.take(3);
            whole.push(&[4.0, 5.0, 6.0, 7.0, 8.0]);
            assert_eq!((first.len(), whole.len()), (3, 0));
            first.push(&[1.0, 2.0]);
            first.extend(&[3.0, 9.0]);
        })?;
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert!(written(3, |mut whole| whole.push(&[1.0, 2.0])).is_err());
        assert!(written(3, |mut whole| whole.take(1).push(&[1.0])).is_err());
        assert!(written(1, |_| {}).is_err());
        assert!(written(0, |_| {})?.is_empty());
        Ok(())
    }
}
