//! Captioned pictures, streamed out of the layouts that data sets are published in.
//!
//! ```text
//! SPEC --parse--> SourceSpec --open--> Source --next--> Sample (bytes of a picture, captions)
//!                                           \--------> RecordError (counted, never fatal)
//! ```
//!
//! A [`SourceSpec`] is one `--data` of the command line: a path, and how much of it counts, how
//! much it weighs and how its captions are cleaned up. Its layout is told from what is there.
//!
//! Invariant: pictures are handed over as the bytes they are stored as; this crate decodes none.
//!
//! Invariant: a bad record costs itself: it is an error among the samples, and the others go on.
//! Only what cannot be opened at all is a [`DataError`].
//!
//! Invariant: nothing is ever written, and no name inside an archive or a list leads out of the
//! folder that it belongs to. Sizes are checked before anything is read into memory.
//!
//! Invariant: the same files give the same samples in the same order.

mod clean;
mod edits;
mod error;
mod limits;
mod near;
mod read;
mod sample;
mod source;
mod spec;
mod split;

pub use clean::CleanUp;
pub use edits::{Edits, Phrase};
pub use error::{DataError, RecordError, RecordProblem};
pub use limits::Limits;
pub use near::{ALIKE, NearDuplicates, NearestText, NearestTexts, SAME, TextGroup};
pub use read::stored::{PictureTable, TarPicture, read_tar_picture, tar_pictures};
pub use sample::Sample;
pub use source::{Source, Tally};
pub use spec::{Layout, SourceSpec};
pub use split::{PictureGroup, divide, picture_groups};
