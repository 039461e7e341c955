//! Repositories of a hub, in the cache layout that Python's `huggingface_hub` uses:
//!
//! ```text
//! models--org--repo/blobs/<etag>                   the bytes
//! models--org--repo/snapshots/<commit>/<file>      a relative link to its blob
//! models--org--repo/refs/<branch>                  the commit it was last
//! .locks/models--org--repo/<etag>.lock             one transfer of a blob at a time
//! ```

use crate::{
    Error, Hub, RepositoryId, ResolvedModel, Result,
    digest::{ContentHash, Sha256Hex},
    manifest::Source,
    reference::{is_commit_hash, is_revision},
    relative_path::RelativePath,
    storage,
    verification::{FileCheck, FileState, Verification},
    weights::{self, Weights},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub(crate) const DEFAULT_REVISION: &str = "main";
/// A model with more files than this is not one that can be run here.
const MAX_FILES: usize = 1000;
const MAX_DEPTH: usize = 3;
/// The index of the largest models is some hundred kilobytes.
const MAX_INDEX_BYTES: u64 = 32 << 20;

/// The folder of a repository in the shared cache.
pub(crate) fn folder(hub: &Hub, id: &RepositoryId) -> PathBuf {
    hub.environment.hub_cache.join(id.cache_folder())
}

/// The folder of one commit in the shared cache.
pub(crate) fn snapshot(hub: &Hub, id: &RepositoryId, commit: &str) -> PathBuf {
    folder(hub, id).join("snapshots").join(commit)
}

/// What was fetched of a commit: file names and sizes. Without it (Python fetched the files) the
/// snapshot itself is looked through.
#[derive(Deserialize, Serialize)]
struct Receipt {
    files: BTreeMap<String, u64>,
}

fn receipt_path(hub: &Hub, id: &RepositoryId, commit: &str) -> PathBuf {
    hub.environment
        .own_cache
        .join("hub")
        .join(id.cache_folder())
        .join(format!("{commit}.json"))
}

/// Notes which files of a commit make up the model.
pub(crate) fn record(
    hub: &Hub,
    id: &RepositoryId,
    commit: &str,
    files: BTreeMap<String, u64>,
) -> Result<()> {
    let receipt = serde_json::to_vec_pretty(&Receipt { files })
        .map_err(|error| Error::Manifest(error.to_string()))?;
    storage::write_atomically(&receipt_path(hub, id, commit), &receipt)
}

/// Notes which commit a branch is.
pub(crate) fn set_branch(hub: &Hub, id: &RepositoryId, branch: &str, commit: &str) -> Result<()> {
    if branch == commit {
        return Ok(());
    }
    let path = RelativePath::parse(branch)?;
    let path = storage::create_parents(&folder(hub, id).join("refs"), &path)?;
    storage::write_atomically(&path, commit.as_bytes())
}

/// The commit that a revision meant when it was last fetched.
pub(crate) fn cached_commit(
    hub: &Hub,
    id: &RepositoryId,
    revision: Option<&str>,
) -> Option<String> {
    let revision = revision.unwrap_or(DEFAULT_REVISION);
    if is_commit_hash(revision) {
        return Some(revision.to_owned());
    }
    if !is_revision(revision) {
        return None;
    }
    let path = folder(hub, id).join("refs").join(revision);
    if fs::metadata(&path).ok()?.len() > 64 {
        return None;
    }
    let commit = fs::read_to_string(path).ok()?.trim().to_owned();
    is_commit_hash(&commit).then_some(commit)
}

pub(crate) fn locate(
    hub: &Hub,
    id: &RepositoryId,
    revision: Option<&str>,
) -> Result<Option<ResolvedModel>> {
    let Some(commit) = cached_commit(hub, id, revision) else {
        return Ok(None);
    };
    let dir = snapshot(hub, id, &commit);
    let Some(files) = cached_files(hub, id, &commit, &dir)? else {
        return Ok(None);
    };
    weights::refuse_pickles(id.as_str(), files.keys(), hub.options.allow_pickle)?;
    Ok(Some(ResolvedModel::new(
        id.to_string(),
        commit,
        dir,
        files,
        None,
        &hub.environment.own_cache,
    )))
}

fn cached_files(
    hub: &Hub,
    id: &RepositoryId,
    commit: &str,
    dir: &Path,
) -> Result<Option<BTreeMap<String, PathBuf>>> {
    let receipt = fs::read(receipt_path(hub, id, commit))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Receipt>(&bytes).ok());
    if let Some(receipt) = receipt {
        let mut files = BTreeMap::new();
        for (name, size) in receipt.files {
            let path = RelativePath::parse(&name)?.join_to(dir);
            if !storage::has_size(&path, size) {
                return Ok(None);
            }
            files.insert(name, path);
        }
        return Ok(Some(files));
    }
    let mut listing = Vec::new();
    list_snapshot(dir, "", 0, &mut listing);
    let Some(chosen) = choose_cached(dir, &listing, hub.options.allow_pickle)? else {
        return Ok(None);
    };
    let entry = |path: RelativePath| (path.to_string(), path.join_to(dir));
    Ok(Some(chosen.into_iter().map(entry).collect()))
}

