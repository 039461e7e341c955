//! Small files that claim or unpack to much: refused before the memory is spent.
//!
//! One test only, because it watches the memory of the whole process.

#[path = "../../../attacks/png.rs"]
mod png;
#[path = "../../../attacks/webp_prefix_codes.rs"]
mod webp_prefix_codes;

use png::{chunk, png, zlib_of_zeros};
use unprompt_image::{DecodeOptions, ImageErrorKind, decode};

fn jpeg(kind: u8, width: u16, height: u16) -> Vec<u8> {
    let [h1, h0] = height.to_be_bytes();
    let [w1, w0] = width.to_be_bytes();
    let frame = [
        0xff, kind, 0, 17, 8, h1, h0, w1, w0, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0,
    ];
    [&[0xff, 0xd8][..], &frame, &[0xff, 0xd9]].concat()
}

/// A progressive picture of 8 x 8 pixels, whose first scan is followed by one bit more a hundred times: each scan
/// of a large picture would be a pass over all of it.
fn jpeg_of_scans(refinements: usize) -> Vec<u8> {
    let quantization = [&[0xff, 0xdb, 0, 0x43, 0][..], &[1; 64]].concat();
    // One code, of one bit, for the difference 0.
    let huffman = [&[0xff, 0xc4, 0, 0x14, 0, 1][..], &[0; 16]].concat();
    let frame = [0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
    let scan = |approximation| [0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, approximation, 0];
    let scans = [&scan(0x01)[..], &scan(0x10).repeat(refinements)].concat();
    [
        &[0xff, 0xd8][..],
        &quantization,
        &huffman,
        &frame,
        &scans,
        &[0xff, 0xd9],
    ]
    .concat()
}

fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let padded = |(fourcc, body): &(&[u8; 4], &[u8])| {
        let padding = vec![0; body.len() % 2];
        [
            &fourcc[..],
            &(body.len() as u32).to_le_bytes(),
            body,
            &padding,
        ]
        .concat()
    };
    let body: Vec<u8> = chunks.iter().flat_map(padded).collect();
    let length = (4 + body.len() as u32).to_le_bytes();
    [&b"RIFF"[..], &length, b"WEBP", &body].concat()
}

fn gif(width: u16, height: u16) -> Vec<u8> {
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let screen = [&b"GIF89a"[..], &size, &[0x80, 0, 0], &[0; 6]].concat();
    [
        &screen[..],
        b",\0\0\0\0",
        &size,
        &[0, 2, 2, 0x4c, 1, 0, 0x3b],
    ]
    .concat()
}

fn bmp(width: i32, height: i32, bits: u16) -> Vec<u8> {
    let info = [
        &40u32.to_le_bytes()[..],
        &width.to_le_bytes(),
        &height.to_le_bytes(),
        &[1, 0],
        &bits.to_le_bytes(),
        &[0; 24],
    ]
    .concat();
    [&b"BM"[..], &[0; 8], &54u32.to_le_bytes(), &info, &[0; 64]].concat()
}

fn tiff(width: u32, height: u32) -> Vec<u8> {
    // Width, height, 8 bits, uncompressed, grey, one strip at 8 of all rows.
    let entries = [
        (256u16, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, width.saturating_mul(height)),
    ];
    let directory: Vec<u8> = entries
        .iter()
        .flat_map(|(tag, value)| {
            [
                &tag.to_le_bytes()[..],
                &[4, 0, 1, 0, 0, 0],
                &value.to_le_bytes(),
            ]
            .concat()
        })
        .collect();
    [
        &b"II*\0\x08\0\0\0"[..],
        &[entries.len() as u8, 0],
        &directory,
        &[0; 4],
    ]
    .concat()
}

