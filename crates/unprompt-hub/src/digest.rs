use crate::{Error, Result};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::{fmt, fs::File, io::Read, path::Path};

/// A SHA-256 in 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sha256Hex(String);

impl Sha256Hex {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if is_lower_hex(text, 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is not a SHA-256 in lower-case hexadecimal"
            ))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_hasher(hasher: Sha256) -> Self {
        Self(hex(&hasher.finalize()))
    }

    /// The digest of a list of (path, hash) pairs, in the order given.
    pub(crate) fn of_listing<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut hasher = Sha256::new();
        for (path, hash) in entries {
            hasher.update(path.as_bytes());
            hasher.update([0]);
            hasher.update(hash.as_bytes());
            hasher.update(b"\n");
        }
        Self::from_hasher(hasher)
    }

    /// The digest of a file's bytes.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let mut hasher = Sha256::new();
        for_each_chunk(path, |chunk| hasher.update(chunk))?;
        Ok(Self::from_hasher(hasher))
    }
}

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a file's content can be checked against.
///
/// A hub names a large file by its SHA-256 and a small one by its git object name; both can be
/// recomputed, so that a file of an unlisted repository is checked as well as a listed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContentHash {
    Sha256(Sha256Hex),
    /// SHA-1 over `blob <size> NUL <content>`, as git names a file.
    GitBlob(String),
    /// The server named the file in a way that says nothing about its content.
    Unknown,
}

impl ContentHash {
    /// Reads the form of an entity tag (quotes and weak mark already taken off).
    pub(crate) fn from_etag(etag: &str) -> Self {
        if is_lower_hex(etag, 64) {
            Self::Sha256(Sha256Hex(etag.to_owned()))
        } else if is_lower_hex(etag, 40) {
            Self::GitBlob(etag.to_owned())
        } else {
            Self::Unknown
        }
    }

    /// Compares with a file on disk.
    ///
    /// `None` means they agree (or that there is nothing to compare with); otherwise the expected
    /// and the found digest, in words.
    pub(crate) fn disagreement(&self, path: &Path) -> Result<Option<(String, String)>> {
        let (kind, expected, found) = match self {
            Self::Unknown => return Ok(None),
            Self::Sha256(expected) => (
                "SHA-256",
                expected.as_str().to_owned(),
                Sha256Hex::of_file(path)?.0,
            ),
            Self::GitBlob(expected) => ("git blob", expected.clone(), git_blob_hash(path)?),
        };
        Ok((expected != found).then(|| (format!("{kind} {expected}"), found)))
    }
}

fn git_blob_hash(path: &Path) -> Result<String> {
    let size = path
        .metadata()
        .map_err(|error| Error::io("read", path, error))?
        .len();
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {size}\0").as_bytes());
    for_each_chunk(path, |chunk| hasher.update(chunk))?;
    Ok(hex(&hasher.finalize()))
}

fn for_each_chunk(path: &Path, mut consume: impl FnMut(&[u8])) -> Result<()> {
    let mut file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => consume(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path, error)),
        }
    }
}

pub(crate) fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
