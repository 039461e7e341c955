//! Lists of labels, from files with one label a line.
//!
//! A list holds every line, so that its embeddings are those that clip-interrogator computes; what
//! is not to be used (empty lines, repetitions, what a policy denies) is marked beside it.

use crate::{Behaviour, InterrogateError, Result};
use sha2::{Digest, Sha256};
use std::{collections::HashSet, fs::File, io::Read, path::Path};

/// Larger files are no lists of labels.
const LARGEST_FILE: u64 = 64 << 20;
/// Bytes in a label that is used: more than any text tower reads.
const LONGEST_LABEL: usize = 1000;
/// Bytes that a tokenizer takes.
const LONGEST_TEXT: usize = 1 << 20;

/// Places that show pictures, as clip-interrogator 0.6.0 spells them.
const SITES: [&str; 18] = [
    "Artstation",
    "behance",
    "cg society",
    "cgsociety",
    "deviantart",
    "dribble",
    "flickr",
    "instagram",
    "pexels",
    "pinterest",
    "pixabay",
    "pixiv",
    "polycount",
    "reddit",
    "shutterstock",
    "tumblr",
    "unsplash",
    "zbrush central",
];

pub(crate) const ARTISTS: &str = "artists";
pub(crate) const FLAVORS: &str = "flavors";
pub(crate) const MEDIUMS: &str = "mediums";
pub(crate) const MOVEMENTS: &str = "movements";
pub(crate) const TRENDINGS: &str = "trendings";
pub(crate) const NEGATIVE: &str = "negative";

/// The tables that are ranked together, in this order; those of other files follow.
const MERGED: [&str; 5] = [ARTISTS, FLAVORS, MEDIUMS, MOVEMENTS, TRENDINGS];

/// The labels of one table.
#[derive(Clone, Debug)]
pub struct LabelList {
    name: String,
    labels: Vec<String>,
    // Not to be used, by label.
    left_out: Vec<bool>,
    note: Option<String>,
}

impl LabelList {
    /// A list of labels given by the program.
    pub fn new(name: impl Into<String>, labels: Vec<String>) -> Self {
        Self {
            name: name.into(),
            left_out: vec![false; labels.len()],
            labels,
            note: None,
        }
    }

