//! Reading what must be a file.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

/// Opens a file. A pipe would be waited for, and a device may have no end: both are refused.
///
/// # Errors
/// When it cannot be opened, or is no regular file or link to one.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let refuse = || Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    // Asked before it is opened, which alone may wait; and after, for the name may lead elsewhere now.
    if !fs::metadata(path)?.is_file() {
        return refuse();
    }
    let file = File::open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => refuse(),
    }
}

/// Reads a file that is no longer than `most` bytes.
///
/// # Errors
/// As [`open_regular`], and when it is longer or cannot be read.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("longer than the {most} bytes that are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_within_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"abc").unwrap();
        assert_eq!(read_regular(&path, 3).unwrap(), b"abc");
        assert!(read_regular(&path, 2).is_err());
        assert!(read_regular(folder.path(), 3).is_err());
        assert!(read_regular(&folder.path().join("missing"), 3).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read_regular(path, 9).unwrap_err();
            assert!(error.to_string().contains("no file"), "{error}");
        }
    }
}
