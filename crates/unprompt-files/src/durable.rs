//! Whole files.

use crate::{
    failpoint::Failpoint,
    temporary::{TemporaryFile, temporary_in},
};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::Path,
};

/// Bytes that are written at a time.
const BUFFER: usize = 1 << 18;

/// Flushes a finished file to the disk and gives it its name in one step; another file of that name
/// is replaced.
///
/// # Errors
/// When the disk is full or the name cannot be taken; what was there before is then still there.
pub fn promote(file: TemporaryFile, destination: &Path) -> io::Result<()> {
    sync(&file)?;
    give_name(file, destination)
}

/// As [`promote`], but another file of that name stays, and is the error.
///
/// # Errors
/// As [`promote`]; and of the kind [`AlreadyExists`](io::ErrorKind::AlreadyExists).
pub fn promote_new(file: TemporaryFile, destination: &Path) -> io::Result<()> {
    sync(&file)?;
    Failpoint::Rename.pass()?;
    file.persist_new(destination)?;
    sync_folder(folder_of(destination));
    Ok(())
}

/// Gives a name to a file, or a link, that has another one in the same folder or below it; another
/// file of that name is replaced. What is in it is not synced here.
///
/// # Errors
/// When the name cannot be taken; what was there before is then still there.
pub fn rename(from: &Path, destination: &Path) -> io::Result<()> {
    Failpoint::Rename.pass()?;
    fs::rename(from, destination)?;
    sync_folder(folder_of(destination));
    Ok(())
}

fn sync(file: &TemporaryFile) -> io::Result<()> {
    Failpoint::Sync.pass()?;
    file.as_file().sync_all()
}

fn give_name(file: TemporaryFile, destination: &Path) -> io::Result<()> {
    Failpoint::Rename.pass()?;
    file.persist(destination)?;
    sync_folder(folder_of(destination));
    Ok(())
}

/// Writes a small file, all or nothing. Its folder must be there.
///
/// # Errors
/// As [`temporary_in`] and [`promote`].
pub fn write(destination: &Path, content: &[u8]) -> io::Result<()> {
    write_by(destination, || Ok(()), |file| file.write_all(content))
}

/// Writes a file by a function, all or nothing. Its folder must be there. `step` is called before
/// each step that changes the disk, and its error ends the work there: tests let the system fail so.
///
/// # Errors
/// As [`temporary_in`] and [`promote`], those of `content` and those of `step`.
pub fn write_by<T>(
    destination: &Path,
    step: impl Fn() -> io::Result<()>,
    content: impl FnOnce(&mut BufWriter<TemporaryFile>) -> io::Result<T>,
) -> io::Result<T> {
    step()?;
    let file = temporary_in(folder_of(destination))?;
    let mut writer = BufWriter::with_capacity(BUFFER, file);
    step()?;
    let result = content(&mut writer)?;
    step()?;
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    step()?;
    sync(&file)?;
    step()?;
    give_name(file, destination)?;
    Ok(result)
}

/// Replaces the content of a file that is there, all or nothing. It keeps its permissions and, where
/// this process may give files away, its owner.
///
/// # Errors
/// As [`write()`]; and when the path is a link or no file, which are never written through, or when
/// nobody may write it.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let refuse = |kind, message: &str| Err(io::Error::new(kind, message));
    let before = fs::symlink_metadata(path)?;
    if !before.is_file() {
        return refuse(io::ErrorKind::InvalidInput, "a link, or no file");
    }
    if before.permissions().readonly() {
        return refuse(io::ErrorKind::PermissionDenied, "the file is read-only");
    }
    let mut file = temporary_in(folder_of(path))?;
    file.write_all(content)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let ours = file.as_file().metadata()?;
        if (ours.uid(), ours.gid()) != (before.uid(), before.gid()) {
            // Few may; the content is what counts.
            let _ = fchown(file.as_file(), Some(before.uid()), Some(before.gid()));
        }
    }
    file.as_file().set_permissions(before.permissions())?;
    promote(file, path)
}

/// Makes a rename or a removal in a folder durable. A file system that cannot sync a folder has
/// done it all the same, so a failure here is not one.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Makes a folder and those above it, where they are not there.
///
/// # Errors
/// When nothing can be written there, or something else has the name.
pub fn create_folder(path: &Path) -> io::Result<()> {
    Failpoint::Create.pass()?;
    fs::create_dir_all(path)
}

/// The folder of a file, also of a name by itself.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TEMPORARY_PREFIX;

    #[test]
    fn a_file_is_replaced_whole_and_an_abandoned_one_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        write(&path, b"old").unwrap();
        write(&path, b"new, and longer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new, and longer");
        let mut file = temporary_in(folder.path()).unwrap();
        file.write_all(b"half").unwrap();
        let name = file.path().file_name().unwrap().to_owned();
        assert!(name.to_string_lossy().starts_with(TEMPORARY_PREFIX));
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("missing/result"), b"").is_err());
    }

    #[test]
    fn whichever_step_fails_the_old_file_is_whole_and_nothing_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        write(&path, b"old").unwrap();
        for good_steps in 0.. {
            let steps = std::cell::Cell::new(0);
            let step = || {
                steps.set(steps.get() + 1);
                match steps.get() > good_steps {
                    true => Err(io::Error::other("the disk is full")),
                    false => Ok(()),
                }
            };
            let written = write_by(&path, step, |file| file.write_all(b"new"));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            if written.is_ok() {
                assert_eq!((steps.get(), good_steps), (5, 5));
                assert_eq!(fs::read(&path).unwrap(), b"new");
                break;
            }
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
        write(&ours, b"").unwrap();
        fs::write(&usual, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_replaced_keeps_its_permissions_and_no_link_is_followed() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        symlink(&path, &link).unwrap();
        assert!(replace(&link, b"x").is_err());
        assert!(replace(folder.path(), b"x").is_err());
        assert!(replace(&folder.path().join("missing"), b"x").is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(replace(&path, b"x").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_name_by_itself_is_in_the_working_folder() {
        assert_eq!(folder_of(Path::new("name")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/name")), Path::new("a"));
        assert_eq!(folder_of(Path::new("/name")), Path::new("/"));
    }
}
