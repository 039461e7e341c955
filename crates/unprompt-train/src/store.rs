//! Vectors that took time to compute, kept on the disk by what they were computed from.

use crate::{Result, TrainError};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};
use unprompt_files::Lock;

/// Vectors of one width by the digest of what they belong to: features by a picture's bytes,
/// embeddings by a text.
///
/// The file only grows. Each record is the digest, the numbers in f32 and a check sum, so that one
/// that was cut off by a crash, and all after it, is found out and computed anew.
#[derive(Debug)]
pub struct VectorStore {
    path: PathBuf,
    file: File,
    width: usize,
    vectors: Vectors,
    // Held as long as the file is written to.
    _lock: Lock,
}

/// By key.
type Vectors = HashMap<[u8; 32], Vec<f32>>;

/// Bytes of a record's check sum.
const CHECK: usize = 8;

impl VectorStore {
    /// The store for vectors that `identity` makes, everything that they depend on besides what they
    /// are computed from, in a folder that is made where it is missing.
    ///
    /// # Errors
    /// When the folder or the file cannot be read or written.
    pub fn open(folder: &Path, identity: &str, width: usize) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|error| TrainError::io("make the folder", folder, error))?;
        let name = hexadecimal(&Sha256::digest(format!("{width} {identity}")));
        let path = folder.join(format!("{name}.vectors"));
        let lock = Lock::acquire(&folder.join(format!("{name}.lock")), || ());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| TrainError::io("open", &path, error))?;
        let read = |file: &mut File| -> io::Result<Vectors> {
            let (vectors, whole) = read(file, width)?;
            file.set_len(whole)?;
            io::Seek::seek(file, io::SeekFrom::End(0))?;
            Ok(vectors)
        };
        let vectors = read(&mut file).map_err(|error| TrainError::io("read", &path, error))?;
        Ok(Self {
            path,
            file,
            width,
            vectors,
            _lock: lock,
        })
    }

    /// The key of what a vector is computed from.
    pub fn key(content: &[u8]) -> [u8; 32] {
        Sha256::digest(content).into()
    }

    /// The vector of a key, if it was put there.
    pub fn get(&self, key: &[u8; 32]) -> Option<&[f32]> {
        self.vectors.get(key).map(Vec::as_slice)
    }

    /// Keeps vectors, on the disk too; of a key that is there already nothing changes.
    ///
    /// # Errors
    /// When a vector has another width, or the disk is full.
    pub fn put(&mut self, new: impl IntoIterator<Item = ([u8; 32], Vec<f32>)>) -> Result<()> {
        let mut bytes = Vec::new();
        for (key, vector) in new {
            if vector.len() != self.width {
                let (found, width) = (vector.len(), self.width);
                return Err(TrainError::Data(format!(
                    "a vector of {found} numbers among those of {width}"
                )));
            }
            if self.vectors.contains_key(&key) {
                continue;
            }
            let begin = bytes.len();
            bytes.extend(key);
            bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
            let check = check(&bytes[begin..]);
            bytes.extend(check);
            self.vectors.insert(key, vector);
        }
        let written = self
            .file
            .write_all(&bytes)
            .and_then(|()| self.file.sync_data());
        written.map_err(|error| TrainError::io("write", &self.path, error))
    }
}

/// The whole records at the beginning of a file, and how many bytes they take.
fn read(file: &mut File, width: usize) -> io::Result<(Vectors, u64)> {
    let length = 32 + width * 4 + CHECK;
    let mut reader = BufReader::new(file);
    let mut record = vec![0; length];
    let mut vectors = HashMap::new();
    let mut whole = 0;
    loop {
        match reader.read_exact(&mut record) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let (content, sum) = record.split_at(length - CHECK);
        let Some((key, values)) = content.split_first_chunk::<32>() else {
            break;
        };
        if check(content) != *sum {
            break;
        }
        let values = values.as_chunks::<4>().0.iter();
        vectors.insert(
            *key,
            values.map(|value| f32::from_le_bytes(*value)).collect(),
        );
        whole += length as u64;
    }
    Ok((vectors, whole))
}

fn check(content: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::digest(content);
    std::array::from_fn(|index| digest[index])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(folder: &Path) -> PathBuf {
        let mut files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files
            .find(|path| path.extension().unwrap() == "vectors")
            .unwrap()
    }

    #[test]
    fn what_was_put_is_there_and_what_was_cut_off_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let keys = ["a", "b", "c"].map(|text| VectorStore::key(text.as_bytes()));
        let mut store = VectorStore::open(folder.path(), "tower", 2).unwrap();
        store
            .put([(keys[0], vec![1.0, -0.0]), (keys[1], vec![2.0, 3.0])])
            .unwrap();
        drop(store);
        let file = path_of(folder.path());
        let whole = std::fs::read(&file).unwrap();
        for cut in 1..whole.len() / 2 {
            std::fs::write(&file, &whole[..whole.len() - cut]).unwrap();
            let mut store = VectorStore::open(folder.path(), "tower", 2).unwrap();
            assert_eq!(
                store.get(&keys[0]).map(|row| row[1].to_bits()),
                Some((-0f32).to_bits())
            );
            assert!(store.get(&keys[1]).is_none());
            store.put([(keys[2], vec![4.0, 5.0])]).unwrap();
            drop(store);
            let store = VectorStore::open(folder.path(), "tower", 2).unwrap();
            assert_eq!(store.get(&keys[2]), Some(&[4.0, 5.0][..]));
        }
        let mut damaged = whole;
        damaged[40] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        let store = VectorStore::open(folder.path(), "tower", 2).unwrap();
        assert!(store.get(&keys[0]).is_none());
    }

    #[test]
    fn another_tower_has_another_store() {
        let folder = tempfile::tempdir().unwrap();
        let key = VectorStore::key(b"a");
        let mut store = VectorStore::open(folder.path(), "one", 1).unwrap();
        store.put([(key, vec![1.0])]).unwrap();
        assert!(store.put([(key, vec![1.0, 2.0])]).is_err());
        let store = VectorStore::open(folder.path(), "other", 1).unwrap();
        assert!(store.get(&key).is_none());
    }
}
