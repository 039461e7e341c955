//! A reader that counts lines and refuses a record without an end.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// Longest row or record that is read: a prediction with its members and evidence takes about
/// 100 KiB, and a file without any line end must not fill the memory.
pub(crate) const MAX_RECORD_BYTES: u64 = 16 << 20;

/// Position shared between a [`RecordLimit`] inside a parser and the code that drives the parser.
#[derive(Clone)]
pub(crate) struct Progress(Rc<Counters>);

struct Counters {
    line: Cell<u64>,
    left: Cell<u64>,
    exceeded: Cell<bool>,
}

impl Progress {
    /// `line` is the line that the first byte belongs to.
    pub(crate) fn new(line: u64) -> Self {
        Self(Rc::new(Counters {
            line: Cell::new(line),
            left: Cell::new(MAX_RECORD_BYTES),
            exceeded: Cell::new(false),
        }))
    }

    /// Line of the byte to be read next.
    pub(crate) fn line(&self) -> u64 {
        self.0.line.get()
    }

    /// A new record begins: it has the whole limit to itself.
    pub(crate) fn next_record(&self) {
        self.0.left.set(MAX_RECORD_BYTES);
    }

    /// Whether reading ended because a record was too long.
    pub(crate) fn exceeded(&self) -> bool {
        self.0.exceeded.get()
    }
}

/// Passes bytes through until a record gets longer than [`MAX_RECORD_BYTES`], then fails.
pub(crate) struct RecordLimit<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> RecordLimit<R> {
    pub(crate) fn new(inner: R, progress: &Progress) -> Self {
        Self {
            inner,
            progress: progress.clone(),
        }
    }
}

impl<R: Read> Read for RecordLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let counters = &self.progress.0;
        if counters.left.get() == 0 {
            counters.exceeded.set(true);
            return Err(io::Error::other("record too long"));
        }
        let count = self.inner.read(buffer)?;
        counters
            .left
            .set(counters.left.get().saturating_sub(count as u64));
        let lines = buffer[..count]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        counters.line.set(counters.line.get() + lines as u64);
        Ok(count)
    }
}