    /// Reads a file with one label a line, as clip-interrogator does: line ends of every kind, no
    /// blanks around a label, wrong UTF-8 replaced. With [`Behaviour::Fixed`], lines that are
    /// empty, repeated, longer than 1,000 bytes or not UTF-8 are left out of rankings.
    ///
    /// # Errors
    /// When the file cannot be read or is larger than 64 MiB.
    pub fn read(path: &Path, behaviour: Behaviour) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let bytes = read_limited(path)?;
        let mut list = Self::new(name, Vec::new());
        let (mut empty, mut repeated, mut long, mut damaged) = (0, 0, 0, 0);
        let mut seen = HashSet::new();
        for line in lines(&bytes) {
            let text = String::from_utf8_lossy(line);
            let label = text.trim_matches(is_blank);
            let why = if label.len() > LONGEST_TEXT {
                Some(&mut long)
            } else if behaviour == Behaviour::Compat060 {
                None
            } else if label.is_empty() {
                Some(&mut empty)
            } else if std::str::from_utf8(line).is_err() {
                Some(&mut damaged)
            } else if label.len() > LONGEST_LABEL {
                Some(&mut long)
            } else if !seen.insert(label.to_owned()) {
                Some(&mut repeated)
            } else {
                None
            };
            list.left_out.push(why.is_some());
            if let Some(count) = why {
                *count += 1;
            }
            list.labels.push(label.to_owned());
        }
        let counts = [
            (empty, "empty"),
            (repeated, "repeated"),
            (long, "too long"),
            (damaged, "not UTF-8"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !counts.is_empty() {
            list.note = Some(format!(
                "{}: lines left out: {}",
                path.display(),
                counts.join(", ")
            ));
        }
        Ok(list)
    }

    /// "by X" for every X, then "inspired by X" for every X.
    fn of_artists(mut self) -> Self {
        let of = |prefix: &str| {
            self.labels
                .iter()
                .map(|x| format!("{prefix} {x}"))
                .collect()
        };
        let labels: [Vec<String>; 2] = [of("by"), of("inspired by")];
        self.labels = labels.concat();
        self.left_out.extend_from_within(..);
        self
    }

    /// The sites alone, as trends, as features and as contests.
    fn trendings() -> Self {
        let of = |before: &str, after: &str| -> Vec<String> {
            SITES
                .iter()
                .map(|site| format!("{before}{site}{after}"))
                .collect()
        };
        let forms = [
            of("", ""),
            of("trending on ", ""),
            of("featured on ", ""),
            of("", " contest winner"),
        ];
        Self::new(TRENDINGS, forms.concat())
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All labels, those that are left out of rankings too.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether a label takes part in rankings.
    pub fn is_used(&self, index: usize) -> bool {
        !self.left_out[index]
    }

    pub(crate) fn leave_out(&mut self, index: usize) {
        self.left_out[index] = true;
    }

    /// What was wrong with the file, for the user.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The SHA-256 of the labels joined by commas, in hexadecimal: what clip-interrogator knows a
    /// list by.
    pub fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        for (index, label) in self.labels.iter().enumerate() {
            if index > 0 {
                hasher.update(b",");
            }
            hasher.update(label.as_bytes());
        }
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The tables that prompts are made of.
#[derive(Clone, Debug)]
pub struct LabelSet {
    lists: Vec<LabelList>,
}

impl LabelSet {
    /// Reads a folder. `artists.txt` becomes "by X" and "inspired by X"; the sites of
    /// clip-interrogator are the table `trendings` unless there is a `trendings.txt`.
    ///
    /// With [`Behaviour::Fixed`] any other `*.txt` is a table too, ranked together with the others;
    /// with [`Behaviour::Compat060`] the five files of clip-interrogator are needed, and nothing
    /// else is read.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, or no file is there that is needed.
    pub fn read(folder: &Path, behaviour: Behaviour) -> Result<Self> {
        let failed = |error: std::io::Error| InterrogateError::labels(folder, error.to_string());
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|kind| kind == "txt") && path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        let needed = [ARTISTS, FLAVORS, MEDIUMS, MOVEMENTS, NEGATIVE];
        let is = |path: &Path, name: &str| path.file_stem().is_some_and(|stem| stem == name);
        if behaviour == Behaviour::Compat060 {
            paths.retain(|path| needed.iter().any(|name| is(path, name)));
            let missing = needed
                .iter()
                .find(|name| !paths.iter().any(|path| is(path, name)));
            if let Some(name) = missing {
                let message = format!("no {name}.txt, which clip-interrogator 0.6.0 reads");
                return Err(InterrogateError::labels(folder, message));
            }
        } else if paths.is_empty() {
            let message = "no *.txt with one label a line in this folder";
            return Err(InterrogateError::labels(folder, message));
        }
        let mut lists = vec![LabelList::trendings()];
        for path in paths {
            let list = LabelList::read(&path, behaviour)?;
            if list.name == TRENDINGS {
                lists.retain(|list| list.name != TRENDINGS);
            }
            lists.push(if list.name == ARTISTS {
                list.of_artists()
            } else {
                list
            });
        }
        Ok(Self::new(lists))
    }

    /// Puts lists into the order in which they are ranked together.
    pub fn new(mut lists: Vec<LabelList>) -> Self {
        lists.sort_by_key(|list| {
            let place = MERGED.iter().position(|name| *name == list.name);
            (place.unwrap_or(MERGED.len()), list.name.clone())
        });
        Self { lists }
    }

    /// Leaves whole tables out.
    ///
    /// # Errors
    /// When there is no table of one of the names.
    pub fn without<N: AsRef<str>>(mut self, names: &[N]) -> Result<Self> {
        for name in names.iter().map(AsRef::as_ref) {
            if !self.lists.iter().any(|list| list.name == name) {
                let known: Vec<&str> = self.lists.iter().map(LabelList::name).collect();
                let message = format!("no table `{name}`; there are {}", known.join(", "));
                return Err(InterrogateError::Options(message));
            }
        }
        self.lists
            .retain(|list| !names.iter().any(|name| name.as_ref() == list.name));
        Ok(self)
    }

    /// The lists, in the order in which they are ranked together.
    pub fn lists(&self) -> &[LabelList] {
        &self.lists
    }

    pub(crate) fn lists_mut(&mut self) -> &mut [LabelList] {
        &mut self.lists
    }
}

/// The whole file, if it is not too large.
pub(crate) fn read_limited(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| InterrogateError::labels(path, error.to_string());
    // To open a named pipe would wait for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(InterrogateError::labels(path, "not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        let message = format!("larger than {} MiB", LARGEST_FILE >> 20);
        return Err(InterrogateError::labels(path, message));
    }
    Ok(bytes)
}

/// Lines with any of the three line ends; none after the last one's.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let (line, after) = match end {
            None => (rest, &rest[rest.len()..]),
            Some(end) if rest[end..].starts_with(b"\r\n") => (&rest[..end], &rest[end + 2..]),
            Some(end) => (&rest[..end], &rest[end + 1..]),
        };
        rest = after;
        Some(line)
    })
}

