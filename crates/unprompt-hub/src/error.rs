use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What went wrong while naming, finding, fetching or checking a model's files.
///
/// Every message names the thing, what was expected and found, and the next step. No message
/// holds a token or the query part of an address (which is where signed addresses keep theirs).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text names no model: it is neither in the manifest, nor a hub id, nor a path.
    #[error(
        "unknown model `{name}`; known names: {}; a hub id is written `org/repo` and a local folder \
         `./folder`",
        known.join(", ")
    )]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// The names the manifest has.
        known: Vec<String>,
    },

    /// The text cannot be a model name, a hub id or a path.
    #[error("`{text}` is not a model: {reason}")]
    InvalidReference {
        /// The text as given.
        text: String,
        /// Which rule it breaks.
        reason: String,
    },

    /// A file name that came from a repository, an archive or a manifest could leave its folder.
    #[error("unsafe file name {name:?}: {reason}; nothing was written")]
    UnsafePath {
        /// The name as it arrived.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },

    /// A file has not the hash or size it should have.
    #[error("{subject}: expected {expected}, found {found}; {next_step}")]
    Mismatch {
        /// The file, and where it came from.
        subject: String,
        /// The listed hash or size.
        expected: String,
        /// The hash or size that was measured.
        found: String,
        /// What happened to the file, or what to do.
        next_step: &'static str,
    },

    /// The model is not on this machine and nothing may be fetched.
    #[error(
        "model `{name}` is not on this machine and fetching is off (--offline or HF_HUB_OFFLINE); \
         looked in {}\n{by_hand}",
        PathList(looked_in)
    )]
    Offline {
        /// The model.
        name: String,
        /// The folders that were looked at.
        looked_in: Vec<PathBuf>,
        /// How to get the files here without fetching.
        by_hand: String,
    },

    /// Every source of a model failed.
    #[error(
        "model `{name}` could not be fetched\n{}{by_hand}",
        FailureList(failures)
    )]
    AllSourcesFailed {
        /// The model.
        name: String,
        /// Each source in the order tried, with the error it ended in.
        failures: Vec<SourceFailure>,
        /// How to bring the files by hand.
        by_hand: String,
    },

    /// A server could not be reached, did not answer in time, or broke off.
    #[error("{address}: {reason}")]
    Network {
        /// The address without its query.
        address: String,
        /// What happened.
        reason: String,
    },

    /// A server answered, but not with the file.
    #[error("{address}: status {status}{hint}")]
    Status {
        /// The address without its query.
        address: String,
        /// The HTTP status code.
        status: u16,
        /// What the status usually means here; begins with a separator or is empty.
        hint: &'static str,
    },

    /// The Python package could not be fetched or is not what it should be.
    #[error("package {package}: {reason}")]
    Package {
        /// Name and version, as `name==version`.
        package: String,
        /// What happened, with the last lines the tool printed.
        reason: String,
    },

    /// The only weights are pickles, which are not opened unless the caller allows it.
    #[error(
        "model `{name}` has no safetensors weights, only {}; a pickle can be hostile: pass \
         --allow-pickle if you trust its author",
        files.join(", ")
    )]
    PickleRefused {
        /// The model.
        name: String,
        /// The pickled weight files.
        files: Vec<String>,
    },

    /// A model has no file of this name.
    #[error("model `{name}` has no file `{file}`; it has {}", present.join(", "))]
    NoSuchFile {
        /// The model.
        name: String,
        /// The file that was asked for.
        file: String,
        /// The files it has (at most 20).
        present: Vec<String>,
    },

    /// A file could not be made from the one it is converted from.
    #[error("{subject}: cannot be converted: {reason}")]
    Convert {
        /// The file.
        subject: String,
        /// What the conversion said.
        reason: String,
    },

    /// A bundle, or a file brought by hand, is not acceptable.
    #[error("{}: {reason}", path.display())]
    Bundle {
        /// The bundle or file.
        path: PathBuf,
        /// Why it is refused.
        reason: String,
    },

    /// The manifest itself is wrong.
    #[error("model manifest: {0}")]
    Manifest(String),

    /// The file system refused.
    #[error("cannot {action} {}: {source}{}", path.display(), io_hint(source))]
    Io {
        /// The verb: "write", "read", "create folder"…
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl Error {
    /// An input/output error with its verb and path.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Whether the file system is at fault in a way that another source could not mend.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

/// One source that was tried and the error it ended in.
#[derive(Debug)]
pub struct SourceFailure {
    /// The source in words, for instance ``hub repository `org/name` ``.
    pub source: String,
    /// Why it failed.
    pub error: Box<Error>,
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

struct PathList<'a>(&'a [PathBuf]);

impl fmt::Display for PathList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " and " };
            write!(f, "{separator}{}", path.display())?;
        }
        Ok(())
    }
}

struct FailureList<'a>(&'a [SourceFailure]);

impl fmt::Display for FailureList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in self.0 {
            match &*failure.error {
                // The source names the package already.
                Error::Package { reason, .. } => writeln!(f, "  {}: {reason}", failure.source)?,
                error => writeln!(f, "  {}: {error}", failure.source)?,
            }
        }
        Ok(())
    }
}

/// The next step for the errors that people meet, or nothing.
fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room, or set UNPROMPT_CACHE and HF_HOME to folders on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; set UNPROMPT_CACHE and HF_HOME to folders you may write"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_refused_folder_name_the_way_out() {
        for (kind, words) in [
            (io::ErrorKind::StorageFull, "make room"),
            (io::ErrorKind::PermissionDenied, "folders you may write"),
            (io::ErrorKind::ReadOnlyFilesystem, "folders you may write"),
        ] {
            let error = Error::io("write", Path::new("/cache/x"), kind.into());
            let text = error.to_string();
            assert!(
                text.contains("cannot write /cache/x") && text.contains(words),
                "{text}"
            );
            assert!(
                text.contains("UNPROMPT_CACHE") && text.contains("HF_HOME"),
                "{text}"
            );
            assert_eq!(error.is_disk_full(), kind == io::ErrorKind::StorageFull);
        }
    }
}
