//! What several measurements share.

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
