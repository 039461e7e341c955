//! The pictures of a job: files, members of tar files, rows of parquet files.

use anyhow::{Context, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use glob::Pattern;
use serde_json::{Map, Value};
use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    path::{Path, PathBuf},
    sync::Arc,
};
use unprompt::{
    Source, SourceList,
    data::{DataError, Limits, PictureTable, RecordError, read_tar_picture, tar_pictures},
    job::Item,
    source_list,
};

/// The longest line of a file of paths.
const LONGEST_PATH: usize = 1 << 16;

/// Keys of an item. `path` is what records show; the others say where the bytes are.
const PATH: &str = "path";
const FILE: &str = "file";
const FILE_BYTES: &str = "file_bytes";
const OFFSET: &str = "offset";
const LENGTH: &str = "length";
const ROW: &str = "row";
const REFUSED: &str = "refused";

/// The items that a command line names.
pub(super) fn items(
    paths: &[PathBuf],
    from: Option<&Path>,
    exclude: &[String],
) -> Result<Box<dyn Iterator<Item = Item>>> {
    let mut found = source_list(paths, &[])?;
    if found.iter().any(|source| source == Source::Stdin) {
        bail!("--job: a picture on standard input is gone when the job goes on; give a file");
    }
    if let Some(from) = from {
        listed(from, &mut found).with_context(|| format!("--from {}", from.display()))?;
    }
    let exclude = Exclude::new(exclude)?;
    let items = found.into_iter().flat_map(expand);
    Ok(Box::new(
        items.filter(move |item| !exclude.matches(&item.id)),
    ))
}

/// Adds the sources of a file of paths. One that is not there is an item that fails, as it would be if it
/// went away later.
fn listed(from: &Path, found: &mut SourceList) -> Result<()> {
    let reader: Box<dyn BufRead> = if from == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(from)?))
    };
    for line in reader.split(b'\n') {
        let line = line?;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.is_empty() {
            continue;
        }
        if line.len() > LONGEST_PATH {
            bail!("a line is longer than {LONGEST_PATH} bytes: this is no list of paths");
        }
        let path = path_of(line)?;
        if path.is_dir() {
            found.extend(source_list(&[path], &[])?);
        } else {
            found.push(Source::File(path));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn path_of(line: &[u8]) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(std::ffi::OsStr::from_bytes(line).into())
}

#[cfg(not(unix))]
fn path_of(line: &[u8]) -> Result<PathBuf> {
    let text = std::str::from_utf8(line).context("a path is not UTF-8")?;
    Ok(text.into())
}

/// What is left out.
struct Exclude {
    patterns: Vec<(Pattern, bool)>,
}

impl Exclude {
    fn new(globs: &[String]) -> Result<Self> {
        let pattern = |glob: &String| {
            let pattern = Pattern::new(glob).with_context(|| format!("--exclude {glob}"))?;
            Ok((pattern, glob.contains('/')))
        };
        let patterns: Result<_> = globs.iter().map(pattern).collect();
        Ok(Self {
            patterns: patterns?,
        })
    }

    fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let matches = |(pattern, whole): &(Pattern, bool)| match whole {
            true => pattern.matches(path),
            false => pattern.matches(name),
        };
        self.patterns.iter().any(matches)
    }
}

/// The pictures of a source: itself, or those that are inside.
fn expand(source: Source) -> Box<dyn Iterator<Item = Item>> {
    let limits = Limits::default();
    let path = match source {
        Source::File(path) => path,
        Source::Unreadable(path, why) => {
            let shown = path.to_string_lossy().into_owned();
            return Box::new(std::iter::once(item(shown, [(REFUSED, why.into())])));
        }
        Source::Stdin | Source::Memory(..) | Source::Pixels(..) => {
            return Box::new(std::iter::empty());
        }
    };
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let is_file = path.is_file();
    if is_file && ending == "tar" {
        let pictures = tar_pictures(&path, limits);
        return Box::new(pictures.map(move |picture| match picture {
            Ok(picture) => {
                let shown = format!("{}/{}", path.display(), picture.name);
                let place = [
                    (OFFSET, picture.offset.into()),
                    (LENGTH, picture.length.into()),
                ];
                with_file(item(shown, place), &path)
            }
            Err(error) => refused(&path, &error),
        }));
    }
    if is_file && ending == "parquet" {
        return rows(path, limits);
    }
    let shown = path.to_string_lossy().into_owned();
    let item = item(shown, []);
    Box::new(std::iter::once(match path.to_str() {
        Some(_) => item,
        None => with_file(item, &path),
    }))
}

/// The pictures of a parquet file.
fn rows(path: PathBuf, limits: Limits) -> Box<dyn Iterator<Item = Item>> {
    let table = match PictureTable::open(&path, limits) {
        Ok(table) => table,
        Err(error) => return Box::new(std::iter::once(refused_table(&path, &error))),
    };
    if let Some(rows) = table.picture_rows() {
        return Box::new((0..rows).map(move |row| {
            let shown = format!("{}/{row}", path.display());
            with_file(item(shown, [(ROW, row.into())]), &path)
        }));
    }
    match table.paths() {
        Ok(paths) => Box::new(paths.map(move |found| match found {
            Ok(found) => item(found.to_string_lossy().into_owned(), []),
            Err(error) => refused(&path, &error),
        })),
        Err(error) => Box::new(std::iter::once(refused_table(&path, &error))),
    }
}

