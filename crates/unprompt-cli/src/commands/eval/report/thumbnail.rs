//! Small copies of pictures, inside the page.

use base64::{Engine, prelude::BASE64_STANDARD};
use jpeg_encoder::{ColorType, Encoder};
use std::path::Path;
use unprompt::{
    Source,
    image::{Alpha, DecodeOptions, Filter, Limits, Orientation, decode, resize},
};

/// The longer side, in pixels: sharp on a dense screen, some 15 kB.
const SIDE: u32 = 320;
const QUALITY: u8 = 80;

/// A small picture.
pub(super) struct Thumbnail {
    /// `data:image/jpeg;base64,...`
    pub(super) uri: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The thumbnail of a file; `None` where it cannot be read again, as standard input cannot.
pub(super) fn thumbnail(path: &Path, limits: &Limits) -> Option<Thumbnail> {
    if path == Path::new("-") {
        return None;
    }
    let bytes = Source::File(path.to_owned()).read(limits).ok()?;
    let options = DecodeOptions {
        limits: *limits,
        alpha: Alpha::OverWhite,
        // For people, upright; the models see pixels as they are stored.
        orientation: Orientation::Applied,
    };
    let picture = decode(&bytes, &options).ok()?;
    let longer = picture.width.max(picture.height);
    let scaled = |side: u32| match longer > SIDE {
        true => (u64::from(side) * u64::from(SIDE) / u64::from(longer)).max(1) as u32,
        false => side,
    };
    let (width, height) = (scaled(picture.width), scaled(picture.height));
    let small = resize(&picture, width, height, Filter::Lanczos).ok()?;
    let mut jpeg = Vec::new();
    let sides = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    Encoder::new(&mut jpeg, QUALITY)
        .encode(&small.pixels, sides.0, sides.1, ColorType::Rgb)
        .ok()?;
    Some(Thumbnail {
        uri: format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg)),
        width,
        height,
    })
}
