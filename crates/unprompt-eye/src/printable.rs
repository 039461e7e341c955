//! Which prompts may be shown as what a picture shows.

use regex::Regex;
use std::sync::LazyLock;

/// Words of a prompt that is shown: fewer say nothing, more say what nobody saw.
const WORDS: std::ops::RangeInclusive<usize> = 2..=12;

/// Style words, names of artists and of tools: they say how a picture is to be made, and no label
/// can vouch for them.
const STYLE: &str = r"(?i)\b(by|style of|artstation|trending|deviantart|octane|unreal|8 ?k|4 ?k|u?hd|hdr|detailed|intricate|sharp focus|cgsociety|concept art|masterpiece|award[- ]winning|lighting|render(ed|ing)?|vray|dslr|bokeh|lens|ghibli|pixar|disney|marvel|anime|photorealistic|hyperrealistic|hyper realistic|ultra|aesthetic|wallpaper|composition|symmetr\w+|cinematic|vibrant)\b";

/// Beginnings that tell somebody to do something, or speak about the picture and not of what is in
/// it.
const INSTRUCTION: &str = r"(?i)^(create|generate|draw|make|write|design|show|imagine|please|give|paint|produce|depict|illustrate|render|craft|i|we|you|there (is|are)|the (most )?perfect|the best|logo|the word|text)\b";

/// What people wrote for a machine to take apart: counts of things, two things and how they lie to
/// each other, parts of a test. Nothing in the embedding vouches for the second thing.
const TEST: &str = r"(?i)\band an? |\b(two|three|four|five|six|seven|eight|nine|ten|several|couple)\b|\b(left|right|side) of\b|\b(next to|above|below|beside|on (the )?top of|behind|in front of|under|underneath|beneath|hidden by|near)\b|\b(shaped?|texture)\b|^in a still frame|^an? (picture|image) of (some|plate)|\bportrait art\b|,$";

/// Whole sentences tell a story, of which a picture's embedding knows the setting at best; "this" and
/// "it" speak of another picture.
const SENTENCE: &str =
    r"(?i)\b(is|are|was|were|has|have|wears?)\b|^(this|that|these|it|in this image)\b";

/// Praise says nothing of what is seen.
const PRAISE: &str = r"(?i)\b(beautiful|perfect|best|stunning|most)\b";

static REFUSED: LazyLock<Option<Vec<Regex>>> = LazyLock::new(|| {
    let patterns = [STYLE, INSTRUCTION, TEST, SENTENCE, PRAISE, r"\d{3,}"];
    patterns
        .into_iter()
        .map(|pattern| Regex::new(pattern).ok())
        .collect()
});

/// Whether a prompt may be shown: a short plain phrase about one thing in a picture, without style
/// words, names behind "by", instructions, praise, brackets and long numbers.
pub fn is_printable(text: &str) -> bool {
    const MARKS: &str = "()[]{}<>|/\\:;\"_*#@&+=~^`$%!?";
    let refused = |patterns: &Vec<Regex>| patterns.iter().any(|pattern| pattern.is_match(text));
    WORDS.contains(&text.split_whitespace().count())
        && text.is_ascii()
        && !text.contains(|mark: char| MARKS.contains(mark))
        && text.matches('.').count() <= 1
        && text.matches(',').count() <= 3
        && REFUSED.as_ref().is_some_and(|patterns| !refused(patterns))
}

#[cfg(test)]
mod tests {
    use super::is_printable;

    #[test]
    fn plain_phrases_may_be_shown() {
        for text in [
            "a cat",
            "A red colored car.",
            "a blue bus driving down a city street.",
            "an old, rickety wooden bench in the woods",
        ] {
            assert!(is_printable(text), "{text}");
        }
    }

    #[test]
    fn what_no_label_can_vouch_for_may_not() {
        for text in [
            "cat",
            "a castle by greg rutkowski",
            "portrait of a woman, trending on artstation",
            "Create an image of a dog",
            "a cat (sleeping)",
            "a bus, 1987",
            "a horse on the left of a sofa",
            "a circular vase and a triangular picture frame",
            "a microwave in front of a cup",
            "In this image we can see a car on the road.",
            "portrait art,",
            "a photo of a fork above a hair drier",
            "a stop sign and a book",
            "three dogs on a street",
            "a green clock in the shape of a pentagon",
            "A laptop is on the table.",
            "It looks like a wooden wall.",
            "a beautiful painting",
            "a person wears a hat",
            "one two three four five six seven eight nine ten eleven twelve thirteen",
            "a caf\u{e9} in the rain",
            "One. Two. Three.",
        ] {
            assert!(!is_printable(text), "{text}");
        }
    }
}
