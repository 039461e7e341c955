//! Files of label embeddings, in the form of clip-interrogator: one file a model and table, with
//! `embeds` (labels, width) in half precision and `hash`, the 64 characters of the list's SHA-256.
//!
//! Ours say in the file's metadata, which clip-interrogator ignores, which weights they are of, and
//! have a digest of their numbers there: numbers that are damaged make another prompt, and nothing
//! else shows it.

use crate::{InterrogateError, LabelList, Result, unfinished::Unfinished};
use half::f16;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
    path::{Path, PathBuf},
};
use unprompt_checkpoint::{Checkpoint, DType, Pickle};
use unprompt_files::{create_folder, open_regular};

/// The entry of the metadata that names the weights and, after a blank, the digest of the embeddings.
/// One entry, for the order of several is not always the same.
const WEIGHTS: &str = "unprompt_weights";
/// Bytes of the embeddings that are summed up together.
const DIGEST_BLOCK: usize = 1 << 20;
const EMBEDDINGS: &str = "embeds";
const HASH: &str = "hash";
/// A header of two tensors and one entry is far shorter.
const LONGEST_HEADER: u64 = 1 << 16;
/// A longer file name is cut, and told apart by its hash.
const LONGEST_NAME: usize = 120;

/// Where the embeddings of labels are kept.
#[derive(Clone, Debug)]
pub struct TableCache {
    folder: PathBuf,
    model: String,
    weights: String,
    /// By table.
    published: BTreeMap<String, PathBuf>,
}

/// What a file says about itself.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing there.
    Absent,
    /// Of these weights and this list.
    Ours(Checkpoint),
    /// Of this list, by a program that does not say of which weights.
    Foreign(Checkpoint),
    /// Broken, or of something else; the reason.
    Unusable(String),
}

impl TableCache {
    /// A folder that need not exist yet. `model` is the name that clip-interrogator would use, as
    /// `ViT-L-14/openai`; `weights` identifies what embeds: the hash of the weights and the
    /// precision.
    pub fn new(folder: PathBuf, model: &str, weights: &str) -> Self {
        let mut model = model.replace(['/', '\\', '@', ':'], "_");
        if model.len() > LONGEST_NAME {
            let whole = LabelList::new("", vec![model.clone()]).sha256();
            let start = (0..=LONGEST_NAME)
                .rev()
                .find(|at| model.is_char_boundary(*at));
            model.truncate(start.unwrap_or(0));
            model.push_str(&whole[..16]);
        }
        Self {
            folder,
            model,
            weights: weights.to_owned(),
            published: BTreeMap::new(),
        }
    }

    /// Where the folder has no file of a table, the one at `path` is used, by a program that says
    /// nothing trustworthy about the weights.
    #[must_use]
    pub fn with_published(mut self, table: &str, path: PathBuf) -> Self {
        self.published.insert(table.to_owned(), path);
        self
    }

    /// The file of a table.
    pub fn path(&self, table: &str) -> PathBuf {
        self.folder
            .join(format!("{}_{table}.safetensors", self.model))
    }

    /// What has been made of a large table whose making was stopped, in blocks of so many rows, and
    /// the file to add to.
    pub(crate) fn unfinished(
        &self,
        list: &LabelList,
        blocks: &[usize],
        width: usize,
    ) -> Option<(Unfinished, Vec<f16>)> {
        let name = format!(".unprompt-{}_{}.unfinished", self.model, list.name());
        let identity = format!("1 {} {}", self.weights.escape_debug(), list.sha256());
        Unfinished::open(&self.folder.join(name), &identity, blocks, width)
    }

    /// The file that [`with_published`](Self::with_published) named for a table.
    pub fn published(&self, table: &str) -> Option<&Path> {
        self.published.get(table).map(PathBuf::as_path)
    }

