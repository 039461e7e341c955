//! HTML's character references, as HTML 5 and Python's `html.unescape` read them.

use std::{collections::HashMap, sync::LazyLock};

/// Longest name that is looked for, the semicolon not counted.
const LONGEST_NAME: usize = 32;

/// The names, with and without a semicolon as the standard has them, and what they stand for.
static ENTITIES: LazyLock<HashMap<&'static str, String>> = LazyLock::new(|| {
    include_str!("../../data/html_entities.txt")
        .lines()
        .filter_map(|line| {
            let (name, codes) = line.split_once('\t')?;
            let code = |code| char::from_u32(u32::from_str_radix(code, 16).ok()?);
            Some((name, codes.split(' ').filter_map(code).collect()))
        })
        .collect()
});

/// What windows-1252 has at 0x80 to 0x9f; positions without a character stay control characters.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// A C1 control character as the windows-1252 character at its place; anything else as it is.
pub(super) fn windows_1252(c: char) -> char {
    match c {
        '\u{80}'..='\u{9f}' => WINDOWS_1252[c as usize - 0x80],
        other => other,
    }
}

/// All references replaced, those without a semicolon too where the standard allows it.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let used = match rest[1..].strip_prefix('#') {
            Some(number) => numeric(number, &mut out).map(|used| used + 2),
            None => named(&rest[1..], &mut out).map(|used| used + 1),
        };
        let used = used.unwrap_or_else(|| {
            out.push('&');
            1
        });
        rest = &rest[used..];
    }
    out.push_str(rest);
    out
}

/// The reference of a name as ftfy reads it: always with a semicolon, and in capitals too where
/// that means nothing else.
pub(super) fn strict_name(name: &str) -> Option<String> {
    if let Some(value) = ENTITIES.get(name) {
        return Some(value.clone());
    }
    let lower = name.to_ascii_lowercase();
    let value = ENTITIES.get(lower.as_str())?;
    let reference = format!("&{name}");
    let shouted = name == name.to_ascii_uppercase() && unescape(&reference) == reference;
    shouted.then(|| value.to_uppercase())
}

/// A number after `&#`; gives the bytes of it that were used.
fn numeric(text: &str, out: &mut String) -> Option<usize> {
    let (digits, radix, before) = match text.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => (hexadecimal, 16, 1),
        None => (text, 10, 0),
    };
    let length = digits
        .find(|c: char| !c.is_ascii() || !c.is_digit(radix))
        .unwrap_or(digits.len());
    if length == 0 {
        return None;
    }
    let number = digits[..length].chars().fold(0u32, |number, digit| {
        let digit = digit.to_digit(radix).unwrap_or(0);
        number.saturating_mul(radix).saturating_add(digit)
    });
    match number {
        0 => out.push(char::REPLACEMENT_CHARACTER),
        0x0d => out.push('\r'),
        0x80..=0x9f => out.push(WINDOWS_1252[number as usize - 0x80]),
        // Not characters, and nothing stands for them.
        0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef => {}
        _ if number & 0xfffe == 0xfffe && number <= 0x10_ffff => {}
        _ => out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)),
    }
    let semicolon = usize::from(digits[length..].starts_with(';'));
    Some(before + length + semicolon)
}

/// A name after `&`: as a whole, or the longest beginning of it that is one.
fn named(text: &str, out: &mut String) -> Option<usize> {
    let ends =
        |(_, c): &(usize, char)| matches!(c, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';');
    let end = text
        .char_indices()
        .enumerate()
        .find(|(count, item)| *count == LONGEST_NAME || ends(item))
        .map_or(text.len(), |(_, (index, _))| index);
    if end == 0 {
        return None;
    }
    let whole = end + usize::from(text[end..].starts_with(';'));
    if let Some(value) = ENTITIES.get(&text[..whole]) {
        out.push_str(value);
        return Some(whole);
    }
    // No name is shorter than two letters.
    let starts = text[..whole].char_indices().map(|(index, _)| index);
    let (length, value) = starts
        .rev()
        .filter(|length| *length >= 2)
        .find_map(|length| Some((length, ENTITIES.get(&text[..length])?)))?;
    out.push_str(value);
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_the_standard_says() {
        for (text, expected) in [
            ("a &lt;b&gt; &amp; c", "a <b> & c"),
            ("&amp;amp;", "&amp;"),
            ("&ampx &notit; &notin;", "&x \u{ac}it; \u{2209}"),
            ("&#65;&#x42;&#X43 &#68", "ABC D"),
            (
                "&#0;&#x80;&#x110000;&#xd800;&#1;&#xfffe;",
                "\u{fffd}\u{20ac}\u{fffd}\u{fffd}",
            ),
            ("&#;&#x;&;& &nosuchname;", "&#;&#x;&;& &nosuchname;"),
            ("&NotEqualTilde;", "\u{2242}\u{338}"),
            ("&#99999999999999999999;", "\u{fffd}"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    #[test]
    fn capitals_stand_for_capital_letters_where_they_mean_nothing_else() {
        assert_eq!(strict_name("NTILDE;").as_deref(), Some("\u{d1}"));
        assert_eq!(strict_name("ntilde;").as_deref(), Some("\u{f1}"));
        assert_eq!(strict_name("SZLIG;").as_deref(), Some("SS"));
        assert_eq!(strict_name("nTILDE;"), None);
    }
}
