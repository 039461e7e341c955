use crate::{
    Error, Hub, Progress, RepositoryId, Result, address::without_secrets, digest::ContentHash,
    http::Client, progress::HighWater, relative_path::RelativePath, repository, storage,
    text::waiting_for,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use unprompt_files::{Failpoint, Lock};

/// A file of a repository that the hub has described.
pub(crate) struct RemoteFile {
    pub(crate) path: RelativePath,
    pub(crate) commit: String,
    pub(crate) address: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
    /// All that its content is checked against.
    pub(crate) hashes: Vec<ContentHash>,
}

/// Brings one file into the shared cache, or finds it there, and links it into its snapshot.
/// Gives the path in the snapshot.
pub(crate) fn fetch(
    hub: &Hub,
    client: &Client<'_>,
    id: &RepositoryId,
    remote: &RemoteFile,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let folder = repository::folder(hub, id);
    let blobs = folder.join("blobs");
    let blob = blobs.join(&remote.etag);
    storage::create_folder(&blobs)?;
    let mut seen = HighWater::new(progress, remote.size);
    {
        let lock = blob_lock(hub, id, &remote.etag, progress);
        // What Python or an earlier run put there is hashed once before it is taken over.
        if !storage::has_size(&blob, remote.size) || disagreement(remote, &blob)?.is_some() {
            download_blob(
                client,
                remote,
                &blobs,
                &blob,
                lock.is_held(),
                &mut seen,
                progress,
            )?;
        }
    }
    seen.reach(remote.size);
    let snapshot = repository::snapshot(hub, id, &remote.commit);
    let pointer = storage::create_parents(&snapshot, &remote.path)?;
    link(&pointer, &blob, remote.path.depth())?;
    Ok(pointer)
}

/// The lock that Python takes too.
fn blob_lock(hub: &Hub, id: &RepositoryId, etag: &str, progress: &dyn Progress) -> Lock {
    if !hub.options.use_locks {
        return Lock::Unavailable;
    }
    let locks = hub
        .environment
        .hub_cache
        .join(".locks")
        .join(id.cache_folder());
    Lock::acquire(&locks.join(format!("{etag}.lock")), || {
        progress.note(&waiting_for(id.as_str()));
    })
}

fn download_blob(
    client: &Client<'_>,
    remote: &RemoteFile,
    blobs: &Path,
    blob: &Path,
    locked: bool,
    seen: &mut HighWater<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    if !locked {
        // Nobody keeps others from this blob, so the part gets a name nobody else knows; it is
        // removed when dropped and cannot be resumed.
        let part = storage::temporary_file(blobs)?;
        client.download(&remote.address, part.path(), remote.size, seen)?;
        return match disagreement(remote, part.path())? {
            Some(error) => Err(error),
            None => storage::promote(part, blob),
        };
    }
    let part = blobs.join(format!("{}.incomplete", remote.etag));
    let resumed = fs::metadata(&part).is_ok_and(|metadata| metadata.len() > 0);
    client.download(&remote.address, &part, remote.size, seen)?;
    let Some(error) = disagreement(remote, &part)? else {
        return storage::promote_path(&part, blob);
    };
    // Hashed as it lies on the disk, so a part that was spoilt between two runs is seen here.
    fs::remove_file(&part).map_err(|error| Error::io("remove", &part, error))?;
    if !resumed {
        return Err(error);
    }
    progress.note(&format!(
        "{error}; it was begun by an earlier run: fetching all of it again"
    ));
    download_blob(client, remote, blobs, blob, locked, seen, progress)
}

fn disagreement(remote: &RemoteFile, path: &Path) -> Result<Option<Error>> {
    for hash in &remote.hashes {
        if let Some((expected, found)) = hash.disagreement(path)? {
            return Ok(Some(Error::Mismatch {
                subject: without_secrets(&remote.address),
                expected,
                found,
                next_step: "the file was deleted",
            }));
        }
    }
    Ok(None)
}

/// Makes `pointer` lead to `blob`, in one step.
pub(crate) fn link(pointer: &Path, blob: &Path, depth: usize) -> Result<()> {
    let same = |path: &Path| fs::canonicalize(path).ok();
    if same(pointer).is_some() && same(pointer) == same(blob) {
        return Ok(());
    }
    let folder = pointer.parent().unwrap_or(Path::new("."));
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        // snapshots/<commit>/ and then the file's own folders.
        let mut target = PathBuf::new();
        target.extend(std::iter::repeat_n("..", 2 + depth));
        target.push("blobs");
        target.extend(blob.file_name());
        let work = storage::temporary_folder(folder)?;
        let link = work.path().join("link");
        let made = Failpoint::Create.pass();
        if made.and_then(|()| symlink(&target, &link)).is_ok() {
            return storage::promote_path(&link, pointer);
        }
    }
    // No links on this file system: a copy, as Python makes one.
    let _ = depth;
    let copy = storage::temporary_file(folder)?;
    Failpoint::Write
        .pass()
        .and_then(|()| fs::copy(blob, copy.path()))
        .map_err(|error| Error::io("write", pointer, error))?;
    storage::promote(copy, pointer)
}
