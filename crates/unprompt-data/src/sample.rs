//! One captioned picture.

/// One captioned picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What its source calls it: a file's name, or a key of an archive.
    pub id: String,
    /// The picture as it is stored, not decoded: JPEG, PNG or whatever else.
    pub picture: Vec<u8>,
    /// What people said about it, cleaned up; at least one, none of them empty.
    pub captions: Vec<String>,
}
