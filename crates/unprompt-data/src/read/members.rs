//! The members of a tar file, one header after the other.

use super::pictures::stays_inside;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use tar::{Archive, EntryType};

/// Headers and contents begin at multiples of this.
const BLOCK: u64 = 512;

/// A tar file. Members are never unpacked, so that a name leads nowhere. The entries of an archive
/// borrow it, so each step opens the archive anew where the last member ended.
pub(super) struct Members {
    path: PathBuf,
    /// Where the next member's header is.
    position: u64,
}

/// One member.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: EntryType,
    /// Where its content begins.
    pub(super) offset: u64,
    /// Bytes that stand in the archive; a sparse file claims more.
    pub(super) length: u64,
}

impl Members {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, position: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next member, or `None` at the end of the archive.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.position))?;
        let mut archive = Archive::new(BufReader::new(file));
        let Some(entry) = archive.entries()?.next() else {
            return Ok(None);
        };
        let entry = entry.map_err(in_words)?;
        let kind = entry.header().entry_type();
        let length = match kind {
            EntryType::GNUSparse => entry.header().entry_size()?,
            _ => entry.size(),
        };
        let offset = self.position.checked_add(entry.raw_file_position());
        let offset = offset.ok_or(io::ErrorKind::InvalidData)?;
        let next = length
            .checked_next_multiple_of(BLOCK)
            .and_then(|stored| offset.checked_add(stored));
        self.position = next.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some(Member {
            name: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            kind,
            offset,
            length,
        }))
    }
}

/// The reader of archives repeats bytes of what is no header, whatever they are.
fn in_words(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (None, kind) if kind != io::ErrorKind::UnexpectedEof => {
            io::Error::new(kind, "no header of a tar file stands where one is expected")
        }
        _ => error,
    }
}

impl Member {
    /// What it is that is no plain file.
    pub(super) fn other_kind(&self) -> Option<&'static str> {
        match self.kind {
            EntryType::Regular | EntryType::Continuous => None,
            EntryType::Symlink | EntryType::Link => Some("a link"),
            EntryType::GNUSparse => Some("a sparse file"),
            _ => Some("a device or something else"),
        }
    }

    /// Whether it is a folder, or the archive's own options: nothing that a picture could be.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.kind, EntryType::Directory | EntryType::XGlobalHeader)
    }

    /// Whether its name leads out of the folder into which the archive would be unpacked.
    pub(super) fn leads_out(&self) -> bool {
        !stays_inside(&self.name)
    }
}

/// A part of a file.
pub(super) fn read_range(path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The key of a picture and the ending, at the first full stop of the name, as WebDataset has it.
pub(super) fn split(name: &str) -> (&str, &str) {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[file..].split_once('.') {
        Some((stem, ending)) => (&name[..file + stem.len()], ending),
        None => (name, ""),
    }
}
