//! The competition's submission format: `imgId_eId,val`, one row for each image and dimension.

use crate::{
    DIMENSIONS,
    answers::{Answer, Answers},
    csv_rows::{Row, Rows},
    error::{Error, Problem, shortened, shortened_bytes},
};
use std::io::BufRead;

/// The header, also written by [`SubmissionWriter`](crate::SubmissionWriter).
pub(crate) const HEADER: [&str; 2] = ["imgId_eId", "val"];

/// Images that may be incomplete at once (300 MiB of numbers). Rows may come in any order, but a
/// file of nothing but first rows must not make us hold a whole embedding for each.
const MAX_OPEN_IMAGES: usize = 100_000;

/// Stands for a dimension not yet seen: a NaN from the file never gets this far.
const UNSEEN: f64 = f64::NAN;

/// Whether this is the header of a submission.
pub(crate) fn is_header(header: &Row) -> bool {
    header
        .fields()
        .map(<[u8]>::trim_ascii)
        .eq(HEADER.map(str::as_bytes))
}

/// Reads the rows after the header.
pub(crate) fn read<R: BufRead>(answers: &mut Answers, mut rows: Rows<R>) -> Result<(), Error> {
    let mut images = Images {
        answers,
        seen: Vec::new(),
        open: 0,
        last: None,
    };
    while rows.advance(images.answers)? {
        images.add_row(rows.row())?;
    }
    images.check_complete()
}

struct Images<'a> {
    answers: &'a mut Answers,
    /// Dimensions seen of each image, by its position in `answers`.
    seen: Vec<usize>,
    open: usize,
    /// Position of the image of the row before: mostly this row's too.
    last: Option<usize>,
}

impl Images<'_> {
    fn add_row(&mut self, row: &Row) -> Result<(), Error> {
        let line = row.line;
        if row.len() != 2 {
            let problem = Problem::FieldCount {
                found: row.len(),
                expected: 2,
            };
            return Err(self.answers.error(line, problem));
        }
        let (id, dimension) = match key(row.field(0)) {
            Ok(key) => key,
            Err(problem) => return Err(self.answers.error(line, problem)),
        };
        let value = match number(id, dimension, row.field(1)) {
            Ok(value) => value,
            Err(problem) => return Err(self.answers.error(line, problem)),
        };
        let position = self.position(id, line)?;
        let Answer::Embedding(embedding) = &mut self.answers.entry_mut(position).answer else {
            unreachable!("a submission holds embeddings only");
        };
        if !embedding[dimension].is_nan() {
            let problem = Problem::DuplicateRow {
                id: id.to_owned(),
                dimension,
            };
            return Err(self.answers.error(line, problem));
        }
        embedding[dimension] = value;
        self.seen[position] += 1;
        if self.seen[position] == DIMENSIONS {
            self.open -= 1;
        }
        Ok(())
    }

    fn position(&mut self, id: &str, line: u64) -> Result<usize, Error> {
        let last = self
            .last
            .filter(|&last| self.answers.entries()[last].id == id);
        let position = match last.or_else(|| self.answers.position(id)) {
            Some(position) => position,
            None => {
                if self.open == MAX_OPEN_IMAGES {
                    let problem = Problem::TooManyOpenImages {
                        limit: MAX_OPEN_IMAGES,
                    };
                    return Err(self.answers.error(line, problem));
                }
                self.open += 1;
                self.seen.push(0);
                let empty = Answer::Embedding(vec![UNSEEN; DIMENSIONS]);
                self.answers.add(id.to_owned(), line, empty)?
            }
        };
        self.last = Some(position);
        Ok(position)
    }

    fn check_complete(&self) -> Result<(), Error> {
        let Some(position) = self.seen.iter().position(|&seen| seen < DIMENSIONS) else {
            return Ok(());
        };
        let entry = &self.answers.entries()[position];
        let dimension = match &entry.answer {
            Answer::Embedding(embedding) => embedding.iter().position(|value| value.is_nan()),
            Answer::Prompt(_) => None,
        };
        let problem = Problem::MissingDimension {
            id: entry.id.clone(),
            dimension: dimension.unwrap_or_default(),
            found: self.seen[position],
        };
        Err(self.answers.error(entry.line, problem))
    }
}

/// Splits `<id>_<dimension>`; the id may hold underscores itself.
fn key(key: &[u8]) -> Result<(&str, usize), Problem> {
    let text = std::str::from_utf8(key).map_err(|_| Problem::NotUtf8 { field: "imgId_eId" })?;
    let malformed = || Problem::RowKey {
        key: shortened(text),
    };
    let (id, digits) = text.rsplit_once('_').ok_or_else(malformed)?;
    let canonical = digits == "0" || !digits.starts_with('0');
    if id.is_empty() || digits.is_empty() || !canonical {
        return Err(malformed());
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    match digits.parse() {
        Ok(dimension) if dimension < DIMENSIONS => Ok((id, dimension)),
        _ => {
            let (id, dimension) = (id.to_owned(), shortened(digits));
            Err(Problem::DimensionOutOfRange { id, dimension })
        }
    }
}

fn number(id: &str, dimension: usize, field: &[u8]) -> Result<f64, Problem> {
    let parsed = std::str::from_utf8(field)
        .ok()
        .and_then(|text| text.trim_ascii().parse().ok());
    match parsed {
        Some(value) if f64::is_finite(value) => Ok(value),
        Some(_) => {
            let (id, text) = (id.to_owned(), shortened_bytes(field));
            Err(Problem::NotFinite {
                id,
                dimension,
                text,
            })
        }
        None => {
            let (id, text) = (id.to_owned(), shortened_bytes(field));
            Err(Problem::BadNumber {
                id,
                dimension,
                text,
            })
        }
    }
}
