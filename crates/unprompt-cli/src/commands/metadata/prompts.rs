//! Which picture gets which prompt.

use crate::{
    commands::prompt_records::{self, PromptRecord},
    output::complain,
    records::one_line,
};
use anyhow::{Context, Result, bail};
use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    path::{Path, PathBuf, absolute},
};
use unprompt::Source;

/// One prompt for all pictures, or one for each.
pub(super) enum Prompts {
    All(String),
    Each(Table),
}

/// The prompts of a file of records.
pub(super) struct Table {
    name: String,
    prompts: Vec<Entry>,
    by_path: HashMap<PathBuf, usize>,
    /// Pictures that are found by their names: those that no record has the path of.
    by_name: HashMap<PathBuf, Match>,
    /// Records that belong to no picture.
    unused: Vec<String>,
}

struct Entry {
    path: String,
    prompt: String,
}

/// What a name leads to.
enum Match {
    One(usize),
    /// Several records, or several pictures, have this name.
    Ambiguous,
}

impl Prompts {
    pub(super) fn one(prompt: &str) -> Self {
        Self::All(prompt.to_owned())
    }

    /// Reads records and finds out which of the pictures each belongs to: by its path, else by its
    /// name where only one record and one picture have it.
    pub(super) fn read(file: &Path, sources: &[Source]) -> Result<Self> {
        let name = file.display().to_string();
        let entries = entries(file).with_context(|| format!("--from {name}"))?;
        if entries.is_empty() {
            bail!("--from {name}: no record has a path and a prompt");
        }
        let mut table = Table {
            name,
            prompts: Vec::new(),
            by_path: HashMap::new(),
            by_name: HashMap::new(),
            unused: Vec::new(),
        };
        for entry in entries {
            table.add(entry)?;
        }
        table.match_names(sources);
        Ok(Self::Each(table))
    }

    /// Says how many records belong to no picture.
    pub(super) fn complain(&self, file: &Path) {
        if let Self::Each(Table { unused, .. }) = self
            && let Some(first) = unused.first()
        {
            let count = unused.len();
            let line = format!(
                "--from {}: {count} records have no picture here, the first is {first}",
                file.display()
            );
            complain(&one_line(&line));
        }
    }

    /// The prompt of a picture.
    pub(super) fn of(&self, picture: &Path) -> Result<&str> {
        let table = match self {
            Self::All(prompt) => return Ok(prompt),
            Self::Each(table) => table,
        };
        let by_name = || table.by_name.get(picture);
        let index = match table.by_path.get(&key(picture)) {
            Some(index) => *index,
            None => match by_name() {
                Some(Match::One(index)) => *index,
                Some(Match::Ambiguous) => bail!(
                    "{} has no record with this path, and the name alone is not enough to tell which",
                    table.name
                ),
                None => bail!("{} has no prompt for this picture", table.name),
            },
        };
        Ok(&table.prompts[index].prompt)
    }
}

impl Table {
    fn add(&mut self, entry: Entry) -> Result<()> {
        let index = self.prompts.len();
        match self.by_path.get(&key(Path::new(&entry.path))) {
            Some(before) if self.prompts[*before].prompt != entry.prompt => {
                bail!("--from {}: {} has two prompts", self.name, entry.path)
            }
            Some(_) => {}
            None => {
                self.by_path.insert(key(Path::new(&entry.path)), index);
                self.prompts.push(entry);
            }
        }
        Ok(())
    }

