//! Where models are looked for, and how.

use crate::{
    Result,
    environment::Environment,
    manifest::{Manifest, NamedModel},
    progress::Progress,
    storage,
    text::waiting_for,
};
use std::path::PathBuf;
use unprompt_files::{Leftover, Lock};

/// What the caller asks of a [`Hub`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubOptions {
    /// Open no socket and start no other program, as `HF_HUB_OFFLINE` does.
    pub offline: bool,
    /// Fetch models that are not on this machine. Without it other servers may still be asked, unlike
    /// offline.
    pub fetch: bool,
    /// Accept models whose only weights are pickles (`.bin`, `.pth`, `.pt`, `.ckpt`).
    pub allow_pickle: bool,
    /// Let presets ask captioners on other servers, to which pictures are sent.
    pub allow_remote: bool,
    /// Use file locks so that several processes fetch a model once. Turn it off where locking
    /// itself hangs; files stay right without.
    pub use_locks: bool,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            offline: false,
            fetch: true,
            allow_pickle: false,
            allow_remote: false,
            use_locks: true,
        }
    }
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
    /// [`Manifest`](crate::Error::Manifest) only if the built-in manifest is broken.
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
        !self.options.fetch || !self.may_ask_others()
    }

    /// Whether sockets may be opened at all, such as to captioners on other servers.
    pub fn may_ask_others(&self) -> bool {
        !(self.options.offline || self.environment.offline)
    }

    /// Whether models whose only weights are pickles are accepted.
    pub fn allows_pickle(&self) -> bool {
        self.options.allow_pickle
    }

    /// Whether presets may ask captioners on other servers.
    pub fn allows_remote(&self) -> bool {
        self.options.allow_remote
    }

    /// The environment this hub works in: cache folders, endpoint, timeouts.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What runs that were killed have left in the caches. It goes when the same model is fetched or
    /// imported again, or when something else is written in the same folder.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let mut found = storage::leftovers(&self.environment.own_cache);
        found.extend(storage::leftovers(&self.environment.hub_cache));
        found
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
