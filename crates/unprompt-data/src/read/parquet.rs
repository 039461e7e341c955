//! Parquet files with a column of captions: pictures in a column beside it, as Hugging Face's data sets
//! have them, or named by one; and DiffusionDB's `metadata.parquet`, whose pictures are in its parts.

use super::{
    Records, diffusiondb, files_of, folder_of,
    pictures::{Pictures, read_file, stays_inside},
    stored::PictureTable,
};
use crate::{DataError, Limits, RecordError, RecordProblem, Sample, SourceSpec};
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use unprompt_table::{ByteArray, ByteArrayType, Column, Int32Type, Lists, Table, TableError};

/// Columns that hold captions, in the order in which they are looked for.
const TEXTS: [&str; 6] = ["prompt", "caption", "text", "TEXT", "CAPTION", "alt_text"];
/// DiffusionDB's columns of the pictures' names and of the parts that they are in.
const NAME: &str = "image_name";
const PART: &str = "part_id";
/// Captions that are read together.
const BATCH: usize = 1024;

/// One file, or the parquet files of a folder in order of their names.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let paths = files_of(&spec.path, "parquet")?;
    // The first is opened now, so that a file of another kind is an error of the whole source.
    let first = match paths.first() {
        Some(path) => rows(spec, path, limits)?,
        None => return Err(DataError::list(&spec.path, "no parquet file is in it")),
    };
    let spec = spec.clone();
    let rest = paths.into_iter().skip(1).flat_map(move |path| {
        let opened = rows(&spec, &path, limits);
        opened.unwrap_or_else(|error| {
            let id = path.to_string_lossy().into_owned();
            let problem = RecordProblem::Malformed(error.to_string());
            Box::new(std::iter::once(Err(problem.of(id))))
        })
    });
    Ok(Box::new(first.chain(rest)))
}

/// The rows of one file.
fn rows(spec: &SourceSpec, path: &Path, limits: Limits) -> Result<Records, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, error))?;
    let failed = |error: TableError| DataError::list(path, error.message);
    let table = Table::open(path, file).map_err(failed)?;
    let columns = table.columns();
    let find = |wanted: &str| columns.iter().find(|column| column.name == wanted);
    let is_text = |wanted: &str| find(wanted).is_some_and(|one| one.is_bytes && !one.is_repeated);
    // `caption.list.element`, or however its writer calls what is inside.
    let is_list = |wanted: &str| {
        let inside = |name: &str| name.strip_prefix(wanted)?.strip_prefix('.').map(drop);
        let mut columns = columns.iter();
        columns.any(|one| one.is_bytes && one.is_repeated && inside(&one.name).is_some())
    };
    let one = TEXTS.into_iter().find(|name| is_text(name));
    let captions = match (one, TEXTS.into_iter().find(|name| is_list(name))) {
        (Some(name), _) => Captions::One(table.column(name, BATCH).map_err(failed)?),
        (None, Some(name)) => Captions::Several(table.lists(name, BATCH).map_err(failed)?),
        (None, None) => {
            let message = format!("no column has captions ({})", TEXTS.join(", "));
            return Err(DataError::list(path, message));
        }
    };
    let pictures: Box<dyn RowPictures> = if is_text(NAME) && find(PART).is_some() {
        Box::new(Parts {
            names: table.column(NAME, BATCH).map_err(failed)?,
            parts: table.column(PART, BATCH).map_err(failed)?,
            folder: spec
                .images
                .clone()
                .unwrap_or_else(|| folder_of(path).to_owned()),
            open: None,
            limits,
        })
    } else {
        let pictures = PictureTable::open(path, limits)?;
        match pictures.picture_rows() {
            Some(_) => Box::new(Bytes { pictures, row: 0 }),
            None => Box::new(Named {
                names: table.column(pictures.column(), BATCH).map_err(failed)?,
                pictures: Pictures::of(spec, path, limits),
            }),
        }
    };
    Ok(Box::new(Rows {
        captions,
        pictures,
        file: path.to_string_lossy().into_owned(),
        row: 0,
        ended: false,
        limits,
    }))
}

/// The bytes of a picture and what it is called, if that is not its row.
type NamedPicture = (Option<String>, Vec<u8>);

/// Where the pictures of rows are.
trait RowPictures: Send {
    /// The picture of the next row; `None` where the row is to be passed over.
    fn next(&mut self) -> Result<Option<NamedPicture>, RowProblem>;
}

/// What is wrong with the picture of a row.
enum RowProblem {
    /// Of this row alone, with the picture's name where it is known.
    Row(Option<String>, RecordProblem),
    /// Of the file: no later row can be read either.
    File(TableError),
}

/// A column of captions.
enum Captions {
    /// One a picture.
    One(Column<ByteArrayType>),
    /// A list of them.
    Several(Lists<ByteArrayType>),
}

impl Captions {
    /// The captions of the next row, as bytes; `None` at the end.
    fn next(&mut self) -> Option<Result<Vec<ByteArray>, TableError>> {
        match self {
            Self::One(column) => Some(column.next()?.map(|one| one.into_iter().collect())),
            Self::Several(lists) => Some(lists.next()?.map(Option::unwrap_or_default)),
        }
    }
}

/// Captions with their pictures, row by row.
struct Rows {
    captions: Captions,
    pictures: Box<dyn RowPictures>,
    file: String,
    row: u64,
    ended: bool,
    limits: Limits,
}