    fn match_names(&mut self, sources: &[Source]) {
        let mut records: HashMap<OsString, Vec<usize>> = HashMap::new();
        for (index, entry) in self.prompts.iter().enumerate() {
            if let Some(name) = Path::new(&entry.path).file_name() {
                records.entry(name.to_owned()).or_default().push(index);
            }
        }
        let mut used = HashSet::new();
        let mut pictures: HashMap<OsString, HashSet<&Path>> = HashMap::new();
        for source in sources {
            match self.by_path.get(&key(source.path())) {
                Some(index) => {
                    used.insert(*index);
                }
                None => {
                    if let Some(name) = source.path().file_name() {
                        pictures
                            .entry(name.to_owned())
                            .or_default()
                            .insert(source.path());
                    }
                }
            }
        }
        for (name, pictures) in pictures {
            let Some(records) = records.get(&name) else {
                continue;
            };
            for picture in &pictures {
                let found = match records[..] {
                    [index] if pictures.len() == 1 && !used.contains(&index) => Match::One(index),
                    _ => Match::Ambiguous,
                };
                self.by_name.insert(picture.to_path_buf(), found);
            }
            used.extend(records);
        }
        let unused = self
            .prompts
            .iter()
            .enumerate()
            .filter(|(index, _)| !used.contains(index));
        self.unused = unused.map(|(_, entry)| entry.path.clone()).collect();
    }
}

/// A path without detours, from the root on; links are not followed.
fn key(path: &Path) -> PathBuf {
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The records of a file that name a picture.
fn entries(file: &Path) -> Result<Vec<Entry>> {
    let entry = |record: PromptRecord| {
        let prompt = record.prompt;
        record.path.map(|path| Entry { path, prompt })
    };
    let records = prompt_records::read(file, true)?;
    Ok(records.into_iter().filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(table: &str, pictures: &[&str]) -> Prompts {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), table).unwrap();
        let sources: Vec<Source> = pictures
            .iter()
            .map(|path| Source::File(path.into()))
            .collect();
        Prompts::read(file.path(), &sources).unwrap()
    }

    #[test]
    fn paths_count_before_names_and_names_only_where_they_are_one() {
        let pictures = [
            "a/x.png",
            "./b/x.png",
            "c/y.png",
            "d/z.png",
            "e/z.png",
            "f/w.png",
        ];
        let records = "{\"path\":\"a/x.png\",\"prompt\":\"ax\",\"embedding\":[1]}\n\
            {\"path\":\"b//x.png\",\"prompt\":\"bx\"}\n\
            {\"path\":\"/elsewhere/y.png\",\"prompt\":\"y\"}\n\
            {\"path\":\"z.png\",\"prompt\":\"z\"}\n\
            {\"path\":\"v.png\",\"error\":\"broken\"}\n\
            {\"path\":\"u.png\",\"prompt\":\"u\"}\n";
        let prompts = prompts(records, &pictures);
        let of = |path: &str| {
            prompts
                .of(Path::new(path))
                .map_err(|error| error.to_string())
        };
        assert_eq!(of("a/x.png").unwrap(), "ax");
        assert_eq!(of("./b/x.png").unwrap(), "bx");
        assert_eq!(of("c/y.png").unwrap(), "y");
        assert!(of("d/z.png").unwrap_err().contains("name alone"));
        assert!(of("e/z.png").unwrap_err().contains("name alone"));
        assert!(of("f/w.png").unwrap_err().contains("no prompt for this"));
        let Prompts::Each(table) = prompts else {
            panic!("one for each")
        };
        assert_eq!(table.unused, ["u.png"]);
    }

    #[test]
    fn every_form_of_records_is_read() {
        for table in [
            "path,prompt\na.png,\"x, y\"\n",
            "\u{feff}image,prompt\r\nfolder/a.png,\"x, y\"\r\n",
            "Filename,mode,Prompt\na.png,fast,\"x, y\"\n",
            "[{\"path\":\"a.png\",\"prompt\":\"x, y\"}]",
            "\n\n{\"path\":\"a.png\",\"prompt\":\"x, y\"}",
        ] {
            let prompts = prompts(table, &["a.png"]);
            assert_eq!(prompts.of(Path::new("a.png")).unwrap(), "x, y", "{table}");
        }
        for table in ["", "a,b\n1,2\n", "path,prompt\n", "{\"path\":", "[1]"] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), table).unwrap();
            assert!(Prompts::read(file.path(), &[]).is_err(), "{table}");
        }
        let twice = "path,prompt\na.png,x\na.png,y\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), twice).unwrap();
        assert!(Prompts::read(file.path(), &[]).is_err());
    }
}
