//! The infotext with another prompt: settings and negative prompt that it has stay.

use crate::json;

const NEGATIVE: &str = "Negative prompt:";
const SETTINGS: &str = "Steps:";

/// What is in the place of the prompt.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing that would be lost: a plain text at most.
    Replaceable,
    /// An infotext; this is what follows its prompt, the line break included.
    Settings(String),
    /// A record that cannot be had with another prompt.
    Record,
}

impl Found {
    /// Looks at a text that begins with `ours` if we wrote it.
    pub(super) fn in_text(text: &str, ours: Option<&str>) -> Self {
        match ours.and_then(|ours| text.strip_prefix(ours)) {
            Some("") => return Self::Replaceable,
            Some(rest) if rest.starts_with('\n') => return Self::Settings(rest.to_owned()),
            _ => {}
        }
        if json::object(text).is_some() {
            return Self::Record;
        }
        match settings(text) {
            Some(at) => Self::Settings(format!("\n{}", &text[at..])),
            None => Self::Replaceable,
        }
    }

    /// The whole text with this prompt.
    pub(super) fn with_prompt(&self, prompt: &str) -> String {
        match self {
            Self::Settings(rest) => format!("{prompt}{rest}"),
            Self::Replaceable | Self::Record => prompt.to_owned(),
        }
    }
}

/// Where the negative prompt, or else the settings, begin; only a text with settings is an infotext.
fn settings(text: &str) -> Option<usize> {
    let mut starts = vec![0];
    starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
    let begins = |at: &usize, mark: &str| text[*at..].trim_start().starts_with(mark);
    let settings = starts.iter().copied().find(|at| begins(at, SETTINGS))?;
    let negative = starts.iter().copied().find(|at| begins(at, NEGATIVE));
    Some(negative.unwrap_or(settings).min(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_behind_the_prompt() {
        let with = |text: &str| Found::in_text(text, None).with_prompt("new");
        let rest = "Negative prompt: ugly,\nmore\nSteps: 5, Seed: 1";
        assert_eq!(with(&format!("old\nmore\n{rest}")), format!("new\n{rest}"));
        assert_eq!(with(rest), format!("new\n{rest}"));
        assert_eq!(
            with("old\nSteps: 5, Seed: 1\nmore: 2"),
            "new\nSteps: 5, Seed: 1\nmore: 2"
        );
        assert_eq!(with("old\nNegative prompt: ugly"), "new");
        assert_eq!(with("A trip to Rome"), "new");
        assert_eq!(Found::in_text("{\"prompt\": 1}", None), Found::Record);
    }

    #[test]
    fn our_own_text_has_no_settings_however_it_looks() {
        let text = "a\nSteps: 5";
        assert_eq!(Found::in_text(text, Some(text)), Found::Replaceable);
        let more = format!("{text}\nSteps: 6");
        let found = Found::in_text(&more, Some(text));
        assert_eq!(found.with_prompt("b"), "b\nSteps: 6");
        assert_eq!(Found::in_text("{}", Some("{}")), Found::Replaceable);
    }
}
