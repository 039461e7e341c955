use crate::{Error, Result, digest::Sha256Hex, remembered::RememberedHashes};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// A model whose files are on this machine.
///
/// Its files have their listed sizes; their hashes were checked when they arrived (see
/// [`Hub::verify`](crate::Hub::verify) for checking them again). They are still untrusted input
/// to whatever parses them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResolvedModel {
    /// The manifest name, the hub id, or the path as given.
    pub name: String,
    /// Commit of the hub, version of the package, or `local`.
    pub revision: String,
    /// The folder that the files are in, laid out as in the repository.
    pub dir: PathBuf,
    /// Every file by its name in the repository (`config.json`, `1_Pooling/config.json`).
    pub files: BTreeMap<String, PathBuf>,
    digest: OnceLock<Sha256Hex>,
    remembered: RememberedHashes,
}

const LISTED_IN_ERROR: usize = 20;

impl ResolvedModel {
    pub(crate) fn new(
        name: String,
        revision: String,
        dir: PathBuf,
        files: BTreeMap<String, PathBuf>,
        digest: Option<Sha256Hex>,
        own_cache: &Path,
    ) -> Self {
        let digest = digest.map_or_else(OnceLock::new, OnceLock::from);
        Self {
            name,
            revision,
            dir,
            files,
            digest,
            remembered: RememberedHashes::within(own_cache),
        }
    }

    /// The path of one file.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] with the names of the files that are there.
    pub fn file(&self, name: &str) -> Result<&Path> {
        self.files
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| Error::NoSuchFile {
                name: self.name.clone(),
                file: name.to_owned(),
                present: self.files.keys().take(LISTED_IN_ERROR).cloned().collect(),
            })
    }

    /// One digest that identifies the whole model: 64 hexadecimal digits, the SHA-256 over
    /// `path NUL sha256 LF` of its files in path order.
    ///
    /// For a named model this is known from the manifest; for others every file is read, and the
    /// hashes of large ones are remembered until the file changes.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read.
    pub fn sha256(&self) -> Result<&str> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest.as_str());
        }
        let mut hashes = Vec::with_capacity(self.files.len());
        for (name, path) in &self.files {
            hashes.push((name.as_str(), self.remembered.of_file(path)?));
        }
        let listing = hashes.iter().map(|(name, hash)| (*name, hash.as_str()));
        let digest = Sha256Hex::of_listing(listing);
        Ok(self.digest.get_or_init(|| digest).as_str())
    }
}
