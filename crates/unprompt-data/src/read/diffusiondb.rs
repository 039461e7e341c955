//! DiffusionDB's parts: `part-000001.zip` with pictures and `part-000001.json`, which has each
//! picture's prompt under `p`.

use super::{Records, files_of};
use crate::{
    DataError, Limits, RecordError, RecordProblem, Sample, SourceSpec, limits::read_at_most,
};
use indexmap::IndexMap;
use serde::Deserialize;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufReader},
    path::{Component, Path, PathBuf},
};
use zip::{ZipArchive, read::ZipFile, result::ZipError};

/// What matters of a picture's entry.
#[derive(Deserialize)]
struct Entry {
    p: String,
}

/// A part that is open.
pub(super) type Part = ZipArchive<BufReader<File>>;

/// One part, or the parts of a folder in order of their names.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let paths = files_of(&spec.path, "zip")?;
    Ok(Box::new(
        paths
            .into_iter()
            .flat_map(move |path| Pictures::open(path, limits)),
    ))
}

/// The pictures of one part, in the order of its JSON.
struct Pictures {
    archive: Option<Part>,
    prompts: VecDeque<(String, String)>,
    /// Why the part as a whole cannot be read.
    error: Option<RecordError>,
    limits: Limits,
}

impl Pictures {
    fn open(path: PathBuf, limits: Limits) -> Self {
        let read = || {
            let mut archive = open_part(&path)?;
            let prompts = prompts(&mut archive, limits)?;
            Ok((archive, prompts))
        };
        let (archive, prompts, error) = match read() {
            Ok((archive, prompts)) => (Some(archive), prompts, None),
            Err(error) => {
                let error = RecordProblem::of(error, path.to_string_lossy());
                (None, VecDeque::new(), Some(error))
            }
        };
        Self {
            archive,
            prompts,
            error,
            limits,
        }
    }
}

impl Iterator for Pictures {
    type Item = Result<Sample, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let archive = self.archive.as_mut()?;
        let (id, prompt) = self.prompts.pop_front()?;
        let picture = picture(archive, &id, self.limits.picture);
        Some(match picture {
            Ok(picture) => Ok(Sample {
                id,
                picture,
                captions: vec![prompt],
            }),
            Err(problem) => Err(problem.of(id)),
        })
    }
}

/// Opens a part.
pub(super) fn open_part(path: &Path) -> Result<Part, RecordProblem> {
    ZipArchive::new(BufReader::new(File::open(path)?)).map_err(problem)
}

/// Every picture's name and prompt, from the first JSON file of a part.
fn prompts(
    archive: &mut Part,
    limits: Limits,
) -> Result<VecDeque<(String, String)>, RecordProblem> {
    let name = {
        let mut names = archive.file_names().flatten();
        let name = names.find(|name| name.ends_with(".json"));
        name.map(|name| name.into_owned())
    };
    let name = name.ok_or_else(|| RecordProblem::Malformed("no JSON file is in it".into()))?;
    let json = content(archive.by_name(&name).map_err(problem)?, limits.list)?;
    let entries: IndexMap<String, Entry> = serde_json::from_slice(&json)
        .map_err(|error| RecordProblem::Malformed(format!("{name}: {error}")))?;
    Ok(entries
        .into_iter()
        .map(|(picture, entry)| (picture, entry.p))
        .collect())
}

/// A picture of a part by its name.
pub(super) fn picture(archive: &mut Part, name: &str, most: u64) -> Result<Vec<u8>, RecordProblem> {
    let plain = |part: Component| matches!(part, Component::Normal(_));
    if name.contains('\\') || !Path::new(name).components().all(plain) {
        return Err(RecordProblem::Traversal);
    }
    match archive.by_name(name) {
        Ok(file) => content(file, most),
        Err(ZipError::FileNotFound) => Err(RecordProblem::NoPicture),
        Err(error) => Err(problem(error)),
    }
}

/// What a member unpacks to, whatever size it claims.
fn content(file: ZipFile<'_, BufReader<File>>, most: u64) -> Result<Vec<u8>, RecordProblem> {
    if file.is_symlink() {
        return Err(RecordProblem::NotAFile("a link"));
    }
    if file.is_dir() {
        return Err(RecordProblem::NotAFile("a folder or a device"));
    }
    let read = read_at_most(file, most).map_err(RecordProblem::Archive)?;
    read.ok_or(RecordProblem::TooLarge { most })
}

fn problem(error: ZipError) -> RecordProblem {
    RecordProblem::Archive(io::Error::other(error))
}