    /// Opens the file of a list whose embeddings are `width` wide.
    pub(crate) fn find(&self, list: &LabelList, width: usize) -> Found {
        let mut path = self.path(list.name());
        let own = path.exists();
        if !own {
            match self.published.get(list.name()) {
                Some(published) => path = published.clone(),
                None => return Found::Absent,
            }
        }
        let checkpoint = match Checkpoint::open(&path, Pickle::Deny) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Found::Unusable(error.to_string()),
        };
        let other = |message: &str| Found::Unusable(format!("{}: {message}", path.display()));
        let (Some(rows), Some(hash)) = (checkpoint.tensor(EMBEDDINGS), checkpoint.tensor(HASH))
        else {
            return other("no `embeds` and `hash`");
        };
        let hash = match (hash.dtype, hash.data()) {
            (DType::I8, Ok(hash)) => hash,
            _ => return other("`hash` is not 64 characters"),
        };
        if *hash != *list.sha256().as_bytes() {
            return other("of another list of labels");
        }
        if rows.dtype != DType::F16 || rows.shape != [list.labels().len(), width] {
            return other("of a model of another width");
        }
        let said = match said_of(&path) {
            Err(error) => return other(&error.to_string()),
            Ok(Some(said)) if own => said,
            Ok(_) => return Found::Foreign(checkpoint),
        };
        // Without a digest it is of an earlier version.
        let (weights, written) = said.rsplit_once(' ').unwrap_or((&said, ""));
        if weights != self.weights {
            return other("of other weights");
        }
        match rows.data() {
            Ok(bytes) if digest(&bytes) == written => {}
            Ok(_) => return other("its numbers are not those that were written"),
            Err(error) => return other(&error.to_string()),
        }
        Found::Ours(checkpoint)
    }

    /// Writes the file of a list in one step, and opens it.
    pub(crate) fn write(&self, list: &LabelList, rows: &[f16], width: usize) -> Result<Checkpoint> {
        let path = self.path(list.name());
        let failed =
            |error: &dyn std::fmt::Display| InterrogateError::cache(&path, error.to_string());
        create_folder(&self.folder).map_err(|error| failed(&error))?;
        let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        let hash = list.sha256();
        let shape = vec![list.labels().len(), width];
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes);
        let tensors = [
            (EMBEDDINGS, view(Dtype::F16, shape, &bytes)),
            (HASH, view(Dtype::I8, vec![hash.len()], hash.as_bytes())),
        ];
        let mut views = Vec::new();
        for (name, tensor) in tensors {
            views.push((name, tensor.map_err(|error| failed(&error))?));
        }
        let said = format!("{} {}", self.weights, digest(&bytes));
        let metadata = HashMap::from([(WEIGHTS.to_owned(), said)]);
        let file = safetensors::serialize(views, Some(metadata)).map_err(|error| failed(&error))?;
        unprompt_files::write(&path, &file).map_err(|error| failed(&error))?;
        Checkpoint::open(&path, Pickle::Deny).map_err(|error| failed(&error))
    }
}

/// What a file says of itself in its metadata.
fn said_of(path: &Path) -> std::io::Result<Option<String>> {
    let mut file = open_regular(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Ok(None);
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header)?;
    let header: Value = serde_json::from_slice(&header)?;
    let said = header["__metadata__"][WEIGHTS].as_str();
    Ok(said.map(str::to_owned))
}

/// A digest of embeddings that costs no more than to read them: the CRC-32 of each block, hashed
/// together. It finds damage; whoever can write in the cache can write a digest as well.
fn digest(bytes: &[u8]) -> String {
    let sums: Vec<u32> = bytes
        .par_chunks(DIGEST_BLOCK)
        .map(crc32fast::hash)
        .collect();
    let mut hasher = Sha256::new();
    hasher.update((bytes.len() as u64).to_le_bytes());
    for sum in sums {
        hasher.update(sum.to_le_bytes());
    }
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_every_byte_and_on_the_length() {
        let mut bytes = vec![0; DIGEST_BLOCK + 3];
        let zeros = digest(&bytes);
        assert_ne!(zeros, digest(&bytes[1..]));
        for at in [0, DIGEST_BLOCK - 1, DIGEST_BLOCK, DIGEST_BLOCK + 2] {
            bytes[at] ^= 1;
            assert_ne!(zeros, digest(&bytes), "{at}");
            bytes[at] ^= 1;
        }
        assert_eq!(zeros, digest(&bytes));
    }
}
