use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::digest::Sha256Hex;
use crate::manifest::NamedModel;
use crate::{Error, Hub, ModelRef, Result, repository};

/// The result of hashing every file of a model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The model.
    pub name: String,
    /// Each file, in manifest order for a named model, else by name.
    pub files: Vec<FileCheck>,
}

impl Verification {
    /// Whether every file is what it should be (a file with nothing to compare with counts).
    pub fn is_good(&self) -> bool {
        self.files.iter().all(|file| !file.state.is_bad())
    }
}

/// One file of a [`Verification`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileCheck {
    /// Its name in the model.
    pub name: String,
    /// Where it is, or should be.
    pub path: PathBuf,
    /// What was found.
    pub state: FileState,
}

/// What hashing a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileState {
    /// Size and hash are the listed ones.
    Good,
    /// The file is not there.
    Missing,
    /// The size differs.
    WrongSize {
        /// Listed size in bytes.
        expected: u64,
        /// Size on disk in bytes.
        found: u64,
    },
    /// The hash differs.
    WrongHash {
        /// Listed hash.
        expected: String,
        /// Hash of the bytes on disk.
        found: String,
    },
    /// Nothing is listed to compare with; this is its SHA-256.
    Unlisted {
        /// Hash of the bytes on disk.
        sha256: String,
    },
}

impl FileState {
    /// Whether the file is known to be wrong.
    pub fn is_bad(&self) -> bool {
        !matches!(self, Self::Good | Self::Unlisted { .. })
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Missing => f.write_str("missing"),
            Self::WrongSize { expected, found } => {
                write!(f, "wrong size: expected {expected} bytes, found {found}")
            }
            Self::WrongHash { expected, found } => {
                write!(f, "wrong hash: expected {expected}, found {found}")
            }
            Self::Unlisted { sha256 } => write!(f, "not listed, SHA-256 {sha256}"),
        }
    }
}

impl Hub {
    /// Hashes every file of a model and compares with the manifest, or for a repository with the
    /// name the hub gave the file. No network.
    ///
    /// # Errors
    /// [`Error::Offline`] when a repository is not in the cache; [`Error::Io`] when a file is
    /// there but cannot be read. Wrong and missing files are no errors but results.
    pub fn verify(&self, model: &ModelRef) -> Result<Verification> {
        match model {
            ModelRef::Named(name) => self.verify_named(self.manifest.get(name)?),
            ModelRef::Repository { id, revision } => {
                repository::verify(self, id, revision.as_deref())
            }
            ModelRef::Local(_) => {
                let Some(found) = self.locate(model)? else {
                    return Ok(Verification {
                        name: model.to_string(),
                        files: Vec::new(),
                    });
                };
                let mut files = Vec::with_capacity(found.files.len());
                for (name, path) in found.files {
                    let sha256 = Sha256Hex::of_file(&path)?.to_string();
                    files.push(FileCheck {
                        name,
                        path,
                        state: FileState::Unlisted { sha256 },
                    });
                }
                Ok(Verification {
                    name: found.name,
                    files,
                })
            }
        }
    }

    pub(crate) fn verify_named(&self, model: &NamedModel) -> Result<Verification> {
        // Of an incomplete model the folder with the most files is the one to report on.
        let folders = self.folders(model);
        let present = |folder: &PathBuf| {
            model
                .files
                .iter()
                .filter(|file| file.path.join_to(folder).exists())
                .count()
        };
        let folder = match self.locate_named(model) {
            Some(found) => found.dir,
            None => folders
                .iter()
                .rev()
                .max_by_key(|folder| present(folder))
                .cloned()
                .unwrap_or_else(|| self.own_folder(model)),
        };
        let mut files = Vec::with_capacity(model.files.len());
        for file in &model.files {
            let path = file.path.join_to(&folder);
            let state = match fs::metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => FileState::Missing,
                Err(error) => return Err(Error::io("read", &path, error)),
                Ok(metadata) if metadata.len() != file.size => FileState::WrongSize {
                    expected: file.size,
                    found: metadata.len(),
                },
                Ok(_) => {
                    let found = Sha256Hex::of_file(&path)?;
                    if found == file.sha256 {
                        FileState::Good
                    } else {
                        FileState::WrongHash {
                            expected: file.sha256.to_string(),
                            found: found.to_string(),
                        }
                    }
                }
            };
            files.push(FileCheck {
                name: file.path.to_string(),
                path,
                state,
            });
        }
        Ok(Verification {
            name: model.name.clone(),
            files,
        })
    }
}
