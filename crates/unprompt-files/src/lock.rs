//! One at a time, across threads and processes.

use std::{
    fs::{File, OpenOptions, TryLockError, create_dir_all},
    path::Path,
};

/// A lock on a name, until it is dropped or the process ends.
///
/// It saves work; it is never what keeps files right: where the file system does not lock, two
/// processes only do the same twice.
#[derive(Debug)]
pub enum Lock {
    /// Ours.
    Held(File),
    /// The file system does not lock (some network ones do not, or only say that they do), or the
    /// lock's folder cannot be written.
    Unavailable,
}

impl Lock {
    /// Waits until the lock of this file, which is made, is free; `waiting` is called first when it
    /// is not.
    pub fn acquire(path: &Path, waiting: impl FnOnce()) -> Self {
        let Some(file) = open(path) else {
            return Self::Unavailable;
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
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

    /// Takes the lock of this file, which is made, or says that somebody else has it: `None`.
    pub fn try_acquire(path: &Path) -> Option<Self> {
        let Some(file) = open(path) else {
            return Some(Self::Unavailable);
        };
        match file.try_lock() {
            Ok(()) if is_real(path) => Some(Self::Held(file)),
            Ok(()) | Err(TryLockError::Error(_)) => Some(Self::Unavailable),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Whether nobody else holds it.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}

fn open(path: &Path) -> Option<File> {
    create_dir_all(path.parent()?).ok()?;
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
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_second_holder_waits_for_the_first_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down/model.lock");
        let first = Lock::acquire(&path, || panic!("nobody has it"));
        assert!(first.is_held());
        let told = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let waiting = || told.store(true, Ordering::SeqCst);
                Lock::acquire(&path, waiting).is_held()
            });
            while !told.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            assert!(!waiter.is_finished());
            drop(first);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn who_does_not_wait_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard.lock");
        let first = Lock::try_acquire(&path).unwrap();
        assert!(first.is_held());
        assert!(Lock::try_acquire(&path).is_none());
        drop(first);
        assert!(Lock::try_acquire(&path).unwrap().is_held());
    }

    #[test]
    fn a_folder_that_cannot_be_made_gives_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let blocker = folder.path().join("file");
        std::fs::write(&blocker, "").unwrap();
        assert!(!Lock::acquire(&blocker.join("x.lock"), || ()).is_held());
    }
}
