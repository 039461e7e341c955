//! The pictures below a folder.

use super::{Source, SourceList, picture_file};
use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, FileType},
    hash::{DefaultHasher, Hash, Hasher as _},
    path::{Path, PathBuf},
};

/// Every picture below a folder, sorted by path, without each `.txt` that has the name of another file
/// of its folder. Of a folder only the names are held, and only while it is walked.
pub(super) fn pictures(folder: &Path, is_result: impl Fn(&Source) -> bool) -> SourceList {
    let mut walk = Walk {
        found: SourceList::default(),
        texts: HashSet::new(),
        above: folder.canonicalize().into_iter().collect(),
        is_result,
    };
    walk.folder(folder);
    walk.without_sidecars()
}

struct Walk<F> {
    found: SourceList,
    /// Digests of the paths of all `.txt` without their endings; most folders have none.
    texts: HashSet<u64>,
    /// The folders that lead here, without links.
    above: Vec<PathBuf>,
    is_result: F,
}

impl<F: Fn(&Source) -> bool> Walk<F> {
    fn folder(&mut self, folder: &Path) {
        let names = match names(folder) {
            Ok(names) => names,
            Err(error) => return self.unreadable(folder.to_owned(), error.to_string()),
        };
        for (name, kind) in names {
            let path = folder.join(name);
            // What a link leads to counts.
            let kind = match kind.filter(|kind| !kind.is_symlink()) {
                Some(kind) => kind,
                None => match fs::metadata(&path) {
                    Ok(found) => found.file_type(),
                    Err(error) => {
                        self.unreadable(path, error.to_string());
                        continue;
                    }
                },
            };
            if kind.is_dir() {
                self.below(path);
            } else if !kind.is_file() {
                self.unreadable(path, "neither a file nor a folder".to_owned());
            } else if !picture_file::is_plainly_none(&path) {
                self.add(Source::File(path));
            }
        }
    }

    fn below(&mut self, path: PathBuf) {
        match path.canonicalize() {
            Ok(real) if self.above.contains(&real) => {
                let message = format!("a loop of links: it leads back to {}", real.display());
                self.unreadable(path, message);
            }
            Ok(real) => {
                self.above.push(real);
                self.folder(&path);
                self.above.pop();
            }
            Err(error) => self.unreadable(path, error.to_string()),
        }
    }

    fn unreadable(&mut self, path: PathBuf, message: String) {
        self.add(Source::Unreadable(path, message));
    }

    fn add(&mut self, source: Source) {
        if (self.is_result)(&source) {
            return;
        }
        if is_text(source.path()) {
            self.texts.insert(stem(source.path()));
        }
        self.found.push(source);
    }

    fn without_sidecars(self) -> SourceList {
        if self.texts.is_empty() {
            return self.found;
        }
        let beside: HashSet<u64> = self
            .found
            .iter()
            .filter(|source| !is_text(source.path()))
            .map(|source| stem(source.path()))
            .filter(|stem| self.texts.contains(stem))
            .collect();
        self.found
            .filtered(|source| !is_text(source.path()) || !beside.contains(&stem(source.path())))
    }
}

/// The names in a folder, sorted, with what they are where that is told; none that starts with a dot.
fn names(folder: &Path) -> std::io::Result<Vec<(OsString, Option<FileType>)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push((name, entry.file_type().ok()));
        }
    }
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(names)
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
}

/// A digest of a path without its ending.
fn stem(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.with_extension("").hash(&mut hasher);
    hasher.finish()
}
