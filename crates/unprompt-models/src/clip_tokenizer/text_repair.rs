//! What open_clip does to a text before it looks at its letters: the repairs of ftfy 6.3 with its
//! default settings, for text that was decoded in the wrong encoding or went through other harm.

use super::html::{strict_name, unescape, windows_1252};
use regex::{Captures, Regex, bytes};
use serde::Deserialize;
use std::{borrow::Cow, collections::HashMap, sync::LazyLock};
use unicode_normalization::UnicodeNormalization;

/// Rounds of repair; real text needs two or three. Only a text made for it, with thousands of
/// nested references, would need more, and each round takes time with its length.
const MOST_ROUNDS: usize = 100;

/// Characters of a line that are repaired together.
const LONGEST_SEGMENT: usize = 1_000_000;

#[derive(Deserialize)]
struct Stored {
    mojibake: String,
    utf8_sequences: String,
    not_after: String,
    altered_utf8: String,
    lossy_utf8: String,
    ligatures: HashMap<char, String>,
    encodings: Vec<StoredEncoding>,
}

#[derive(Deserialize)]
struct StoredEncoding {
    name: String,
    upper: String,
    replacement_is_1a: bool,
}

struct Tables {
    mojibake: Regex,
    utf8_sequences: Regex,
    not_after: Regex,
    altered_utf8: bytes::Regex,
    lossy_utf8: bytes::Regex,
    ligatures: HashMap<char, String>,
    encodings: Vec<Encoding>,
}

/// A single-byte encoding: the byte of each character that is no ASCII.
struct Encoding {
    bytes: HashMap<char, u8>,
    is_latin_1: bool,
    is_macroman: bool,
    /// One of those in which undefined bytes pass, and U+FFFD stands at 0x1a.
    is_sloppy: bool,
}

/// `None` would mean that a file of this crate is broken; the tests would not pass then.
static TABLES: LazyLock<Option<Tables>> = LazyLock::new(|| {
    let stored: Stored = serde_json::from_str(include_str!("../../data/text_repair.json")).ok()?;
    let large = |pattern: &str| {
        regex::RegexBuilder::new(pattern)
            .size_limit(64 << 20)
            .build()
            .ok()
    };
    let encoding = |stored: StoredEncoding| Encoding {
        bytes: stored.upper.chars().zip(0x80..=0xff).collect(),
        is_latin_1: stored.name == "latin-1",
        is_macroman: stored.name == "macroman",
        is_sloppy: stored.replacement_is_1a,
    };
    Some(Tables {
        mojibake: large(&stored.mojibake)?,
        utf8_sequences: large(&stored.utf8_sequences)?,
        not_after: large(&stored.not_after)?,
        altered_utf8: bytes::Regex::new(&stored.altered_utf8).ok()?,
        lossy_utf8: bytes::Regex::new(&stored.lossy_utf8).ok()?,
        ligatures: stored.ligatures,
        encodings: stored.encodings.into_iter().map(encoding).collect(),
    })
});

static REFERENCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("&#?[0-9A-Za-z]{1,24};").ok());
static TERMINAL_ESCAPE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("\u{1b}\\[[\\d;]*[a-zA-Z]").ok());

/// The repaired text.
pub(super) fn repair(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A `<` is taken for HTML, in which references are meant to stay; from its line on.
    let mut is_html = false;
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(LONGEST_SEGMENT);
            let (segment, after) = rest.split_at(end.map_or(rest.len(), |(index, _)| index));
            is_html |= segment.contains('<');
            out.push_str(&repair_segment(segment, is_html));
            rest = after;
        }
    }
    out
}

fn repair_segment(segment: &str, is_html: bool) -> String {
    let mut text = segment.to_owned();
    let is_html = is_html || segment.contains('<');
    for _ in 0..MOST_ROUNDS {
        let before = text.clone();
        if !is_html && text.contains('&') {
            text = unescape_strictly(&text);
        }
        text = fix_encoding(&text);
        text = fix_characters(&text);
        if text == before {
            break;
        }
    }
    text
}

