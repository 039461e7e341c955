//! What a table says of itself, as JSON in its comment: `COMMENT ON TABLE` is part of the transaction
//! that makes the table, and of every copy of it that `pg_dump` makes.

use serde::{Deserialize, Serialize};
use unprompt_index::{Manifest, ModelIdentity, PromptCounts, Space};

const FORMAT: &str = "unprompt-pgvector";
const VERSION: u32 = 1;

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    format: String,
    version: u32,
    pub(crate) clip: ModelIdentity,
    clip_width: u64,
    pub(crate) sentence: ModelIdentity,
    sentence_width: u64,
    pub(crate) prompts: PromptCounts,
}

/// What all versions begin with.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

impl Contents {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            clip: manifest.clip.clone(),
            clip_width: manifest.clip_width,
            sentence: manifest.sentence.clone(),
            sentence_width: manifest.sentence_width,
            prompts: manifest.prompts.clone(),
        }
    }

    /// Reads a comment; an error is in words.
    pub(crate) fn parse(comment: &str) -> Result<Self, String> {
        let is_ours = |head: &Head| head.format == FORMAT;
        let head = serde_json::from_str(comment).ok().filter(is_ours);
        let Some(head) = head else {
            return Err(
                "its comment is not that of a table made by `index export --to`".to_owned(),
            );
        };
        if head.version != VERSION {
            return Err(format!(
                "it is of version {}; this program reads version {VERSION}",
                head.version
            ));
        }
        serde_json::from_str(comment).map_err(|error| format!("its comment is damaged: {error}"))
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Width of the embeddings of a space.
    pub(crate) fn width(&self, space: Space) -> u64 {
        match space {
            Space::Clip => self.clip_width,
            Space::Sentence => self.sentence_width,
        }
    }
}

/// The column of a space.
pub(crate) fn column(space: Space) -> &'static str {
    match space {
        Space::Clip => "clip_embedding",
        Space::Sentence => "sentence_embedding",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What version 1 wrote; it is read for ever.
    const FIRST: &str = include_str!("../fixtures/contents-1.json");

    #[test]
    fn every_version_is_read() {
        let contents = Contents::parse(FIRST).unwrap();
        assert_eq!(contents.clip.name, "ViT-H-14/laion2b_s32b_b79k");
        assert_eq!(contents.width(Space::Clip), 1024);
        assert_eq!(contents.width(Space::Sentence), 384);
        assert_eq!(contents.prompts.rows, 1632);
        assert_eq!(contents.to_json().unwrap(), FIRST.trim_end());
    }

    #[test]
    fn what_is_not_ours_or_too_new_is_refused() {
        for comment in [
            "",
            "prompts of the art team",
            "{}",
            "[1]",
            r#"{"format":"x","version":1}"#,
        ] {
            assert!(
                Contents::parse(comment)
                    .unwrap_err()
                    .contains("index export")
            );
        }
        let newer = FIRST.replace("\"version\":1", "\"version\":2");
        let message = Contents::parse(&newer).unwrap_err();
        assert!(message.contains("version 2"), "{message}");
        let broken = FIRST.replace("\"rows\":1632", "\"rows\":-1");
        let message = Contents::parse(&broken).unwrap_err();
        assert!(message.contains("damaged"), "{message}");
    }
}
