use crate::{
    Error, Result,
    digest::Sha256Hex,
    reference::{RepositoryId, is_commit_hash, is_model_name},
    relative_path::RelativePath,
};
use serde::Deserialize;
use std::{collections::BTreeSet, fmt, sync::OnceLock};

/// What a named model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModelKind {
    /// Text to a unit vector.
    SentenceEncoder,
    /// Image to class logits.
    Classifier,
    /// Lists of phrases.
    Labels,
    /// A tokenizer's vocabulary or merges.
    Vocabulary,
    /// A repository of a hub that the manifest does not name.
    Repository,
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SentenceEncoder => "sentence-encoder",
            Self::Classifier => "classifier",
            Self::Labels => "labels",
            Self::Vocabulary => "vocabulary",
            Self::Repository => "repository",
        })
    }
}

/// The list of named models: their files, hashes, sizes, licences and sources.
///
/// It is data (`manifest.toml` beside this crate's sources); [`Manifest::builtin`] is that file
/// and [`Manifest::parse`] reads another one of the same form.
#[derive(Clone, Debug)]
pub struct Manifest {
    models: Vec<NamedModel>,
}

/// One named model.
#[derive(Clone, Debug)]
pub(crate) struct NamedModel {
    pub(crate) name: String,
    pub(crate) kind: ModelKind,
    pub(crate) description: String,
    pub(crate) licence: String,
    pub(crate) revision: String,
    pub(crate) files: Vec<ListedFile>,
    pub(crate) sources: Vec<Source>,
}

/// A file with the hash and size it must have.
#[derive(Clone, Debug)]
pub(crate) struct ListedFile {
    pub(crate) path: RelativePath,
    pub(crate) sha256: Sha256Hex,
    pub(crate) size: u64,
    /// The file this one is made from, when it is not fetched as it is.
    pub(crate) original: Option<Original>,
}

/// A file that is fetched only to be converted.
#[derive(Clone, Debug)]
pub(crate) struct Original {
    pub(crate) path: RelativePath,
    pub(crate) sha256: Sha256Hex,
    pub(crate) size: u64,
}

/// Where files come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Hub {
        repository: RepositoryId,
        revision: String,
    },
    Package(PackageSource),
}

/// A wheel of a Python package.
#[derive(Clone, Debug)]
pub(crate) struct PackageSource {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256Hex,
    pub(crate) prefix: String,
}

impl ListedFile {
    /// Path, hash and size of what a source has to deliver for this file.
    pub(crate) fn fetched(&self) -> (&RelativePath, &Sha256Hex, u64) {
        match &self.original {
            Some(original) => (&original.path, &original.sha256, original.size),
            None => (&self.path, &self.sha256, self.size),
        }
    }
}

impl NamedModel {
    /// Bytes of the installed files.
    pub(crate) fn installed_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Bytes that the given source transfers.
    pub(crate) fn download_bytes(&self, source: &Source) -> u64 {
        match source {
            Source::Hub { .. } => self.files.iter().map(|file| file.fetched().2).sum(),
            Source::Package(package) => package.size,
        }
    }

    /// One digest for the whole model: SHA-256 over `path NUL sha256 LF` of its files in path
    /// order.
    pub(crate) fn sha256(&self) -> Sha256Hex {
        let mut files: Vec<_> = self
            .files
            .iter()
            .map(|f| (f.path.as_str(), &f.sha256))
            .collect();
        files.sort();
        Sha256Hex::of_listing(files.iter().map(|(path, hash)| (*path, hash.as_str())))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { repository, .. } => write!(f, "hub repository {repository}"),
            Self::Package(package) => write!(f, "Python package {package}"),
        }
    }
}

impl fmt::Display for PackageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=={}", self.package, self.version)
    }
}

