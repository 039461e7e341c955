/// Hears how a fetch goes. The command line draws its bar from this.
///
/// `start` may be called again: when one source fails and the next is tried, the count begins
/// anew with the new total.
pub trait Progress: Sync {
    /// A fetch begins.
    ///
    /// `name` is the model and `total_bytes` what will be transferred (0 when that is unknown).
    fn start(&self, name: &str, total_bytes: u64);

    /// `bytes` more have arrived, or were found from an interrupted run.
    fn advance(&self, bytes: u64);

    /// The fetch that was started last has ended, well or not.
    fn finish(&self);

    /// Something worth one line: a source that failed, a wait for another process.
    fn note(&self, message: &str) {
        let _ = message;
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _name: &str, _total_bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
}

/// Advances only past the highest position seen, so that a restarted file is not counted twice.
pub(crate) struct HighWater<'a> {
    progress: &'a dyn Progress,
    reported: u64,
    limit: u64,
}

impl<'a> HighWater<'a> {
    pub(crate) fn new(progress: &'a dyn Progress, limit: u64) -> Self {
        Self {
            progress,
            reported: 0,
            limit,
        }
    }

    /// Says that `position` bytes of the file are here.
    pub(crate) fn reach(&mut self, position: u64) {
        let position = position.min(self.limit);
        if position > self.reported {
            self.progress.advance(position - self.reported);
            self.reported = position;
        }
    }
}

/// Calls `finish` when dropped, so that an early return does not leave a bar behind.
pub(crate) struct Started<'a>(&'a dyn Progress);

impl<'a> Started<'a> {
    pub(crate) fn new(progress: &'a dyn Progress, name: &str, total_bytes: u64) -> Self {
        progress.start(name, total_bytes);
        Self(progress)
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}
