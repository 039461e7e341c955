//! Models in one tar file, for machines without a network.

use crate::{
    Error, Hub, ModelRef, Progress, RepositoryId, ResolvedModel, Result,
    digest::{ContentHash, Sha256Hex},
    progress::{HighWater, Started},
    reference::{is_commit_hash, is_revision},
    relative_path::RelativePath,
    remote::MAX_FILE_BYTES,
    repository,
    storage::{self, Held},
    transfer,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};

/// The first entry of a bundle: what is in it.
const INDEX_NAME: &str = "unprompt-bundle.json";
const FORMAT: u32 = 1;
const MAX_INDEX_BYTES: u64 = 8 << 20;
/// Files in one bundle.
const MAX_FILES: usize = 10_000;
/// The name of a model and that of a file in it are far shorter.
const LONGEST_NAME: u64 = 1 << 10;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Index {
    format: u32,
    models: Vec<BundledModel>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct BundledModel {
    /// A manifest name or a hub id.
    name: String,
    revision: String,
    /// The branch that the revision was exported as; hub ids only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    files: Vec<BundledFile>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct BundledFile {
    path: String,
    size: u64,
    sha256: String,
    /// The name of the blob in the shared cache; hub ids only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

/// Where an entry of a bundle goes once its hash is right.
enum Destination {
    /// A file of a named model.
    Named(PathBuf),
    /// A blob and the place in the snapshot that leads to it.
    Blob {
        blob: PathBuf,
        etag: ContentHash,
        snapshot: PathBuf,
        path: RelativePath,
    },
}

struct Expected {
    size: u64,
    sha256: Sha256Hex,
    destination: Destination,
}

impl Hub {
    /// Writes models to one tar file, which [`Hub::import`] reads on another machine. The file
    /// depends on the models alone, and it appears under its name only when it is whole.
    ///
    /// # Errors
    /// [`Error::Bundle`] when a model is not here, is a local path, or fails [`Hub::verify`];
    /// [`Error::Io`].
    pub fn export(&self, models: &[ModelRef], to: &Path, progress: &dyn Progress) -> Result<()> {
        let refuse = |reason: String| Error::Bundle {
            path: to.to_path_buf(),
            reason,
        };
        let mut index = Index {
            format: FORMAT,
            models: Vec::new(),
        };
        let mut contents = Vec::new();
        for model in models {
            if matches!(model, ModelRef::Local(_)) {
                return Err(refuse(format!("{model} is a local path; copy it as it is")));
            }
            let Some(found) = self.locate(model)? else {
                return Err(refuse(format!(
                    "model `{model}` is not here; run `unprompt models pull {model}` first"
                )));
            };
            if let Some(bad) = self
                .verify(model)?
                .files
                .iter()
                .find(|file| file.state.is_bad())
            {
                return Err(refuse(format!(
                    "{} of `{model}` is {}; run `unprompt models pull {model}` first",
                    bad.name, bad.state
                )));
            }
            index.models.push(bundled(model, &found)?);
            let name = found.name.clone();
            contents.extend(
                found
                    .files
                    .into_iter()
                    .map(|(file, path)| (format!("{name}/{file}"), path)),
            );
        }
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
        let total = contents.iter().map(|(_, path)| size(path)).sum();
        let _bar = Started::new(progress, "bundle", total);
        let parent = to.parent().filter(|parent| *parent != Path::new(""));
        let mut file = storage::temporary_file(parent.unwrap_or(Path::new(".")))?;
        let index = serde_json::to_vec_pretty(&index).map_err(|error| refuse(error.to_string()))?;
        write_tar(&mut file, &index, &contents, progress)
            .map_err(|error| Error::io("write", to, error))?;
        storage::promote(file, to)
    }

    /// Reads a bundle and gives the names of the models in it.
    pub(crate) fn import_bundle(
        &self,
        bundle: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<String>> {
        let refuse = |reason: String| Error::Bundle {
            path: bundle.to_path_buf(),
            reason,
        };
        let file = File::open(bundle).map_err(|error| Error::io("open", bundle, error))?;
        let mut archive = tar::Archive::new(BufReader::new(file));
        // Raw: otherwise the reader takes a long name into memory, however long it is.
        let mut entries = archive
            .entries()
            .map_err(|error| refuse(format!("not a tar file: {error}")))?
            .raw(true);
        let first = entries
            .next()
            .ok_or_else(|| refuse("it is empty".to_owned()))?;
        let mut first = first.map_err(|error| refuse(format!("not a tar file: {error}")))?;
        if entry_name(&first) != Some(INDEX_NAME.to_owned()) || first.size() > MAX_INDEX_BYTES {
            return Err(refuse(format!(
                "it does not begin with {INDEX_NAME}: no bundle"
            )));
        }
        let mut bytes = Vec::new();
        first
            .by_ref()
            .take(MAX_INDEX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| refuse(error.to_string()))?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("{INDEX_NAME}: {error}")))?;
        if index.format != FORMAT {
            return Err(refuse(format!(
                "format {} is not known, only {FORMAT}",
                index.format
            )));
        }
        // In one order for all, so that two imports do not wait for each other.
        let names: BTreeSet<&str> = index
            .models
            .iter()
            .map(|model| model.name.as_str())
            .collect();
        let mut locks = Vec::new();
        for name in names {
            match RepositoryId::parse(name) {
                Ok(id) => {
                    locks.push(self.lock(&id.cache_folder(), name, progress));
                    storage::remove_leftovers(&repository::folder(self, &id), Held::Shared);
                }
                Err(_) => {
                    let named = self.manifest.get(name)?;
                    let lock = self.lock(&named.name, name, progress);
                    self.remove_leftovers_of(named, &lock);
                    locks.push(lock);
                }
            }
        }
        let mut expected = self.expected_entries(&index, &refuse)?;
        let total = expected.values().map(|entry| entry.size).sum();
        let _bar = Started::new(progress, "bundle", total);
        let mut long_name = None;
        for entry in entries {
            let mut entry = entry.map_err(|error| refuse(format!("broken tar file: {error}")))?;
            if long_name.is_none() && entry.header().entry_type() == tar::EntryType::GNULongName {
                long_name = Some(read_long_name(&mut entry).map_err(refuse)?);
                continue;
            }
            let name = long_name
                .take()
                .or_else(|| entry_name(&entry))
                .ok_or_else(|| refuse("an entry has a name that is no text".to_owned()))?;
            if entry.header().entry_type() != tar::EntryType::Regular {
                return Err(refuse(format!("{name:?} is not a regular file")));
            }
            let Some(wanted) = expected.remove(&name) else {
                return Err(refuse(format!(
                    "{name:?} is not in its index, or is there twice"
                )));
            };
            if entry.size() != wanted.size {
                return Err(refuse(format!(
                    "{name:?} has not the size that its index gives"
                )));
            }
            self.store_entry(&name, &mut entry, &wanted, progress)?;
        }
        if let Some(missing) = expected.keys().next() {
            return Err(refuse(format!("it ends without {missing:?}")));
        }
        for model in index.models.iter().filter(|model| model.name.contains('/')) {
            let id = RepositoryId::parse(&model.name).map_err(refuse)?;
            repository::record(
                self,
                &id,
                &model.revision,
                model
                    .files
                    .iter()
                    .map(|file| (file.path.clone(), file.size))
                    .collect(),
            )?;
            if let Some(branch) = &model.branch {
                repository::set_branch(self, &id, branch, &model.revision)?;
            }
        }
        Ok(index.models.into_iter().map(|model| model.name).collect())
    }

    /// What each entry must be, by its name in the tar file. For a named model it is the manifest
    /// that decides, not the bundle.
    fn expected_entries(
        &self,
        index: &Index,
        refuse: &dyn Fn(String) -> Error,
    ) -> Result<BTreeMap<String, Expected>> {
        let files: usize = index.models.iter().map(|model| model.files.len()).sum();
        if files > MAX_FILES {
            return Err(refuse(format!(
                "{files} files, where at most {MAX_FILES} are taken"
            )));
        }
        let mut expected = BTreeMap::new();
        for model in &index.models {
            if let Some(branch) = &model.branch
                && !is_revision(branch)
            {
                return Err(refuse(format!("{branch:?} is not a branch")));
            }
            for file in &model.files {
                let path = RelativePath::parse(&file.path)?;
                if file.size > MAX_FILE_BYTES {
                    return Err(refuse(format!(
                        "{path} has {} bytes in its index",
                        file.size
                    )));
                }
                let sha256 = Sha256Hex::parse(&file.sha256).map_err(refuse)?;
                let destination = if model.name.contains('/') {
                    self.blob_destination(model, file, path)
                        .map_err(|reason| refuse(format!("{}: {reason}", model.name)))?
                } else {
                    let named = self.manifest.get(&model.name)?;
                    let listed = named.files.iter().any(|listed| {
                        listed.path == path && listed.sha256 == sha256 && listed.size == file.size
                    });
                    if !listed {
                        return Err(refuse(format!(
                            "{path} of `{}` is not the file that this version knows",
                            model.name
                        )));
                    }
                    Destination::Named(storage::create_parents(&self.own_folder(named), &path)?)
                };
                let entry = Expected {
                    size: file.size,
                    sha256,
                    destination,
                };
                if expected
                    .insert(format!("{}/{}", model.name, file.path), entry)
                    .is_some()
                {
                    return Err(refuse(format!("{} is in its index twice", file.path)));
                }
            }
        }
        Ok(expected)
    }

    fn blob_destination(
        &self,
        model: &BundledModel,
        file: &BundledFile,
        path: RelativePath,
    ) -> Result<Destination, String> {
        let id = RepositoryId::parse(&model.name)?;
        if !is_commit_hash(&model.revision) {
            return Err(format!("revision {:?} is not a commit", model.revision));
        }
        let etag = file.etag.as_deref().unwrap_or_default();
        let content = ContentHash::from_etag(etag);
        // A blob whose name says nothing about its content could be anything.
        if content == ContentHash::Unknown {
            return Err(format!("{path} has an entity tag {etag:?} that is no hash"));
        }
        Ok(Destination::Blob {
            blob: repository::folder(self, &id).join("blobs").join(etag),
            etag: content,
            snapshot: repository::snapshot(self, &id, &model.revision),
            path,
        })
    }

    fn store_entry(
        &self,
        name: &str,
        entry: &mut dyn Read,
        wanted: &Expected,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut seen = HighWater::new(progress, wanted.size);
        let subject = format!("{name} of the bundle");
        let (size, sha256) = (wanted.size, &wanted.sha256);
        match &wanted.destination {
            Destination::Named(path) => {
                storage::store_checked(entry, path, size, sha256, &subject, &mut seen)
            }
            Destination::Blob {
                blob,
                etag,
                snapshot,
                path,
            } => {
                let blobs = blob.parent().unwrap_or(Path::new("."));
                storage::create_folder(blobs)?;
                let work = storage::temporary_folder(blobs)?;
                let staged = work.path().join("blob");
                storage::store_checked(entry, &staged, size, sha256, &subject, &mut seen)?;
                if let Some((expected, found)) = etag.disagreement(&staged)? {
                    let next_step = "the file was not kept";
                    return Err(Error::Mismatch {
                        subject,
                        expected,
                        found,
                        next_step,
                    });
                }
                storage::promote_path(&staged, blob)?;
                let pointer = storage::create_parents(snapshot, path)?;
                transfer::link(&pointer, blob, path.depth())
            }
        }
    }
}

/// The name that an entry has for the one after it.
fn read_long_name(entry: &mut tar::Entry<'_, impl Read>) -> Result<String, String> {
    if entry.size() > LONGEST_NAME {
        return Err(format!("an entry has a name of {} bytes", entry.size()));
    }
    let mut name = String::new();
    entry
        .read_to_string(&mut name)
        .map_err(|error| format!("broken tar file: {error}"))?;
    // It ends in a zero byte.
    name.truncate(name.trim_end_matches('\0').len());
    Ok(name)
}

fn entry_name(entry: &tar::Entry<'_, impl Read>) -> Option<String> {
    String::from_utf8(entry.path_bytes().into_owned()).ok()
}

fn bundled(model: &ModelRef, found: &ResolvedModel) -> Result<BundledModel> {
    let (is_repository, branch) = match model {
        ModelRef::Repository { revision, .. } => {
            let branch = revision.as_deref().unwrap_or(repository::DEFAULT_REVISION);
            (true, (branch != found.revision).then(|| branch.to_owned()))
        }
        ModelRef::Named(_) | ModelRef::Local(_) => (false, None),
    };
    let mut files = Vec::with_capacity(found.files.len());
    for (name, path) in &found.files {
        let io = |error| Error::io("read", path, error);
        let target = fs::canonicalize(path).map_err(io)?;
        let blob = target
            .file_name()
            .and_then(|name| name.to_str())
            .map(str::to_owned);
        files.push(BundledFile {
            path: name.clone(),
            size: fs::metadata(path).map_err(io)?.len(),
            sha256: Sha256Hex::of_file(path)?.to_string(),
            etag: blob.filter(|_| is_repository),
        });
    }
    let (name, revision) = (found.name.clone(), found.revision.clone());
    Ok(BundledModel {
        name,
        revision,
        branch,
        files,
    })
}

fn write_tar(
    to: &mut impl Write,
    index: &[u8],
    contents: &[(String, PathBuf)],
    progress: &dyn Progress,
) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(std::io::BufWriter::new(to));
    let header = |size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header
    };
    tar.append_data(&mut header(index.len() as u64), INDEX_NAME, index)?;
    for (name, path) in contents {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        tar.append_data(&mut header(size), name, file.take(size))?;
        progress.advance(size);
    }
    tar.into_inner()?.flush()
}

/// Whether a file begins as a bundle does.
pub(crate) fn is_bundle(path: &Path) -> bool {
    let mut start = [0; 512];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start.starts_with(INDEX_NAME.as_bytes())
}