impl Manifest {
    /// The models this version of the program knows.
    ///
    /// # Errors
    /// Never in a released build: a test parses it.
    pub fn builtin() -> Result<&'static Self> {
        static BUILTIN: OnceLock<Manifest> = OnceLock::new();
        if let Some(manifest) = BUILTIN.get() {
            return Ok(manifest);
        }
        let manifest = Self::parse(include_str!("../manifest.toml"))?;
        Ok(BUILTIN.get_or_init(|| manifest))
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::Manifest`] when the text is no valid manifest: unknown keys, a name with `/`, an
    /// unsafe file name, a hash that is no SHA-256, a hub revision that is no commit, a model
    /// without files or sources, or a name given twice.
    pub fn parse(text: &str) -> Result<Self> {
        let document: Document =
            toml::from_str(text).map_err(|error| Error::Manifest(error.to_string()))?;
        let mut names = BTreeSet::new();
        let mut models = Vec::with_capacity(document.model.len());
        for entry in document.model {
            let name = entry.name.clone();
            if !names.insert(name.clone()) {
                return Err(Error::Manifest(format!("model `{name}` is listed twice")));
            }
            models.push(
                entry
                    .check()
                    .map_err(|reason| Error::Manifest(format!("model `{name}`: {reason}")))?,
            );
        }
        Ok(Self { models })
    }

    /// The names, in manifest order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|model| model.name.as_str())
    }

    pub(crate) fn models(&self) -> &[NamedModel] {
        &self.models
    }

    pub(crate) fn get(&self, name: &str) -> Result<&NamedModel> {
        self.models
            .iter()
            .find(|model| model.name == name)
            .ok_or_else(|| Error::UnknownModel {
                name: name.to_owned(),
                known: self.names().map(str::to_owned).collect(),
            })
    }
}

// The file as written; `check` turns it into the types above.

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    model: Vec<ModelEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    name: String,
    kind: ModelKind,
    description: String,
    licence: String,
    revision: String,
    files: Vec<FileEntry>,
    source: Vec<SourceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    path: String,
    sha256: String,
    size: u64,
    from: Option<OriginalEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginalEntry {
    path: String,
    sha256: String,
    size: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, tag = "type", rename_all = "lowercase")]
enum SourceEntry {
    Hf {
        repo: String,
        revision: String,
    },
    Pypi {
        package: String,
        version: String,
        size: u64,
        sha256: String,
        prefix: String,
    },
}

impl ModelEntry {
    fn check(self) -> Result<NamedModel, String> {
        if !is_model_name(&self.name) {
            return Err("the name may have only letters, digits, `.`, `_` and `-`".to_owned());
        }
        if !is_model_name(&self.revision) {
            return Err(format!(
                "revision `{}` is not usable as a folder name",
                self.revision
            ));
        }
        if self.files.is_empty() || self.source.is_empty() {
            return Err("it needs at least one file and one source".to_owned());
        }
        let mut paths = BTreeSet::new();
        let mut files = Vec::with_capacity(self.files.len());
        for entry in self.files {
            let file = entry.check()?;
            if !paths.insert(file.path.clone()) {
                return Err(format!("file {} is listed twice", file.path));
            }
            files.push(file);
        }
        let sources = self
            .source
            .into_iter()
            .map(SourceEntry::check)
            .collect::<Result<Vec<_>, _>>()?;
        let converted = files.iter().any(|file| file.original.is_some());
        if converted
            && sources
                .iter()
                .any(|source| matches!(source, Source::Hub { .. }))
        {
            return Err("a converted file cannot come from a hub source".to_owned());
        }
        Ok(NamedModel {
            name: self.name,
            kind: self.kind,
            description: self.description,
            licence: self.licence,
            revision: self.revision,
            files,
            sources,
        })
    }
}

impl FileEntry {
    fn check(self) -> Result<ListedFile, String> {
        let original = match self.from {
            None => None,
            Some(entry) => Some(Original {
                path: checked_path(&entry.path)?,
                sha256: Sha256Hex::parse(&entry.sha256)?,
                size: entry.size,
            }),
        };
        Ok(ListedFile {
            path: checked_path(&self.path)?,
            sha256: Sha256Hex::parse(&self.sha256)?,
            size: self.size,
            original,
        })
    }
}

impl SourceEntry {
    fn check(self) -> Result<Source, String> {
        match self {
            Self::Hf { repo, revision } => {
                if !is_commit_hash(&revision) {
                    return Err(format!(
                        "hub revision `{revision}` is not a full commit hash"
                    ));
                }
                Ok(Source::Hub {
                    repository: RepositoryId::parse(&repo)?,
                    revision,
                })
            }
            Self::Pypi {
                package,
                version,
                size,
                sha256,
                prefix,
            } => {
                if !is_model_name(&package) || !is_model_name(&version) {
                    return Err(format!(
                        "`{package}=={version}` is not a package and version"
                    ));
                }
                if !prefix.is_empty() {
                    checked_path(prefix.trim_end_matches('/'))?;
                }
                let sha256 = Sha256Hex::parse(&sha256)?;
                Ok(Source::Package(PackageSource {
                    package,
                    version,
                    size,
                    sha256,
                    prefix,
                }))
            }
        }
    }
}

fn checked_path(path: &str) -> Result<RelativePath, String> {
    RelativePath::parse(path).map_err(|error| error.to_string())
}
