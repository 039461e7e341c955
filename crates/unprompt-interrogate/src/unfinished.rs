//! The beginning of a table that is being made, on disk, so that a run that was stopped goes on.
//!
//! A line that says of what, then blocks of rows in the order in which they are made, each after
//! the SHA-256 of its bytes. Nothing is synced: a block that did not reach the disk is found by its
//! hash, and made again.

use half::f16;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use unprompt_files::{Failpoint, create_folder};

const HASH: usize = 32;

/// A file of blocks of rows, held by one process at a time.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    /// Opens the file at `path`, with the rows of its whole blocks. What is of something else than
    /// `identity`, and what follows a block that is not whole, is dropped. `blocks` are the numbers
    /// of rows, `width` the numbers of a row.
    ///
    /// `None` where nothing can be kept, or another process is making this table.
    pub(crate) fn open(
        path: &Path,
        identity: &str,
        blocks: &[usize],
        width: usize,
    ) -> Option<(Self, Vec<f16>)> {
        create_folder(path.parent()?).ok()?;
        Failpoint::Create.pass().ok()?;
        let options = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path);
        let mut file = options.ok().filter(is_regular)?;
        file.try_lock().ok()?;
        let header = format!("{identity} {width}\n").into_bytes();
        let Some(rows) = whole_blocks(&mut file, &header, blocks, width) else {
            // It is of no use, and nobody would look at it again once the table is whole.
            let _ = fs::remove_file(path);
            return None;
        };
        let path = path.to_owned();
        Some((Self { path, file }, rows))
    }

    /// Adds the next block.
    pub(crate) fn add(&mut self, rows: &[f16]) -> std::io::Result<()> {
        let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        let hash = Sha256::digest(&bytes);
        Failpoint::Write.pass()?;
        self.file.write_all(&[&hash[..], &bytes].concat())
    }

    /// The table is whole, and somewhere else.
    pub(crate) fn remove(self) {
        // One that stays costs space only: it is of nothing that is looked for again.
        let _ = fs::remove_file(&self.path);
    }
}

/// The rows of the whole blocks of a file that begins with `header`; without it the file is begun anew. What follows them
/// is cut off, and the next block goes there. `None` where the file cannot be written.
fn whole_blocks(
    file: &mut File,
    header: &[u8],
    blocks: &[usize],
    width: usize,
) -> Option<Vec<f16>> {
    let mut rows = Vec::new();
    let mut whole = header.len();
    if read(file, header.len()).as_deref() == Some(header) {
        for count in blocks {
            let Some(hash) = read(file, HASH) else {
                break;
            };
            let length = count * 2 * width;
            match read(file, length) {
                Some(bytes) if *Sha256::digest(&bytes) == *hash => {
                    let halves = bytes.as_chunks::<2>().0.iter();
                    rows.extend(halves.map(|bytes| f16::from_le_bytes(*bytes)));
                    whole += HASH + length;
                }
                _ => break,
            }
        }
    } else {
        file.seek(SeekFrom::Start(0)).ok()?;
        Failpoint::Write.pass().ok()?;
        file.write_all(header).ok()?;
    }
    Failpoint::Write.pass().ok()?;
    file.set_len(whole as u64).ok()?;
    file.seek(SeekFrom::Start(whole as u64)).ok()?;
    Some(rows)
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// So many bytes, if they are there.
fn read(file: &mut File, length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut limited = Read::by_ref(file).take(length as u64);
    limited.read_to_end(&mut bytes).ok()?;
    (bytes.len() == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: [usize; 3] = [4, 4, 1];
    const WIDTH: usize = 3;

    fn rows(from: usize, count: usize) -> Vec<f16> {
        let numbers = (from * WIDTH)..((from + count) * WIDTH);
        numbers.map(|at| f16::from_f32(at as f32)).collect()
    }

    fn open(path: &Path, identity: &str) -> Option<(Unfinished, Vec<f16>)> {
        Unfinished::open(path, identity, &BLOCKS, WIDTH)
    }

    #[test]
    fn whole_blocks_are_found_again_and_nothing_else() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("below").join("table");
        let (mut file, found) = open(&path, "x").unwrap();
        assert_eq!(found, []);
        // Another process would get nothing.
        assert!(open(&path, "x").is_none());
        file.add(&rows(0, 4))?;
        file.add(&rows(4, 4))?;
        drop(file);
        let two = fs::read(&path)?;
        let (mut file, found) = open(&path, "x").unwrap();
        assert_eq!(found, rows(0, 8));
        file.add(&rows(8, 1))?;
        drop(file);
        let three = fs::read(&path)?;
        assert_eq!(open(&path, "x").unwrap().1, rows(0, 9));
        // Cut anywhere, it has the blocks before.
        for length in 0..three.len() {
            fs::write(&path, &three[..length])?;
            let (file, found) = open(&path, "x").unwrap();
            assert!([0, 4, 8].contains(&(found.len() / WIDTH)), "{length}");
            assert_eq!(found, rows(0, found.len() / WIDTH), "{length}");
            drop(file);
            assert!(fs::metadata(&path)?.len() <= length.max(4) as u64);
        }
        // A byte that changed ends it.
        let mut damaged = two.clone();
        damaged[two.len() - 1] ^= 1;
        fs::write(&path, &damaged)?;
        assert_eq!(open(&path, "x").unwrap().1, rows(0, 4));
        // Of something else, or of another width: nothing.
        fs::write(&path, &two)?;
        assert_eq!(open(&path, "y").unwrap().1, []);
        fs::write(&path, &two)?;
        let (file, found) = Unfinished::open(&path, "x", &BLOCKS, 4).unwrap();
        assert_eq!(found, []);
        file.remove();
        assert!(!path.exists());
        assert!(open(folder.path(), "x").is_none());
        Ok(())
    }
}