/// References that end in a semicolon and name a character.
fn unescape_strictly(text: &str) -> String {
    let Some(reference) = REFERENCE.as_ref() else {
        return text.to_owned();
    };
    let replace = |captures: &Captures| {
        let found = &captures[0];
        if let Some(number) = found.strip_prefix("&#") {
            let unescaped = unescape(found);
            let whole = !number.is_empty() && !unescaped.contains(';');
            return if whole { unescaped } else { found.to_owned() };
        }
        strict_name(&found[1..]).unwrap_or_else(|| found.to_owned())
    };
    reference.replace_all(text, replace).into_owned()
}

/// The repairs of single characters, in the reference's order.
fn fix_characters(text: &str) -> String {
    if text.is_ascii() && !text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = windows_1252(c);
        match TABLES.as_ref().and_then(|tables| tables.ligatures.get(&c)) {
            Some(letters) => letters.chars().for_each(|c| push_in_width(c, &mut out)),
            None => push_in_width(c, &mut out),
        }
    }
    let out: String = out
        .chars()
        .map(|c| match c {
            '\u{201c}'..='\u{201f}' => '"',
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
            other => other,
        })
        .collect();
    let out = out
        .replace("\r\n", "\n")
        .replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
    let out = match TERMINAL_ESCAPE.as_ref() {
        Some(escape) => escape.replace_all(&out, ""),
        None => Cow::Borrowed(out.as_str()),
    };
    out.chars().filter(|c| !is_removed(*c)).nfc().collect()
}

/// Full-width Latin and half-width Katakana and Hangul in their usual width.
fn push_in_width(c: char, out: &mut String) {
    match c {
        '\u{3000}' => out.push(' '),
        '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(c).nfkc()),
        other => out.push(other),
    }
}

/// Control characters that show nothing.
fn is_removed(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{b}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffc}'
    )
}

/// Undoes decodings in a wrong encoding, one after the other.
fn fix_encoding(text: &str) -> String {
    let Some(tables) = TABLES.as_ref() else {
        return text.to_owned();
    };
    let mut text = Cow::Borrowed(text);
    for _ in 0..MOST_ROUNDS {
        match tables.fix_encoding_once(&text) {
            Some(fixed) if fixed != text => text = Cow::Owned(fixed),
            _ => break,
        }
    }
    text.into_owned()
}

impl Tables {
    fn fix_encoding_once(&self, text: &str) -> Option<String> {
        if text.is_ascii() || !self.mojibake.is_match(text) {
            return None;
        }
        let mut could_be_latin_1 = false;
        for encoding in &self.encodings {
            let Some(bytes) = encoding.encode(text) else {
                continue;
            };
            could_be_latin_1 |= encoding.is_latin_1;
            if let Some(decoded) = self.decode_utf8(bytes, encoding) {
                return Some(decoded);
            }
        }
        if let Some(fixed) = self.fix_sequences(text).filter(|fixed| fixed != text) {
            return Some(fixed);
        }
        if could_be_latin_1 && !text.chars().any(is_undefined_in_windows_1252) {
            let fixed: String = text.chars().map(windows_1252).collect();
            if fixed != text {
                return Some(fixed);
            }
        }
        Some(text.chars().map(windows_1252).collect())
    }

    fn decode_utf8(&self, bytes: Vec<u8>, encoding: &Encoding) -> Option<String> {
        let mut bytes = bytes;
        if !encoding.is_macroman && self.altered_utf8.is_match(&bytes) {
            let spaced = space_after_a_grave(&bytes);
            let restore = |captures: &bytes::Captures| -> Vec<u8> {
                let restored = |byte: &u8| if *byte == b' ' { 0xa0 } else { *byte };
                captures[0].iter().map(restored).collect()
            };
            bytes = self.altered_utf8.replace_all(&spaced, restore).into_owned();
        }
        if encoding.is_sloppy {
            let replacement = "\u{fffd}".as_bytes();
            let replaced = self
                .lossy_utf8
                .replace_all(&bytes, bytes::NoExpand(replacement));
            bytes = replaced.into_owned();
        }
        if bytes.contains(&0xed) || bytes.contains(&0xc0) {
            return decode_utf8_variants(&bytes);
        }
        String::from_utf8(bytes).ok()
    }

