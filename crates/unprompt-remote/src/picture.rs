//! Pictures as they leave.

use crate::error::RemoteError;
use png::{BitDepth, ColorType, Compression, Encoder};

/// A PNG of RGB samples, rows from the top, `width * height * 3` bytes, and nothing else.
///
/// # Errors
/// When there are not as many samples.
pub fn png_of(width: u32, height: u32, samples: &[u8]) -> Result<Vec<u8>, RemoteError> {
    let failed = |error: png::EncodingError| RemoteError::Picture(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(samples).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_its_pixels() {
        let samples: Vec<u8> = (0..5 * 3 * 3).map(|value| value * 5).collect();
        let bytes = png_of(5, 3, &samples).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
            .read_info()
            .unwrap();
        let mut found = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut found).unwrap();
        assert_eq!((frame.width, frame.height), (5, 3));
        assert_eq!(found, samples);
        assert!(matches!(
            png_of(5, 3, &samples[1..]),
            Err(RemoteError::Picture(_))
        ));
    }
}
