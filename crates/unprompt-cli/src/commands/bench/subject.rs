//! What several measurements share.

/// The picture that is predicted, embedded and captioned.
pub(super) const PICTURE: &[u8] = include_bytes!("../../../../../examples/pictures/rocket.jpg");

/// The encoder whose speed is measured.
pub(super) const ENCODER: &str = "all-MiniLM-L6-v2";
