//! Bytes to text, in the character sets that writers of image metadata use.

use std::sync::LazyLock;

use encoding_rs::{ISO_2022_JP, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The order of the bytes of UTF-16 is told from this many units at its beginning.
const JUDGED_UNITS: usize = 1 << 16;

/// UTF-8 where the bytes are valid UTF-8, otherwise Latin-1.
///
/// PNG's `tEXt` and `zTXt` are Latin-1 by their specification, but many writers put UTF-8 there.
/// Latin-1 text that happens to be valid UTF-8 beyond ASCII is so rare that the guess is safe. The
/// codes that Latin-1 has no letters for are read as Windows does, which has quotes and dashes there.
pub(crate) fn utf8_or_latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => windows_1252(bytes),
    }
}

/// Windows' Latin-1. Letters go one by one where they are mixed: there the library's decoder takes twice as long.
fn windows_1252(bytes: &[u8]) -> String {
    static LETTERS: LazyLock<[char; 256]> = LazyLock::new(|| {
        std::array::from_fn(|code| {
            let code = [u8::try_from(code).unwrap_or_default()];
            let letter = WINDOWS_1252.decode_without_bom_handling(&code).0;
            letter.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
        })
    });
    let letters = &*LETTERS;
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 2);
    for part in bytes.chunks(32) {
        match std::str::from_utf8(part) {
            Ok(ascii) if ascii.is_ascii() => text.push_str(ascii),
            _ => text.extend(part.iter().map(|&byte| letters[usize::from(byte)])),
        }
    }
    text
}

/// Text of which nobody says how it is encoded: UTF-16 by its byte order mark, or by the NULs that
/// it has in place of every other letter; otherwise as [`utf8_or_latin1`].
pub(crate) fn unstated(bytes: &[u8]) -> String {
    let text = trim_nul(bytes);
    match (text, half_empty(text)) {
        ([0xfe, 0xff, ..] | [0xff, 0xfe, ..], _) | (_, true) => utf16(bytes),
        _ => utf8_or_latin1(text),
    }
}

/// Whether the bytes are 16-bit units of mostly ASCII text: NULs in a good part of the even or of
/// the odd places, and hardly any in the others.
fn half_empty(bytes: &[u8]) -> bool {
    let pairs = bytes.as_chunks::<2>().0;
    if pairs.len() < 2 {
        return false;
    }
    let (even, odd) = pairs.iter().fold((0, 0), |(even, odd), pair| {
        (
            even + usize::from(pair[0] == 0),
            odd + usize::from(pair[1] == 0),
        )
    });
    even.max(odd) * 4 > pairs.len() && even.min(odd) * 16 < pairs.len()
}

/// An EXIF text value: NULs around it are padding.
pub(crate) fn exif_ascii(bytes: &[u8]) -> String {
    unstated(bytes)
}

/// An EXIF value of Windows (`XPComment` and its like): UTF-16, little endian in all likelihood.
pub(crate) fn exif_utf16(bytes: &[u8]) -> String {
    utf16_or_utf8(bytes)
}

/// An EXIF UserComment: eight bytes that name the character set, then the text. Writers that leave
/// the eight bytes out are read as plain text, and where the name is wrong, what is there is read.
pub(crate) fn user_comment(bytes: &[u8]) -> String {
    let Some((charset, text)) = bytes.split_at_checked(8) else {
        return exif_ascii(bytes);
    };
    match charset.to_ascii_uppercase().as_slice() {
        b"UNICODE\0" => utf16_or_utf8(text),
        b"JIS\0\0\0\0\0" => {
            let text = trim_nul(text);
            let is_escaped = text.contains(&0x1b);
            if is_escaped || text.is_ascii() {
                ISO_2022_JP.decode_without_bom_handling(text).0.into_owned()
            } else {
                unstated(text)
            }
        }
        b"ASCII\0\0\0" | b"UTF-8\0\0\0" | b"UTF8\0\0\0\0" | b"\0\0\0\0\0\0\0\0" => exif_ascii(text),
        _ => exif_ascii(bytes),
    }
}

/// UTF-16, unless it is UTF-8 without a single NUL or other control character: some writers
/// announce one and write the other.
fn utf16_or_utf8(bytes: &[u8]) -> String {
    let text = trim_nul(bytes);
    let is_marked = matches!(text, [0xfe, 0xff, ..] | [0xff, 0xfe, ..]);
    match std::str::from_utf8(text) {
        Ok(text) if !is_marked && !has_odd_controls(text) => text.to_owned(),
        _ => utf16(bytes),
    }
}

