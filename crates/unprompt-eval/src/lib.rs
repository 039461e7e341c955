//! Scores predictions against the truth.
