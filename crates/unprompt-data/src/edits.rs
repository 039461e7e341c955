//! Captions as trainers want them, edited before they are written beside their pictures.

use crate::{CleanUp, DataError, Limits, read::list_text};
use std::{ops::Range, path::Path};

/// What is done to a text, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// A beginning such as "a picture of" goes, as [`CleanUp::strip_leads`] has it.
    pub strip_leads: bool,
    /// Phrases with what takes their place.
    pub replacements: Vec<(Phrase, String)>,
    /// Parts between commas that contain one of these go.
    pub denied: Vec<Phrase>,
    /// What stands before the text, as it is: with its comma and its space.
    pub prefix: String,
    /// What stands behind the text, as it is.
    pub suffix: String,
}

/// Words that follow each other. Whole words are found, whatever their case, with spaces, underscores
/// or hyphens between them: `blue hair` is in `long Blue_Hair`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    words: Vec<String>,
}

impl Edits {
    /// Takes replacements out of a file, one a line: `FROM,TO`, as in kohya's `--tag_replacement`, in
    /// the quotes of CSV where there is a comma in one of them. Without `TO` the phrase goes; lines
    /// that begin with `#` are comments.
    ///
    /// # Errors
    /// When the file cannot be read, or a line has no word to look for or more than two fields.
    pub fn read_replacements(&mut self, file: &Path) -> Result<(), DataError> {
        let text = list_text(file, Limits::default().list)?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|error| DataError::list(file, error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let phrase = Phrase::new(record.get(0).unwrap_or_default());
            match (phrase, record.len()) {
                (Some(phrase), 1 | 2) => {
                    let text = record.get(1).unwrap_or_default().to_owned();
                    self.replacements.push((phrase, text));
                }
                _ => {
                    let message = format!("line {line}: `FROM,TO` is expected");
                    return Err(DataError::list(file, message));
                }
            }
        }
        Ok(())
    }

    /// Takes phrases that are not wanted out of a file, one a line.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_denied(&mut self, file: &Path) -> Result<(), DataError> {
        let text = list_text(file, Limits::default().list)?;
        self.denied.extend(text.lines().filter_map(Phrase::new));
        Ok(())
    }

    /// The text after all edits, on one line; `None` if nothing of it is left.
    pub fn apply(&self, text: &str) -> Option<String> {
        let clean_up = CleanUp {
            strip_leads: self.strip_leads,
            ..CleanUp::default()
        };
        let mut text = clean_up.apply(text)?;
        for (phrase, other) in &self.replacements {
            text = phrase.replace(&text, other);
        }
        if !self.replacements.is_empty() || !self.denied.is_empty() {
            let is_denied = |part: &str| self.denied.iter().any(|phrase| phrase.is_in(part));
            let parts = text.split(',').map(str::trim);
            let parts = parts.filter(|part| !part.is_empty() && !is_denied(part));
            text = parts.collect::<Vec<_>>().join(", ");
        }
        if text.is_empty() {
            return None;
        }
        let whole = format!("{}{text}{}", self.prefix, self.suffix);
        CleanUp::default().apply(&whole)
    }
}

impl Phrase {
    /// The words of a text, or `None` where it has none.
    pub fn new(text: &str) -> Option<Self> {
        let words = words(text).into_iter();
        let words: Vec<String> = words.map(|range| text[range].to_lowercase()).collect();
        (!words.is_empty()).then_some(Self { words })
    }

    /// Whether the text contains it.
    pub fn is_in(&self, text: &str) -> bool {
        self.find(text, &words(text), 0).is_some()
    }

    /// The text with something else in its place, everywhere.
    fn replace(&self, text: &str, other: &str) -> String {
        let words = words(text);
        let (mut out, mut end, mut first) = (String::new(), 0, 0);
        while let Some(found) = self.find(text, &words, first) {
            out.push_str(&text[end..words[found].start]);
            out.push_str(other);
            first = found + self.words.len();
            end = words[first - 1].end;
        }
        out.push_str(&text[end..]);
        match other {
            "" => out.split_whitespace().collect::<Vec<_>>().join(" "),
            _ => out,
        }
    }

    /// The word, from `first` on, at which it begins.
    fn find(&self, text: &str, words: &[Range<usize>], first: usize) -> Option<usize> {
        let joins = |c: char| c.is_whitespace() || matches!(c, '_' | '-');
        (first..words.len()).find(|&begin| {
            let Some(place) = words.get(begin..begin + self.words.len()) else {
                return false;
            };
            let mut pairs = place.iter().zip(&self.words);
            pairs.all(|(range, word)| text[range.clone()].to_lowercase() == *word)
                && place
                    .windows(2)
                    .all(|two| text[two[0].end..two[1].start].chars().all(joins))
        })
    }
}

/// Where the words of a text are: letters and digits side by side.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut begin = None;
    for (index, c) in text.char_indices() {
        match (c.is_alphanumeric(), begin) {
            (true, None) => begin = Some(index),
            (false, Some(first)) => {
                words.push(first..index);
                begin = None;
            }
            _ => {}
        }
    }
    words.extend(begin.map(|first| first..text.len()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Phrase {
        Phrase::new(text).unwrap()
    }

    #[test]
    fn whole_words_are_found_whatever_joins_them() {
        let hair = phrase("Blue hair");
        for text in ["long blue_hair", "BLUE  HAIR", "(blue-hair:1.2)"] {
            assert!(hair.is_in(text), "{text}");
        }
        for text in ["blue, hair", "blue hairs", "blue", "light bluehair"] {
            assert!(!hair.is_in(text), "{text}");
        }
        assert_eq!(Phrase::new(" _, "), None);
        let cat = phrase("cat");
        assert_eq!(
            cat.replace("cat cat_Cat concat", "dog"),
            "dog dog_dog concat"
        );
        assert_eq!(cat.replace("a cat here", ""), "a here");
    }

    #[test]
    fn edits_follow_each_other() {
        let edits = Edits {
            strip_leads: true,
            replacements: vec![
                (phrase("anime girl"), "1girl".into()),
                (phrase("very"), String::new()),
            ],
            denied: vec![phrase("watermark"), phrase("blurry background")],
            prefix: "sks, ".into(),
            suffix: ", photo".into(),
        };
        let cases = [
            (
                "A picture of an Anime_Girl, a very\nBlurry background",
                Some("sks, an 1girl, photo"),
            ),
            ("very, cat", Some("sks, cat, photo")),
            ("a watermark", None),
            (" \n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(edits.apply(text).as_deref(), expected, "{text}");
        }
        let none = Edits::default();
        assert_eq!(none.apply("a ,b").as_deref(), Some("a ,b"));
    }

    #[test]
    fn files_of_edits_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut edits = Edits::default();
        let good = write(
            "good",
            "\u{feff}# comment\nblue_hair, azure hair\n\"a, b\",c\ngone\n",
        );
        edits.read_replacements(&good).unwrap();
        let texts: Vec<&str> = edits.replacements.iter().map(|(_, to)| &**to).collect();
        assert_eq!(texts, ["azure hair", "c", ""]);
        for bad in ["a,b,c\n", ",b\n"] {
            let error = edits.read_replacements(&write("bad", bad)).unwrap_err();
            assert!(error.to_string().contains("line 1"), "{error}");
        }
        edits
            .read_denied(&write("denied", "\nwatermark\r\n"))
            .unwrap();
        assert_eq!(edits.denied, [phrase("watermark")]);
        assert!(edits.read_denied(&folder.path().join("none")).is_err());
    }
}
