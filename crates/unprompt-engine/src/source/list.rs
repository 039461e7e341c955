//! Many pictures by where they are, in little memory.

use super::Source;
use std::path::PathBuf;

/// Sources in their order. Of a file, which most are, only what its path has not in common with that of
/// the one before is kept: some bytes, where a [`Source`] takes some hundred.
#[derive(Clone, Debug, Default)]
pub struct SourceList {
    /// For each file the bytes that its path shares with the one before, how many follow, and those.
    /// For what is no file, or has a path that is not UTF-8, two zeros.
    paths: Vec<u8>,
    /// In their order.
    others: Vec<Source>,
    length: usize,
    last: String,
}

impl SourceList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds one.
    pub fn push(&mut self, source: Source) {
        self.length += 1;
        let path = match &source {
            Source::File(path) => path.to_str().filter(|path| !path.is_empty()),
            _ => None,
        };
        let Some(path) = path else {
            self.paths.extend([0, 0]);
            self.others.push(source);
            return;
        };
        let pairs = path.bytes().zip(self.last.bytes());
        let mut shared = pairs.take_while(|(one, other)| one == other).count();
        // An equal path would share all of itself, and look like none.
        shared = shared.min(path.len() - 1);
        let rest = &path.as_bytes()[shared..];
        put(&mut self.paths, shared);
        put(&mut self.paths, rest.len());
        self.paths.extend_from_slice(rest);
        path.clone_into(&mut self.last);
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Source> + Send + '_ {
        let mut place = Place::default();
        std::iter::from_fn(move || place.next(self))
    }

    /// Batches of `size`, in order; the last one may be smaller.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Vec<Source>> + '_ {
        let mut sources = self.iter();
        std::iter::from_fn(move || {
            let batch: Vec<Source> = sources.by_ref().take(size.max(1)).collect();
            (!batch.is_empty()).then_some(batch)
        })
    }

    /// Those for which `keep` says so.
    pub(super) fn filtered(&self, keep: impl Fn(&Source) -> bool) -> Self {
        self.iter().filter(keep).collect()
    }
}

/// How far a list was read.
#[derive(Debug, Default)]
struct Place {
    path: usize,
    other: usize,
    last: Vec<u8>,
}

impl Place {
    fn next(&mut self, list: &SourceList) -> Option<Source> {
        let mut paths = list.paths.get(self.path..)?;
        let (shared, length) = (take(&mut paths)?, take(&mut paths)?);
        let (rest, after) = paths.split_at_checked(length)?;
        self.path = list.paths.len() - after.len();
        if rest.is_empty() {
            self.other += 1;
            return list.others.get(self.other - 1).cloned();
        }
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
        // It was one when it was added.
        let path = String::from_utf8(self.last.clone()).ok()?;
        Some(Source::File(PathBuf::from(path)))
    }
}

/// What is left of a list that is read once.
#[derive(Debug)]
pub struct IntoSources {
    list: SourceList,
    place: Place,
}

impl Iterator for IntoSources {
    type Item = Source;

    fn next(&mut self) -> Option<Source> {
        self.place.next(&self.list)
    }
}

impl IntoIterator for SourceList {
    type Item = Source;
    type IntoIter = IntoSources;

    fn into_iter(self) -> IntoSources {
        IntoSources {
            list: self,
            place: Place::default(),
        }
    }
}

impl FromIterator<Source> for SourceList {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        let mut list = Self::default();
        list.extend(sources);
        list
    }
}

impl From<Vec<Source>> for SourceList {
    fn from(sources: Vec<Source>) -> Self {
        sources.into_iter().collect()
    }
}

impl Extend<Source> for SourceList {
    fn extend<I: IntoIterator<Item = Source>>(&mut self, sources: I) {
        sources.into_iter().for_each(|source| self.push(source));
    }
}

/// Seven bits a byte, the lowest first, the highest bit set where more follow.
fn put(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_comes_out_in_its_order_and_takes_little() {
        let long = "x".repeat(300);
        let mut sources: Vec<Source> = [
            "a/b/1.png",
            "a/b/2.png",
            "a/b/2.png",
            "a",
            "\u{e4}/1",
            "\u{e5}/1",
            "",
            "/",
            &long,
            "a/b/1.png",
        ]
        .iter()
        .map(|path| Source::File(path.into()))
        .collect();
        sources.insert(2, Source::Stdin);
        sources.insert(5, Source::Memory("a/b/1.png".into(), b"x"[..].into()));
        sources.push(Source::Unreadable("a".into(), "why".into()));
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt as _;
            let name = std::ffi::OsString::from_vec(b"a/\xff.png".to_vec());
            sources.insert(4, Source::File(name.into()));
        }
        let list: SourceList = sources.iter().cloned().collect();
        assert_eq!(list.len(), sources.len());
        assert_eq!(list.iter().collect::<Vec<_>>(), sources);
        assert_eq!(list.clone().into_iter().collect::<Vec<_>>(), sources);
        let batches: Vec<Vec<Source>> = list.chunks(4).collect();
        assert!(
            batches[..batches.len() - 1]
                .iter()
                .all(|batch| batch.len() == 4)
        );
        assert_eq!(batches.concat(), sources);
        assert!(SourceList::default().is_empty());

        let file = |number: usize| Source::File(format!("folder/picture-{number:06}.png").into());
        let many: SourceList = (0..100_000).map(file).collect();
        assert!(many.paths.len() < 1_000_000, "{}", many.paths.len());
        assert_eq!(many.iter().last(), Some(file(99_999)));
    }
}