/// What Python strips: Unicode's blanks and the four separators of ASCII.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], behaviour: Behaviour) -> LabelList {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("terms.txt");
        std::fs::write(&path, bytes).unwrap();
        LabelList::read(&path, behaviour).unwrap()
    }

    #[test]
    fn lines_are_those_of_python() {
        let list = read(b" a \r\nb\rc\n\n\xff\xe2\x82d\x1c\n", Behaviour::Compat060);
        assert_eq!(list.labels(), ["a", "b", "c", "", "\u{fffd}\u{fffd}d"]);
        assert!((0..5).all(|index| list.is_used(index)));
        assert_eq!(list.note(), None);
        assert_eq!(read(b"", Behaviour::Compat060).labels(), [""; 0]);
    }

    #[test]
    fn lines_that_are_no_labels_are_kept_in_the_table_but_not_used() {
        let long = "x".repeat(10_000);
        let text = [b"a\n\na\n\xff\n", long.as_bytes(), b"\nb"].concat();
        let list = read(&text, Behaviour::Fixed);
        assert_eq!(list.labels().len(), 6);
        let used: Vec<usize> = (0..6).filter(|index| list.is_used(*index)).collect();
        assert_eq!(used, [0, 5]);
        let note = list.note().unwrap();
        let expected = "terms.txt: lines left out: 1 empty, 1 repeated, 1 too long, 1 not UTF-8";
        assert!(note.ends_with(expected), "{note}");
        // What no tokenizer takes is used nowhere.
        let endless = "x".repeat(LONGEST_TEXT + 1);
        let list = read(endless.as_bytes(), Behaviour::Compat060);
        assert!(!list.is_used(0));
    }

    #[test]
    fn the_sites_and_the_artists_have_their_forms_in_order() {
        let trendings = LabelList::trendings();
        assert_eq!(trendings.labels().len(), 72);
        assert_eq!(
            trendings.sha256(),
            "7e8797d72ab579ead27ce9a5a87ee2c17bd47a2783caaf789cb3ad8f747b44de"
        );
        let artists = LabelList::new(ARTISTS, vec!["A B".into(), "C".into()]).of_artists();
        let expected = ["by A B", "by C", "inspired by A B", "inspired by C"];
        assert_eq!(artists.labels(), expected);
    }

    #[test]
    fn a_folder_becomes_tables() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), "x\ny").unwrap();
        assert!(LabelSet::read(folder.path(), Behaviour::Fixed).is_err());
        for name in ["mine.txt", "mediums.txt", "notes.md", "artists.txt"] {
            write(name);
        }
        let names = |set: &LabelSet| -> Vec<String> {
            set.lists().iter().map(|list| list.name.clone()).collect()
        };
        let set = LabelSet::read(folder.path(), Behaviour::Fixed).unwrap();
        assert_eq!(names(&set), ["artists", "mediums", "trendings", "mine"]);
        let fewer = set.clone().without(&["artists", "trendings"]).unwrap();
        assert_eq!(names(&fewer), ["mediums", "mine"]);
        assert!(set.without(&["colours"]).is_err());
        let error = LabelSet::read(folder.path(), Behaviour::Compat060).unwrap_err();
        assert!(error.to_string().contains("flavors.txt"), "{error}");
        for name in [
            "flavors.txt",
            "movements.txt",
            "negative.txt",
            "trendings.txt",
        ] {
            write(name);
        }
        let set = LabelSet::read(folder.path(), Behaviour::Compat060).unwrap();
        let all = [
            "artists",
            "flavors",
            "mediums",
            "movements",
            "trendings",
            "negative",
        ];
        assert_eq!(names(&set), all);
        assert_eq!(set.lists()[4].labels().len(), 72);
        let set = LabelSet::read(folder.path(), Behaviour::Fixed).unwrap();
        assert_eq!(set.lists()[4].labels().len(), 2);
        assert!(LabelSet::read(&folder.path().join("nowhere"), Behaviour::Fixed).is_err());
    }
}