/// Largest resident size that this process ever had, in KiB; `None` where it cannot be told.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn bombs_are_refused_without_spending_memory() {
    let huge = 100_000u32;
    let lossless = |side: u32| {
        let header = 0x2f | u64::from(side - 1) << 8 | u64::from(side - 1) << 22;
        [&header.to_le_bytes()[..5], &[0; 8]].concat()
    };
    let lossy = [
        &[0x10, 0, 0, 0x9d, 1, 0x2a][..],
        &[0xff, 0x3f, 0xff, 0x3f],
        &[0; 16],
    ]
    .concat();
    let canvas = [&[0u8; 4][..], &[0xff, 0xff, 0], &[0xff, 0xfe, 0]].concat();
    let small_canvas = [0u8; 10];
    let refused = [
        ("png", png(huge, huge, 8, 6, &[chunk(b"IDAT", &[])])),
        (
            "png of 16 bits",
            png(8_000, 8_000, 16, 6, &[chunk(b"IDAT", &[])]),
        ),
        (
            "png of one row",
            png(u32::MAX >> 1, 1, 1, 0, &[chunk(b"IDAT", &[])]),
        ),
        ("jpeg", jpeg(0xc0, 65_535, 65_535)),
        ("progressive jpeg", jpeg(0xc2, 16_384, 16_384)),
        ("jpeg of 101 scans", jpeg_of_scans(100)),
        ("lossless webp", webp(&[(b"VP8L", &lossless(16_383))])),
        ("lossy webp", webp(&[(b"VP8 ", &lossy)])),
        (
            "webp canvas",
            webp(&[(b"VP8X", &canvas), (b"VP8L", &lossless(1))]),
        ),
        (
            "webp of one pixel and 65,536 groups of codes",
            webp(&[(b"VP8L", &webp_prefix_codes::stream(1, 65_536))]),
        ),
        (
            "webp of a small canvas and a large frame",
            webp(&[(b"VP8X", &small_canvas), (b"VP8 ", &lossy)]),
        ),
        ("gif", gif(65_535, 65_535)),
        ("bmp", bmp(huge as i32, huge as i32, 24)),
        ("bmp upside down", bmp(60_000, -60_000, 32)),
        ("tiff", tiff(huge, huge)),
        ("tiff of 4 Gpx", tiff(65_536, 65_535)),
    ];
    // Within the size limits, but without data: an error, whose buffers are never touched.
    let hollow = [
        ("jpeg without height", jpeg(0xc0, 16, 0)),
        ("png", png(8_000, 8_000, 8, 2, &[chunk(b"IDAT", &[])])),
        ("jpeg", jpeg(0xc0, 8_000, 8_000)),
        ("progressive jpeg", jpeg(0xc2, 8_000, 8_000)),
        ("bmp", bmp(8_000, 8_000, 24)),
        ("tiff", tiff(8_000, 8_000)),
    ];
    // A picture of one black pixel whose text and profile would unpack to 256 MiB each.
    let zeros = zlib_of_zeros(256 << 20);
    let text = [&b"prompt\0\0"[..], &zeros].concat();
    let international = [&b"prompt\0\x01\0\0\0"[..], &zeros].concat();
    let profile = [&b"profile\0\0"[..], &zeros].concat();
    let pixel = [
        0x78, 0x01, 0x63, 0x60, 0x60, 0x60, 0x00, 0x00, 0x00, 0x04, 0x00, 0x01,
    ];
    let stuffed = png(
        1,
        1,
        8,
        2,
        &[
            chunk(b"iCCP", &profile),
            chunk(b"zTXt", &text),
            chunk(b"iTXt", &international),
            chunk(b"IDAT", &pixel),
            chunk(b"IEND", &[]),
        ],
    );

    let before = peak_kib();
    let options = DecodeOptions::default();
    for (name, bytes) in &refused {
        let error = decode(bytes, &options).unwrap_err();
        assert_eq!(
            error.kind(),
            ImageErrorKind::LimitExceeded,
            "{name}: {error}"
        );
    }
    for (name, bytes) in &hollow {
        let error = decode(bytes, &options).unwrap_err();
        assert_eq!(error.kind(), ImageErrorKind::Malformed, "{name}: {error}");
    }
    assert_eq!(decode(&jpeg_of_scans(99), &options).unwrap().width, 8);
    // As many codes as an encoder makes are no bomb.
    let codes = webp(&[(b"VP8L", &webp_prefix_codes::stream(9, 1000))]);
    assert_eq!(decode(&codes, &options).unwrap().width, 9);
    let image = decode(&stuffed, &options).unwrap();
    assert_eq!(image.pixels, [0, 0, 0]);
    if let (Some(before), Some(after)) = (before, peak_kib()) {
        let grown = after - before;
        assert!(grown < 16 << 10, "bombs of a few bytes cost {grown} KiB");
    }
}
