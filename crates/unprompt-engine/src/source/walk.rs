//! The pictures below a folder.

use super::{Source, SourceList, picture_file};
use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    hash::{DefaultHasher, Hash, Hasher as _},
    io,
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
        let names = match Names::of(folder) {
            Ok(names) => names,
            Err(error) => return self.unreadable(folder.to_owned(), error.to_string()),
        };
        for (name, kind) in names.iter() {
            let path = folder.join(name);
            let kind = match kind {
                // What a link leads to counts.
                Kind::Unknown => fs::metadata(&path).map(|found| match found.file_type() {
                    found if found.is_file() => Kind::File,
                    found if found.is_dir() => Kind::Folder,
                    _ => Kind::Unknown,
                }),
                known => Ok(known),
            };
            match kind {
                Ok(Kind::Folder) => self.below(path),
                Ok(Kind::File) if picture_file::is_plainly_none(&path) => {}
                Ok(Kind::File) => self.add(Source::File(path)),
                Ok(Kind::Unknown) => {
                    self.unreadable(path, "neither a file nor a folder".to_owned());
                }
                Err(error) => self.unreadable(path, error.to_string()),
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

/// The names in a folder, in as little memory as they take: a folder may have a million.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    /// Where each begins, how long it is, and what it is.
    entries: Vec<(u32, u16, Kind)>,
}

/// What an entry of a folder is, as far as the folder tells.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    File,
    Folder,
    /// A link, a device, or what a file system does not tell.
    Unknown,
}

impl Names {
    /// Those that do not start with a dot, sorted.
    fn of(folder: &Path) -> io::Result<Self> {
        let mut names = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_file() => Kind::File,
                Ok(kind) if kind.is_dir() => Kind::Folder,
                _ => Kind::Unknown,
            };
            if name.starts_with(b".") {
                continue;
            }
            let too_many = |_| io::Error::other("its names take more than 4 GiB");
            let begin = u32::try_from(names.bytes.len()).map_err(too_many)?;
            let length = u16::try_from(name.len()).map_err(too_many)?;
            names.bytes.extend_from_slice(name);
            names.entries.push((begin, length, kind));
        }
        let Self { bytes, entries } = &mut names;
        entries.sort_by(|one, other| name_in(bytes, one).cmp(name_in(bytes, other)));
        Ok(names)
    }

    fn iter(&self) -> impl Iterator<Item = (OsString, Kind)> + '_ {
        let name = |entry: &(u32, u16, Kind)| (os_string(name_in(&self.bytes, entry)), entry.2);
        self.entries.iter().map(name)
    }
}

fn name_in<'a>(bytes: &'a [u8], (begin, length, _): &(u32, u16, Kind)) -> &'a [u8] {
    &bytes[*begin as usize..][..usize::from(*length)]
}

#[cfg(unix)]
fn os_string(name: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(name).to_owned()
}

/// A name that is no Unicode is not found under this one, and is said to be unreadable.
#[cfg(not(unix))]
fn os_string(name: &[u8]) -> OsString {
    String::from_utf8_lossy(name).into_owned().into()
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
