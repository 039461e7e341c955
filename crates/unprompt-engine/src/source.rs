//! Where pictures come from: files, folders, standard input and memory.

mod list;
mod picture_file;
mod walk;

pub use list::{IntoSources, SourceList};
pub use picture_file::is_picture_file;

use crate::error::{EngineError, InputError, Result};
use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use unprompt_image::Limits;
use unprompt_metadata::video_tags;

/// One picture to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// One picture on standard input.
    Stdin,
    /// A picture that is in memory already, by the name that records show.
    Memory(PathBuf, Arc<[u8]>),
    /// Pixels that the program holds already, as a PNG without compression, by the name that records
    /// show. It is as long as it is large, so that only the limits on pixels hold for it.
    Pixels(PathBuf, Vec<u8>),
    /// A place that a folder walk could not enter, and why.
    Unreadable(PathBuf, String),
}

impl Source {
    /// The path as records show it: `-` for standard input.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path)
            | Self::Memory(path, _)
            | Self::Pixels(path, _)
            | Self::Unreadable(path, _) => path,
            Self::Stdin => Path::new("-"),
        }
    }

    /// What of `limits` holds for this source, to read and to decode it.
    pub fn limits(&self, limits: &Limits) -> Limits {
        let max_encoded_bytes = match self {
            Self::Pixels(_, bytes) => limits.max_encoded_bytes.max(bytes.len()),
            _ => limits.max_encoded_bytes,
        };
        Limits {
            max_encoded_bytes,
            ..*limits
        }
    }

    /// Reads the encoded picture, at most one byte more than the limit allows. Of a video, which is no
    /// picture but may carry a prompt, only the tags are read, however long it is.
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
            Self::File(path) => File::open(path).and_then(|mut file| {
                // A pipe that is given by name cannot be read twice.
                let is_file = file.metadata()?.is_file();
                match is_file
                    .then(|| video_tags(&mut file))
                    .transpose()?
                    .flatten()
                {
                    Some(tags) => Ok(tags),
                    None => read(&mut file),
                }
            }),
            Self::Stdin => read(&mut io::stdin().lock()),
            Self::Memory(_, bytes) => match video_tags(&mut Cursor::new(bytes)) {
                Ok(Some(tags)) => Ok(tags),
                Ok(None) => read(&mut &bytes[..]),
                Err(error) => Err(error),
            },
            Self::Pixels(_, bytes) => read(&mut bytes.as_slice()),
            Self::Unreadable(_, message) => return Err(InputError::Walk(message.clone())),
        };
        let bytes = bytes?;
        limits.check_encoded(bytes.len())?;
        Ok(bytes)
    }
}

/// The pictures that `paths` name, in order: a file is itself, `-` is standard input, a folder is
/// every picture below it sorted by path. What is given by name is always taken; left out of folders
/// are names that start with a dot, and what is plainly no picture: a file that is neither named like
/// one nor begins like one, and is text or a table (captions beside pictures, results of an earlier
/// run). A `.txt` with the name of another file of its folder is left out whatever is in it. In a
/// folder, what is neither file nor folder (a named pipe would be waited for without end) is
/// unreadable; given by name it is read.
///
/// # Errors
/// When a path does not exist, a folder holds no picture, or `-` is given twice.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    sources_besides(paths, &[])
}

/// As [`sources`], without the files that the caller is about to write: what an earlier run of the
/// same command left in a folder is no input of this one.
///
/// # Errors
/// As [`sources`].
pub fn sources_besides(paths: &[PathBuf], results: &[&Path]) -> Result<Vec<Source>> {
    Ok(source_list(paths, results)?.iter().collect())
}

/// As [`sources_besides`], of any number of pictures in some bytes each.
///
/// # Errors
/// As [`sources`].
pub fn source_list(paths: &[PathBuf], results: &[&Path]) -> Result<SourceList> {
    let results: Vec<PathBuf> = results
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let is_result = |source: &Source| {
        !results.is_empty()
            && source
                .path()
                .canonicalize()
                .is_ok_and(|path| results.contains(&path))
    };
    let mut sources = SourceList::default();
    let mut has_stdin = false;
    for path in paths {
        let refuse = |message: &str| {
            Err(EngineError::Path {
                path: path.clone(),
                message: message.to_owned(),
            })
        };
        if path.as_os_str() == "-" {
            if std::mem::replace(&mut has_stdin, true) {
                return refuse("standard input can be read only once");
            }
            sources.push(Source::Stdin);
        } else if path.is_dir() {
            let found = walk::pictures(path, is_result);
            if found.is_empty() {
                return refuse("no pictures in this folder");
            }
            sources.extend(found.iter());
        } else if path.exists() {
            sources.push(Source::File(path.clone()));
        } else {
            return refuse("no such file or folder");
        }
    }
    Ok(sources)
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
        let expected = ["b/1.png", "b/2.png", "c.png", ".dot.png"];
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
        // A picture by what is in it.
        for name in ["e.txt", "a.txt"] {
            std::fs::write(root.join(name), b"\xff\xd8\xff\xe0")?;
        }
        let found = sources(&[root.to_owned(), root.join("a.txt")]).unwrap();
        let names: Vec<&Path> = found
            .iter()
            .map(|source| source.path().strip_prefix(root).unwrap())
            .collect();
        let expected = ["a.png", "b/c.jpg", "d.png", "e.txt", "a.txt"];
        assert_eq!(names, expected.map(Path::new));
        Ok(())
    }

    #[test]
    fn what_is_in_memory_is_read_under_the_same_limit() {
        let limits = Limits {
            max_encoded_bytes: 3,
            ..Limits::default()
        };
        let source = |bytes: &[u8]| Source::Memory("a.png".into(), bytes.into());
        assert_eq!(source(b"abc").read(&limits).unwrap(), b"abc");
        assert!(source(b"abcd").read(&limits).is_err());
        assert_eq!(source(b"").path(), Path::new("a.png"));
    }

    #[test]
    fn pixels_may_be_longer_than_a_file() {
        let limits = Limits {
            max_encoded_bytes: 3,
            ..Limits::default()
        };
        let source = Source::Pixels("a".into(), b"abcd".to_vec());
        assert!(source.read(&limits).is_err());
        assert_eq!(source.read(&source.limits(&limits)).unwrap(), b"abcd");
        let file = Source::Memory("a".into(), b"abcd"[..].into());
        assert_eq!(file.limits(&limits), limits);
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

    #[test]
    fn what_a_run_writes_is_no_input_of_the_next() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        std::fs::write(root.join("a.png"), "")?;
        std::fs::write(root.join("b.data"), [0; 9])?;
        let names = |results: &[&Path]| -> Vec<PathBuf> {
            let found = sources_besides(&[root.to_owned()], results).unwrap();
            found
                .iter()
                .map(|source| source.path().to_owned())
                .collect()
        };
        assert_eq!(names(&[]), [root.join("a.png"), root.join("b.data")]);
        let result = root.join(".").join("b.data");
        assert_eq!(names(&[&result]), [root.join("a.png")]);
        assert_eq!(names(&[Path::new("missing")]).len(), 2);
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
