//! Files and folders without a name of their own, and what a killed process left of them.

use crate::{failpoint::Failpoint, undo::Undo};
use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io::{self, Write},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tempfile::{NamedTempFile, TempDir};

/// How the names begin of what an interrupted process may leave.
pub const TEMPORARY_PREFIX: &str = ".unprompt-";
const SUFFIX: &str = ".tmp";
/// Letters and digits between the two.
const RANDOM: usize = 6;

/// What is younger may not be locked yet.
const YOUNG: Duration = Duration::from_secs(2);
/// Where the file system does not lock, what is so old is taken for abandoned.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// Folders that are remembered as looked through.
const MOST_SWEPT: usize = 1024;

/// A new file that is deleted when it is dropped, and by [`undo_all`](crate::undo_all), unless
/// [`promote`](crate::promote) gives it its name.
///
/// It is locked as long as it is open, which is how others know that it is not abandoned.
#[derive(Debug)]
pub struct TemporaryFile {
    file: NamedTempFile,
    undo: Undo,
}

impl TemporaryFile {
    /// Gives it its name, in one step; what it holds must have been synced.
    pub(crate) fn persist(self, destination: &Path) -> io::Result<()> {
        let Self { file, undo } = self;
        undo.settle(|| file.persist(destination))
            .map(drop)
            .map_err(|error| error.error)
    }

    /// The same, unless something of that name is there.
    pub(crate) fn persist_new(self, destination: &Path) -> io::Result<()> {
        let Self { file, undo } = self;
        undo.settle(|| file.persist_noclobber(destination))
            .map(drop)
            .map_err(|error| error.error)
    }
}

impl Deref for TemporaryFile {
    type Target = NamedTempFile;

    fn deref(&self) -> &NamedTempFile {
        &self.file
    }
}

impl DerefMut for TemporaryFile {
    fn deref_mut(&mut self) -> &mut NamedTempFile {
        &mut self.file
    }
}

impl Write for TemporaryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Failpoint::Write.pass()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A new folder that is removed with all that is in it when it is dropped, and by
/// [`undo_all`](crate::undo_all).
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    _lock: Option<File>,
    _undo: Undo,
}

impl TemporaryFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn close(self) -> io::Result<()> {
        self.folder.close()
    }
}

/// What gives temporary files and folders their names.
fn named() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(TEMPORARY_PREFIX)
        .suffix(SUFFIX)
        .rand_bytes(RANDOM);
    builder
}

/// A new file in `folder`. Others may read it as any file of the user: the umask applies.
///
/// What killed processes have left there is removed first, once a folder.
///
/// # Errors
/// When nothing can be written there.
pub fn temporary_in(folder: &Path) -> io::Result<TemporaryFile> {
    sweep(folder);
    Failpoint::Create.pass()?;
    let mut builder = named();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let (file, undo) = Undo::after(|| {
        let file = builder.tempfile_in(folder);
        let path = file.as_ref().ok().map(|file| file.path().to_owned());
        let remove = move || {
            // What cannot be removed is found by the next run.
            let _ = path.map(fs::remove_file);
        };
        (file, remove)
    });
    let file = file?;
    // Only others need it, to see that it is in use.
    let _ = file.as_file().try_lock();
    Ok(TemporaryFile { file, undo })
}

/// A new folder in `folder`, as [`temporary_in`].
///
/// # Errors
/// When nothing can be written there.
pub fn temporary_folder_in(folder: &Path) -> io::Result<TemporaryFolder> {
    sweep(folder);
    Failpoint::Create.pass()?;
    let builder = named();
    let (made, undo) = Undo::after(|| {
        let made = builder.tempdir_in(folder);
        let path = made.as_ref().ok().map(|made| made.path().to_owned());
        let remove = move || {
            let _ = path.map(fs::remove_dir_all);
        };
        (made, remove)
    });
    let made = made?;
    let lock = File::open(made.path()).ok();
    let lock = lock.filter(|folder| folder.try_lock().is_ok());
    Ok(TemporaryFolder {
        folder: made,
        _lock: lock,
        _undo: undo,
    })
}

/// What a killed process left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of the file, or of all files of the folder.
    pub bytes: u64,
}

