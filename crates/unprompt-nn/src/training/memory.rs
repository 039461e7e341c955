//! Memory of one step of training, taken again by the next.

use super::{LayerError, LayerResult};
use crate::output::{Unwritten, written_in};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// While one of these lives, memory that is given to [`recycle`] becomes the memory of later results: a
/// step takes and gives up a gigabyte, and to have the system clear its pages each time costs a tenth of the step.
#[derive(Debug)]
pub struct Workspace(());

struct Kept {
    workspaces: usize,
    free: Vec<Vec<f32>>,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    workspaces: 0,
    free: Vec::new(),
});

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workspace {
    /// From now on memory is kept.
    #[allow(clippy::new_without_default)] // it does more than to make a value
    pub fn new() -> Self {
        kept().workspaces += 1;
        Self(())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let mut kept = kept();
        kept.workspaces -= 1;
        if kept.workspaces == 0 {
            kept.free = Vec::new();
        }
    }
}

/// Gives memory up: for later results where there is a [`Workspace`], else to the system.
pub fn recycle(values: Vec<f32>) {
    let mut kept = kept();
    if kept.workspaces > 0 && values.capacity() > 0 {
        kept.free.push(values);
    }
}

/// Memory for so many values: the smallest that is kept and fits, unless it would fit twice as many.
fn take(length: usize) -> Vec<f32> {
    let mut kept = kept();
    let fitting = kept.free.iter().enumerate();
    let fitting = fitting.filter(|(_, values)| (length..=2 * length).contains(&values.capacity()));
    match fitting.min_by_key(|(_, values)| values.capacity()) {
        Some((index, _)) => kept.free.swap_remove(index),
        None => Vec::new(),
    }
}

/// So many values of a layer's result, which `write` writes.
pub(super) fn written(
    layer: &'static str,
    length: usize,
    write: impl FnOnce(Unwritten<'_>),
) -> LayerResult<Vec<f32>> {
    let result = written_in(take(length), length, write);
    result.map_err(|error| LayerError::new(layer, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_fits_is_taken_again_while_there_is_a_workspace() {
        // Lengths that no other test uses: they run beside this one.
        const LENGTH: usize = 1_234_567;
        let workspace = Workspace::new();
        let place = |values: &Vec<f32>| values.as_ptr() as usize;
        let fill = |length: usize| {
            written("test", length, |mut out| {
                for _ in 0..length {
                    out.push(&[1.0]);
                }
            })
        };
        let first = fill(LENGTH).unwrap();
        let at = place(&first);
        recycle(first);
        let half = fill(LENGTH / 2 - 1).unwrap();
        assert_ne!(place(&half), at);
        let second = fill(LENGTH - 1).unwrap();
        assert_eq!((place(&second), second.len()), (at, LENGTH - 1));
        assert!(second.iter().all(|value| *value == 1.0));
        recycle(second);
        drop(workspace);
        let is_kept = |kept: &Kept| kept.free.iter().any(|values| place(values) == at);
        let kept = kept();
        assert!(kept.workspaces > 0 || !is_kept(&kept));
    }
}
