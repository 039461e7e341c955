//! Which labels a user allows.

use crate::{
    Result,
    labels::{LabelSet, lines, read_limited},
};
use std::{collections::HashSet, path::Path};

/// Words and phrases that labels must or must not contain, whole words, whatever their case.
#[derive(Clone, Debug, Default)]
pub struct LabelPolicy {
    allowed: Option<Phrases>,
    denied: Phrases,
}

#[derive(Clone, Debug, Default)]
struct Phrases {
    phrases: HashSet<String>,
    // In words, of the longest.
    longest: usize,
}

impl LabelPolicy {
    /// Only labels that contain one of the file's lines are used.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn allow(mut self, file: &Path) -> Result<Self> {
        let allowed = self.allowed.get_or_insert_default();
        allowed.read(file)?;
        Ok(self)
    }

    /// Labels that contain one of the file's lines are not used, even if they are allowed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn deny(mut self, file: &Path) -> Result<Self> {
        self.denied.read(file)?;
        Ok(self)
    }

    /// Leaves labels out of rankings.
    pub fn apply(&self, set: &mut LabelSet) {
        for list in set.lists_mut() {
            for index in 0..list.labels().len() {
                let words = words(&list.labels()[index]);
                let allowed = self.allowed.as_ref();
                if self.denied.are_in(&words) || allowed.is_some_and(|some| !some.are_in(&words)) {
                    list.leave_out(index);
                }
            }
        }
    }
}

impl Phrases {
    fn read(&mut self, file: &Path) -> Result<()> {
        for line in lines(&read_limited(file)?) {
            let words = words(&String::from_utf8_lossy(line));
            if !words.is_empty() {
                self.longest = self.longest.max(words.len());
                self.phrases.insert(words.join(" "));
            }
        }
        Ok(())
    }

    fn are_in(&self, words: &[String]) -> bool {
        (0..words.len()).any(|start| {
            let longest = self.longest.min(words.len() - start);
            (1..=longest).any(|count| {
                self.phrases
                    .contains(&words[start..start + count].join(" "))
            })
        })
    }
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LabelList;

    fn used(policy: &LabelPolicy, labels: &[&str]) -> Vec<String> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let mut set = LabelSet::new(vec![LabelList::new("mine", labels)]);
        policy.apply(&mut set);
        let list = &set.lists()[0];
        let used = (0..list.labels().len()).filter(|index| list.is_used(*index));
        used.map(|index| list.labels()[index].clone()).collect()
    }

    #[test]
    fn whole_words_are_matched_and_a_denial_wins() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let (deny, allow) = (folder.path().join("deny"), folder.path().join("allow"));
        std::fs::write(&deny, "Art nouveau\n\n--\nblood\n").unwrap();
        std::fs::write(&allow, "art\nlight").unwrap();
        let labels = [
            "art nouveau poster",
            "Art-Nouveau",
            "art",
            "bloody light",
            "blood, light",
            "dark",
            "",
        ];
        let denied = LabelPolicy::default().deny(&deny)?;
        assert_eq!(used(&denied, &labels), ["art", "bloody light", "dark", ""]);
        let both = denied.allow(&allow)?;
        assert_eq!(used(&both, &labels), ["art", "bloody light"]);
        assert!(both.deny(&folder.path().join("missing")).is_err());
        Ok(())
    }
}
