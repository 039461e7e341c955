//! Bounds on what a picture may cost before any of it is decoded.

use crate::{ImageError, ImageErrorKind, Result};
use serde::{Deserialize, Serialize};

/// What an untrusted picture may cost; checked against its header, before pixels are allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Largest encoded file, in bytes. Default 20 MiB.
    pub max_encoded_bytes: usize,
    /// Longest side, in pixels. Default 16,384.
    pub max_side: u32,
    /// Largest width x height. Default 64 Mpx (67,108,864).
    pub max_pixels: u64,
    /// Largest single pixel buffer, in bytes, of the decoder or of the result. Default 256 MiB.
    ///
    /// A decoder's working memory comes on top: [`decoding_bytes`](crate::decoding_bytes) tells all
    /// that a picture needs, and [`set_memory`](crate::set_memory) bounds it.
    pub max_buffer_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_encoded_bytes: 20 << 20,
            max_side: 16_384,
            max_pixels: 64 << 20,
            max_buffer_bytes: 256 << 20,
        }
    }
}

impl Limits {
    /// Refuses an encoded file that is too long.
    ///
    /// # Errors
    /// [`ImageErrorKind::LimitExceeded`] when `length` is above `max_encoded_bytes`.
    pub fn check_encoded(&self, length: usize) -> Result<()> {
        if length > self.max_encoded_bytes {
            return Err(ImageError::limit(format_args!(
                "the file is longer than the {} bytes allowed",
                self.max_encoded_bytes
            )));
        }
        Ok(())
    }

    /// Refuses dimensions that are zero or too large, and a pixel buffer of `bytes_per_pixel` that
    /// would be too large; returns that buffer's length in bytes.
    ///
    /// # Errors
    /// [`ImageErrorKind::LimitExceeded`], naming the limit that was passed;
    /// [`ImageErrorKind::Malformed`] for a side of zero.
    pub fn check_pixels(&self, width: u64, height: u64, bytes_per_pixel: u64) -> Result<usize> {
        let size = format_args!("{width} x {height} pixels").to_string();
        if width == 0 || height == 0 {
            return Err(ImageError::new(
                ImageErrorKind::Malformed,
                format!("damaged picture: {size} hold nothing"),
            ));
        }
        let max_side = u64::from(self.max_side);
        if width > max_side || height > max_side {
            return Err(ImageError::limit(format_args!(
                "{size}, longest side allowed is {max_side}"
            )));
        }
        let pixels = width.saturating_mul(height);
        if pixels > self.max_pixels {
            return Err(ImageError::limit(format_args!(
                "{size}, most pixels allowed are {}",
                self.max_pixels
            )));
        }
        let bytes = pixels.saturating_mul(bytes_per_pixel);
        match usize::try_from(bytes) {
            Ok(length) if bytes <= self.max_buffer_bytes => Ok(length),
            _ => Err(ImageError::limit(format_args!(
                "{size} need a buffer of {bytes} bytes, largest allowed is {}",
                self.max_buffer_bytes
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_exact() {
        let limits = Limits {
            max_encoded_bytes: 10,
            max_side: 8,
            max_pixels: 32,
            max_buffer_bytes: 96,
        };
        assert!(limits.check_encoded(10).is_ok());
        assert!(limits.check_encoded(11).is_err());
        assert_eq!(limits.check_pixels(8, 4, 3).unwrap(), 96);
        assert!(limits.check_pixels(9, 1, 3).is_err());
        assert!(limits.check_pixels(8, 5, 1).is_err());
        assert!(limits.check_pixels(8, 4, 4).is_err());
        assert!(limits.check_pixels(0, 4, 3).is_err());
        assert!(limits.check_pixels(u64::MAX, u64::MAX, u64::MAX).is_err());
    }
}
