//! What the pictures' files are called.

/// Characters of the prompt in a name.
const MOST: usize = 40;

/// The prompt's number, its first words, and the seed.
pub(super) fn file_name(number: usize, digits: usize, prompt: &str, seed: u64) -> String {
    let mut words = String::new();
    for c in prompt.chars() {
        if words.len() >= MOST {
            break;
        }
        match c {
            c if c.is_ascii_alphanumeric() => words.push(c.to_ascii_lowercase()),
            _ if words.is_empty() || words.ends_with('-') => {}
            _ => words.push('-'),
        }
    }
    let words = words.trim_end_matches('-');
    let between = if words.is_empty() { "" } else { "-" };
    format!("{number:0digits$}{between}{words}-{seed}.png")
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_name_is_plain_whatever_the_prompt_is() {
        assert_eq!(file_name(1, 4, "A cat, red!", 7), "0001-a-cat-red-7.png");
        assert_eq!(file_name(12, 4, "../../x", 0), "0012-x-0.png");
        assert_eq!(file_name(1, 4, "猫", 0), "0001-0.png");
        let long = file_name(1, 4, &"word ".repeat(40), u64::MAX);
        assert!(long.len() < 80, "{long}");
    }
}
