//! Texts with their embeddings, computed once for each encoder and list, and kept in the cache.

use crate::text::Candidate;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};
use unprompt_interrogate::TableProgress;
use unprompt_models::{ModelError, SentenceEncoder};

/// Texts that are embedded between two reports of progress.
const TEXTS_AT_ONCE: usize = 64;

/// Texts, each with its embedding.
#[derive(Debug)]
pub(crate) struct PhraseTable {
    /// The texts.
    pub(crate) texts: Vec<String>,
    /// One embedding a text.
    pub(crate) rows: Vec<Vec<f32>>,
    /// The mean of the embeddings.
    pub(crate) mean: Vec<f64>,
}

impl PhraseTable {
    /// The table of these texts, from `cache` if it is there, else computed and put there.
    ///
    /// `encoder_identity` is everything that the embeddings depend on besides the texts. A file that
    /// is damaged is computed anew; a cache that cannot be written costs the next start the time of
    /// computing and nothing else. `progress` hears of a table that is computed, by its `name`.
    pub(crate) fn new(
        name: &str,
        texts: Vec<String>,
        (encoder, encoder_identity): (&SentenceEncoder, &str),
        cache: &Path,
        progress: &dyn TableProgress,
    ) -> Result<Self, ModelError> {
        let folder = cache.join("embeddings");
        let path = folder.join(format!("{}.f32", key(&texts, encoder_identity)));
        if let Some(rows) = read(&path, texts.len(), encoder.width()) {
            return Ok(Self::from_rows(texts, rows));
        }
        let mut rows = Vec::with_capacity(texts.len());
        progress.start(name, texts.len());
        for chunk in texts.chunks(TEXTS_AT_ONCE) {
            let embedded = encoder.embed(chunk);
            if embedded.is_err() {
                progress.finish();
            }
            rows.extend(embedded?);
            progress.advance(chunk.len());
        }
        progress.finish();
        let _ = write(&folder, &path, &rows);
        Ok(Self::from_rows(texts, rows))
    }

    /// A table of embeddings that are there.
    pub(crate) fn from_rows(texts: Vec<String>, rows: Vec<Vec<f32>>) -> Self {
        let mut mean = vec![0.0; rows.first().map_or(0, Vec::len)];
        for row in &rows {
            mean.iter_mut()
                .zip(row)
                .for_each(|(mean, value)| *mean += f64::from(*value));
        }
        mean.iter_mut().for_each(|mean| *mean /= rows.len() as f64);
        Self { texts, rows, mean }
    }

    /// One text with its embedding.
    pub(crate) fn candidate(&self, index: usize) -> Candidate {
        Candidate {
            text: self.texts[index].clone(),
            embedding: self.rows[index].clone(),
        }
    }
}

/// The name of a table's file: a digest over all that it depends on.
pub(crate) fn key(texts: &[String], encoder_identity: &str) -> String {
    let mut digest = Sha256::new();
    let parts = std::iter::once(encoder_identity).chain(texts.iter().map(String::as_str));
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let bytes = digest.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Rows of f32, little endian, and their SHA-256 after them; `None` unless all is as it was written.
fn read(path: &Path, count: usize, width: usize) -> Option<Vec<Vec<f32>>> {
    let length = count.checked_mul(width)?.checked_mul(4)?;
    let mut file = File::open(path).ok()?;
    if file.metadata().ok()?.len() != length as u64 + 32 || width == 0 {
        return None;
    }
    let mut bytes = vec![0; length + 32];
    file.read_exact(&mut bytes).ok()?;
    let (bytes, digest) = bytes.split_at(length);
    if Sha256::digest(bytes)[..] != *digest {
        return None;
    }
    let row = |row: &[u8]| {
        let values = row.as_chunks::<4>().0.iter();
        values.map(|value| f32::from_le_bytes(*value)).collect()
    };
    Some(bytes.chunks_exact(width * 4).map(row).collect())
}

/// Writes beside the place, then renames, so that no reader ever sees half a table.
fn write(folder: &Path, path: &Path, rows: &[Vec<f32>]) -> std::io::Result<()> {
    let bytes: Vec<u8> = rows
        .iter()
        .flatten()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    unprompt_files::create_folder(folder)?;
    let mut file = unprompt_files::temporary_in(folder)?;
    file.write_all(&bytes)?;
    file.write_all(&Sha256::digest(&bytes))?;
    unprompt_files::promote(file, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_table_is_read_back_bit_for_bit_and_never_when_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.f32");
        let rows = vec![vec![0.1f32, -0.0, 3.5], vec![f32::MIN_POSITIVE, 1.0, 2.0]];
        write(folder.path(), &path, &rows).unwrap();
        let found = read(&path, 2, 3).unwrap();
        let bits = |rows: &[Vec<f32>]| -> Vec<u32> {
            rows.iter().flatten().map(|value| value.to_bits()).collect()
        };
        assert_eq!(bits(&found), bits(&rows));
        assert!(read(&path, 3, 2).is_some(), "the same number of values");
        assert!(read(&path, 2, 4).is_none());
        let mut bytes = fs::read(&path).unwrap();
        bytes[5] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(read(&path, 2, 3).is_none());
        fs::write(&path, &bytes[..20]).unwrap();
        assert!(read(&path, 2, 3).is_none());
    }

    #[test]
    fn the_key_tells_texts_and_encoders_apart() {
        let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|t| (*t).into()).collect() };
        let keys = [
            key(&texts(&["ab", "c"]), "e"),
            key(&texts(&["a", "bc"]), "e"),
            key(&texts(&["ab", "c"]), "f"),
            key(&texts(&["c", "ab"]), "e"),
        ];
        for (index, left) in keys.iter().enumerate() {
            assert!(keys[index + 1..].iter().all(|right| left != right));
        }
    }

    #[test]
    fn the_mean_is_over_the_rows() {
        let table = PhraseTable::from_rows(
            vec!["a".into(), "b".into()],
            vec![vec![1.0, 0.0], vec![0.0, 3.0]],
        );
        assert_eq!(table.mean, [0.5, 1.5]);
    }
}
