//! Captions without what is not about the picture.

use regex::Regex;
use std::sync::LazyLock;

/// What is done to a caption, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CleanUp {
    /// A beginning such as "This photograph shows" goes: it says that there is a picture.
    pub strip_leads: bool,
    /// Only the first sentence stays.
    pub first_sentence: bool,
    /// Only so many words stay.
    pub words: Option<usize>,
}

/// How people begin to describe a picture: "An image of", "There is a photo of", "Photograph (a)
/// shows", "The figure is".
static LEAD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let article = r"(?:(?:this|the|an?|\(?[a-d]\))\s+)?";
    let kind = r"(?:(?:black and white|colou?r|aerial)\s+)?(?:image|photo|photograph|picture|figure|painting|illustration|drawing|micrograph)s?(?:\s+\(?[a-d]\)?)?";
    let verb = r"(?:is of|shows?|showing|depicts?|depicting|displays?|illustrates?|features?|portrays?|contains?|is|of)";
    Regex::new(&format!(
        r"(?i)^(?:(?:there|this|here|it) is )?{article}{kind}\s+{verb}\s+"
    ))
    .ok()
});

impl CleanUp {
    /// The caption as it is used, white space made single; `None` if nothing is left of it.
    pub fn apply(&self, caption: &str) -> Option<String> {
        let words: Vec<&str> = caption.split_whitespace().collect();
        let joined = words.join(" ");
        let mut text = joined.as_str();
        if self.strip_leads {
            text = without_lead(text);
        }
        if self.first_sentence {
            text = first_sentence(text);
        }
        let most = self.words.unwrap_or(usize::MAX);
        let kept: Vec<&str> = text.split_whitespace().take(most).collect();
        let kept = kept.join(" ");
        (!kept.is_empty()).then_some(kept)
    }
}

fn without_lead(text: &str) -> &str {
    let lead = LEAD.as_ref().and_then(|lead| lead.find(text));
    lead.map_or(text, |lead| &text[lead.end()..])
}

/// The text up to the first full stop, semicolon or other end of a sentence that is followed by
/// white space and ends more than one letter: "J. Smith" and "St. Paul" stay whole.
fn first_sentence(text: &str) -> &str {
    const SHORTEST_WORD: usize = 3;
    for (end, mark) in text.char_indices() {
        let followed = text[end + mark.len_utf8()..].starts_with(' ');
        if !(followed && matches!(mark, '.' | ';' | '!' | '?')) {
            continue;
        }
        let word = text[..end].rsplit(' ').next().unwrap_or_default();
        if word.chars().count() >= SHORTEST_WORD {
            return &text[..end];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: CleanUp = CleanUp {
        strip_leads: true,
        first_sentence: true,
        words: Some(6),
    };

    #[test]
    fn leads_and_later_sentences_go() {
        let cases = [
            ("This image shows a cat. It sleeps.", Some("a cat")),
            ("Photograph (a) shows the  sea", Some("the sea")),
            (
                "An image of J. Smith in a garden",
                Some("J. Smith in a garden"),
            ),
            (
                "A black and white photo of two men; one sits",
                Some("two men"),
            ),
            ("There is a photo of a dog", Some("a dog")),
            ("there is a dog", Some("there is a dog")),
            ("Imagery of war", Some("Imagery of war")),
            (
                "one two three four five six seven",
                Some("one two three four five six"),
            ),
            ("A photo of ", Some("A photo of")),
            (" \n ", None),
        ];
        for (caption, expected) in cases {
            assert_eq!(ALL.apply(caption).as_deref(), expected, "{caption}");
        }
    }

    #[test]
    fn without_rules_only_white_space_changes() {
        let text = "This image  shows a cat.\nIt sleeps.";
        let found = CleanUp::default().apply(text);
        assert_eq!(found.as_deref(), Some("This image shows a cat. It sleeps."));
    }
}
