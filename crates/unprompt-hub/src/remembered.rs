//! Hashes of large files, kept beside what they are hashes of is known by: a second run need not
//! read gigabytes to learn which weights they are.
//!
//! What is kept is believed only while the file's place, number, size and times are those that it
//! had when it was read. Whoever can write in the cache can write the weights there as well.

use crate::{Result, digest::Sha256Hex, storage::write_atomically};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, Metadata},
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The folder within this program's own cache.
const FOLDER: &str = "file-hashes";
/// Smaller files are read faster than remembered.
const SMALLEST: u64 = 4 << 20;
/// A file that was changed so shortly before it was read may change again without another time.
const SETTLED: Duration = Duration::from_secs(2);
/// A stamp and a hash are far shorter.
const LONGEST: u64 = 1 << 10;

/// Hashes of files that were read before.
#[derive(Clone, Debug)]
pub(crate) struct RememberedHashes(PathBuf);

impl RememberedHashes {
    pub(crate) fn within(own_cache: &Path) -> Self {
        Self(own_cache.join(FOLDER))
    }

    /// The digest of a file's bytes.
    pub(crate) fn of_file(&self, path: &Path) -> Result<Sha256Hex> {
        let Some((place, stamp)) = self.place_and_stamp(path) else {
            return Sha256Hex::of_file(path);
        };
        if let Some(hash) = read(&place, &stamp) {
            return Ok(hash);
        }
        let started = SystemTime::now();
        let hash = Sha256Hex::of_file(path)?;
        let same = self
            .place_and_stamp(path)
            .is_some_and(|(_, after)| after == stamp);
        if same && is_settled(path, started) {
            // Not to remember costs time only.
            let _ = write_atomically(&place, format!("{stamp}\n{hash}\n").as_bytes());
        }
        Ok(hash)
    }

    /// Where a large file's hash is kept, and what the file is known by.
    fn place_and_stamp(&self, path: &Path) -> Option<(PathBuf, String)> {
        let path = fs::canonicalize(path).ok()?;
        let metadata = fs::metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() < SMALLEST {
            return None;
        }
        let mut hasher = Sha256::new();
        hasher.update(path.as_os_str().as_encoded_bytes());
        let name = Sha256Hex::from_hasher(hasher);
        Some((self.0.join(name.as_str()), stamp(&metadata)?))
    }
}

/// Size, time of the last change, and where the system tells them the file's number and the time
/// at which anything about it was changed, which no program can set.
fn stamp(metadata: &Metadata) -> Option<String> {
    let since = metadata
        .modified()
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH);
    let stamp = format!("1 {} {}", metadata.len(), since.ok()?.as_nanos());
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (device, number) = (metadata.dev(), metadata.ino());
        let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
        Some(format!("{stamp} {device} {number} {seconds} {nanoseconds}"))
    }
    #[cfg(not(unix))]
    Some(stamp)
}

/// Whether the last change was long enough before `started`.
fn is_settled(path: &Path, started: SystemTime) -> bool {
    let Ok(metadata) = fs::metadata(path) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let now = started.duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let changed = u64::try_from(metadata.ctime()).unwrap_or(u64::MAX);
        if now.saturating_sub(changed) < SETTLED.as_secs() {
            return false;
        }
    }
    let modified = metadata
        .modified()
        .map(|modified| started.duration_since(modified));
    matches!(modified, Ok(Ok(age)) if age >= SETTLED)
}

/// What is kept, if it is of a file of this stamp.
fn read(place: &Path, stamp: &str) -> Option<Sha256Hex> {
    let mut text = String::new();
    let file = fs::File::open(place).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let (kept, hash) = text.split_once('\n')?;
    if kept != stamp {
        return None;
    }
    Sha256Hex::parse(hash.trim_end()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A large file that was last changed long ago, as far as a program can say so.
    fn file(path: &Path, byte: u8) -> SystemTime {
        fs::write(path, vec![byte; SMALLEST as usize]).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let opened = fs::File::options().write(true).open(path).unwrap();
        opened.set_modified(long_ago).unwrap();
        long_ago
    }

    /// What is kept of the only file, put there as if it had been read when it was settled.
    fn keep(hashes: &RememberedHashes, path: &Path, hash: &Sha256Hex) -> PathBuf {
        let (place, stamp) = hashes.place_and_stamp(path).unwrap();
        write_atomically(&place, format!("{stamp}\n{hash}\n").as_bytes()).unwrap();
        place
    }

    #[test]
    fn what_is_kept_is_believed_of_the_same_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let hashes = RememberedHashes::within(folder.path());
        let path = folder.path().join("weights");
        file(&path, 1);
        let honest = Sha256Hex::of_file(&path).unwrap();
        let kept = Sha256Hex::of_listing(std::iter::empty());
        let place = keep(&hashes, &path, &kept);
        // A hash that is wrong shows that the file was not read.
        assert_eq!(hashes.of_file(&path).unwrap(), kept);
        // Through a link too.
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert_eq!(hashes.of_file(&link).unwrap(), kept);
        }
        // Broken ones are not believed.
        for text in ["", "x", "1 2 3\n", "\n\n\n"] {
            fs::write(&place, text).unwrap();
            assert_eq!(hashes.of_file(&path).unwrap(), honest, "{text:?}");
        }
        let (_, stamp) = hashes.place_and_stamp(&path).unwrap();
        fs::write(&place, format!("{stamp}\nnot a hash\n")).unwrap();
        assert_eq!(hashes.of_file(&path).unwrap(), honest);
        // Another content with the same size and time of change.
        keep(&hashes, &path, &kept);
        file(&path, 2);
        let changed = hashes.of_file(&path).unwrap();
        assert_eq!(changed, Sha256Hex::of_file(&path).unwrap());
        assert_ne!(changed, honest);
    }

    #[test]
    fn only_large_files_that_have_settled_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let hashes = RememberedHashes::within(folder.path());
        let (large, small) = (folder.path().join("large"), folder.path().join("small"));
        fs::write(&large, vec![0; SMALLEST as usize]).unwrap();
        fs::write(&small, "x").unwrap();
        for path in [&large, &small] {
            assert_eq!(
                hashes.of_file(path).unwrap(),
                Sha256Hex::of_file(path).unwrap()
            );
        }
        // Both were written just now.
        assert!(!folder.path().join(FOLDER).exists());
        std::thread::sleep(SETTLED + Duration::from_millis(1100));
        for path in [&large, &small] {
            assert_eq!(
                hashes.of_file(path).unwrap(),
                Sha256Hex::of_file(path).unwrap()
            );
        }
        let (place, stamp) = hashes.place_and_stamp(&large).unwrap();
        assert_eq!(
            read(&place, &stamp),
            Some(Sha256Hex::of_file(&large).unwrap())
        );
        assert_eq!(fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 1);
        assert!(hashes.of_file(&folder.path().join("missing")).is_err());
    }
}
