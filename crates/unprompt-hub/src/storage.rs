//! Writing files so that a reader never sees half of one.

use crate::{Error, Result, digest::Sha256Hex, progress::HighWater, relative_path::RelativePath};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};
use unprompt_files::{
    Leftover, TEMPORARY_PREFIX, TemporaryFile, TemporaryFolder, folder_of, leftovers_in,
    temporary_folder_in, temporary_in,
};

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    unprompt_files::create_folder(path).map_err(|error| Error::io("create folder", path, error))
}

/// Creates the folders of `relative` below `root`, refusing to pass through a symbolic link.
///
/// The name itself is already checked; this keeps a link that someone planted inside the folder
/// from leading a write out of it.
pub(crate) fn create_parents(root: &Path, relative: &RelativePath) -> Result<PathBuf> {
    create_folder(root)?;
    let mut folder = root.to_path_buf();
    let segments: Vec<_> = relative.segments().collect();
    for segment in &segments[..segments.len() - 1] {
        folder.push(segment);
        match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(Error::UnsafePath {
                    name: folder.display().to_string(),
                    reason: "a link or file stands where a folder should be",
                });
            }
            Err(_) => create_folder(&folder)?,
        }
    }
    Ok(folder.join(segments[segments.len() - 1]))
}

/// A new temporary file beside its destination, readable by whoever the umask allows.
pub(crate) fn temporary_file(folder: &Path) -> Result<TemporaryFile> {
    temporary_in(folder).map_err(|error| Error::io("write in", folder, error))
}

/// A new temporary folder that is removed when dropped.
pub(crate) fn temporary_folder(folder: &Path) -> Result<TemporaryFolder> {
    temporary_folder_in(folder).map_err(|error| Error::io("create folder in", folder, error))
}

/// Flushes a finished temporary file to the disk and gives it its name in one step.
pub(crate) fn promote(file: TemporaryFile, destination: &Path) -> Result<()> {
    unprompt_files::promote(file, destination)
        .map_err(|error| Error::io("write", destination, error))
}

/// The same for a file that has a name already.
pub(crate) fn promote_path(from: &Path, destination: &Path) -> Result<()> {
    unprompt_files::rename(from, destination)
        .map_err(|error| Error::io("write", destination, error))
}

/// Writes a small file in one step.
pub(crate) fn write_atomically(destination: &Path, content: &[u8]) -> Result<()> {
    create_folder(folder_of(destination))?;
    unprompt_files::write(destination, content)
        .map_err(|error| Error::io("write", destination, error))
}

/// Copies at most `size` bytes of a reader to a new file, checks size and hash, and only then
/// gives the file its name.
///
/// `subject` names the file and its origin in messages. A reader with more than `size` bytes is
/// read one byte past and refused, so that an archive cannot unfold without end.
pub(crate) fn store_checked(
    reader: &mut dyn Read,
    destination: &Path,
    size: u64,
    sha256: &Sha256Hex,
    subject: &str,
    progress: &mut HighWater<'_>,
) -> Result<()> {
    let folder = folder_of(destination);
    create_folder(folder)?;
    let mut file = temporary_file(folder)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    let mut written: u64 = 0;
    let mut reader = reader.take(size.saturating_add(1));
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", Path::new(subject), error)),
        };
        written += n as u64;
        if written > size {
            return Err(size_mismatch(
                subject,
                size,
                format!("more than {size} bytes"),
            ));
        }
        hasher.update(&buffer[..n]);
        file.write_all(&buffer[..n])
            .map_err(|error| Error::io("write", destination, error))?;
        progress.reach(written);
    }
    if written != size {
        return Err(size_mismatch(subject, size, format!("{written} bytes")));
    }
    let found = Sha256Hex::from_hasher(hasher);
    if found != *sha256 {
        return Err(Error::Mismatch {
            subject: subject.to_owned(),
            expected: format!("SHA-256 {sha256}"),
            found: found.to_string(),
            next_step: "the file was not kept",
        });
    }
    promote(file, destination)
}

pub(crate) fn size_mismatch(subject: &str, expected: u64, found: String) -> Error {
    Error::Mismatch {
        subject: subject.to_owned(),
        expected: format!("{expected} bytes"),
        found,
        next_step: "the file was not kept",
    }
}

/// Whether a regular file (or a link to one) of exactly this size is there.
pub(crate) fn has_size(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Folders below one that may have leftovers in them.
const LEFTOVER_DEPTH: usize = 4;
/// Folders that are looked through for leftovers.
const MOST_FOLDERS: usize = 10_000;

/// Whether others may write in a folder at the same time.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Held {
    /// This process has the folder's lock, so that every leftover is nobody's.
    Alone,
    /// Others may, so that only what nobody has open is a leftover.
    Shared,
}

/// Removes what interrupted runs left in a folder and below.
pub(crate) fn remove_leftovers(folder: &Path, held: Held) {
    let mut folders = MOST_FOLDERS;
    let mut remove = |folder: &Path| {
        for leftover in leftovers_in(folder) {
            leftover.remove();
        }
        if held == Held::Alone {
            remove_temporaries(folder);
        }
    };
    each_folder(folder, LEFTOVER_DEPTH, &mut folders, &mut remove);
}

/// What interrupted runs left in a folder and below.
pub(crate) fn leftovers(folder: &Path) -> Vec<Leftover> {
    let mut folders = MOST_FOLDERS;
    let mut found = Vec::new();
    let mut look = |folder: &Path| found.extend(leftovers_in(folder));
    each_folder(folder, LEFTOVER_DEPTH, &mut folders, &mut look);
    found
}

/// Removes everything in a folder that has the name of a temporary one. What cannot be removed
/// costs disk space and nothing else.
fn remove_temporaries(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            let path = entry.path();
            let is_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
            let _ = match is_folder {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
        }
    }
}

/// Calls `visit` with a folder and those below it, but for temporary ones and through no link.
fn each_folder(folder: &Path, depth: usize, left: &mut usize, visit: &mut impl FnMut(&Path)) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    visit(folder);
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        if is_folder && !name.to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            each_folder(&entry.path(), depth - 1, left, visit);
        }
    }
}

/// Removes a folder so that no reader sees half of it: it is renamed first.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    let grave = temporary_folder(parent)?;
    unprompt_files::rename(folder, &grave.path().join("removed"))
        .map_err(|error| Error::io("remove", folder, error))?;
    grave
        .close()
        .map_err(|error| Error::io("remove", folder, error))
}
