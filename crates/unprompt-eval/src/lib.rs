//! Scores predictions against the truth: the mean cosine similarity of the competition
//! "Stable Diffusion - Image to Prompts".
//!
//! ```
//! use unprompt_eval::{Answers, score};
//!
//! # fn main() -> Result<(), unprompt_eval::Error> {
//! let truth = "imgId,prompt\nfirst,a cat\nsecond,a dog\n";
//! let prediction = "file,prompt\nsecond.png,a dog\nfirst.png,a small cat\n";
//! let truth = Answers::read("truth.csv", truth.as_bytes())?;
//! let prediction = Answers::read("prediction.csv", prediction.as_bytes())?;
//! // A stand-in for a sentence encoder: every text becomes 384 numbers.
//! let mut embed = |texts: &[String]| {
//!     Ok(texts.iter().map(|text| vec![text.len() as f32; 384]).collect())
//! };
//! let score = score(&prediction, &truth, &mut embed)?;
//! assert_eq!(score.n, 2);
//! assert_eq!(score.per_image[0].id, "first");
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: knows no model. Texts become embeddings through a function that the caller passes in.
//!
//! Invariant: no number is guessed. A file that is incomplete, ambiguous or not finite is an error
//! that names the file, the line and what to do; nothing is filled in, skipped or clipped.
//!
//! Invariant: files are read as a stream, and memory stays in proportion to what is kept.

mod answer_file;
mod answers;
mod bootstrap;
mod csv_rows;
mod error;
mod fit;
mod phrases;
mod predictions;
mod prompt_groups;
mod prompt_table;
mod record_limit;
mod records;
mod score;
mod ssim;
mod submission;
mod submission_writer;

pub use answers::{Answer, Answers, Entry, image_id};
pub use bootstrap::{Bootstrap, Interval, quantile};
pub use error::{Error, Problem};
pub use fit::{CalibrationFit, Fit, FitOptions, FittedMember, HeldOut, calibrate, fit};
pub use phrases::{LENGTH_BANDS, cosine_or_zero, length_band, modifier_recall, subject};
pub use predictions::Predictions;
pub use prompt_groups::PromptGroups;
pub use score::{EmbedError, EmbedTexts, ImageScore, Score, cosine, score};
pub use ssim::ssim;
pub use submission_writer::SubmissionWriter;

/// Numbers in one embedding: the width of all-MiniLM-L6-v2, which the metric is defined on.
pub const DIMENSIONS: usize = 384;
