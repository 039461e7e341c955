use crate::{Error, Result, digest::is_lower_hex};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// How a user names a model.
///
/// The rule of [`FromStr`], in this order:
/// 1. text that starts with `/`, `./`, `../` or `~/`, is `.` or `..`, or (on Windows) starts with
///    a drive letter or a backslash, is a local path;
/// 2. text that names an existing file or folder is that path;
/// 3. text without `/` is a name from the manifest (names never contain `/`);
/// 4. `org/repo` or `org/repo@revision` is a repository on the hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelRef {
    /// A name from the manifest.
    Named(String),
    /// A repository on the hub.
    Repository {
        /// Owner and name.
        id: RepositoryId,
        /// Branch, tag or commit; `None` is the branch `main`.
        revision: Option<String>,
    },
    /// A folder or a file on this machine.
    Local(PathBuf),
}

/// Owner and name of a repository on a hub, as in `org/repo`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId(String);

impl RepositoryId {
    /// Checks `org/repo`: two parts of letters, digits, `.`, `_` and `-`, neither starting or
    /// ending with `.` or `-`, without `--` and `..`; at most 96 characters in all.
    ///
    /// # Errors
    /// The rule it breaks, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let well_formed = parts.len() == 2
            && text.len() <= 96
            && !text.contains("--")
            && !text.contains("..")
            && parts.iter().all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
                    && !part.starts_with(['.', '-'])
                    && !part.ends_with(['.', '-'])
            });
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is not a hub id: expected `org/repo` in letters, digits, `.`, `_` and `-`"
            ))
        }
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder of the repository in the shared cache: `models--org--repo`.
    pub(crate) fn cache_folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    /// The inverse of `cache_folder`.
    pub(crate) fn from_cache_folder(folder: &str) -> Option<Self> {
        let id = folder.strip_prefix("models--")?.replacen("--", "/", 1);
        Self::parse(&id).ok()
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |reason: String| Error::InvalidReference {
            text: text.chars().take(120).collect(),
            reason,
        };
        if text.trim().is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        if text.contains('\0') {
            return Err(invalid("it has a NUL character".to_owned()));
        }
        if looks_like_path(text) || Path::new(text).exists() {
            return Ok(Self::Local(PathBuf::from(text)));
        }
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        if !id.contains('/') {
            if revision.is_some() {
                return Err(invalid("only a hub id takes `@revision`".to_owned()));
            }
            if !is_model_name(text) {
                return Err(invalid(
                    "a name has only letters, digits, `.`, `_` and `-`; a path that does not exist \
                     yet starts with `./`"
                        .to_owned(),
                ));
            }
            return Ok(Self::Named(text.to_owned()));
        }
        let id = RepositoryId::parse(id).map_err(invalid)?;
        if let Some(revision) = revision
            && !is_revision(revision)
        {
            return Err(invalid(format!("`{revision}` is not a revision")));
        }
        Ok(Self::Repository {
            id,
            revision: revision.map(str::to_owned),
        })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Repository { id, revision: None } => write!(f, "{id}"),
            Self::Repository {
                id,
                revision: Some(revision),
            } => write!(f, "{id}@{revision}"),
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

fn looks_like_path(text: &str) -> bool {
    let drive =
        |bytes: &[u8]| bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    text == "."
        || text == ".."
        || ["/", "./", "../", "~/"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        || (cfg!(windows) && (text.starts_with(['\\']) || drive(text.as_bytes())))
}

/// A word that is safe as one folder name.
pub(crate) fn is_model_name(text: &str) -> bool {
    (1..=96).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && !text.ends_with('.')
}

/// A full git commit hash.
pub(crate) fn is_commit_hash(text: &str) -> bool {
    is_lower_hex(text, 40)
}

/// A branch, tag or commit that is safe as a relative path below `refs/`.
pub(crate) fn is_revision(text: &str) -> bool {
    text.len() <= 200
        && text.split('/').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
                && !part.starts_with('.')
                && !part.ends_with('.')
        })
}
