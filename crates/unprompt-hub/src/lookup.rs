//! Any reference to a model: to files on this machine, and whether they are right.

use crate::{
    Hub, ModelRef, Progress, ResolvedModel, Result,
    digest::Sha256Hex,
    local,
    named::Rehash,
    remote, repository,
    verification::{FileCheck, FileState, Verification},
};

impl Hub {
    /// Finds a model on this machine: no network, no hashing, only a look at each file's size.
    ///
    /// A hub id is looked up in the shared cache, whoever filled it; a branch is the commit it
    /// was when last fetched.
    ///
    /// # Errors
    /// [`UnknownModel`](crate::Error::UnknownModel); [`PickleRefused`](crate::Error::PickleRefused);
    /// for a local path that does not exist, [`Io`](crate::Error::Io). A model that is merely absent
    /// is `Ok(None)`.
    pub fn locate(&self, model: &ModelRef) -> Result<Option<ResolvedModel>> {
        match model {
            ModelRef::Named(name) => Ok(self.locate_named(self.manifest.get(name)?)),
            ModelRef::Repository { id, revision } => {
                repository::locate(self, id, revision.as_deref())
            }
            ModelRef::Local(path) => local::resolve(self, path).map(Some),
        }
    }

    /// Finds a model, and fetches it when it is not here.
    ///
    /// # Errors
    /// Those of [`Hub::locate`]; [`Offline`](crate::Error::Offline) when it is absent and nothing may
    /// be fetched; [`AllSourcesFailed`](crate::Error::AllSourcesFailed) when every source failed.
    pub fn resolve(&self, model: &ModelRef, progress: &dyn Progress) -> Result<ResolvedModel> {
        match self.locate(model)? {
            Some(found) => Ok(found),
            None => match model {
                ModelRef::Named(name) => {
                    self.pull_named(self.manifest.get(name)?, Rehash::No, progress)
                }
                _ => self.pull(model, progress),
            },
        }
    }

    /// Makes sure that a model is here and whole: hashes what is here, fetches what is missing or
    /// wrong, and for a branch of a repository asks the hub for its present commit.
    ///
    /// # Errors
    /// Those of [`Hub::resolve`].
    pub fn pull(&self, model: &ModelRef, progress: &dyn Progress) -> Result<ResolvedModel> {
        match model {
            ModelRef::Named(name) => {
                self.pull_named(self.manifest.get(name)?, Rehash::Yes, progress)
            }
            ModelRef::Repository { id, revision } => {
                remote::pull(self, id, revision.as_deref(), progress)
            }
            ModelRef::Local(path) => local::resolve(self, path),
        }
    }

    /// Hashes every file of a model and compares with the manifest, or for a repository with the
    /// name the hub gave the file. No network.
    ///
    /// # Errors
    /// [`Offline`](crate::Error::Offline) when a repository is not in the cache;
    /// [`Io`](crate::Error::Io) when a file is there but cannot be read. Wrong and missing files are no errors but results.
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
}
