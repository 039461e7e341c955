//! The list of items on the disk.

use crate::{
    Item, JobError,
    error::Result,
    record::{ERROR, ID},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use unprompt_files::write_by;

pub(crate) const NAME: &str = "list.jsonl";

/// Longer lines are no items.
const LONGEST_LINE: u64 = 1 << 20;

/// How a field says that an item cannot be worked on, and why.
pub(crate) const REFUSED: &str = "refused";

/// What was written.
pub(crate) struct Written {
    pub(crate) items: u64,
    pub(crate) sha256: String,
}

/// Writes the list, all or nothing. An item whose name stands in the list already gets another one and
/// is refused: nobody could tell the two records apart.
pub(crate) fn write(
    path: &Path,
    items: impl Iterator<Item = Item>,
    step: impl Fn() -> io::Result<()>,
) -> io::Result<Written> {
    let mut seen: HashSet<[u8; 16]> = HashSet::new();
    let mut is_new = |id: &str| {
        let digest = Sha256::digest(id);
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        seen.insert(short)
    };
    let mut hash = Sha256::new();
    let mut count = 0;
    write_by(path, step, |file| {
        for mut item in items {
            if !is_new(&item.id) {
                let name = item.id.clone();
                let mut number = 2_u64;
                while !is_new(&item.id) {
                    item.id = format!("{name}#{number}");
                    number += 1;
                }
                let why = "its name stands in the list a second time";
                item.fields.entry(REFUSED).or_insert_with(|| why.into());
            }
            let mut line = serde_json::to_vec(&item).map_err(io::Error::other)?;
            line.push(b'\n');
            hash.update(&line);
            file.write_all(&line)?;
            count += 1;
        }
        Ok(())
    })?;
    Ok(Written {
        items: count,
        sha256: hex(&hash.finalize()),
    })
}

/// A list that was checked, and where its parts begin.
#[derive(Debug)]
pub(crate) struct List {
    path: PathBuf,
    /// The place of each part's first line, and the end.
    places: Vec<u64>,
}

impl List {
    /// Reads the list once from beginning to end.
    pub(crate) fn open(path: &Path, items: u64, part_items: u64, sha256: &str) -> Result<Self> {
        let file = File::open(path).map_err(JobError::io(path))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut hash = Sha256::new();
        let (mut places, mut place, mut count) = (Vec::new(), 0, 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            let most = &mut reader.by_ref().take(LONGEST_LINE);
            let read = most
                .read_until(b'\n', &mut line)
                .map_err(JobError::io(path))?;
            if read == 0 {
                break;
            }
            if count % part_items == 0 {
                places.push(place);
            }
            hash.update(&line);
            place += read as u64;
            count += 1;
        }
        if count != items || hex(&hash.finalize()) != sha256 {
            return Err(JobError::damaged(
                path,
                "this is not the list that the job was begun with; begin in another folder",
            ));
        }
        places.push(place);
        Ok(Self {
            path: path.to_owned(),
            places,
        })
    }

    pub(crate) fn parts(&self) -> usize {
        self.places.len() - 1
    }

    /// The items of a part.
    pub(crate) fn items(&self, part: usize) -> Result<Vec<Item>> {
        let failed = JobError::io(&self.path);
        let (begin, end) = (self.places[part], self.places[part + 1]);
        let read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(begin))?;
            let mut text = String::new();
            file.take(end - begin).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(failed)?;
        let item = |line: &str| {
            serde_json::from_str(line).map_err(|error| JobError::damaged(&self.path, error))
        };
        text.lines().map(item).collect()
    }
}

/// Small digests as text.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a line is the record of a failure, and its id.
pub(crate) fn id_and_failure(line: &str) -> Option<(String, bool)> {
    let record: Map<String, Value> = serde_json::from_str(line).ok()?;
    let id = record.get(ID)?.as_str()?.to_owned();
    Some((id, record.contains_key(ERROR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str) -> Item {
        Item {
            id: id.into(),
            fields: Map::new(),
        }
    }

    #[test]
    fn names_are_made_different_and_the_second_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let items = ["a", "b", "a", "a#2", "a"].map(item);
        let written = write(&path, items.into_iter(), || Ok(())).unwrap();
        let list = List::open(&path, 5, 2, &written.sha256).unwrap();
        assert_eq!(list.parts(), 3);
        let items: Vec<Item> = (0..3).flat_map(|part| list.items(part).unwrap()).collect();
        let found: Vec<(&str, bool)> = items
            .iter()
            .map(|item| (item.id.as_str(), item.fields.contains_key(REFUSED)))
            .collect();
        let expected = [
            ("a", false),
            ("b", false),
            ("a#2", true),
            ("a#2#2", true),
            ("a#3", true),
        ];
        assert_eq!(found, expected);

        assert!(List::open(&path, 4, 2, &written.sha256).is_err());
        std::fs::write(&path, "{\"id\":\"a\"}\n").unwrap();
        assert!(List::open(&path, 1, 2, &written.sha256).is_err());
    }
}
