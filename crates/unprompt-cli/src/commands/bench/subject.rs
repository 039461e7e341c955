//! What several measurements share.

use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The picture that is predicted, embedded and captioned.
pub(super) const PICTURE: &[u8] = include_bytes!("../../../../../examples/pictures/rocket.jpg");

/// Real pictures, with their names.
pub(super) const PICTURES: [(&str, &[u8]); 5] = [
    ("rocket.jpg", PICTURE),
    (
        "astronaut.jpg",
        include_bytes!("../../../../../examples/pictures/astronaut.jpg"),
    ),
    (
        "cat.png",
        include_bytes!("../../../../../examples/pictures/cat.png"),
    ),
    (
        "coffee.webp",
        include_bytes!("../../../../../examples/pictures/coffee.webp"),
    ),
    (
        "photographer.png",
        include_bytes!("../../../../../examples/pictures/photographer.png"),
    ),
];

/// The encoder whose speed is measured.
pub(super) const ENCODER: &str = "all-MiniLM-L6-v2";

/// A new folder `pictures` within `folder` with so many pictures, those that are here again and again.
pub(super) fn write_pictures(folder: &Path, count: usize) -> Result<PathBuf> {
    let pictures = folder.join("pictures");
    fs::create_dir(&pictures)?;
    for index in 0..count {
        let (name, bytes) = PICTURES[index % PICTURES.len()];
        fs::write(pictures.join(format!("{index:04}-{name}")), bytes)?;
    }
    Ok(pictures)
}
