//! Dictionaries as Python prints them, which scripts write where they forget `json.dumps`.

use std::iter::Peekable;
use std::str::Chars;

/// Nobody prints a longer one into a picture.
const MAX_BYTES: usize = 1 << 20;

/// The JSON of a text that starts as a printed dictionary; `None` when it does not, or when something
/// is in it that JSON does not have.
pub(super) fn to_json(text: &str) -> Option<String> {
    let first = text.strip_prefix('{')?.trim_start();
    if !first.starts_with('\'') || text.len() > MAX_BYTES {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                out.push_str(&serde_json::to_string(&string(&mut letters, letter)?).ok()?)
            }
            '(' => out.push('['),
            ')' => out.push(']'),
            letter if letter.is_ascii_alphabetic() => {
                let mut word = letter.to_string();
                while let Some(letter) = letters.next_if(char::is_ascii_alphabetic) {
                    word.push(letter);
                }
                out.push_str(match word.as_str() {
                    "True" => "true",
                    "False" => "false",
                    "None" | "nan" | "inf" => "null",
                    // A power of ten.
                    "e" => "e",
                    _ => return None,
                });
            }
            letter => out.push(letter),
        }
    }
    Some(out)
}

/// The rest of a string, up to its closing quote.
fn string(letters: &mut Peekable<Chars<'_>>, quote: char) -> Option<String> {
    let mut out = String::new();
    loop {
        match letters.next()? {
            letter if letter == quote => return Some(out),
            '\\' => match letters.next()? {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'x' => out.push(code(letters, 2)?),
                'u' => out.push(code(letters, 4)?),
                'U' => out.push(code(letters, 8)?),
                letter => out.push(letter),
            },
            letter => out.push(letter),
        }
    }
}

/// A letter by so many hexadecimal digits.
fn code(letters: &mut Peekable<Chars<'_>>, digits: usize) -> Option<char> {
    let digits: String = letters.take(digits).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_dictionary_becomes_json() {
        let text = r#"{'prompt': "a cat's \"tail\"", 'b': 'x\n\'\u732b\'', 'c': (1, -2.5e-05), 'd': [True, None]}"#;
        let json: serde_json::Value = serde_json::from_str(&to_json(text).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"prompt": "a cat's \"tail\"", "b": "x\n'猫'", "c": [1, -2.5e-05], "d": [true, null]})
        );
    }

    #[test]
    fn what_is_none_is_left_alone() {
        for text in [
            "{'a': b}",
            "{'a",
            "{\"a\": 1}",
            "{red|blue}",
            "{'a': <object at 0x1>}",
            "{'a': '\\x0",
        ] {
            assert_eq!(to_json(text), None, "{text}");
        }
    }
}
