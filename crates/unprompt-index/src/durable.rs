//! The files of an index: whole or not there, and tests can let each step on the way fail.

use crate::{IndexError, Result};
use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};
use unprompt_files::{TEMPORARY_PREFIX, TemporaryFile, folder_of, sync_folder};

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    failure::step()
        .and_then(|()| unprompt_files::create_folder(path))
        .map_err(|error| IndexError::io("create folder", path, error))
}

/// Writes one file, all or nothing.
pub(crate) fn write<T>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<TemporaryFile>) -> io::Result<T>,
) -> Result<T> {
    unprompt_files::write_by(path, failure::step, content)
        .map_err(|error| IndexError::io("write", path, error))
}

/// Writes a small file, all or nothing.
pub(crate) fn write_bytes(path: &Path, content: &[u8]) -> Result<()> {
    write(path, |file| file.write_all(content))
}

/// Removes a file that may be there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match failure::step().and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(IndexError::io("remove", path, error))
        }
        _ => {
            sync_folder(folder_of(path));
            Ok(())
        }
    }
}

/// Removes what interrupted runs left in a folder. What cannot be removed costs space only.
pub(crate) fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(TEMPORARY_PREFIX.as_bytes())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The place where tests let the system fail.
pub(crate) mod failure {
    use std::io;

    #[cfg(test)]
    thread_local! {
        /// Steps that still go well; `None` when all do.
        pub(crate) static GOOD_STEPS: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
    }

    /// Called before each step that changes the disk.
    #[cfg(test)]
    pub(crate) fn step() -> io::Result<()> {
        match GOOD_STEPS.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the disk is full")),
            Some(left) => {
                GOOD_STEPS.set(Some(left - 1));
                Ok(())
            }
        }
    }

    #[cfg(not(test))]
    #[inline]
    pub(crate) fn step() -> io::Result<()> {
        Ok(())
    }
}
