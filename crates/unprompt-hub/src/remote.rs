//! Fetching a repository: what the hub says is in it, which of that is wanted, and bringing it.

use crate::{
    Error, Hub, Progress, RepositoryId, ResolvedModel, Result, SourceFailure,
    address::without_secrets,
    digest::ContentHash,
    http::Client,
    manifest::{ListedFile, NamedModel},
    progress::Started,
    reference::is_commit_hash,
    relative_path::RelativePath,
    repository::{
        DEFAULT_REVISION, by_hand, folder, locate, read_shards, record, set_branch, verify,
    },
    storage::{self, Held},
    transfer::{RemoteFile, fetch},
    weights::{self, Weights},
};
use serde::Deserialize;

/// A file that is said to be longer is no model.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 40;
/// Files that a repository may list.
const MAX_LISTED: usize = 100_000;
/// Files that may make up a model, shards among them.
const MAX_MODEL_FILES: usize = 1000;

/// Brings the listed files of a named model into the shared cache.
pub(crate) fn pull_named(
    hub: &Hub,
    model: &NamedModel,
    id: &RepositoryId,
    commit: &str,
    progress: &dyn Progress,
) -> Result<()> {
    let client = Client::new(&hub.environment)?;
    storage::remove_leftovers(&folder(hub, id), Held::Shared);
    let total = model.files.iter().map(|file| file.size).sum();
    let _bar = Started::new(progress, &model.name, total);
    for file in &model.files {
        let remote = head(&client, id, commit, &file.path, Some(file))?;
        fetch(hub, &client, id, &remote, progress)?;
    }
    Ok(())
}

/// Asks the hub about one file and checks what it says against what is listed.
pub(crate) fn head(
    client: &Client<'_>,
    id: &RepositoryId,
    commit: &str,
    path: &RelativePath,
    listed: Option<&ListedFile>,
) -> Result<RemoteFile> {
    let address = client.file_address(id.as_str(), commit, path.as_str());
    let head = client.head(&address)?;
    let wrong = |reason: String| Error::Network {
        address: without_secrets(&address),
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
    if size > MAX_FILE_BYTES {
        return Err(wrong(format!(
            "{size} bytes, where a file of a model has at most {MAX_FILE_BYTES}"
        )));
    }
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
    storage::remove_leftovers(&folder(hub, id), Held::Shared);
    let (commit, listing) = list_repository(&client, id, revision)?;
    let names: Vec<String> = listing.iter().map(RelativePath::to_string).collect();
    weights::refuse_pickles(id.as_str(), names.iter(), hub.options.allow_pickle)?;
    let head = |path: &RelativePath| head(&client, id, &commit, path, None);
    let at_most = |count: usize| match count > MAX_MODEL_FILES {
        true => Err(Error::Network {
            address: client.shown_address(id.as_str()),
            reason: format!("{count} files, where a model has at most {MAX_MODEL_FILES}"),
        }),
        false => Ok(()),
    };

    let mut remotes = Vec::new();
    let small = weights::choose_small(&listing);
    at_most(small.len())?;
    for path in small {
        remotes.push(head(path)?);
    }
    match weights::choose_weights(&listing, hub.options.allow_pickle) {
        Weights::Files(files) => {
            at_most(files.len())?;
            for path in files {
                remotes.push(head(path)?);
            }
        }
        Weights::Sharded(index) => {
            let remote = head(index)?;
            let path = fetch(hub, &client, id, &remote, progress)?;
            remotes.push(remote);
            let shards = read_shards(&path)?;
            at_most(shards.len())?;
            for shard in shards {
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

pub(crate) fn list_repository(
    client: &Client<'_>,
    id: &RepositoryId,
    revision: &str,
) -> Result<(String, Vec<RelativePath>)> {
    let path = format!("/api/models/{id}/revision/{}", revision.replace('/', "%2F"));
    let wrong = |reason: String| Error::Network {
        address: client.shown_address(&path),
        reason,
    };
    let bytes = client.json(&path)?;
    let listing: Listing = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("not the listing of a repository: {error}")))?;
    if listing.siblings.len() > MAX_LISTED {
        return Err(wrong(format!(
            "{} files, where a repository of a model has at most {MAX_LISTED}",
            listing.siblings.len()
        )));
    }
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
