//! A text with its place in the sentence encoder's space.

/// A text and its embedding.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The text.
    pub text: String,
    /// Where the encoder puts it.
    pub embedding: Vec<f32>,
}
