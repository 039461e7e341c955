//! What has to be undone when the process is told to end.
//!
//! Destructors do not run when a process exits, so whatever a signal must not leave behind is named
//! here for as long as it is there.

use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

type Step = Box<dyn FnOnce() + Send>;

struct Pending {
    next: u64,
    /// By age, so that what came last is undone first.
    steps: BTreeMap<u64, Step>,
}

static PENDING: Mutex<Pending> = Mutex::new(Pending {
    next: 0,
    steps: BTreeMap::new(),
});

fn pending() -> MutexGuard<'static, Pending> {
    // Nothing that is done under the lock can leave it half done.
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A step that [`undo_all`] takes unless this was dropped before.
pub struct Undo(u64);

impl Undo {
    /// Names a step. It is called on another thread, while nothing else is named or dropped here, so
    /// it must not do either.
    #[must_use]
    pub fn by(step: impl FnOnce() + Send + 'static) -> Self {
        Self::after(|| ((), step)).1
    }

    /// Does something and names the step that undoes it, with nothing between that [`undo_all`] could
    /// fall into.
    pub(crate) fn after<T, U: FnOnce() + Send + 'static>(
        make: impl FnOnce() -> (T, U),
    ) -> (T, Self) {
        let mut pending = pending();
        let (made, step) = make();
        let number = pending.next;
        pending.next += 1;
        pending.steps.insert(number, Box::new(step));
        (made, Self(number))
    }

    /// Does what makes the step needless, with nothing between that [`undo_all`] could fall into.
    pub(crate) fn settle<T>(self, done: impl FnOnce() -> T) -> T {
        let mut pending = pending();
        let done = done();
        pending.steps.remove(&self.0);
        drop(pending);
        done
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        pending().steps.remove(&self.0);
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Undo").field(&self.0).finish()
    }
}

/// Takes every step that is named, the last one first: removes all temporary files and folders of
/// this process. From then on no thread can make one or give one its name: it waits for ever, so the
/// process must be ended next.
pub fn undo_all() {
    let mut pending = pending();
    for (_, step) in mem::take(&mut pending.steps).into_iter().rev() {
        step();
    }
    mem::forget(pending);
}