    /// Repairs what looks like UTF-8 read in a single-byte encoding, each place by itself.
    fn fix_sequences(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut from, mut found_any) = (0, 0, false);
        while let Some(found) = self.utf8_sequences.find_at(text, from) {
            let before = text[..found.start()].chars().next_back();
            let mut buffer = [0; 4];
            let strict =
                before.is_some_and(|c| self.not_after.is_match(c.encode_utf8(&mut buffer)));
            if strict {
                let first = found.as_str().chars().next().map_or(1, char::len_utf8);
                from = found.start() + first;
                continue;
            }
            found_any = true;
            out.push_str(&text[copied..found.start()]);
            if found.len() < text.len() && self.mojibake.is_match(found.as_str()) {
                out.push_str(&fix_encoding(found.as_str()));
            } else {
                out.push_str(found.as_str());
            }
            copied = found.end();
            from = found.end();
        }
        out.push_str(&text[copied..]);
        found_any.then_some(out)
    }
}

impl Encoding {
    /// The text in this encoding, if every character has a place in it.
    fn encode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars()
            .map(|c| match c {
                '\u{1a}' if self.is_sloppy => None,
                '\u{fffd}' if self.is_sloppy => Some(0x1a),
                c if c.is_ascii() => Some(c as u8),
                c => self.bytes.get(&c).copied(),
            })
            .collect()
    }
}

/// In `C3 20` a word of its own is more likely than the beginning of the next, but for the
/// Portuguese words that begin so.
fn space_after_a_grave(bytes: &[u8]) -> Vec<u8> {
    const CONTINUED: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match after.split_first() {
            Some((b' ', next))
                if *first == 0xc3 && !CONTINUED.iter().any(|word| next.starts_with(word)) =>
            {
                out.extend_from_slice(&[0xc3, 0xa0, b' ']);
                rest = next;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn is_undefined_in_windows_1252(c: char) -> bool {
    matches!(c, '\u{81}' | '\u{8d}' | '\u{8f}' | '\u{90}' | '\u{9d}')
}

/// UTF-8 in which characters beyond U+FFFF may be surrogate pairs of three bytes each, and NUL may
/// be two bytes.
fn decode_utf8_variants(bytes: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(bytes.len());
    let mut start = 0;
    let mut position = 0;
    while position < bytes.len() {
        let rest = &bytes[position..];
        let (c, length) = match rest {
            [0xc0, 0x80, ..] => ('\0', 2),
            [
                0xed,
                a @ 0xa0..=0xaf,
                b @ 0x80..=0xbf,
                0xed,
                c @ 0xb0..=0xbf,
                d @ 0x80..=0xbf,
                ..,
            ] => {
                let bits = (u32::from(a & 0x0f) << 16)
                    + (u32::from(b & 0x3f) << 10)
                    + (u32::from(c & 0x0f) << 6)
                    + u32::from(d & 0x3f);
                (char::from_u32(bits + 0x1_0000)?, 6)
            }
            _ => {
                position += 1;
                continue;
            }
        };
        out.push_str(std::str::from_utf8(&bytes[start..position]).ok()?);
        out.push(c);
        position += length;
        start = position;
    }
    out.push_str(std::str::from_utf8(&bytes[start..]).ok()?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_whole() {
        let tables = TABLES.as_ref().unwrap();
        assert_eq!(tables.encodings.len(), 10);
        assert_eq!(tables.encodings.iter().filter(|e| e.is_sloppy).count(), 6);
        assert!(REFERENCE.is_some() && TERMINAL_ESCAPE.is_some());
    }

    #[test]
    fn damage_of_every_kind_is_repaired() {
        for (text, expected) in [
            ("plain", "plain"),
            ("\u{e2}\u{153}\u{201d} No problems", "\u{2714} No problems"),
            ("s\u{c3}\u{b3}", "s\u{f3}"),
            ("voil\u{c3} le travail", "voil\u{e0} le travail"),
            ("\u{ff2c}\u{ff2f}\u{ff35}\u{ff24}\u{3000}x", "LOUD x"),
            ("\u{fb02}u\u{fb03}y", "fluffiy"),
            ("\u{201c}x\u{2019}s\u{201d}", "\"x's\""),
            ("\u{1b}[36;44mblue\u{1b}[0m\u{7}", "blue"),
            ("&eacute;&NTILDE;&amp;amp;", "\u{e9}\u{d1}&"),
            ("<b>&eacute;</b>", "<b>&eacute;</b>"),
            ("e\u{301}", "\u{e9}"),
        ] {
            assert_eq!(repair(text), expected, "{text}");
        }
    }
}
