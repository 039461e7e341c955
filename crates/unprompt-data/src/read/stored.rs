//! Pictures inside other files, with or without captions: where each is, and its bytes.

use super::members::{Members, read_range, split};
use crate::{DataError, Limits, RecordError, RecordProblem, read::pictures::stays_inside};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};
use unprompt_table::{ByteArrayType, Column, Table, TableError};

/// Columns that hold pictures, in the order in which they are looked for. `image.bytes` is what Hugging
/// Face's data sets have.
const BYTES: [&str; 8] = [
    "image.bytes",
    "bytes",
    "image_bytes",
    "image",
    "picture",
    "jpg",
    "png",
    "webp",
];
/// Columns that hold paths of pictures.
const PATHS: [&str; 6] = [
    "path",
    "image_path",
    "file_name",
    "filename",
    "file",
    "image",
];
/// Pictures by their endings in a tar file.
const ENDINGS: [&str; 9] = [
    "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jfif",
];
/// Paths that are read together.
const BATCH: usize = 1024;

/// A picture in a tar file: a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarPicture {
    /// The member's name.
    pub name: String,
    /// Where its bytes begin in the tar file.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// The pictures of a tar file in their order; members that are none, such as captions, are passed over.
/// Only headers are read. What cannot be a picture of this archive (a link, a name that leads out of it,
/// more bytes than the limit, or bytes that are not there) is an error in its place; where the archive
/// is damaged, one error is the last item.
pub fn tar_pictures(
    path: &Path,
    limits: Limits,
) -> impl Iterator<Item = Result<TarPicture, RecordError>> + use<> {
    let mut members = Members::new(path.to_owned());
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            let member = match members.next() {
                Ok(Some(member)) => member,
                Ok(None) => return None,
                Err(error) => {
                    ended = true;
                    let id = members.path().to_string_lossy();
                    return Some(Err(RecordProblem::Archive(error).of(id)));
                }
            };
            // The last part of the ending: `a.b.jpg` is a picture too, whatever its key is.
            let ending = split(&member.name).1;
            let ending = ending.rsplit('.').next().unwrap_or_default();
            let ending = ending.to_ascii_lowercase();
            if member.is_nothing() || !ENDINGS.contains(&ending.as_str()) {
                continue;
            }
            let whole = std::fs::metadata(members.path()).map_or(0, |found| found.len());
            let end = member.offset.checked_add(member.length);
            let most = limits.picture;
            let problem = match member.other_kind() {
                Some(what) => Some(RecordProblem::NotAFile(what)),
                None if member.leads_out() => Some(RecordProblem::Traversal),
                None if member.length > most => Some(RecordProblem::TooLarge { most }),
                None if end.is_none_or(|end| end > whole) => {
                    let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                    Some(RecordProblem::Archive(cut))
                }
                None => None,
            };
            return Some(match problem {
                Some(problem) => Err(problem.of(member.name)),
                None => Ok(TarPicture {
                    name: member.name,
                    offset: member.offset,
                    length: member.length,
                }),
            });
        }
        None
    })
}

/// The bytes of a picture in a tar file.
///
/// # Errors
/// When the file cannot be read, ends before them, or they are more than the limit.
pub fn read_tar_picture(
    path: &Path,
    offset: u64,
    length: u64,
    limits: Limits,
) -> Result<Vec<u8>, RecordProblem> {
    let most = limits.picture;
    if length > most {
        return Err(RecordProblem::TooLarge { most });
    }
    Ok(read_range(path, offset, length)?)
}

/// A parquet file with a column of pictures, or of their paths.
pub struct PictureTable {
    path: PathBuf,
    table: Table,
    column: String,
    is_bytes: bool,
    limits: Limits,
    /// The column where it was last read, and the row that follows there.
    reader: Option<(Column<ByteArrayType>, u64)>,
}

