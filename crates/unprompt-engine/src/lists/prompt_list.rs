//! Lists of prompts: those that are part of the program, and a user's own.

use std::{collections::HashSet, path::Path};
use unprompt_files::read_regular;

/// The lists that are part of the program; `prompts/NOTICE.md` says where they come from.
const SHIPPED: [(&str, &str); 1] = [("parti", include_str!("../../prompts/parti.txt"))];

/// The largest file of prompts that is read: a soft retrieval looks at every prompt.
const LARGEST_FILE: u64 = 16 << 20;

/// The most prompts of a list, and of all lists that a preset holds in memory: with embeddings of 384
/// numbers they take 400 MB.
pub(crate) const MOST_PROMPTS: usize = 1 << 18;

/// The prompts of a list, each once, in the order of the list.
///
/// A name of a shipped list, or a text file with one prompt a line; empty lines count for nothing.
pub(crate) fn prompt_list(name: &str) -> Result<Vec<String>, String> {
    let failed = |message: String| format!("prompts `{name}`: {message}");
    let text = match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        Some((_, text)) => (*text).to_owned(),
        None => read(Path::new(name)).map_err(failed)?,
    };
    let mut seen = HashSet::new();
    let prompts: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && seen.insert(*line))
        .map(String::from)
        .collect();
    if prompts.is_empty() {
        return Err(failed("no line has a prompt".into()));
    }
    if prompts.len() > MOST_PROMPTS {
        let count = prompts.len();
        return Err(failed(format!(
            "{count} prompts, where a list has at most {MOST_PROMPTS}; `unprompt index build` takes any number"
        )));
    }
    Ok(prompts)
}

fn read(path: &Path) -> Result<String, String> {
    if path.extension().is_none_or(|extension| extension != "txt") {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "not one of {}; a file of your own ends in .txt and has one prompt a line",
            names.join(", ")
        ));
    }
    let bytes = read_regular(path, LARGEST_FILE).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_list_has_every_prompt_once() {
        let prompts = prompt_list("parti").unwrap();
        assert_eq!(prompts.len(), 1632);
        assert_eq!(prompts[0], "bond");
    }

    #[test]
    fn a_list_of_ones_own_is_one_prompt_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.txt");
        std::fs::write(&path, "a cat\r\n\n  a dog \na cat\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(prompt_list(path).unwrap(), ["a cat", "a dog"]);
        std::fs::write(path, " \n").unwrap();
        assert!(prompt_list(path).unwrap_err().contains("no line"));
        let many: String = (0..=MOST_PROMPTS)
            .map(|number| format!("{number}\n"))
            .collect();
        std::fs::write(path, many).unwrap();
        assert!(prompt_list(path).unwrap_err().contains("at most"));
        std::fs::write(path, b"\xFF").unwrap();
        assert!(prompt_list(path).is_err());
        assert!(prompt_list("poems").unwrap_err().contains("parti"));
    }
}