impl Leftover {
    /// Removes it; what cannot be removed costs space only.
    pub fn remove(&self) {
        let _ = match self.path.is_dir() {
            true => fs::remove_dir_all(&self.path),
            false => fs::remove_file(&self.path),
        };
    }
}

/// What killed processes have left in a folder, not below it. What is in use is none of it: it is
/// locked, or, where the file system does not lock, younger than a day.
pub fn leftovers_in(folder: &Path) -> Vec<Leftover> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<Leftover> = entries
        .filter(|entry| is_temporary_name(entry.file_name().as_encoded_bytes()))
        .map(|entry| entry.path())
        .filter(|path| is_abandoned(path))
        .map(|path| {
            let bytes = bytes_of(&path);
            Leftover { path, bytes }
        })
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Whether a name is one that is made here, and not a user's.
fn is_temporary_name(name: &[u8]) -> bool {
    let random = name.strip_prefix(TEMPORARY_PREFIX.as_bytes());
    let random = random.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|random| {
        random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric)
    })
}

fn is_abandoned(path: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return false;
    };
    if !metadata.is_file() && !metadata.is_dir() {
        return false;
    }
    let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
    let age = age.unwrap_or_default();
    if age < YOUNG {
        return false;
    }
    let lock = || File::open(path).map(|file| (file.try_lock(), file));
    let Ok((locked, _held)) = lock() else {
        return age >= OLD;
    };
    match locked {
        Err(TryLockError::WouldBlock) => false,
        // A lock that a second handle can take as well is none.
        Ok(()) => match lock() {
            Ok((Err(TryLockError::WouldBlock), _)) => true,
            _ => age >= OLD,
        },
        Err(TryLockError::Error(_)) => age >= OLD,
    }
}

/// Bytes of a file, or of the files below a folder; links count for nothing.
fn bytes_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    if metadata.is_file() {
        return metadata.len();
    }
    if !metadata.is_dir() {
        return 0;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_of(&entry.path())).sum()
}

/// Removes leftovers when this process first writes in a folder.
fn sweep(folder: &Path) {
    static SWEPT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    {
        let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let swept = swept.get_or_insert_default();
        if swept.len() >= MOST_SWEPT || !swept.insert(folder.to_owned()) {
            return;
        }
    }
    for leftover in leftovers_in(folder) {
        leftover.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn age(path: &Path, by: Duration) {
        let file = File::open(path).unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    }

    #[test]
    fn only_what_a_killed_process_left_is_found_and_it_is_removed_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let dead = root.join(".unprompt-aB3dE6.tmp");
        let dead_folder = root.join(".unprompt-aaaaaa.tmp");
        let others = [
            ".unprompt-aB3dE6",
            ".unprompt-model_list.tmp",
            "unprompt-aB3dE6.tmp",
            ".unprompt-a-3dE6.tmp",
        ];
        fs::write(&dead, [0; 10]).unwrap();
        fs::create_dir(&dead_folder).unwrap();
        fs::write(dead_folder.join("wheel"), [0; 100]).unwrap();
        for other in others {
            fs::write(root.join(other), "").unwrap();
        }
        // What is young may belong to somebody who has not locked it yet.
        assert_eq!(leftovers_in(root), []);
        for path in [&dead, &dead_folder] {
            age(path, Duration::from_secs(60));
        }
        let found = leftovers_in(root);
        assert_eq!(found.iter().map(|one| one.bytes).sum::<u64>(), 110);
        assert_eq!(found.len(), 2);

        // Ours is in use, whatever its age.
        let file = temporary_in(root).unwrap();
        age(file.path(), Duration::from_secs(60));
        assert!(!dead.exists() && !dead_folder.exists());
        assert_eq!(leftovers_in(root), []);
        let below = temporary_folder_in(root).unwrap();
        age(below.path(), Duration::from_secs(60));
        assert_eq!(leftovers_in(root), []);
        drop((file, below));
        assert_eq!(fs::read_dir(root).unwrap().count(), others.len());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_of_such_a_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "x").unwrap();
        age(&target, Duration::from_secs(60));
        let link = folder.path().join(".unprompt-aaaaaa.tmp");
        std::os::unix::fs::symlink(&target, link).unwrap();
        assert_eq!(leftovers_in(folder.path()), []);
    }
}
