//! Places where tests let the system fail.
//!
//! In a build with debug assertions the variable `UNPROMPT_FAIL` names a step and which of its occurrences fails:
//! `rename:2` the second time that a file gets its name, `any:7` the seventh step of all. That it failed is said on
//! standard error, for some failures cost the next run time and nothing else. Other builds do not look.

use std::io;

/// A step that changes the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// A file, a folder or a link is made.
    Create,
    /// Bytes are written, or a file gets another length.
    Write,
    /// What was written is brought to the disk.
    Sync,
    /// A file gets its name.
    Rename,
}

impl Failpoint {
    /// Fails where a test asked for it; called before the step.
    ///
    /// # Errors
    /// As of a disk that is full.
    #[cfg(debug_assertions)]
    pub fn pass(self) -> io::Result<()> {
        use std::{
            io::Write as _,
            sync::{
                OnceLock,
                atomic::{AtomicU64, Ordering},
            },
        };
        static ASKED: OnceLock<Option<(String, u64)>> = OnceLock::new();
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let asked = ASKED.get_or_init(|| {
            let asked = std::env::var("UNPROMPT_FAIL").ok()?;
            let (name, number) = asked.split_once(':')?;
            Some((name.to_owned(), number.parse().ok()?))
        });
        let Some((name, number)) = asked else {
            return Ok(());
        };
        let own = match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
        };
        let counts = name == "any" || name == own;
        if counts && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *number {
            // Where even that cannot be written nobody looks.
            let _ = writeln!(io::stderr(), "UNPROMPT_FAIL: step {number} failed ({own})");
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Nothing fails here.
    ///
    /// # Errors
    /// None.
    #[cfg(not(debug_assertions))]
    #[inline]
    pub fn pass(self) -> io::Result<()> {
        Ok(())
    }
}
