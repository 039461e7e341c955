//! What can be wrong with a file of answers.

use crate::{DIMENSIONS, record_limit::MAX_RECORD_BYTES};
use std::fmt;

/// A file of answers that cannot be used, where in it, and why.
#[derive(Debug)]
pub struct Error {
    file: String,
    line: Option<u64>,
    problem: Problem,
}

impl Error {
    pub(crate) fn new(file: &str, line: impl Into<Option<u64>>, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            line: line.into(),
            problem,
        }
    }

    /// The name of the file, as the caller gave it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1, where there is one to point at.
    pub fn line(&self) -> Option<u64> {
        self.line
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.file, self.problem),
            None => write!(out, "{}: {}", self.file, self.problem),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.problem)
    }
}

/// What is wrong with a file of answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file could not be read or written.
    #[error("cannot be read or written: {0}")]
    Io(#[source] std::io::Error),
    /// The file holds no row at all, or a header and nothing else.
    #[error("holds no answers; expected a header and at least one row, or JSON records")]
    Empty,
    /// The first line is no header that is known.
    #[error(
        "the header is `{found}`; expected `imgId_eId,val`, or columns `prompt` and one of \
         `imgId`, `id`, `file`, `path`, `image` or `filename`"
    )]
    Header {
        /// The header, shortened.
        found: String,
    },
    /// A CSV row with too few or too many fields.
    #[error("the row has {found} fields, expected {expected}; quote a field that holds a comma")]
    FieldCount {
        /// Fields in the row.
        found: usize,
        /// Fields that the header has.
        expected: usize,
    },
    /// A quoted field without its closing quote. The line is the one its row begins on.
    #[error("a quoted field of this row is never closed; expected `\"` before the end of the file")]
    OpenQuote,
    /// Text that is not UTF-8.
    #[error("`{field}` is not UTF-8 text; save the file as UTF-8")]
    NotUtf8 {
        /// Which field.
        field: &'static str,
    },
    /// A submission row whose key is not an id, an underscore and a dimension.
    #[error("`{key}` is not of the form `<image id>_<dimension>`")]
    RowKey {
        /// The key, shortened.
        key: String,
    },
    /// A dimension past the last.
    #[error(
        "image `{id}`: dimension {dimension} is out of range, expected 0 to {}",
        DIMENSIONS - 1, id = shortened(id))]
    DimensionOutOfRange {
        /// The image.
        id: String,
        /// The dimension as written.
        dimension: String,
    },
    /// Text where a number belongs.
    #[error("image `{id}`, dimension {dimension}: `{text}` is not a number", id = shortened(id))]
    BadNumber {
        /// The image.
        id: String,
        /// The dimension.
        dimension: usize,
        /// The text, shortened.
        text: String,
    },
    /// NaN or an infinity.
    #[error("image `{id}`, dimension {dimension}: `{text}` is not a finite number", id = shortened(id))]
    NotFinite {
        /// The image.
        id: String,
        /// The dimension.
        dimension: usize,
        /// The number as written.
        text: String,
    },
    /// The same image and dimension twice in a submission.
    #[error("image `{id}`: dimension {dimension} is given twice; keep one of the rows", id = shortened(id))]
    DuplicateRow {
        /// The image.
        id: String,
        /// The dimension.
        dimension: usize,
    },
    /// The same image twice in a table or in records.
    #[error(
        "image `{id}` is given twice, first on line {first_line}; keep one (an id is a file name \
         without folder and extension)", id = shortened(id))]
    DuplicateId {
        /// The image.
        id: String,
        /// Where it was first.
        first_line: u64,
    },
    /// An image that is to be written a second time.
    #[error(
        "image id `{id}` was written before: a submission tells images apart by file name without \
         folder and extension; rename one of the files", id = shortened(id))]
    WrittenTwice {
        /// The image.
        id: String,
    },
    /// An image of a submission lacks a dimension. The line is that of the image's first row.
    #[error(
        "image `{id}` has {found} of {DIMENSIONS} dimensions; dimension {dimension} is the first \
         one missing", id = shortened(id))]
    MissingDimension {
        /// The image.
        id: String,
        /// The first missing dimension.
        dimension: usize,
        /// How many it has.
        found: usize,
    },
    /// So many images begun and not completed that holding them would take too much memory.
    #[error("more than {limit} images are incomplete up to here; sort the rows by image")]
    TooManyOpenImages {
        /// How many may be incomplete at once.
        limit: usize,
    },
    /// A record that is not the JSON object expected.
    #[error("not a usable record: {reason}; expected one JSON object a line or an array of them")]
    BadRecord {
        /// What the JSON reader says.
        reason: String,
    },
    /// A record without a key that it needs.
    #[error("the record has no {wanted}")]
    MissingKey {
        /// The keys of which one is needed.
        wanted: &'static str,
    },
    /// An empty id.
    #[error("the image id is empty")]
    EmptyId,
    /// A record or row longer than any answer can be.
    #[error("longer than {} MiB, which no answer is", MAX_RECORD_BYTES >> 20)]
    RecordTooLong,
    /// A record that stands for an input that failed.
    #[error("image `{id}` failed when it was predicted ({reason}); predict it again or remove it", id = shortened(id))]
    FailedInput {
        /// The image.
        id: String,
        /// The `error` of the record, shortened.
        reason: String,
    },
    /// An embedding of another width.
    #[error("image `{id}`: the embedding has {found} numbers, expected {DIMENSIONS}", id = shortened(id))]
    Width {
        /// The image.
        id: String,
        /// Numbers found.
        found: usize,
    },
    /// An embedding of zeros has no direction.
    #[error("image `{id}`: every number of the embedding is zero, so it has no cosine", id = shortened(id))]
    ZeroVector {
        /// The image.
        id: String,
    },
    /// A prediction for an image that the truth does not have.
    #[error("image `{id}` is not in the truth ({truth}); remove it or correct its id", id = shortened(id))]
    UnknownId {
        /// The image.
        id: String,
        /// Name of the truth's file.
        truth: String,
    },
    /// An image of the truth without a prediction. File and line are the truth's.
    #[error("image `{id}` has no prediction in {prediction}; predict it", id = shortened(id))]
    MissingId {
        /// The image.
        id: String,
        /// Name of the predictions' file.
        prediction: String,
    },
    /// Nothing to blend.
    #[error("no member to fit; give at least one file of predictions")]
    NoMembers,
    /// Two members of one name.
    #[error("a member named `{name}` came before; give one of them another name", name = shortened(name))]
    SameMember {
        /// The name.
        name: String,
    },
    /// A record whose members are not those of the records before it.
    #[error(
        "image `{id}` has the members {found}, where the first image has {expected}; predict every \
         picture with one preset and with --no-metadata",
        id = shortened(id), found = shortened(found), expected = shortened(expected)
    )]
    OtherMembers {
        /// The image.
        id: String,
        /// Names of the members of the first record.
        expected: String,
        /// Names of this one's.
        found: String,
    },
    /// Members so long or short that f64 cannot weigh them.
    #[error(
        "the mean length of the embeddings is {length}; scale them, or bring them to unit length"
    )]
    Length {
        /// Their mean length.
        length: f64,
    },
    /// Pairs that no map can be fitted to.
    #[error("{pairs} pairs to calibrate with, of which some are not finite or of one fold only")]
    Calibration {
        /// How many pairs there are.
        pairs: usize,
    },
    /// Weights that cannot be kept.
    #[error(
        "{found} weights for {expected} members; each needs one, at least 0, and not all are 0"
    )]
    Weights {
        /// How many members there are.
        expected: usize,
        /// How many weights were given.
        found: usize,
    },
    /// Too little to cross-validate with.
    #[error(
        "{prompts} different prompts and {folds} folds; cross-validation needs at least 2 of each"
    )]
    TooFewPrompts {
        /// Different prompts in the truth.
        prompts: usize,
        /// Folds asked for.
        folds: usize,
    },
    /// The function that embeds prompts failed.
    #[error("the prompts could not be embedded: {0}")]
    Embedder(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The function that embeds prompts gave back another number of embeddings than texts.
    #[error("embedding {texts} prompts gave {embeddings} embeddings")]
    EmbedderCount {
        /// Texts passed in.
        texts: usize,
        /// Embeddings that came back.
        embeddings: usize,
    },
}

/// At most 60 characters of foreign text with control characters escaped: an error message is
/// printed to a terminal.
pub(crate) fn shortened(text: &str) -> String {
    const LIMIT: usize = 60;
    let mut short: String = text.chars().take(LIMIT).flat_map(escaped).collect();
    if text.chars().nth(LIMIT).is_some() {
        short.push_str("...");
    }
    short
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    let control = character.is_control();
    let escape = control
        .then(|| character.escape_default())
        .into_iter()
        .flatten();
    escape.chain((!control).then_some(character))
}

/// The same for bytes that need not be UTF-8.
pub(crate) fn shortened_bytes(bytes: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(&bytes[..bytes.len().min(256)]))
}