impl Iterator for Rows {
    type Item = Result<Sample, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let id = format!("{}/{}", self.file, self.row);
            let captions = self.captions.next()?;
            self.row += 1;
            // The picture is passed even where the caption is bad: both go row by row.
            let picture = self.pictures.next();
            let damaged = |error: TableError| RecordProblem::Malformed(error.message);
            let captions = match captions {
                Ok(captions) => captions,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(damaged(error).of(id)));
                }
            };
            let (id, picture) = match picture {
                Ok(Some((name, picture))) => (name.unwrap_or(id), picture),
                Ok(None) => continue,
                Err(RowProblem::Row(name, problem)) => {
                    return Some(Err(problem.of(name.unwrap_or(id))));
                }
                Err(RowProblem::File(error)) => {
                    self.ended = true;
                    return Some(Err(damaged(error).of(id)));
                }
            };
            let captions = captions.into_iter().map(|caption| self.text(&caption));
            return Some(match captions.collect::<Result<Vec<String>, _>>() {
                Ok(captions) if captions.is_empty() => Err(RecordProblem::NoCaption.of(id)),
                Ok(captions) => Ok(Sample {
                    id,
                    picture,
                    captions,
                }),
                Err(problem) => Err(problem.of(id)),
            });
        }
        None
    }
}

impl Rows {
    /// A caption that is no longer than the limit.
    fn text(&self, caption: &ByteArray) -> Result<String, RecordProblem> {
        let most = self.limits.text;
        if caption.data().len() as u64 > most {
            return Err(RecordProblem::TooLarge { most });
        }
        String::from_utf8(caption.data().to_vec())
            .map_err(|error| RecordProblem::Malformed(error.to_string()))
    }
}

/// Pictures in a column.
struct Bytes {
    pictures: PictureTable,
    row: u64,
}

impl RowPictures for Bytes {
    fn next(&mut self) -> Result<Option<NamedPicture>, RowProblem> {
        let row = self.row;
        self.row += 1;
        let picture = self.pictures.read(row);
        let picture = picture.map_err(|problem| RowProblem::Row(None, problem))?;
        Ok(Some((None, picture)))
    }
}

/// Pictures that a column names.
struct Named {
    names: Column<ByteArrayType>,
    pictures: Pictures,
}

impl RowPictures for Named {
    fn next(&mut self) -> Result<Option<NamedPicture>, RowProblem> {
        let name = next_text(&mut self.names)?;
        match self.pictures.read(&name) {
            Ok(picture) => Ok(Some((Some(name), picture))),
            Err(problem) => Err(RowProblem::Row(Some(name), problem)),
        }
    }
}

/// DiffusionDB's pictures: `part-000001.zip`, or a folder of that name, beside the table or in its
/// folder `images`. Rows of parts that are not here are passed over: who has one part of two thousand has
/// the whole table.
struct Parts {
    names: Column<ByteArrayType>,
    parts: Column<Int32Type>,
    folder: PathBuf,
    /// The part that was read last.
    open: Option<(i32, Part)>,
    limits: Limits,
}

enum Part {
    Zip(diffusiondb::Part),
    Folder(PathBuf),
    /// It is there and cannot be read: its first row has said so.
    Damaged,
    Missing,
}

impl Parts {
    /// Opens a part; what is wrong with it is said once.
    fn open(&self, part: i32) -> Result<Part, RecordError> {
        let name = format!("part-{part:06}");
        for folder in [self.folder.clone(), self.folder.join("images")] {
            let zip = folder.join(format!("{name}.zip"));
            if zip.is_file() {
                let opened = diffusiondb::open_part(&zip);
                return opened
                    .map(Part::Zip)
                    .map_err(|problem| problem.of(zip.to_string_lossy()));
            }
            let folder = folder.join(&name);
            if folder.is_dir() {
                return Ok(Part::Folder(folder));
            }
        }
        Ok(Part::Missing)
    }
}

impl RowPictures for Parts {
    fn next(&mut self) -> Result<Option<NamedPicture>, RowProblem> {
        let name = next_text(&mut self.names);
        let part = match self.parts.next() {
            Some(Ok(Some(part))) => part,
            Some(Ok(None)) | None => {
                return Err(RowProblem::Row(None, RecordProblem::NoPicture));
            }
            Some(Err(error)) => return Err(RowProblem::File(error)),
        };
        let name = name?;
        if self.open.as_ref().is_none_or(|(open, _)| *open != part) {
            match self.open(part) {
                Ok(opened) => self.open = Some((part, opened)),
                Err(error) => {
                    self.open = Some((part, Part::Damaged));
                    return Err(RowProblem::Row(Some(error.id), error.problem));
                }
            }
        }
        let Some((_, part)) = &mut self.open else {
            return Ok(None);
        };
        let picture = match part {
            Part::Zip(archive) => diffusiondb::picture(archive, &name, self.limits.picture),
            Part::Folder(_) if !stays_inside(&name) => Err(RecordProblem::Traversal),
            Part::Folder(folder) => read_file(&folder.join(&name), self.limits.picture),
            Part::Damaged | Part::Missing => return Ok(None),
        };
        match picture {
            Ok(picture) => Ok(Some((Some(name), picture))),
            Err(problem) => Err(RowProblem::Row(Some(name), problem)),
        }
    }
}

/// The next text of a column that names pictures.
fn next_text(column: &mut Column<ByteArrayType>) -> Result<String, RowProblem> {
    match column.next() {
        Some(Ok(Some(bytes))) => String::from_utf8(bytes.data().to_vec())
            .map_err(|error| RowProblem::Row(None, RecordProblem::Malformed(error.to_string()))),
        Some(Ok(None)) | None => Err(RowProblem::Row(None, RecordProblem::NoPicture)),
        Some(Err(error)) => Err(RowProblem::File(error)),
    }
}
