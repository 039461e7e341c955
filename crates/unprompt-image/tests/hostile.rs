//! Damaged files: each gives a picture or a typed error, never a panic.

use std::{fs, path::Path};
use unprompt_image::{
    DecodeOptions, Format, ImageErrorKind, Limits, decode, decode_file, dimensions, sniff,
};

/// Small limits, so that a bit flip in a size field costs a test no time.
fn options() -> DecodeOptions {
    let limits = Limits {
        max_pixels: 1 << 20,
        max_buffer_bytes: 8 << 20,
        ..Limits::default()
    };
    DecodeOptions {
        limits,
        ..DecodeOptions::default()
    }
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(files.len() >= 90, "only {} fixtures", files.len());
    files
}

/// Decodes; tells whether a picture came out. The header alone is read too.
fn survives(name: &str, bytes: &[u8]) -> bool {
    let _ = dimensions(bytes);
    match decode(bytes, &options()) {
        Ok(image) => {
            assert_eq!(
                image.pixels.len(),
                image.width as usize * image.height as usize * 3,
                "{name}: size and samples disagree"
            );
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // Panics of ready-made decoders are contained; our own code must have none.
            if matches!(sniff(bytes), Some(Format::Jpeg | Format::Bmp)) {
                assert_ne!(
                    error.kind(),
                    ImageErrorKind::DecoderPanicked,
                    "{name}: {error}"
                );
            }
            false
        }
    }
}

/// A small generator with a fixed seed: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn headers_tell_the_size_of_the_picture() {
    let mut unknown = Vec::new();
    for (name, bytes) in fixtures() {
        let Ok(image) = decode(&bytes, &DecodeOptions::default()) else {
            continue;
        };
        let size = (image.width, image.height);
        match dimensions(&bytes) {
            // A TIFF is turned upright.
            Some((width, height)) if name.ends_with(".tif") => {
                assert!([(width, height), (height, width)].contains(&size), "{name}");
            }
            // A frame that sticks out.
            Some((width, height)) if name.ends_with(".gif") => {
                assert!(width <= size.0 && height <= size.1, "{name}");
            }
            Some(found) => assert_eq!(found, size, "{name}"),
            None => unknown.push(name),
        }
    }
    assert!(unknown.len() <= 3, "{unknown:?}");
    assert_eq!(dimensions(b"GIF89a"), None);
    assert_eq!(dimensions(b"hello"), None);
}

#[test]
fn truncated_files() {
    let mut pictures = 0;
    let mut tried = 0;
    for (name, bytes) in fixtures() {
        let step = (bytes.len() / 40).max(1);
        for length in (0..bytes.len()).step_by(step) {
            tried += 1;
            pictures += usize::from(survives(&name, &bytes[..length]));
        }
    }
    assert!(tried >= 3000, "only {tried} truncations");
    // A file cut after its last sample is whole enough; most cuts are not.
    assert!(
        pictures * 4 < tried,
        "{pictures} of {tried} truncated files gave a picture"
    );
}

#[test]
fn flipped_bits() {
    let mut random = Random(0x5eed_0f5e_ed00_0001);
    let mut failures = 0;
    for (name, bytes) in fixtures() {
        for round in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..=round % 4 {
                let at = random.below(damaged.len());
                damaged[at] ^= 1 << random.below(8);
            }
            failures += usize::from(!survives(&name, &damaged));
        }
    }
    assert!(failures > 100, "only {failures} damaged files were noticed");
}

#[test]
fn overwritten_ranges() {
    let mut random = Random(0x5eed_0f5e_ed00_0002);
    for (name, bytes) in fixtures() {
        for _ in 0..20 {
            let mut damaged = bytes.clone();
            let start = random.below(damaged.len());
            let end = (start + 1 + random.below(16)).min(damaged.len());
            let value = [0x00, 0xff, 0x7f, 0x80][random.below(4)];
            damaged[start..end].fill(value);
            survives(&name, &damaged);
        }
    }
}

#[test]
fn files_that_are_no_pictures() {
    for bytes in [
        &b""[..],
        b"x",
        b"hello, world",
        b"%PDF-1.7",
        b"<svg></svg>",
        &[0; 4096],
    ] {
        let error = decode(bytes, &options()).unwrap_err();
        assert_eq!(error.kind(), ImageErrorKind::UnknownFormat);
    }
    for signature in [
        &b"\x89PNG\r\n\x1a\n"[..],
        b"\xff\xd8\xff",
        b"GIF89a",
        b"BM",
        b"II*\0",
    ] {
        let kind = decode(signature, &options()).unwrap_err().kind();
        assert_eq!(kind, ImageErrorKind::Malformed, "{signature:?}");
    }
    let error = decode(b"RIFF\x04\0\0\0WEBP", &options()).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::Malformed);
}

#[test]
fn encoded_length_is_limited_and_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures");
    let path = folder.join("rgb_37x29.png");
    let length = fs::metadata(&path).unwrap().len() as usize;
    let with = |max_encoded_bytes| DecodeOptions {
        limits: Limits {
            max_encoded_bytes,
            ..Limits::default()
        },
        ..DecodeOptions::default()
    };
    assert!(decode_file(&path, &with(length)).is_ok());
    let error = decode_file(&path, &with(length - 1)).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::LimitExceeded);
    assert!(error.to_string().contains("rgb_37x29.png"), "{error}");
    let missing = decode_file(folder.join("missing.png"), &with(length)).unwrap_err();
    assert_eq!(missing.kind(), ImageErrorKind::Io);
    assert!(missing.to_string().contains("missing.png"), "{missing}");
}

#[test]
fn each_format_obeys_each_limit() {
    for (name, bytes) in fixtures() {
        let image = decode(&bytes, &DecodeOptions::default()).unwrap();
        let pixels = u64::from(image.width) * u64::from(image.height);
        let tight = [
            Limits {
                max_side: image.width.max(image.height) - 1,
                ..Limits::default()
            },
            Limits {
                max_pixels: pixels - 1,
                ..Limits::default()
            },
            Limits {
                max_buffer_bytes: pixels * 3 - 1,
                ..Limits::default()
            },
        ];
        for limits in tight {
            let options = DecodeOptions {
                limits,
                ..DecodeOptions::default()
            };
            let kind = decode(&bytes, &options).unwrap_err().kind();
            assert_eq!(
                kind,
                ImageErrorKind::LimitExceeded,
                "{name} with {limits:?}"
            );
        }
    }
}
