//! Memory for feature maps, used again and again.

use super::Lanes;
use std::{
    cell::RefCell,
    mem::take,
    ops::{Deref, DerefMut},
};

thread_local! {
    /// Memory that this thread has used before: to have the system clear new pages each time would
    /// cost as much as to fill them.
    static SPARE: RefCell<Vec<Vec<Lanes>>> = const { RefCell::new(Vec::new()) };
}

/// How many of them are kept.
const MOST_SPARE: usize = 4;

/// Lanes in the largest that is kept.
const LARGEST_SPARE: usize = 1 << 18;

/// So many [`Lanes`] of memory, with anything in them.
#[derive(Debug)]
pub(super) struct Memory {
    data: Vec<Lanes>,
    length: usize,
}

impl Memory {
    pub(super) fn new(length: usize) -> Self {
        let spare = SPARE.with_borrow_mut(|spare| {
            // The smallest that is large enough, or else the largest.
            let fit = |index: &usize| {
                let found = spare[*index].len();
                (found < length, found.abs_diff(length))
            };
            let best = (0..spare.len()).min_by_key(fit)?;
            Some(spare.swap_remove(best))
        });
        let mut data = spare.unwrap_or_default();
        if data.len() < length {
            data.resize(length, Lanes::ZERO);
        }
        Self { data, length }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let data = take(&mut self.data);
        if data.len() <= LARGEST_SPARE {
            // At the end of a thread there is nothing to keep it in.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < MOST_SPARE {
                    spare.push(data);
                }
            });
        }
    }
}

impl Deref for Memory {
    type Target = [Lanes];

    fn deref(&self) -> &[Lanes] {
        &self.data[..self.length]
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [Lanes] {
        &mut self.data[..self.length]
    }
}
