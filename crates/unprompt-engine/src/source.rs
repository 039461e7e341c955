//! Where pictures come from: files, folders and standard input.

use crate::error::{EngineError, InputError, Result};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};
use unprompt_image::Limits;
use walkdir::WalkDir;

/// One picture to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// One picture on standard input.
    Stdin,
    /// A place that a folder walk could not enter, and why.
    Unreadable(PathBuf, String),
}

impl Source {
    /// The path as records show it: `-` for standard input.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Unreadable(path, _) => path,
            Self::Stdin => Path::new("-"),
        }
    }

    /// Reads the encoded picture, at most one byte more than the limit allows.
    ///
    /// # Errors
    /// When it cannot be read or is longer than the limit.
    pub fn read(&self, limits: &Limits) -> std::result::Result<Vec<u8>, InputError> {
        let read = |reader: &mut dyn Read| {
            let mut bytes = Vec::new();
            let most = limits.max_encoded_bytes as u64;
            reader
                .take(most.saturating_add(1))
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes: io::Result<Vec<u8>> = match self {
            Self::File(path) => File::open(path).and_then(|mut file| read(&mut file)),
            Self::Stdin => read(&mut io::stdin().lock()),
            Self::Unreadable(_, message) => return Err(InputError::Walk(message.clone())),
        };
        let bytes = bytes?;
        limits.check_encoded(bytes.len())?;
        Ok(bytes)
    }
}

/// The pictures that `paths` name, in order: a file is itself, `-` is standard input, a folder is
/// every file below it sorted by path, whatever its extension. Names that start with a dot are
/// left out of folders, but not where they are given. So is a `.txt` beside another file of the same
/// name, `cat.txt` beside `cat.png`: the caption that trainers keep there. In a folder, what is neither file nor folder
/// (a named pipe would be waited for without end) is unreadable; given by name it is read.
///
/// # Errors
/// When a path does not exist, a folder holds no file, or `-` is given twice.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        let refuse = |message: &str| {
            Err(EngineError::Path {
                path: path.clone(),
                message: message.to_owned(),
            })
        };
        if path.as_os_str() == "-" {
            if sources.contains(&Source::Stdin) {
                return refuse("standard input can be read only once");
            }
            sources.push(Source::Stdin);
        } else if path.is_dir() {
            let before = sources.len();
            sources.extend(without_sidecars(walk(path)));
            if sources.len() == before {
                return refuse("no files in this folder");
            }
        } else if path.exists() {
            sources.push(Source::File(path.clone()));
        } else {
            return refuse("no such file or folder");
        }
    }
    Ok(sources)
}

fn walk(folder: &Path) -> impl Iterator<Item = Source> {
    let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(move |entry| entry.depth() == 0 || !hidden(entry.file_name()))
        .filter_map(|entry| match entry {
            Ok(entry) if entry.file_type().is_dir() => None,
            Ok(entry) if entry.file_type().is_file() => Some(Source::File(entry.into_path())),
            Ok(entry) => {
                let message = "neither a file nor a folder".to_owned();
                Some(Source::Unreadable(entry.into_path(), message))
            }
            Err(error) => {
                let path = error.path().unwrap_or(Path::new("?")).to_owned();
                Some(Source::Unreadable(path, error.to_string()))
            }
        })
}

/// Leaves out each `.txt` that has the name of another file of its folder.
fn without_sidecars(found: impl Iterator<Item = Source>) -> Vec<Source> {
    let is_text = |path: &Path| path.extension().is_some_and(|extension| extension == "txt");
    let found: Vec<Source> = found.collect();
    let names: HashSet<PathBuf> = found
        .iter()
        .map(Source::path)
        .filter(|path| !is_text(path))
        .map(|path| path.with_extension(""))
        .collect();
    let is_kept = |source: &Source| {
        let path = source.path();
        !is_text(path) || !names.contains(&path.with_extension(""))
    };
    found.into_iter().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_path_order_without_hidden_files() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/.hidden"))?;
        for name in [
            "c.png",
            "a.txt",
            "b/2.png",
            "b/1.png",
            "b/.hidden/x.png",
            ".dot.png",
        ] {
            std::fs::write(root.join(name), "")?;
        }
        let found = sources(&[root.to_owned(), root.join(".dot.png")]).unwrap();
        let names: Vec<&Path> = found
            .iter()
            .map(|source| source.path().strip_prefix(root).unwrap())
            .collect();
        let expected = ["a.txt", "b/1.png", "b/2.png", "c.png", ".dot.png"];
        assert_eq!(names, expected.map(Path::new));
        Ok(())
    }

    #[test]
    fn a_text_beside_a_file_of_its_name_is_no_input_unless_named() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        std::fs::create_dir(root.join("b"))?;
        for name in [
            "a.png",
            "a.txt",
            "b/a.txt",
            "b/c.jpg",
            "b/c.txt",
            "d.png.txt",
            "d.png",
        ] {
            std::fs::write(root.join(name), "")?;
        }
        let found = sources(&[root.to_owned(), root.join("a.txt")]).unwrap();
        let names: Vec<&Path> = found
            .iter()
            .map(|source| source.path().strip_prefix(root).unwrap())
            .collect();
        let expected = ["a.png", "b/a.txt", "b/c.jpg", "d.png", "d.png.txt", "a.txt"];
        assert_eq!(names, expected.map(Path::new));
        Ok(())
    }

    #[test]
    fn what_names_nothing_is_an_error() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let missing = folder.path().join("missing.png");
        for paths in [
            vec![missing],
            vec![folder.path().to_owned()],
            vec!["-".into(), "-".into()],
        ] {
            assert!(sources(&paths).is_err(), "{paths:?}");
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends_in_one_unreadable_place() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("a.png"), "")?;
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop"))?;
        let found = sources(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found.len(), 2);
        assert!(
            found[1]
                .read(&Limits::default())
                .unwrap_err()
                .to_string()
                .contains("loop")
        );
        Ok(())
    }
}