/// Whether a text has control characters that are no white space.
fn has_odd_controls(text: &str) -> bool {
    let ascii = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t');
    let bytes = text.as_bytes();
    // The control characters beyond ASCII are U+0080 to U+009F.
    bytes.iter().any(ascii)
        || bytes
            .windows(2)
            .any(|pair| pair[0] == 0xc2 && pair[1] < 0xa0)
}

/// UTF-16 of unstated byte order. Halves of surrogate pairs are replaced: half an emoji at the end of
/// a text that a site has cut is no reason to lose the rest.
///
/// The EXIF standard leaves the order open. piexif, which most generators use, writes big endian
/// whatever the order of the TIFF header; others follow the header. The order that gives more of
/// what people write is the right one; a tie goes to piexif's.
fn utf16(bytes: &[u8]) -> String {
    let (is_big, bytes) = match bytes {
        [0xfe, 0xff, rest @ ..] => (true, rest),
        [0xff, 0xfe, rest @ ..] => (false, rest),
        _ => {
            let pairs = bytes.as_chunks::<2>().0;
            let sum = |unit: fn([u8; 2]) -> u16| -> i64 {
                let pairs = pairs.iter().take(JUDGED_UNITS);
                pairs.map(|&pair| likelihood(unit(pair))).sum()
            };
            (sum(u16::from_be_bytes) >= sum(u16::from_le_bytes), bytes)
        }
    };
    let encoding = if is_big { UTF_16BE } else { UTF_16LE };
    // Half a unit at the end is no letter.
    let whole = bytes.as_chunks::<2>().0.as_flattened();
    let text = encoding.decode_without_bom_handling(whole).0;
    without_padding(&text).to_owned()
}

/// How much a unit of UTF-16 looks like text.
fn likelihood(unit: u16) -> i64 {
    match unit {
        0 => 0,
        0x09..=0x0d | 0x20..=0x7e => 4,
        // Latin, Greek, Cyrillic, Hebrew, Arabic; punctuation; kana; CJK; Hangul; full width.
        0xa0..=0x06ff
        | 0x2010..=0x2030
        | 0x3000..=0x30ff
        | 0x4e00..=0x9fff
        | 0xac00..=0xd7a3
        | 0xff00..=0xffef => 1,
        // Surrogates say nothing by themselves.
        0xd800..=0xdfff => 0,
        // Control characters, private use and noncharacters.
        0x01..=0x08
        | 0x0e..=0x1f
        | 0x7f..=0x9f
        | 0xe000..=0xf8ff
        | 0xfdd0..=0xfdef
        | 0xfffe..=0xffff => -2,
        _ => 0,
    }
}

/// Without the NULs, byte order marks and letters of no width before and after a text.
pub(crate) fn without_padding(text: &str) -> &str {
    text.trim_matches(['\0', '\u{feff}', '\u{200b}', '\u{2060}'])
}

fn trim_nul(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., 0] | [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(charset: &[u8; 8], text: impl IntoIterator<Item = u8>) -> String {
        user_comment(&charset.iter().copied().chain(text).collect::<Vec<_>>())
    }

    #[test]
    fn every_charset_of_user_comment() {
        let be = |text: &str| {
            text.encode_utf16()
                .flat_map(u16::to_be_bytes)
                .collect::<Vec<_>>()
        };
        let le = |text: &str| {
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()
        };
        let text = "猫, Steps: 20 😀";
        assert_eq!(comment(b"UNICODE\0", be(text)), text);
        assert_eq!(comment(b"UNICODE\0", le(text)), text);
        let marked = [vec![0xff, 0xfe], le("猫")].concat();
        assert_eq!(comment(b"UNICODE\0", marked), "猫");
        assert_eq!(comment(b"UNICODE\0", be("猫犬")), "猫犬");
        assert_eq!(comment(b"UNICODE\0", *b"plain"), "plain");
        assert_eq!(comment(b"UNICODE\0", [0xd8, 0, 0, b'a']), "\u{fffd}a");
        assert_eq!(comment(b"ASCII\0\0\0", *b"a cat\0\0"), "a cat");
        assert_eq!(comment(&[0; 8], *b"caf\xe9"), "café");
        assert_eq!(comment(b"JIS\0\0\0\0\0", *b"\x1b$BG-\x1b(B cat"), "猫 cat");
        assert_eq!(user_comment(b"a cat on a mat"), "a cat on a mat");
        assert_eq!(user_comment(b"cat"), "cat");
    }
}