impl PictureTable {
    /// Opens a file and finds the column.
    ///
    /// # Errors
    /// When it is no parquet file, is damaged or has no such column.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| DataError::io(path, error))?;
        let failed = |error: TableError| DataError::list(path, error.message);
        let table = Table::open(path, file).map_err(failed)?;
        table.rows().map_err(failed)?;
        let columns = table.columns();
        let find = |names: &[&str], text: bool| {
            let is_it = |name: &&&str| {
                let column = columns.iter().find(|column| column.name == **name);
                column.is_some_and(|column| {
                    column.is_bytes && column.is_text == text && !column.is_repeated
                })
            };
            names.iter().find(is_it).map(|name| (*name).to_owned())
        };
        let found = find(&BYTES, false).map(|name| (name, true));
        let found = found.or_else(|| Some((find(&PATHS, true)?, false)));
        let (column, is_bytes) = found.ok_or_else(|| {
            let message = format!(
                "no column has pictures ({}) or their paths ({})",
                BYTES.join(", "),
                PATHS.join(", ")
            );
            DataError::list(path, message)
        })?;
        Ok(Self {
            path: path.to_owned(),
            table,
            column,
            is_bytes,
            limits,
            reader: None,
        })
    }

    /// The column of the pictures, or of their paths.
    pub(super) fn column(&self) -> &str {
        &self.column
    }

    /// How many rows have pictures in them; `None` where the rows have paths.
    pub fn picture_rows(&self) -> Option<u64> {
        let rows = self.table.rows().unwrap_or_default();
        self.is_bytes.then_some(rows)
    }

    /// The paths, relative to the file's own folder, out of which none of them leads. A damaged column
    /// ends with one error.
    ///
    /// # Errors
    /// When the column cannot be read at all.
    pub fn paths(
        &self,
    ) -> Result<impl Iterator<Item = Result<PathBuf, RecordError>> + use<>, DataError> {
        let failed = |error: TableError| DataError::list(&self.path, error.message);
        let column = self.table.column::<ByteArrayType>(&self.column, BATCH);
        let column = column.map_err(failed)?;
        let table = self.path.clone();
        let folder = super::folder_of(&self.path).to_owned();
        let mut ended = false;
        let paths = column.enumerate().map_while(move |(row, value)| {
            if ended {
                return None;
            }
            let id = format!("{}/{row}", table.display());
            Some(match value {
                Err(error) => {
                    ended = true;
                    Err(RecordProblem::Malformed(error.message).of(id))
                }
                Ok(None) => Err(RecordProblem::NoPicture.of(id)),
                Ok(Some(bytes)) => match std::str::from_utf8(bytes.data()) {
                    Ok(name) if stays_inside(name) => Ok(folder.join(name)),
                    Ok(_) => Err(RecordProblem::Traversal.of(id)),
                    Err(error) => Err(RecordProblem::Malformed(error.to_string()).of(id)),
                },
            })
        });
        Ok(paths)
    }

    /// The picture of a row. Rows are read fastest in their order.
    ///
    /// # Errors
    /// When the row has none, is damaged or longer than the limit.
    pub fn read(&mut self, row: u64) -> Result<Vec<u8>, RecordProblem> {
        let damaged = |error: TableError| RecordProblem::Malformed(error.message);
        let (mut column, next) = match self.reader.take() {
            Some((column, next)) if next <= row => (column, next),
            _ => {
                let column = self.table.column(&self.column, 1);
                (column.map_err(damaged)?, 0)
            }
        };
        column.skip_rows(row - next).map_err(damaged)?;
        let value = column.next().ok_or(RecordProblem::NoPicture)?;
        let value = value.map_err(damaged)?;
        self.reader = Some((column, row + 1));
        let value = value.ok_or(RecordProblem::NoPicture)?;
        let most = self.limits.picture;
        if value.data().len() as u64 > most {
            return Err(RecordProblem::TooLarge { most });
        }
        Ok(value.data().to_vec())
    }
}
