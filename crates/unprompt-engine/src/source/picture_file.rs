//! What a file is, as far as its name and its first bytes tell.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use unprompt_image::{Format, sniff};

/// How names of pictures end, also of such as are not read.
const PICTURES: [&str; 33] = [
    "apng", "arw", "avif", "bmp", "cr2", "cr3", "dib", "dng", "exr", "gif", "heic", "heif", "hif",
    "ico", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "jxl", "nef", "orf", "pbm", "pgm", "png",
    "ppm", "psd", "raf", "svg", "tif", "tiff", "webp",
];
/// Enough of a file to see whether it is text.
const LOOKED_AT: u64 = 4096;
/// What a parquet file begins with.
const PARQUET: &[u8] = b"PAR1";

/// Whether a file is named like a picture or begins like one: what no table or text may replace. A
/// file that is not there is none.
pub fn is_picture_file(path: &Path) -> bool {
    match start(path) {
        Ok(start) => is_named_like_one(path) || begins_like_one(&start),
        Err(_) => path.is_file() && is_named_like_one(path),
    }
}

/// Whether a file is neither named like a picture nor begins like one, and is empty, text or a
/// parquet table. What cannot be opened or is of an unknown kind may be a picture.
pub(super) fn is_plainly_none(path: &Path) -> bool {
    if is_named_like_one(path) {
        return false;
    }
    let is_other = |start: Vec<u8>| {
        !begins_like_one(&start) && (is_text(&start) || start.starts_with(PARQUET))
    };
    start(path).is_ok_and(is_other)
}

/// A picture that cannot be shown is a failure that its owner wants to know of.
fn is_named_like_one(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    PICTURES.contains(&extension.as_str())
}

fn begins_like_one(start: &[u8]) -> bool {
    let is_other_format = start.get(4..8) == Some(b"ftyp")
        || start.starts_with(b"\0\0\0\x0cJXL ")
        || start.starts_with(b"\xff\x0a");
    match sniff(start) {
        // Texts may begin with these two letters.
        Some(Format::Bmp) => !is_text(start),
        Some(_) => true,
        None => is_other_format,
    }
}

fn start(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for without end.
    if !path.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut start = Vec::new();
    File::open(path)?.take(LOOKED_AT).read_to_end(&mut start)?;
    Ok(start)
}

/// Whether there are no bytes that only data have. Spreadsheets write UTF-16 with a mark.
fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127);
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    is_utf16 || !bytes.iter().any(is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_tables_are_no_pictures_unless_they_are_named_so() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let is_none = |name: &str, bytes: &[u8]| -> std::io::Result<bool> {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes)?;
            Ok(is_plainly_none(&path))
        };
        let utf16: Vec<u8> = "\u{feff}a,b"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (name, bytes) in [
            ("prompts.csv", &b"path,prompt\na.png,caf\xc3\xa9\n"[..]),
            ("latin1.csv", b"caf\xe9\n"),
            ("excel.csv", &utf16),
            ("colours.log", b"\x1b[1mbold\x1b[0m\n"),
            ("report.html", b"<!doctype html>"),
            ("README", b"words\n"),
            ("cars.csv", b"BMW,a car\n"),
            (".incomplete", b""),
            ("index.parquet", b"PAR1\x15\x04\0\0"),
        ] {
            assert!(is_none(name, bytes)?, "{name}");
            assert!(!is_picture_file(&folder.path().join(name)), "{name}");
        }
        for (name, bytes) in [
            ("cut.png", &b""[..]),
            ("page.JPG", b"<!doctype html>"),
            ("photo.heic", b"\0\0\0\x18ftypheic"),
            ("no-extension", b"\x89PNG\r\n\x1a\n"),
            ("picture.txt", b"\xff\xd8\xff\xe0"),
            ("unknown.bin", b"\0\x01\x02"),
            ("bmp", b"BM6\x00\x0c\x00"),
        ] {
            assert!(!is_none(name, bytes)?, "{name}");
            let is_known = name != "unknown.bin";
            assert_eq!(
                is_picture_file(&folder.path().join(name)),
                is_known,
                "{name}"
            );
        }
        assert!(!is_plainly_none(&folder.path().join("missing")));
        assert!(!is_picture_file(&folder.path().join("missing.png")));
        Ok(())
    }
}