/// A table that cannot be read. Its name stands before the error anyway.
fn refused_table(path: &Path, error: &DataError) -> Item {
    let shown = path.to_string_lossy().into_owned();
    let why = error.to_string();
    let why = why.strip_prefix(&format!("{shown}: ")).unwrap_or(&why);
    let why = why.to_owned();
    item(shown, [(REFUSED, why.into())])
}

/// Something in an archive or a table that is no picture.
fn refused(path: &Path, error: &RecordError) -> Item {
    let name = path.to_string_lossy();
    // What is wrong with the archive itself is called by its name.
    let shown = match error.id.starts_with(name.as_ref()) {
        true => error.id.clone(),
        false => format!("{name}/{}", error.id),
    };
    item(shown, [(REFUSED, error.problem.to_string().into())])
}

/// The file that an item is in.
pub(super) fn file(item: &Item) -> Option<PathBuf> {
    let text = |key: &str| item.fields.get(key).and_then(Value::as_str);
    let bytes = text(FILE_BYTES).and_then(|bytes| BASE64_STANDARD.decode(bytes).ok());
    match (text(FILE), bytes) {
        (Some(file), _) => Some(file.into()),
        (None, Some(bytes)) => path_of(&bytes).ok(),
        (None, None) => text(PATH).map(Into::into),
    }
}

fn item<const N: usize>(shown: String, fields: [(&str, Value); N]) -> Item {
    let mut all = Map::new();
    all.insert(PATH.into(), shown.clone().into());
    for (key, value) in fields {
        all.insert(key.into(), value);
    }
    Item {
        id: shown,
        fields: all,
    }
}

/// With the file that its bytes are in, whatever its name is.
fn with_file(mut item: Item, file: &Path) -> Item {
    let (key, value) = match file.to_str() {
        Some(text) => (FILE, text.to_owned()),
        None => {
            let bytes = file.as_os_str().as_encoded_bytes();
            (FILE_BYTES, BASE64_STANDARD.encode(bytes))
        }
    };
    item.fields.insert(key.into(), value.into());
    item
}

/// Turns items into what is read.
#[derive(Default)]
pub(super) struct Opener {
    /// The table that was last read of.
    table: Option<(PathBuf, PictureTable)>,
}

impl Opener {
    /// What an item is read from. Bytes inside of other files are read now.
    pub(super) fn source(&mut self, item: &Item) -> Source {
        let text = |key: &str| item.fields.get(key).and_then(Value::as_str);
        let number = |key: &str| item.fields.get(key).and_then(Value::as_u64);
        let shown = PathBuf::from(text(PATH).unwrap_or(&item.id));
        if let Some(why) = text(REFUSED) {
            return Source::Unreadable(shown, why.to_owned());
        }
        let Some(file) = file(item) else {
            return Source::Unreadable(shown, "the list does not say where it is".to_owned());
        };
        let limits = Limits::default();
        let read = match (number(OFFSET), number(LENGTH), number(ROW)) {
            (Some(offset), Some(length), _) => {
                let read = read_tar_picture(&file, offset, length, limits);
                read.map_err(|error| error.to_string())
            }
            (_, _, Some(row)) => self.row(&file, row, limits),
            _ => return Source::File(file),
        };
        match read {
            Ok(bytes) => Source::Memory(shown, Arc::from(bytes)),
            Err(error) => Source::Unreadable(shown, error),
        }
    }

    fn row(&mut self, file: &Path, row: u64, limits: Limits) -> Result<Vec<u8>, String> {
        if self.table.as_ref().is_none_or(|(path, _)| path != file) {
            let table = PictureTable::open(file, limits).map_err(|error| error.to_string())?;
            self.table = Some((file.to_owned(), table));
        }
        match &mut self.table {
            Some((_, table)) => table.read(row).map_err(|error| error.to_string()),
            None => Err("the table went away".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_look_at_names_or_at_whole_paths() {
        let globs = ["*.gif", "thumb*", "**/raw/**"].map(String::from);
        let exclude = Exclude::new(&globs).unwrap();
        for (path, expected) in [
            ("a/b.gif", true),
            ("a/thumb-1.png", true),
            ("thumbs/a.png", false),
            ("a/raw/b/c.png", true),
            ("a/rawer/c.png", false),
            ("x.tar/thumb.jpg", true),
        ] {
            assert_eq!(exclude.matches(path), expected, "{path}");
        }
        assert!(Exclude::new(&["[".into()]).is_err());
    }

    #[test]
    fn what_is_read_is_what_was_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, b"picture").unwrap();
        let list = folder.path().join("list.txt");
        let missing = folder.path().join("missing.png");
        let text = format!("{}\n\n{}\r\n", path.display(), missing.display());
        std::fs::write(&list, text).unwrap();
        let found: Vec<Item> = items(&[], Some(&list), &[]).unwrap().collect();
        let mut opener = Opener::default();
        let sources: Vec<Source> = found.iter().map(|item| opener.source(item)).collect();
        assert_eq!(sources, [Source::File(path), Source::File(missing)]);
        assert!(items(&["-".into()], None, &[]).is_err());
    }
}
