//! The layout that clip-retrieval and autofaiss read: `img_emb/img_emb_0.npy`, a matrix of f32, and
//! `metadata/metadata_0.parquet`, whose rows belong to those of the matrix.

use crate::{
    ColumnKind, Job, JobError,
    error::Result,
    merge::{check, unwrapped},
    part::{self, WholePart},
    record::{Column, ERROR},
};
use std::{
    fs,
    io::{self, Write},
    path::Path,
};
use unprompt_files::write_by;
use unprompt_table::Cell;

/// What clip-retrieval calls the path of a picture and what is said about it.
const NAMES: [(&str, &str); 2] = [("path", "image_path"), ("prompt", "caption")];

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipRetrieval {
    /// Rows: records with a vector.
    pub rows: u64,
    /// Numbers of each.
    pub width: usize,
    /// Records without one, which are left out.
    pub left_out: u64,
}

/// Writes the records that have a vector into a folder, each of its two files all or nothing. Their
/// columns are those of the job, with the names that clip-retrieval gives them.
///
/// # Errors
/// When the records have no vector, a part is missing or damaged, or nothing can be written.
pub fn write_clip_retrieval(
    job: &Job,
    folder: &Path,
    mut progress: impl FnMut(u64),
) -> Result<ClipRetrieval> {
    let merged = check(job)?;
    let columns = job.columns();
    let vector = columns
        .iter()
        .enumerate()
        .find_map(|(index, column)| match column.kind {
            ColumnKind::Vector(width) => Some((index, width)),
            _ => None,
        });
    let Some((place, width)) = vector else {
        let message = format!(
            "records of `{}` have no embedding; only those of predict and of embed image make this layout",
            job.manifest().work.command
        );
        return Err(JobError::refused(job.folder(), message));
    };
    let rows = |part: usize| -> Result<Vec<Vec<Cell>>> {
        let rows = WholePart::read(job, part)?.rows(columns, &job.part_path(part))?;
        let has_vector = |row: &Vec<Cell>| matches!(row.get(place), Some(Cell::Vector(_)));
        Ok(rows.into_iter().filter(has_vector).collect())
    };

    // A record without an error has its vector; what is counted here is checked below.
    let count = merged.records - merged.failures;
    let path = file_in(folder, "img_emb", "img_emb_0.npy")?;
    let mut written = 0;
    write_by(
        &path,
        || job.step(),
        |file| {
            file.write_all(&npy_header(count, width))?;
            for part in 0..job.parts() {
                for row in rows(part).map_err(io::Error::other)? {
                    if let Some(Cell::Vector(vector)) = row.get(place) {
                        for number in vector {
                            file.write_all(&number.to_le_bytes())?;
                        }
                        written += 1;
                    }
                }
                progress(job.part_len(part));
            }
            match written == count {
                true => Ok(()),
                false => Err(io::Error::other(
                    "records without an embedding nor an error",
                )),
            }
        },
    )
    .map_err(|error| unwrapped(error, &path))?;

    let path = file_in(folder, "metadata", "metadata_0.parquet")?;
    let kept = |index: &usize| *index != place && columns[*index].name != ERROR;
    let kept: Vec<usize> = (0..columns.len()).filter(kept).collect();
    let named: Vec<Column> = kept.iter().map(|index| named(&columns[*index])).collect();
    let groups = (0..job.parts()).map(|part| {
        let cells = |row: Vec<Cell>| kept.iter().map(|index| row[*index].clone()).collect();
        let rows: Vec<Vec<Cell>> = rows(part)?.into_iter().map(cells).collect();
        Ok(rows)
    });
    write_by(
        &path,
        || job.step(),
        |file| part::write_table(file, &named, &[], groups),
    )
    .map_err(|error| unwrapped(error, &path))?;
    Ok(ClipRetrieval {
        rows: count,
        width,
        left_out: merged.failures,
    })
}

fn named(column: &Column) -> Column {
    let other = NAMES.iter().find(|(ours, _)| *ours == column.name);
    Column::new(
        other.map_or(&column.name, |(_, theirs)| theirs),
        column.kind,
    )
}

fn file_in(folder: &Path, name: &str, file: &str) -> Result<std::path::PathBuf> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).map_err(JobError::io(&folder))?;
    Ok(folder.join(file))
}

/// Version 1.0 of NumPy's format: a matrix of little-endian f32, row by row.
fn npy_header(rows: u64, width: usize) -> Vec<u8> {
    const ALIGNMENT: usize = 64;
    const BEFORE: usize = 10;
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    // The header ends with a line feed at a multiple of the alignment.
    let length = (BEFORE + text.len() + 1).next_multiple_of(ALIGNMENT) - BEFORE;
    text.push_str(&" ".repeat(length - 1 - text.len()));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::npy_header;

    #[test]
    fn the_header_is_numpy_s() {
        // numpy.save of zeros((3, 2), "<f4"), its first 128 bytes.
        let header = npy_header(3, 2);
        assert_eq!(header.len(), 128);
        assert!(header.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', "));
        assert!(header.ends_with(b" \n"));
    }
}
