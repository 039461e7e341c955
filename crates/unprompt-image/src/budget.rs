//! Memory of all pictures that are being decoded in this process.

use crate::{ImageError, Limits, Result, decode::decoding_bytes, dimensions};
use std::{
    cell::Cell,
    marker::PhantomData,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Enough for any picture within the default [`Limits`].
const DEFAULT: u64 = 2 << 30;

struct Budget {
    most: u64,
    used: u64,
    /// The number that the next one who asks gets, and that of the next one who is let in: without an
    /// order a large picture would wait as long as there are small ones.
    next: u64,
    turn: u64,
}

static BUDGET: Mutex<Budget> = Mutex::new(Budget {
    most: DEFAULT,
    used: 0,
    next: 0,
    turn: 0,
});
static FREED: Condvar = Condvar::new();

fn budget() -> MutexGuard<'static, Budget> {
    BUDGET.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets how many bytes the pictures may need that are decoded at the same time in this process. The
/// default is 2 GiB.
pub fn set_memory(bytes: u64) {
    budget().most = bytes;
    FREED.notify_all();
}

thread_local! {
    /// Pictures that this thread was let in with.
    static ADMITTED: Cell<usize> = const { Cell::new(0) };
}

/// The right to decode a picture, which [`decode`](crate::decode) takes by itself. Whoever holds on to
/// the pixels takes it before, and keeps it as long: what the same thread decodes meanwhile is within it.
#[derive(Debug)]
pub struct Admission {
    bytes: u64,
    // It counts for the thread that has it.
    _not_send: PhantomData<*const ()>,
}

impl Admission {
    /// Waits until what decoding this picture needs is free.
    ///
    /// # Errors
    /// [`LimitExceeded`](crate::ImageErrorKind::LimitExceeded) when it needs more than there is in all.
    pub fn wait(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let needs = match ADMITTED.get() {
            0 => needs(bytes, limits),
            _ => 0,
        };
        if needs > 0 {
            let mut budget = budget();
            if needs > budget.most {
                return Err(ImageError::limit(format_args!(
                    "to decode it needs {needs} bytes, and {} is all that pictures may take",
                    budget.most
                )));
            }
            let turn = budget.next;
            budget.next += 1;
            while budget.turn != turn || budget.used.saturating_add(needs) > budget.most.max(needs)
            {
                budget = FREED.wait(budget).unwrap_or_else(PoisonError::into_inner);
            }
            budget.turn += 1;
            budget.used += needs;
            drop(budget);
            FREED.notify_all();
        }
        ADMITTED.set(ADMITTED.get() + 1);
        Ok(Self {
            bytes: needs,
            _not_send: PhantomData,
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        ADMITTED.set(ADMITTED.get().saturating_sub(1));
        if self.bytes > 0 {
            budget().used -= self.bytes;
            FREED.notify_all();
        }
    }
}

/// 0 for what is refused anyway, by its size or because it is no picture.
fn needs(bytes: &[u8], limits: &Limits) -> u64 {
    let fits = dimensions(bytes).is_some_and(|(width, height)| {
        limits.check_encoded(bytes.len()).is_ok()
            && limits.check_pixels(width.into(), height.into(), 1).is_ok()
    });
    match fits {
        true => decoding_bytes(bytes).unwrap_or(0),
        false => 0,
    }
}
