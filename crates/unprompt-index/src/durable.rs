//! Files that are whole or not there, also after the power went: written beside their place, synced,
//! renamed, and the folder synced.

use crate::{IndexError, Result};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};
use tempfile::NamedTempFile;

/// Marks what an interrupted run may leave; such names are never read.
const TEMPORARY_PREFIX: &str = ".unprompt-";

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    failure::step()
        .and_then(|()| fs::create_dir_all(path))
        .map_err(|error| IndexError::io("create folder", path, error))
}

/// Writes one file, all or nothing.
pub(crate) fn write<T>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<NamedTempFile>) -> io::Result<T>,
) -> Result<T> {
    let folder = folder_of(path);
    let failed = |error| IndexError::io("write", path, error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As readable as any other file; the umask applies.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let file = failure::step()
        .and_then(|()| builder.tempfile_in(folder))
        .map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 18, file);
    let result = failure::step()
        .and_then(|()| content(&mut writer))
        .map_err(failed)?;
    let file = failure::step()
        .and_then(|()| writer.into_inner().map_err(io::IntoInnerError::into_error))
        .map_err(failed)?;
    failure::step()
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    failure::step()
        .and_then(|()| file.persist(path).map_err(|error| error.error))
        .map_err(failed)?;
    sync_folder(folder);
    Ok(result)
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

/// Makes a rename durable. A file system that cannot sync a folder still has the rename.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
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