/// The model's files in a snapshot that somebody else filled; `None` when weights or shards are
/// missing. Each file is whole: it appears there only when it is.
fn choose_cached(
    dir: &Path,
    listing: &[RelativePath],
    allow_pickle: bool,
) -> Result<Option<Vec<RelativePath>>> {
    let mut chosen: Vec<RelativePath> = weights::choose_small(listing)
        .into_iter()
        .cloned()
        .collect();
    match weights::choose_weights(listing, allow_pickle) {
        Weights::Files(files) if files.is_empty() => {
            // Pickles alone must be seen, so that they can be refused by name.
            let pickles = listing
                .iter()
                .filter(|path| weights::is_pickle(path.as_str()));
            let before = chosen.len();
            chosen.extend(pickles.cloned());
            if chosen.len() == before {
                return Ok(None);
            }
        }
        Weights::Files(files) => chosen.extend(files.into_iter().cloned()),
        Weights::Sharded(index) => {
            for shard in read_shards(&index.join_to(dir))? {
                if !listing.contains(&shard) {
                    return Ok(None);
                }
                chosen.push(shard);
            }
            chosen.push(index.clone());
        }
    }
    Ok(Some(chosen))
}

fn list_snapshot(dir: &Path, prefix: &str, depth: usize, listing: &mut Vec<RelativePath>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(name) = entry
            .file_name()
            .to_str()
            .map(|name| format!("{prefix}{name}"))
        else {
            continue;
        };
        let Ok(metadata) = fs::metadata(entry.path()) else {
            continue;
        };
        if metadata.is_dir() && depth < MAX_DEPTH {
            list_snapshot(&entry.path(), &format!("{name}/"), depth + 1, listing);
        } else if metadata.is_file()
            && listing.len() < MAX_FILES
            && let Ok(path) = RelativePath::parse(&name)
        {
            listing.push(path);
        }
    }
    listing.sort();
}

pub(crate) fn read_shards(index: &Path) -> Result<Vec<RelativePath>> {
    let size = fs::metadata(index)
        .map_err(|error| Error::io("read", index, error))?
        .len();
    if size > MAX_INDEX_BYTES {
        return Err(Error::InvalidReference {
            text: index.display().to_string(),
            reason: format!("a shard index of {size} bytes is larger than any real one"),
        });
    }
    let bytes = fs::read(index).map_err(|error| Error::io("read", index, error))?;
    weights::shards(&bytes, &index.display().to_string())
}

/// Compares each cached file with the name the hub gave it.
pub(crate) fn verify(hub: &Hub, id: &RepositoryId, revision: Option<&str>) -> Result<Verification> {
    let Some(found) = locate(hub, id, revision)? else {
        return Err(Error::Offline {
            name: id.to_string(),
            looked_in: vec![folder(hub, id)],
            by_hand: by_hand(hub, id),
        });
    };
    let mut files = Vec::with_capacity(found.files.len());
    for (name, path) in found.files {
        let blob = fs::canonicalize(&path).map_err(|error| Error::io("read", &path, error))?;
        let etag = blob
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let state = match ContentHash::from_etag(etag) {
            ContentHash::Unknown => FileState::Unlisted {
                sha256: Sha256Hex::of_file(&path)?.to_string(),
            },
            hash => match hash.disagreement(&path)? {
                None => FileState::Good,
                Some((expected, found)) => FileState::WrongHash { expected, found },
            },
        };
        files.push(FileCheck { name, path, state });
    }
    Ok(Verification {
        name: found.name,
        files,
    })
}

/// What to do when a repository cannot be fetched.
pub(crate) fn by_hand(hub: &Hub, id: &RepositoryId) -> String {
    let named = hub.manifest.models().iter().find(|model| {
        model
            .sources
            .iter()
            .any(|source| matches!(source, Source::Hub { repository, .. } if repository == id))
    });
    let alias = match named {
        Some(model) => {
            format!(
                "\n  - use the named model `{}`, which is this repository at a pinned commit",
                model.name
            )
        }
        None => String::new(),
    };
    format!(
        "to bring it by hand, one of:\n  - put its files into a folder and give the folder's path in \
         place of `{id}`\n  - run `unprompt models export {id} --out BUNDLE.tar` on a machine that \
         has it and `unprompt models import BUNDLE.tar` here{alias}"
    )
}
