//! Pictures as people see them, and small copies of them inside a page.

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use jpeg_encoder::{ColorType, Encoder};
use unprompt::image::{
    Alpha, DecodeOptions, Filter, Limits, Orientation, RgbImage, decode, resize,
};

/// The longer side of one among many, in pixels: sharp on a dense screen, some 15 kB.
pub(crate) const SIDE: u32 = 320;
const QUALITY: u8 = 80;

/// A small picture.
pub(crate) struct Thumbnail {
    /// `data:image/jpeg;base64,...`
    pub(crate) uri: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Thumbnail {
    /// A picture whose longer side has `side` pixels at most.
    pub(crate) fn of(picture: &RgbImage, side: u32) -> Result<Self> {
        let longer = picture.width.max(picture.height);
        let scaled = |length: u32| match longer > side {
            true => (u64::from(length) * u64::from(side) / u64::from(longer)).max(1) as u32,
            false => length,
        };
        let (width, height) = (scaled(picture.width), scaled(picture.height));
        let small = resize(picture, width, height, Filter::Lanczos)?;
        let mut jpeg = Vec::new();
        let sides = (u16::try_from(width)?, u16::try_from(height)?);
        Encoder::new(&mut jpeg, QUALITY).encode(&small.pixels, sides.0, sides.1, ColorType::Rgb)?;
        Ok(Self {
            uri: format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg)),
            width,
            height,
        })
    }
}

/// A file's picture for people, upright and over white; the models see pixels as they are stored.
pub(crate) fn upright(bytes: &[u8], limits: &Limits) -> Result<RgbImage> {
    let options = DecodeOptions {
        limits: *limits,
        alpha: Alpha::OverWhite,
        orientation: Orientation::Applied,
    };
    Ok(decode(bytes, &options)?)
}
