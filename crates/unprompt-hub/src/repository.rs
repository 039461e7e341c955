//! Repositories of a hub, in the cache layout that Python's `huggingface_hub` uses:
//!
//! ```text
//! models--org--repo/blobs/<etag>                   the bytes
//! models--org--repo/snapshots/<commit>/<file>      a relative link to its blob
//! models--org--repo/refs/<branch>                  the commit it was last
//! .locks/models--org--repo/<etag>.lock             one transfer of a blob at a time
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::{ContentHash, Sha256Hex};
use crate::http::Client;
use crate::manifest::{ListedFile, NamedModel, Source};
use crate::progress::Started;
use crate::reference::{is_commit_hash, is_revision};
use crate::relative_path::RelativePath;
use crate::transfer::{RemoteFile, fetch};
use crate::verify::{FileCheck, FileState, Verification};
use crate::weights::{self, Weights};
use crate::{Error, Hub, Progress, RepositoryId, ResolvedModel, Result, SourceFailure, storage};

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

fn read_shards(index: &Path) -> Result<Vec<RelativePath>> {
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

/// Brings the listed files of a named model into the shared cache.
pub(crate) fn pull_named(
    hub: &Hub,
    model: &NamedModel,
    id: &RepositoryId,
    commit: &str,
    progress: &dyn Progress,
) -> Result<()> {
    let client = Client::new(&hub.environment)?;
    let total = model.files.iter().map(|file| file.size).sum();
    let _bar = Started::new(progress, &model.name, total);
    for file in &model.files {
        let remote = head(&client, id, commit, &file.path, Some(file))?;
        fetch(hub, &client, id, &remote, progress)?;
    }
    Ok(())
}

/// Asks the hub about one file and checks what it says against what is listed.
fn head(
    client: &Client<'_>,
    id: &RepositoryId,
    commit: &str,
    path: &RelativePath,
    listed: Option<&ListedFile>,
) -> Result<RemoteFile> {
    let address = client.file_address(id.as_str(), commit, path.as_str());
    let head = client.head(&address)?;
    let wrong = |reason: String| Error::Network {
        address: address.clone(),
        reason,
    };
    if let Some(said) = &head.commit
        && said != commit
    {
        return Err(wrong(format!(
            "asked for commit {commit}, the hub answered with {said}"
        )));
    }
    let etag = match (head.etag.filter(|etag| is_blob_name(etag)), listed) {
        (Some(etag), _) => etag,
        (None, Some(listed)) => listed.sha256.to_string(),
        (None, None) => return Err(wrong("the answer names no entity tag: no hub".to_owned())),
    };
    let size = match (head.size, listed) {
        (Some(size), Some(listed)) if size != listed.size => {
            return Err(storage::size_mismatch(
                &address,
                listed.size,
                format!("{size} bytes"),
            ));
        }
        (Some(size), _) => size,
        (None, Some(listed)) => listed.size,
        (None, None) => return Err(wrong("the answer gives no size".to_owned())),
    };
    let mut hashes = vec![ContentHash::from_etag(&etag)];
    if let Some(listed) = listed {
        hashes.push(ContentHash::Sha256(listed.sha256.clone()));
    }
    let commit = commit.to_owned();
    Ok(RemoteFile {
        path: path.clone(),
        commit,
        address,
        etag,
        size,
        hashes,
    })
}

/// An entity tag becomes a file name, so it is one word.
fn is_blob_name(etag: &str) -> bool {
    (8..=128).contains(&etag.len())
        && etag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

pub(crate) fn pull(
    hub: &Hub,
    id: &RepositoryId,
    revision: Option<&str>,
    progress: &dyn Progress,
) -> Result<ResolvedModel> {
    let _lock = hub.lock(&id.cache_folder(), id.as_str(), progress);
    let found = locate(hub, id, revision)?;
    // A full commit cannot change; a branch can.
    let pinned = revision.is_some_and(is_commit_hash);
    match found {
        Some(found) if hub.is_offline() => return Ok(found),
        Some(found) if pinned && verify(hub, id, revision)?.is_good() => return Ok(found),
        _ => {}
    }
    if hub.is_offline() {
        return Err(Error::Offline {
            name: id.to_string(),
            looked_in: vec![folder(hub, id)],
            by_hand: by_hand(hub, id),
        });
    }
    match pull_repository(hub, id, revision.unwrap_or(DEFAULT_REVISION), progress) {
        Ok(()) => {}
        Err(error @ (Error::PickleRefused { .. } | Error::UnsafePath { .. })) => return Err(error),
        Err(error) => {
            return Err(Error::AllSourcesFailed {
                name: id.to_string(),
                failures: vec![SourceFailure {
                    source: format!("hub repository {id}"),
                    error: Box::new(error),
                }],
                by_hand: by_hand(hub, id),
            });
        }
    }
    locate(hub, id, revision)?.ok_or_else(|| Error::InvalidReference {
        text: id.to_string(),
        reason: "its files went missing while they were fetched; try again".to_owned(),
    })
}

fn by_hand(hub: &Hub, id: &RepositoryId) -> String {
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

/// The hub's answer about a revision.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

fn pull_repository(
    hub: &Hub,
    id: &RepositoryId,
    revision: &str,
    progress: &dyn Progress,
) -> Result<()> {
    let client = Client::new(&hub.environment)?;
    let (commit, listing) = list_repository(&client, hub, id, revision)?;
    let names: Vec<String> = listing.iter().map(RelativePath::to_string).collect();
    weights::refuse_pickles(id.as_str(), names.iter(), hub.options.allow_pickle)?;
    let head = |path: &RelativePath| head(&client, id, &commit, path, None);

    let mut remotes = Vec::new();
    for path in weights::choose_small(&listing) {
        remotes.push(head(path)?);
    }
    match weights::choose_weights(&listing, hub.options.allow_pickle) {
        Weights::Files(files) => {
            for path in files {
                remotes.push(head(path)?);
            }
        }
        Weights::Sharded(index) => {
            let remote = head(index)?;
            let path = fetch(hub, &client, id, &remote, progress)?;
            remotes.push(remote);
            for shard in read_shards(&path)? {
                remotes.push(head(&shard)?);
            }
        }
    }
    let _bar = Started::new(
        progress,
        id.as_str(),
        remotes.iter().map(|file| file.size).sum(),
    );
    for remote in &remotes {
        fetch(hub, &client, id, remote, progress)?;
    }
    let files = remotes
        .iter()
        .map(|file| (file.path.to_string(), file.size))
        .collect();
    record(hub, id, &commit, files)?;
    // Last, so that a branch never leads to a commit that is not all here.
    set_branch(hub, id, revision, &commit)?;
    Ok(())
}

fn list_repository(
    client: &Client<'_>,
    hub: &Hub,
    id: &RepositoryId,
    revision: &str,
) -> Result<(String, Vec<RelativePath>)> {
    let path = format!("/api/models/{id}/revision/{}", revision.replace('/', "%2F"));
    let wrong = |reason: String| Error::Network {
        address: format!("{}{path}", hub.environment.endpoint),
        reason,
    };
    let bytes = client.json(&path)?;
    let listing: Listing = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("not the listing of a repository: {error}")))?;
    if !is_commit_hash(&listing.sha) {
        return Err(wrong("the listing names no commit".to_owned()));
    }
    if is_commit_hash(revision) && listing.sha != revision {
        return Err(wrong(format!(
            "asked for commit {revision}, got {}",
            listing.sha
        )));
    }
    let mut paths = Vec::new();
    for sibling in listing.siblings {
        match RelativePath::parse(&sibling.rfilename) {
            Ok(path) => paths.push(path),
            // An odd name of a picture is no reason to refuse the model beside it.
            Err(_) if !weights::could_matter(&sibling.rfilename) => {}
            Err(error) => return Err(error),
        }
    }
    paths.sort();
    paths.dedup();
    Ok((listing.sha, paths))
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
