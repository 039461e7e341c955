//! WebDataset shards as img2dataset writes them: tar files in which the members of one picture,
//! `KEY.jpg`, `KEY.txt` and `KEY.json`, stand together.
//!
//! Members are read one after the other and never unpacked, so that a name leads nowhere.

use super::{
    Records, folder_of,
    members::{Members, read_range, split},
};
use crate::{DataError, Limits, RecordError, RecordProblem, Sample, SourceSpec};
use serde::Deserialize;
use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

const PICTURES: [&str; 5] = ["jpg", "jpeg", "png", "webp", "gif"];

/// The tar files of a source in order of their names: one file, all of a folder, or those whose name
/// begins and ends like one with a `*`.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let paths = tar_files(&spec.path).map_err(|error| DataError::io(&spec.path, error))?;
    if paths.is_empty() {
        return Err(DataError::list(&spec.path, "no tar file is there"));
    }
    Ok(Box::new(
        paths
            .into_iter()
            .flat_map(move |path| Shard::new(path, limits)),
    ))
}

fn tar_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (folder, begin, end) = match name.split_once('*') {
        _ if path.is_dir() => (path, "", ".tar"),
        Some((begin, end)) => (folder_of(path), begin, end),
        None => {
            fs::metadata(path)?;
            return Ok(vec![path.to_owned()]);
        }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(begin);
        if rest.is_some_and(|rest| rest.ends_with(end)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// One shard.
struct Shard {
    members: Members,
    limits: Limits,
    group: Group,
    ready: VecDeque<Result<Sample, RecordError>>,
    ended: bool,
}

/// The members of one key so far.
#[derive(Default)]
struct Group {
    key: String,
    picture: Option<Vec<u8>>,
    text: Option<Vec<u8>>,
    json: Option<Vec<u8>>,
    /// What was wrong with a member, the first thing.
    problem: Option<RecordProblem>,
}

/// One member of the archive.
struct Member {
    name: String,
    /// Nothing of a folder, or of the archive's own options.
    content: Result<Option<Vec<u8>>, RecordProblem>,
}

/// What matters of a picture's JSON where it has no text of its own.
#[derive(Deserialize)]
struct Details {
    caption: String,
}

impl Shard {
    fn new(path: PathBuf, limits: Limits) -> Self {
        Self {
            members: Members::new(path),
            limits,
            group: Group::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Reads one member, and lets go of a picture whose members were all read.
    fn step(&mut self) {
        match self.member() {
            Ok(Some(member)) => self.take(member),
            Ok(None) => self.end(None),
            Err(error) => self.end(Some(error)),
        }
    }

    /// The member at the position, or `None` at the end of the archive.
    fn member(&mut self) -> io::Result<Option<Member>> {
        let Some(member) = self.members.next()? else {
            return Ok(None);
        };
        let most = if PICTURES.contains(&split(&member.name).1) {
            self.limits.picture
        } else {
            self.limits.text
        };
        let content = match member.other_kind() {
            _ if member.is_nothing() => Ok(None),
            Some(what) => Err(RecordProblem::NotAFile(what)),
            None if member.leads_out() => Err(RecordProblem::Traversal),
            None if member.length > most => Err(RecordProblem::TooLarge { most }),
            None => {
                let path = self.members.path();
                Ok(Some(read_range(path, member.offset, member.length)?))
            }
        };
        let name = member.name;
        Ok(Some(Member { name, content }))
    }

    fn take(&mut self, Member { name, content }: Member) {
        if matches!(content, Ok(None)) {
            return;
        }
        let (key, ending) = split(&name);
        if key != self.group.key {
            self.finish_group();
            self.group.key = key.to_owned();
        }
        match content {
            Err(problem) => {
                self.group.problem.get_or_insert(problem);
            }
            Ok(bytes) => match ending {
                "txt" => self.group.text = bytes,
                "json" => self.group.json = bytes,
                ending if PICTURES.contains(&ending) => self.group.picture = bytes,
                _ => {}
            },
        }
    }

    fn end(&mut self, error: Option<io::Error>) {
        self.finish_group();
        self.ended = true;
        if let Some(error) = error {
            let id = self.members.path().to_string_lossy();
            self.ready
                .push_back(Err(RecordProblem::Archive(error).of(id)));
        }
    }

    fn finish_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        if !group.key.is_empty() {
            self.ready.push_back(group.sample());
        }
    }
}

impl Group {
    fn sample(self) -> Result<Sample, RecordError> {
        let id = self.key;
        if let Some(problem) = self.problem {
            return Err(problem.of(id));
        }
        let from_details = || {
            let details = serde_json::from_slice::<Details>(self.json.as_deref()?);
            details.ok().map(|details| details.caption)
        };
        let caption = match &self.text {
            Some(text) => Some(String::from_utf8_lossy(text).into_owned()),
            None => from_details(),
        };
        match (self.picture, caption) {
            (None, _) => Err(RecordProblem::NoPicture.of(id)),
            (_, None) => Err(RecordProblem::NoCaption.of(id)),
            (Some(picture), Some(caption)) => Ok(Sample {
                id,
                picture,
                captions: vec![caption],
            }),
        }
    }
}

impl Iterator for Shard {
    type Item = Result<Sample, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.ended {
            self.step();
        }
        self.ready.pop_front()
    }
}
