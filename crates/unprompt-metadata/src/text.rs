//! Bytes to text, in the character sets that writers of image metadata use.

use encoding_rs::ISO_2022_JP;

/// UTF-8 where the bytes are valid UTF-8, otherwise Latin-1.
///
/// PNG's `tEXt` and `zTXt` are Latin-1 by their specification, but many writers put UTF-8 there.
/// Latin-1 text that happens to be valid UTF-8 beyond ASCII is so rare that the guess is safe.
pub(crate) fn utf8_or_latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// An EXIF text value: trailing NULs are padding.
pub(crate) fn exif_ascii(bytes: &[u8]) -> String {
    utf8_or_latin1(trim_nul(bytes))
}

/// An EXIF UserComment: eight bytes that name the character set, then the text. Writers that leave
/// the eight bytes out are read as plain text. `None` when the text cannot be decoded.
pub(crate) fn user_comment(bytes: &[u8]) -> Option<String> {
    let Some((charset, text)) = bytes.split_at_checked(8) else {
        return Some(exif_ascii(bytes));
    };
    match charset {
        b"UNICODE\0" => utf16(text),
        b"JIS\0\0\0\0\0" => {
            let text = trim_nul(text);
            ISO_2022_JP
                .decode_without_bom_handling_and_without_replacement(text)
                .map(|text| text.into_owned())
        }
        b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0" => Some(exif_ascii(text)),
        _ => Some(exif_ascii(bytes)),
    }
}

/// UTF-16 of unstated byte order.
///
/// The EXIF standard leaves the order open. piexif, which most generators use, writes big endian
/// whatever the order of the TIFF header; others follow the header. Generators' records are mostly
/// ASCII, so the order in which more units are ASCII is the right one; a tie goes to piexif's.
fn utf16(bytes: &[u8]) -> Option<String> {
    let units = |of: fn([u8; 2]) -> u16, bytes: &[u8]| -> Vec<u16> {
        bytes
            .chunks_exact(2)
            .map(|pair| of([pair[0], pair[1]]))
            .collect()
    };
    let ascii = |index: usize| {
        bytes
            .chunks_exact(2)
            .filter(|pair| pair[index] == 0 && pair[1 - index] != 0)
            .count()
    };
    let units = match bytes {
        [0xfe, 0xff, rest @ ..] => units(u16::from_be_bytes, rest),
        [0xff, 0xfe, rest @ ..] => units(u16::from_le_bytes, rest),
        _ => match (ascii(0), ascii(1)) {
            // Some writers announce UTF-16 and write UTF-8.
            (0, 0) if std::str::from_utf8(trim_nul(bytes)).is_ok() => {
                return Some(exif_ascii(bytes));
            }
            (big, little) if big >= little => units(u16::from_be_bytes, bytes),
            _ => units(u16::from_le_bytes, bytes),
        },
    };
    let text = String::from_utf16(&units).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

fn trim_nul(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(charset: &[u8; 8], text: impl IntoIterator<Item = u8>) -> Option<String> {
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
        assert_eq!(comment(b"UNICODE\0", be(text)).as_deref(), Some(text));
        assert_eq!(comment(b"UNICODE\0", le(text)).as_deref(), Some(text));
        let marked = [vec![0xff, 0xfe], le("猫")].concat();
        assert_eq!(comment(b"UNICODE\0", marked).as_deref(), Some("猫"));
        assert_eq!(comment(b"UNICODE\0", be("猫犬")).as_deref(), Some("猫犬"));
        assert_eq!(comment(b"UNICODE\0", *b"plain").as_deref(), Some("plain"));
        assert_eq!(comment(b"UNICODE\0", [0xd8, 0, 0, b'a']), None);
        assert_eq!(
            comment(b"ASCII\0\0\0", *b"a cat\0\0").as_deref(),
            Some("a cat")
        );
        assert_eq!(comment(&[0; 8], *b"caf\xe9").as_deref(), Some("café"));
        assert_eq!(
            comment(b"JIS\0\0\0\0\0", *b"\x1b$BG-\x1b(B cat").as_deref(),
            Some("猫 cat")
        );
        assert_eq!(
            user_comment(b"a cat on a mat").as_deref(),
            Some("a cat on a mat")
        );
        assert_eq!(user_comment(b"cat").as_deref(), Some("cat"));
    }
}
