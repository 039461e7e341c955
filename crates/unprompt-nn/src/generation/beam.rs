//! The sequences that a beam search follows.

/// The score of a beam that does not exist yet, as transformers has it.
pub(super) const NOTHING: f32 = -1e9;

/// A beam and a token that could follow it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) beam: usize,
    pub(super) token: u32,
}

/// A sequence so far.
#[derive(Clone, Debug)]
pub(super) struct Beam {
    pub(super) tokens: Vec<u32>,
    pub(super) score: f32,
}
