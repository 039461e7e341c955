//! The picture files that a list names.

use super::{Records, folder_of};
use crate::{Limits, RecordProblem, Sample, SourceSpec, limits::read_at_most};
use indexmap::IndexMap;
use std::path::{Component, Path, PathBuf};
use unprompt_files::open_regular;

/// Endings that are tried for a name without one.
const ENDINGS: [&str; 5] = ["jpg", "png", "jpeg", "webp", "bmp"];

/// A folder, out of which no name leads.
#[derive(Clone, Debug)]
pub(super) struct Pictures {
    folder: PathBuf,
    limits: Limits,
}

impl Pictures {
    /// The folder that the specification names, or that of the list.
    pub(super) fn of(spec: &SourceSpec, list: &Path, limits: Limits) -> Self {
        let folder = spec
            .images
            .clone()
            .unwrap_or_else(|| folder_of(list).to_owned());
        Self { folder, limits }
    }

    /// The bytes of a picture of the folder.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, RecordProblem> {
        let relative = Path::new(name);
        if !stays_inside(name) {
            return Err(RecordProblem::Traversal);
        }
        let mut path = self.folder.join(relative);
        if relative.extension().is_none() {
            let endings = ENDINGS.iter().map(|ending| path.with_extension(ending));
            path = endings
                .into_iter()
                .find(|path| path.is_file())
                .unwrap_or(path);
        }
        read_file(&path, self.limits.picture)
    }

    /// Pictures with all that a list says about each, in the order of their first mention.
    pub(super) fn records(self, captions: IndexMap<String, Vec<String>>) -> Records {
        Box::new(
            captions
                .into_iter()
                .map(move |(id, captions)| match self.read(&id) {
                    Ok(picture) => Ok(Sample {
                        id,
                        picture,
                        captions,
                    }),
                    Err(problem) => Err(problem.of(id)),
                }),
        )
    }
}

/// Whether a name leads nowhere else than into its folder.
pub(super) fn stays_inside(name: &str) -> bool {
    let plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    // A backslash is a separator on one system and part of a name on another.
    !name.contains('\\') && Path::new(name).components().all(plain)
}

/// The bytes of a file that is no longer than `most`.
pub(super) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, RecordProblem> {
    // Asked before it is opened: to open a named pipe would wait for ever.
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(RecordProblem::NotAFile("a folder or a device"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RecordProblem::NoPicture);
        }
        _ => {}
    }
    let file = open_regular(path)?;
    read_at_most(file, most)?.ok_or(RecordProblem::TooLarge { most })
}
