//! Hints to the caches.
#![allow(unsafe_code)]

/// A macro, as the level has to be a constant of the instruction.
macro_rules! prefetch {
    ($values:ident, $level:ident) => {
        #[cfg(target_arch = "x86_64")]
        for line in $values.chunks(64 / size_of::<T>()) {
            use std::arch::x86_64::{_mm_prefetch, $level};
            // SAFETY: a prefetch changes nothing that a program sees, and SSE, which has it, is
            // part of x86_64.
            unsafe { _mm_prefetch::<$level>(line.as_ptr().cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = $values;
    };
}

/// Starts to bring `values` into the second-level cache, one line after the other.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T]) {
    prefetch!(values, _MM_HINT_T1);
}

/// The same into the first-level cache: a few lines that are needed soon.
#[inline(always)]
pub(crate) fn prefetch_soon<T>(values: &[T]) {
    prefetch!(values, _MM_HINT_T0);
}
