//! A prompt that is a list, as keywords.

/// More would be no list that anyone wrote as one.
const MOST_KEYWORDS: usize = 200;
/// The longest keyword of the IPTC.
const LONGEST_KEYWORD: usize = 64;
const MOST_WORDS: usize = 8;

/// The parts of a prompt that is a list with commas, each once; none of any other text. What has a
/// sentence, or a part that is longer than a keyword may be, is no list.
pub(super) fn keywords(prompt: &str) -> Vec<String> {
    let parts: Vec<&str> = prompt
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let is_keyword = |part: &&str| {
        let is_sentence = part.ends_with(['.', '!', '?']) || part.contains(". ");
        part.len() <= LONGEST_KEYWORD
            && part.split_whitespace().count() <= MOST_WORDS
            && !part.contains(char::is_control)
            && !is_sentence
    };
    if !(2..=MOST_KEYWORDS).contains(&parts.len()) || !parts.iter().all(is_keyword) {
        return Vec::new();
    }
    let mut keywords: Vec<String> = Vec::new();
    for part in parts {
        if !keywords.iter().any(|keyword| keyword == part) {
            keywords.push(part.to_owned());
        }
    }
    keywords
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_keywords_and_sentences_have_none() {
        assert_eq!(
            keywords("a cat, oil on canvas,,a cat, 4k,"),
            ["a cat", "oil on canvas", "4k"]
        );
        for text in [
            "a cat",
            "A cat, sitting on a mat.",
            "One. Two, three",
            "a,b\nc",
            "",
            ",",
            "yes, a part of this text goes on for rather more words than any keyword",
        ] {
            assert!(keywords(text).is_empty(), "{text}");
        }
        assert!(keywords(&"a,".repeat(9999)).len() <= 1);
    }
}
