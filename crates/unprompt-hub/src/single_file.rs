//! One file of a repository whose others nobody needs.

use crate::{
    Error, Hub, Progress, RepositoryId, Result,
    http::Client,
    progress::Started,
    relative_path::RelativePath,
    remote::{head, list_repository},
    repository::{DEFAULT_REVISION, by_hand, cached_commit, folder, set_branch, snapshot},
    transfer::fetch,
};
use std::path::PathBuf;

const LISTED_IN_ERROR: usize = 20;

impl Hub {
    /// Brings one file of a repository's main branch into the shared cache, as Python's
    /// `hf_hub_download` does, and gives its path there. One that is there is taken without asking.
    ///
    /// Its content is checked against the name that the hub gives it, like that of any file; what
    /// it says is as trustworthy as its author.
    ///
    /// # Errors
    /// [`Error::Offline`] when it is absent and nothing may be fetched; [`Error::NoSuchFile`] when
    /// the repository has no such file; [`Error::Mismatch`] when it has more than `most_bytes`.
    pub fn fetch_file(
        &self,
        id: &RepositoryId,
        file: &str,
        most_bytes: u64,
        progress: &dyn Progress,
    ) -> Result<PathBuf> {
        let path = RelativePath::parse(file)?;
        if let Some(commit) = cached_commit(self, id, None) {
            let cached = path.join_to(&snapshot(self, id, &commit));
            if cached.is_file() {
                return Ok(cached);
            }
        }
        if self.is_offline() {
            return Err(Error::Offline {
                name: format!("{id}/{file}"),
                looked_in: vec![folder(self, id)],
                by_hand: by_hand(self, id),
            });
        }
        let client = Client::new(&self.environment)?;
        let (commit, listing) = list_repository(&client, id, DEFAULT_REVISION)?;
        if !listing.contains(&path) {
            let present = listing.iter().take(LISTED_IN_ERROR);
            return Err(Error::NoSuchFile {
                name: id.to_string(),
                file: file.to_owned(),
                present: present.map(RelativePath::to_string).collect(),
            });
        }
        let remote = head(&client, id, &commit, &path, None)?;
        if remote.size > most_bytes {
            return Err(Error::Mismatch {
                subject: remote.address,
                expected: format!("at most {most_bytes} bytes"),
                found: format!("{} bytes", remote.size),
                next_step: "it was not fetched",
            });
        }
        let _bar = Started::new(progress, file, remote.size);
        let fetched = fetch(self, &client, id, &remote, progress)?;
        set_branch(self, id, DEFAULT_REVISION, &commit)?;
        Ok(fetched)
    }
}
