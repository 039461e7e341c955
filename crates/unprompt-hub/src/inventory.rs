use crate::{
    Error, Hub, ModelRef, RepositoryId, Result,
    manifest::{ModelKind, NamedModel, Source},
    reference::is_commit_hash,
    repository, storage,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// One row of [`Hub::list`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelStatus {
    /// The name to use: a manifest name, `org/repo`, or `org/repo@commit`.
    pub name: String,
    /// What it is for.
    pub kind: ModelKind,
    /// One line about it.
    pub description: String,
    /// Licence, as an SPDX expression where it is known.
    pub licence: String,
    /// Bytes that a pull from the first source transfers. For a repository found in the cache,
    /// its size there.
    pub download_bytes: u64,
    /// Whether every file is here with its size.
    pub installed: bool,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// Bytes of its files that are here; more than 0 also for a model that is here in part.
    pub bytes_on_disk: u64,
}

impl Hub {
    /// All named models in manifest order, then the repositories in the shared cache that could
    /// be used. No network, no hashing.
    pub fn list(&self) -> Vec<ModelStatus> {
        let mut rows: Vec<_> = self
            .manifest
            .models()
            .iter()
            .map(|model| self.named_status(model))
            .collect();
        rows.extend(self.cached_repositories());
        rows
    }

    fn named_status(&self, model: &NamedModel) -> ModelStatus {
        let found = self.locate_named(model);
        let bytes_on_disk = match &found {
            Some(_) => model.installed_bytes(),
            None => self
                .folders(model)
                .iter()
                .map(|folder| {
                    let sizes = model.files.iter().filter_map(|file| {
                        fs::metadata(file.path.join_to(folder))
                            .ok()
                            .map(|metadata| metadata.len())
                    });
                    sizes.sum()
                })
                .max()
                .unwrap_or(0),
        };
        ModelStatus {
            name: model.name.clone(),
            kind: model.kind,
            description: model.description.clone(),
            licence: model.licence.clone(),
            download_bytes: model
                .sources
                .first()
                .map_or(0, |source| model.download_bytes(source)),
            installed: found.is_some(),
            path: found.map(|found| found.dir),
            bytes_on_disk,
        }
    }

    fn cached_repositories(&self) -> Vec<ModelStatus> {
        let mut rows = Vec::new();
        for (folder, _) in entries(&self.environment.hub_cache) {
            let Some(id) = RepositoryId::from_cache_folder(&folder) else {
                continue;
            };
            let main = repository::cached_commit(self, &id, None);
            for (commit, _) in entries(&repository::folder(self, &id).join("snapshots")) {
                if !is_commit_hash(&commit) || self.is_named_source(&id, &commit) {
                    continue;
                }
                // One that cannot be used (a pickle, a broken index) is not offered.
                let Ok(Some(found)) = repository::locate(self, &id, Some(&commit)) else {
                    continue;
                };
                let size = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
                let bytes = found.files.values().map(size).sum();
                let is_main = main.as_ref() == Some(&commit);
                rows.push(ModelStatus {
                    name: if is_main {
                        id.to_string()
                    } else {
                        format!("{id}@{commit}")
                    },
                    kind: ModelKind::Repository,
                    description: "repository of a hub, in the shared cache".to_owned(),
                    licence: "see its model card".to_owned(),
                    download_bytes: bytes,
                    installed: true,
                    path: Some(found.dir),
                    bytes_on_disk: bytes,
                });
            }
        }
        rows
    }

    fn is_named_source(&self, id: &RepositoryId, commit: &str) -> bool {
        self.manifest
            .models()
            .iter()
            .flat_map(|model| &model.sources)
            .any(|source| {
                matches!(source, Source::Hub { repository, revision }
                if repository == id && revision == commit)
            })
    }

    /// Removes a model's files and says how many bytes that freed. A model that is not here frees
    /// none.
    ///
    /// Files in the shared cache are removed too, for Python as well: the snapshot, the branches
    /// that lead to it, and the blobs that no other snapshot of the repository uses.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::InvalidReference`] for a local path, which is the user's
    /// own; [`Error::Io`].
    pub fn remove(&self, model: &ModelRef) -> Result<u64> {
        match model {
            ModelRef::Named(name) => {
                let model = self.manifest.get(name)?;
                let mut freed = 0;
                for source in &model.sources {
                    if let Source::Hub {
                        repository,
                        revision,
                    } = source
                    {
                        freed += self.remove_snapshot(repository, revision)?;
                    }
                }
                let folder = self.own_folders(model);
                if folder.exists() {
                    freed += bytes_below(&folder);
                    storage::remove_folder(&folder)?;
                }
                Ok(freed)
            }
            ModelRef::Repository { id, revision } => {
                match repository::cached_commit(self, id, revision.as_deref()) {
                    Some(commit) => self.remove_snapshot(id, &commit),
                    None => Ok(0),
                }
            }
            ModelRef::Local(path) => Err(Error::InvalidReference {
                text: path.display().to_string(),
                reason: "only models in the caches are removed".to_owned(),
            }),
        }
    }

    fn remove_snapshot(&self, id: &RepositoryId, commit: &str) -> Result<u64> {
        let folder = repository::folder(self, id);
        let snapshot = repository::snapshot(self, id, commit);
        if !is_commit_hash(commit) || !snapshot.exists() {
            return Ok(0);
        }
        let mut doomed = BTreeSet::new();
        let mut kept = BTreeSet::new();
        for (other, path) in entries(&folder.join("snapshots")) {
            collect_targets(
                &path,
                if other == commit {
                    &mut doomed
                } else {
                    &mut kept
                },
            );
        }
        for (name, path) in entries(&folder.join("refs")) {
            if repository::cached_commit(self, id, Some(&name)).as_deref() == Some(commit) {
                fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
            }
        }
        storage::remove_folder(&snapshot)?;
        let blobs = fs::canonicalize(folder.join("blobs")).unwrap_or_default();
        let mut freed = 0;
        for blob in doomed.difference(&kept) {
            // A link that leads elsewhere is not ours to follow.
            if blob.parent() != Some(&blobs) {
                continue;
            }
            freed += fs::metadata(blob).map_or(0, |file| file.len());
            fs::remove_file(blob).map_err(|error| Error::io("remove", blob, error))?;
        }
        Ok(freed)
    }
}

/// Name and path of what is in a folder, sorted; nothing when it cannot be read.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    entries.sort();
    entries
}

fn collect_targets(folder: &Path, targets: &mut BTreeSet<PathBuf>) {
    for (_, path) in entries(folder) {
        if fs::symlink_metadata(&path).is_ok_and(|file| file.is_dir()) {
            collect_targets(&path, targets);
        } else if let Ok(target) = fs::canonicalize(&path) {
            targets.insert(target);
        }
    }
}

fn bytes_below(folder: &Path) -> u64 {
    entries(folder)
        .iter()
        .map(|(_, path)| match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => bytes_below(path),
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        })
        .sum()
}
