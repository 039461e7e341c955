//! The list of items on the disk.

use crate::{Item, JobError, error::Result};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    ops::Range,
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
/// is refused: nobody could tell the two records apart. As long as the names are in the order of paths, as
/// those of a folder are, none can be there twice, and none is held.
pub(crate) fn write(
    path: &Path,
    items: impl Iterator<Item = Item>,
    step: impl Fn() -> io::Result<()>,
) -> io::Result<Written> {
    let mut last = String::new();
    let mut seen: Option<Names> = None;
    let mut hash = Sha256::new();
    let mut count = 0;
    write_by(path, step, |file| {
        for mut item in items {
            if seen.is_none() && count > 0 && !is_behind(&item.id, &last) {
                file.flush()?;
                seen = Some(names_of(file.get_mut().as_file_mut())?);
            }
            if let Some(seen) = &mut seen
                && !seen.insert(&item.id)
            {
                let name = item.id.clone();
                let mut number = 2_u64;
                while !seen.insert(&item.id) {
                    item.id = format!("{name}#{number}");
                    number += 1;
                }
                let why = "its name stands in the list a second time";
                item.fields.entry(REFUSED).or_insert_with(|| why.into());
            }
            if seen.is_none() {
                last.clone_from(&item.id);
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

/// Whether a name stands behind another one in the order of paths, folder by folder.
fn is_behind(name: &str, other: &str) -> bool {
    name.split('/').gt(other.split('/'))
}

/// The names of a list that is being written.
fn names_of(file: &mut File) -> io::Result<Names> {
    let mut names = Names::default();
    file.seek(SeekFrom::Start(0))?;
    for line in BufReader::new(&mut *file).lines() {
        let item: Item = serde_json::from_str(&line?).map_err(io::Error::other)?;
        names.insert(&item.id);
    }
    file.seek(SeekFrom::End(0))?;
    Ok(names)
}

/// What a list of items that came later begins with, in a line of its own.
#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    items: u64,
    /// Over all lines that follow.
    sha256: String,
}

const FORMAT: &str = "unprompt job list";
const VERSION: u32 = 1;

/// Writes a list of items that came after a job was begun, all or nothing.
pub(crate) fn write_later(
    path: &Path,
    items: &[Item],
    step: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let mut lines = Vec::new();
    for item in items {
        serde_json::to_writer(&mut lines, item).map_err(io::Error::other)?;
        lines.push(b'\n');
    }
    let head = Head {
        format: FORMAT.to_owned(),
        version: VERSION,
        items: items.len() as u64,
        sha256: hex(&Sha256::digest(&lines)),
    };
    let head = serde_json::to_vec(&head).map_err(io::Error::other)?;
    write_by(path, step, |file| {
        file.write_all(&head)?;
        file.write_all(b"\n")?;
        file.write_all(&lines)
    })
}

/// A file of items that was checked, and where its parts begin.
#[derive(Debug)]
struct Portion {
    path: PathBuf,
    /// The place of each part's first line, and the end.
    places: Vec<u64>,
    items: u64,
}

impl Portion {
    /// Reads a file once from beginning to end. What it must hold is given, or stands in its first line.
    fn open(path: &Path, part_items: u64, expected: Option<(u64, &str)>) -> Result<Self> {
        let damaged = || {
            JobError::damaged(
                path,
                "this is not the list that the job was begun with; begin in another folder",
            )
        };
        let file = File::open(path).map_err(JobError::io(path))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        let mut read = |line: &mut Vec<u8>| {
            line.clear();
            let most = &mut reader.by_ref().take(LONGEST_LINE);
            most.read_until(b'\n', line).map_err(JobError::io(path))
        };
        let (mut places, mut place, mut count) = (Vec::new(), 0, 0);
        let (items, sha256) = match expected {
            Some((items, sha256)) => (items, sha256.to_owned()),
            None => {
                place += read(&mut line)? as u64;
                let head: Head = serde_json::from_slice(&line).map_err(|_| damaged())?;
                if head.format != FORMAT || head.version != VERSION {
                    return Err(damaged());
                }
                (head.items, head.sha256)
            }
        };
        let mut hash = Sha256::new();
        loop {
            let length = read(&mut line)?;
            if length == 0 {
                break;
            }
            if count % part_items == 0 {
                places.push(place);
            }
            hash.update(&line);
            place += length as u64;
            count += 1;
        }
        if count != items || hex(&hash.finalize()) != sha256 {
            return Err(damaged());
        }
        places.push(place);
        Ok(Self {
            path: path.to_owned(),
            places,
            items,
        })
    }

    fn parts(&self) -> usize {
        self.places.len() - 1
    }

    /// The items of a part.
    fn items(&self, part: usize) -> Result<Vec<Item>> {
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

/// All items of a job: those that it was begun with, and those that came later.
#[derive(Debug)]
pub(crate) struct List {
    part_items: u64,
    portions: Vec<Portion>,
    /// For each part its portion, its number there, and the items before it.
    parts: Vec<(usize, usize, u64)>,
    items: u64,
}

impl List {
    /// The items that a job was begun with.
    pub(crate) fn open(path: &Path, items: u64, part_items: u64, sha256: &str) -> Result<Self> {
        let mut list = Self {
            part_items,
            portions: Vec::new(),
            parts: Vec::new(),
            items: 0,
        };
        list.push(Portion::open(path, part_items, Some((items, sha256)))?);
        Ok(list)
    }

    /// The items of a file of [`write_later`], in parts of their own.
    pub(crate) fn add(&mut self, path: &Path) -> Result<()> {
        self.push(Portion::open(path, self.part_items, None)?);
        Ok(())
    }

    fn push(&mut self, portion: Portion) {
        let number = self.portions.len();
        let before = |part: usize| self.items + part as u64 * self.part_items;
        let parts: Vec<_> = (0..portion.parts())
            .map(|part| (number, part, before(part)))
            .collect();
        self.parts.extend(parts);
        self.items += portion.items;
        self.portions.push(portion);
    }

    /// Files of items that came later.
    pub(crate) fn later(&self) -> usize {
        self.portions.len() - 1
    }

    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> u64 {
        self.items
    }

    /// The numbers of a part's items, from 0.
    pub(crate) fn range(&self, part: usize) -> Range<u64> {
        let begin = self.parts[part].2;
        let next = self.parts.get(part + 1);
        begin..next.map_or(self.items, |(_, _, begin)| *begin)
    }

    /// The items of a part.
    pub(crate) fn items(&self, part: usize) -> Result<Vec<Item>> {
        let (portion, part, _) = self.parts[part];
        self.portions[portion].items(part)
    }
}

/// Names that a list has, by 16 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<[u8; 16]>);

impl Names {
    /// Whether a name is new; it is not from then on.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        self.0.insert(short(id))
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.contains(&short(id))
    }
}

fn short(id: &str) -> [u8; 16] {
    let digest = Sha256::digest(id);
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// Small digests as text.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a line is the record of a failure, and its id.
pub(crate) fn id_and_failure(line: &str) -> Option<(String, bool)> {
    /// The rest, which is long, is passed over.
    #[derive(Deserialize)]
    struct Head {
        id: String,
        error: Option<IgnoredAny>,
    }
    let Head { id, error } = serde_json::from_str(line).ok()?;
    Some((id, error.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

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
        // The order of paths ends at the third.
        assert!(is_behind("a-b/c", "a/b") && is_behind("a/c/d", "a/b") && is_behind("a/b", "a"));
        assert!(!is_behind("a", "a") && !is_behind("a/b", "a-b"));
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

        // Items that come later have parts of their own.
        let later = folder.path().join("00001.jsonl");
        write_later(&later, &["c", "d", "e"].map(item), || Ok(())).unwrap();
        let mut list = list;
        list.add(&later).unwrap();
        assert_eq!((list.parts(), list.len(), list.later()), (5, 8, 1));
        let ranges: Vec<_> = (0..5).map(|part| list.range(part)).collect();
        assert_eq!(ranges, [0..2, 2..4, 4..5, 5..7, 7..8]);
        let ids = |part| -> Vec<String> {
            let items = list.items(part).unwrap();
            items.into_iter().map(|item| item.id).collect()
        };
        assert_eq!(
            (ids(3), ids(4)),
            (vec!["c".into(), "d".into()], vec!["e".into()])
        );
        for change in [
            ("\"d\"", "\"x\""),
            ("\"items\":3", "\"items\":2"),
            ("list", "lost"),
        ] {
            let text = std::fs::read_to_string(&later).unwrap();
            let other = folder.path().join("other.jsonl");
            std::fs::write(&other, text.replace(change.0, change.1)).unwrap();
            assert!(list.add(&other).is_err(), "{change:?}");
        }

        assert!(List::open(&path, 4, 2, &written.sha256).is_err());
        std::fs::write(&path, "{\"id\":\"a\"}\n").unwrap();
        assert!(List::open(&path, 1, 2, &written.sha256).is_err());
    }
}
