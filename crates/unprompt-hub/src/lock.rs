use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::Progress;
use crate::storage::create_folder;

/// One fetch at a time, across threads and processes.
///
/// The lock saves work; it is never what keeps files right. Every writer uses a name of its own
/// or checks the hash of what is on the disk before the file gets its name, so two fetches at
/// once only cost a second transfer.
pub(crate) enum FetchLock {
    /// Ours until dropped.
    Held(#[expect(dead_code, reason = "held for its drop")] File),
    /// The file system does not lock (some network ones do not, or only say that they do).
    Unavailable,
}

impl FetchLock {
    /// Waits until the lock is free. `what` is told to the user when that takes a while.
    pub(crate) fn acquire(path: &Path, what: &str, progress: &dyn Progress) -> Self {
        let Some(file) = open(path) else {
            return Self::Unavailable;
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.note(&format!("waiting for another process that fetches {what}"));
                if file.lock().is_err() {
                    return Self::Unavailable;
                }
            }
            Err(TryLockError::Error(_)) => return Self::Unavailable,
        }
        if is_real(path) {
            Self::Held(file)
        } else {
            Self::Unavailable
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}

fn open(path: &Path) -> Option<File> {
    create_folder(path.parent()?).ok()?;
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .ok()
}

/// A lock that a second handle can take as well is none.
fn is_real(path: &Path) -> bool {
    match open(path).map(|second| second.try_lock()) {
        Some(Err(TryLockError::WouldBlock)) => true,
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoProgress;

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down/model.lock");
        let first = FetchLock::acquire(&path, "a model", &NoProgress);
        assert!(first.is_held());
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || FetchLock::acquire(&path, "a model", &NoProgress).is_held()
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiter.is_finished());
        drop(first);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn a_folder_that_cannot_be_made_gives_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let blocker = folder.path().join("file");
        std::fs::write(&blocker, "").unwrap();
        assert!(!FetchLock::acquire(&blocker.join("x.lock"), "a model", &NoProgress).is_held());
    }
}
