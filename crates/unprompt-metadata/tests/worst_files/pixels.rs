//! Pictures whose pixels must be looked at: nothing in their texts, and a mark in the lowest bits.

use super::SIZE;

/// The bits of a mark, and of a length that no picture has room for.
fn hidden(at: usize) -> u8 {
    const MARK: &[u8] = b"stealth_pngcomp";
    MARK.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1)
}

/// Pixels of a picture: noise in the first rows, as much as makes the file 5 MB, and one colour below.
fn rgba(side: usize, noisy: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut pixels = vec![0xfe; side * side * 4];
    for value in pixels.iter_mut().take(noisy) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *value = (state >> 40) as u8;
    }
    for row in 0..side {
        let alpha = &mut pixels[row * side * 4 + 3];
        *alpha = *alpha & 0xfe | hidden(row);
    }
    pixels
}

pub fn pixels() -> Vec<(&'static str, Vec<u8>)> {
    let png = |side: usize, noisy: usize| {
        let mut file = Vec::new();
        let length = u32::try_from(side).unwrap();
        let mut encoder = png::Encoder::new(&mut file, length, length);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_compression(png::Compression::Fast);
        encoder.set_filter(png::Filter::Paeth);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&rgba(side, noisy)).unwrap();
        writer.finish().unwrap();
        file
    };
    let webp = |side: usize, noisy: usize| {
        let mut file = Vec::new();
        let length = u32::try_from(side).unwrap();
        image_webp::WebPEncoder::new(&mut file)
            .encode(
                &rgba(side, noisy),
                length,
                length,
                image_webp::ColorType::Rgba8,
            )
            .unwrap();
        file
    };
    vec![
        ("png pixels", png(2_400, 3_500_000)),
        ("png noise", png(1_110, SIZE)),
        ("webp pixels", webp(2_500, SIZE * 9 / 10)),
        ("webp noise", webp(1_100, SIZE)),
    ]
}
