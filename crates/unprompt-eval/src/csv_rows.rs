//! CSV rows with the exact line that each begins on.
//!
//! Quoting is RFC 4180's. The csv crate is not used for reading because the line it reports is
//! wrong after blank lines and Windows line ends, and a line is what a person needs here.

use crate::{
    answers::Answers,
    error::{Error, Problem},
    record_limit::MAX_RECORD_BYTES,
};
use std::io::{self, BufRead, Read};

/// Reads rows; blank lines are passed over.
pub(crate) struct Rows<R> {
    reader: R,
    /// Line of the next byte.
    next_line: u64,
    physical_line: Vec<u8>,
    row: Row,
}

/// One row: its fields with the quotes taken off.
#[derive(Default)]
pub(crate) struct Row {
    /// The line that the row begins on.
    pub(crate) line: u64,
    text: Vec<u8>,
    /// Where each field ends in `text`.
    ends: Vec<usize>,
}

impl Row {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field that is known to be there.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.field(index))
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// Where in a field the reader is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted field: its end, or the first half of a doubled quote.
    Closing,
}

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(reader: R, first_line: u64) -> Self {
        let (physical_line, row) = (Vec::new(), Row::default());
        Self {
            reader,
            next_line: first_line,
            physical_line,
            row,
        }
    }

    /// The row that was read last.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Reads the next row; `false` at the end of the file.
    pub(crate) fn advance(&mut self, answers: &Answers) -> Result<bool, Error> {
        self.row.text.clear();
        self.row.ends.clear();
        let mut state = State::Start;
        let mut length = 0;
        loop {
            let line = self.next_line;
            let read = self.read_physical_line();
            length += read.map_err(|cause| answers.error(line, Problem::Io(cause)))? as u64;
            if length > MAX_RECORD_BYTES {
                return Err(answers.error(line, Problem::RecordTooLong));
            }
            if self.physical_line.is_empty() {
                return match state {
                    State::Start => Ok(false),
                    _ => Err(answers.error(self.row.line, Problem::OpenQuote)),
                };
            }
            let (content, end) = self
                .physical_line
                .split_at(content_length(&self.physical_line));
            if state == State::Start {
                self.row.line = line;
                if content.trim_ascii().is_empty() {
                    length = 0;
                    continue;
                }
            }
            state = take(&mut self.row, state, content);
            if state != State::Quoted {
                self.row.end_field();
                return Ok(true);
            }
            self.row.text.extend_from_slice(end);
        }
    }

    fn read_physical_line(&mut self) -> io::Result<usize> {
        self.physical_line.clear();
        let limited = self.reader.by_ref().take(MAX_RECORD_BYTES + 1);
        let read = { limited }.read_until(b'\n', &mut self.physical_line)?;
        self.next_line += 1;
        Ok(read)
    }
}

/// Length of a line without its end.
fn content_length(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

fn take(row: &mut Row, mut state: State, content: &[u8]) -> State {
    for &byte in content {
        state = match (state, byte) {
            (State::Start, b'"') => State::Quoted,
            (State::Quoted, b'"') => State::Closing,
            (State::Quoted, _) => {
                row.text.push(byte);
                State::Quoted
            }
            (State::Closing, b'"') => {
                row.text.push(byte);
                State::Quoted
            }
            (_, b',') => {
                row.end_field();
                State::Start
            }
            (_, _) => {
                row.text.push(byte);
                State::Plain
            }
        };
    }
    state
}
