//! Decoded pictures.

use crate::{Format, ImageError, ImageErrorKind, Result};

/// An 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// Samples in height, width, channel order (R, G, B); `width * height * 3` bytes.
    pub pixels: Vec<u8>,
    /// The file format it was decoded from; `None` for a picture made in memory.
    pub format: Option<Format>,
}

/// An 8-bit RGB picture with straight (not premultiplied) alpha, exactly as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbaImage {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// Samples in height, width, channel order (R, G, B, A); `width * height * 4` bytes.
    pub pixels: Vec<u8>,
    /// The file format it was decoded from.
    pub format: Format,
    /// Whether the file has an alpha channel or a transparent colour; if not, alpha is 255
    /// everywhere.
    pub has_alpha: bool,
}

impl RgbImage {
    /// Wraps samples made elsewhere.
    ///
    /// # Errors
    /// [`ImageErrorKind::InvalidArgument`] when a side is zero or `pixels` has not exactly
    /// `width * height * 3` bytes.
    pub fn from_pixels(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self> {
        let image = Self {
            width,
            height,
            pixels,
            format: None,
        };
        image.check()?;
        Ok(image)
    }

    /// The fields are public, so whoever relies on their agreement checks it first.
    pub(crate) fn check(&self) -> Result<()> {
        let expected = u64::from(self.width) * u64::from(self.height) * 3;
        if expected == 0 || expected != self.pixels.len() as u64 {
            return Err(ImageError::new(
                ImageErrorKind::InvalidArgument,
                format!(
                    "an RGB picture of {} x {} pixels needs {expected} bytes (at least 3), found {}",
                    self.width,
                    self.height,
                    self.pixels.len()
                ),
            ));
        }
        Ok(())
    }
}
