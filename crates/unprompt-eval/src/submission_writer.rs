//! Writes the competition's submission format.

use crate::{
    DIMENSIONS,
    error::{Error, Problem},
    submission::HEADER,
};
use std::{collections::HashSet, fmt::Write as _, io::Write};

/// Writes `imgId_eId,val` rows, image by image.
///
/// Numbers have the fewest digits that give back the same f32, never an exponent, as in the
/// competition's sample_submission.csv.
pub struct SubmissionWriter<W: Write> {
    name: String,
    rows: csv::Writer<W>,
    written: HashSet<String>,
}

impl<W: Write> SubmissionWriter<W> {
    /// Begins a submission with its header. `name` appears in error messages.
    pub fn new(name: &str, out: W) -> Result<Self, Error> {
        let rows = csv::WriterBuilder::new()
            .buffer_capacity(1 << 16)
            .from_writer(out);
        let mut writer = Self {
            name: name.to_owned(),
            rows,
            written: HashSet::new(),
        };
        writer.row(HEADER[0], HEADER[1])?;
        Ok(writer)
    }

    /// Writes the rows of one image.
    ///
    /// `id` is the file's stem, see [`image_id`](crate::image_id); `embedding` has [`DIMENSIONS`]
    /// finite numbers and is written as it is, not normalised.
    ///
    /// # Errors
    /// An id that is empty or was written before (two files whose names differ only in folder or
    /// extension), an embedding of another width or with a number that is not finite. Nothing of
    /// the image has been written then.
    pub fn write(&mut self, id: &str, embedding: &[f32]) -> Result<(), Error> {
        self.check(id, embedding)
            .map_err(|problem| Error::new(&self.name, None, problem))?;
        let (mut key, mut value) = (String::new(), String::new());
        for (dimension, number) in embedding.iter().enumerate() {
            key.clear();
            value.clear();
            // Writing to a text cannot fail.
            let _ = write!(key, "{id}_{dimension}");
            let _ = write!(value, "{number}");
            self.row(&key, &value)?;
        }
        self.written.insert(id.to_owned());
        Ok(())
    }

    /// Ends the submission: everything has reached the writer, which is handed back.
    pub fn finish(self) -> Result<W, Error> {
        let Self { name, rows, .. } = self;
        rows.into_inner().map_err(|cause| {
            let cause = std::io::Error::new(cause.error().kind(), cause.error().to_string());
            Error::new(&name, None, Problem::Io(cause))
        })
    }

    fn check(&self, id: &str, embedding: &[f32]) -> Result<(), Problem> {
        if id.is_empty() {
            return Err(Problem::EmptyId);
        }
        let id = id.to_owned();
        if self.written.contains(&id) {
            return Err(Problem::WrittenTwice { id });
        }
        if embedding.len() != DIMENSIONS {
            return Err(Problem::Width {
                id,
                found: embedding.len(),
            });
        }
        if let Some(dimension) = embedding.iter().position(|value| !value.is_finite()) {
            let text = embedding[dimension].to_string();
            return Err(Problem::NotFinite {
                id,
                dimension,
                text,
            });
        }
        Ok(())
    }

    fn row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let written = self.rows.write_record([key, value]);
        written.map_err(|cause| Error::new(&self.name, None, Problem::Io(cause.into())))
    }
}
