//! What a prompt is made of: its subject, and the phrases behind commas that modify it.
//!
//! Prompts of text-to-image models begin with what is to be seen and go on with how: "a lighthouse on
//! a cliff, oil on canvas, dramatic light". Shen et al., "Prompt Stealing Attacks Against
//! Text-to-Image Generation Models" (2024), score the two apart.

use crate::score::cosine;

/// What stands before the first comma, without white space at its ends; the whole prompt where that is
/// nothing.
pub fn subject(prompt: &str) -> &str {
    let first = prompt.split(',').next().unwrap_or_default().trim();
    if first.is_empty() {
        prompt.trim()
    } else {
        first
    }
}

/// Which share of the true prompt's modifiers, the phrases behind its first comma, a text has: their
/// words one after the other, whatever their case and punctuation. `None` where there is none.
pub fn modifier_recall(truth: &str, text: &str) -> Option<f64> {
    let text = words(text);
    let (mut found, mut all) = (0usize, 0usize);
    for modifier in truth.split(',').skip(1).map(words) {
        if modifier.is_empty() {
            continue;
        }
        all += 1;
        found += usize::from(
            text.windows(modifier.len())
                .any(|window| window == modifier),
        );
    }
    (all > 0).then(|| found as f64 / all as f64)
}

/// Words in lower case without what is neither letter nor digit at their ends.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .flat_map(|word| word.split(','))
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// Cosine of two embeddings as a score: where one has no direction, as good as orthogonal.
pub fn cosine_or_zero(left: &[f64], right: &[f64]) -> f64 {
    cosine(left, right).unwrap_or(0.0)
}

/// How long prompts are called that have this many words.
pub fn length_band(prompt: &str) -> &'static str {
    match prompt.split_whitespace().count() {
        0..=5 => LENGTH_BANDS[0],
        6..=10 => LENGTH_BANDS[1],
        11..=20 => LENGTH_BANDS[2],
        21..=40 => LENGTH_BANDS[3],
        _ => LENGTH_BANDS[4],
    }
}

/// What [`length_band`] says, from short to long.
pub const LENGTH_BANDS: [&str; 5] = [
    "up to 5 words",
    "6 to 10 words",
    "11 to 20 words",
    "21 to 40 words",
    "more than 40 words",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_stands_before_the_first_comma() {
        assert_eq!(subject(" a cat , oil on canvas"), "a cat");
        assert_eq!(subject("a cat"), "a cat");
        assert_eq!(subject(", oil on canvas "), ", oil on canvas");
        assert_eq!(subject(""), "");
    }

    #[test]
    fn modifiers_are_found_as_words_one_after_the_other() {
        let recall = |truth, text| modifier_recall(truth, text);
        assert_eq!(recall("a cat", "a cat, 4k"), None);
        assert_eq!(recall("a cat, , ", "a cat"), None);
        let truth = "a cat, Oil on canvas, 4k, dramatic light.";
        assert_eq!(recall(truth, "a dog"), Some(0.0));
        assert_eq!(
            recall(truth, "oil on canvas of a dog, (4K), light"),
            Some(2.0 / 3.0)
        );
        assert_eq!(recall(truth, "a cat, oil on, canvas"), Some(1.0 / 3.0));
        assert_eq!(recall(truth, "4k,dramatic light,oil on canvas"), Some(1.0));
        // Not a part of a word.
        assert_eq!(recall("a cat, art", "a cat, artwork"), Some(0.0));
    }

    #[test]
    fn lengths_are_counted_in_words() {
        let of = |words: usize| length_band(&"word ".repeat(words)).to_owned();
        assert_eq!(
            (of(0), of(5)),
            (LENGTH_BANDS[0].into(), LENGTH_BANDS[0].into())
        );
        assert_eq!(
            (of(6), of(10)),
            (LENGTH_BANDS[1].into(), LENGTH_BANDS[1].into())
        );
        assert_eq!(
            (of(11), of(40)),
            (LENGTH_BANDS[2].into(), LENGTH_BANDS[3].into())
        );
        assert_eq!(of(41), LENGTH_BANDS[4]);
    }
}
