//! What an index says of itself: `manifest.json`, written last, and `build.json` while it is built.

use crate::{
    IndexError, Result, Space, durable,
    file_names::{MANIFEST, PLAN},
    segment::hexadecimal,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{fs::File, io::Read, path::Path};

const FORMAT: &str = "unprompt-index";
const VERSION: u32 = 1;
/// Some 100 bytes a segment: enough for billions of prompts.
const MAX_BYTES: u64 = 256 << 20;

/// The models whose embeddings an index holds, by what they are, not by where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelIdentity {
    /// The model as the user named it.
    pub name: String,
    /// Commit, package version, or `local`.
    pub revision: String,
    /// Digest over all its files.
    pub sha256: String,
    /// Number type that it computed in: f32, int8 and so on.
    pub dtype: String,
}

/// The prompts that went in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptCounts {
    /// Prompts in the index: every text once, in the order of first appearance.
    pub rows: u64,
    /// Rows of the input that said again what an earlier one had said.
    pub duplicates: u64,
    /// Rows of the input without any text.
    pub empty: u64,
    /// SHA-256 over the prompts, each after its length in bytes (u64, little-endian).
    pub sha256: String,
}

/// What an index holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// The CLIP whose text tower embedded the prompts.
    pub clip: ModelIdentity,
    /// Width of its embeddings.
    pub clip_width: u64,
    /// The sentence encoder.
    pub sentence: ModelIdentity,
    /// Width of its embeddings.
    pub sentence_width: u64,
    /// The prompts.
    pub prompts: PromptCounts,
    /// Prompts in each segment but the last.
    pub segment_rows: u64,
    pub(crate) segments: Vec<SegmentRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentRecord {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// What a build is to make; a resumed one must be asked for the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) clip: ModelIdentity,
    pub(crate) sentence: ModelIdentity,
    pub(crate) prompts: PromptCounts,
    pub(crate) segment_rows: u64,
}

/// A file's content with its own digest, so that not even one digit can change unnoticed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    content: T,
    sha256: String,
}

impl Manifest {
    pub(crate) fn new(
        plan: Plan,
        clip_width: u64,
        sentence_width: u64,
        segments: Vec<SegmentRecord>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            clip: plan.clip,
            clip_width,
            sentence: plan.sentence,
            sentence_width,
            prompts: plan.prompts,
            segment_rows: plan.segment_rows,
            segments,
        }
    }

    /// Width of the embeddings of a space.
    pub fn width(&self, space: Space) -> u64 {
        match space {
            Space::Clip => self.clip_width,
            Space::Sentence => self.sentence_width,
        }
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// `None` where there is none.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        let Some(manifest) = read_sealed::<Self>(&path)? else {
            return Ok(None);
        };
        let damaged = |message: String| Err(IndexError::damaged(&path, message));
        if manifest.format != FORMAT || manifest.version != VERSION {
            let (format, version) = (&manifest.format, manifest.version);
            return damaged(format!(
                "it is of format `{format}` version {version}; this program reads `{FORMAT}` version {VERSION}"
            ));
        }
        let rows: u128 = manifest
            .segments
            .iter()
            .map(|segment| u128::from(segment.rows))
            .sum();
        if rows != u128::from(manifest.prompts.rows) {
            return damaged(format!(
                "its segments hold {rows} rows, expected {}",
                manifest.prompts.rows
            ));
        }
        Ok(Some(manifest))
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_sealed(&folder.join(MANIFEST), self)
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            clip: self.clip.clone(),
            sentence: self.sentence.clone(),
            prompts: self.prompts.clone(),
            segment_rows: self.segment_rows,
        }
    }
}

impl Plan {
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        read_sealed(&folder.join(PLAN))
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_sealed(&folder.join(PLAN), self)
    }

    pub(crate) fn remove(folder: &Path) -> Result<()> {
        durable::remove(&folder.join(PLAN))
    }

    /// What of `asked` would make another index than this plan, in words. Names do not count: the
    /// same model may have come from elsewhere.
    pub(crate) fn difference(&self, asked: &Self) -> Option<String> {
        let different = |what: &str, here: &str, asked: &str| {
            (here != asked).then(|| format!("its {what} is {here}, and {asked} was asked for"))
        };
        let model = |kind: &str, here: &ModelIdentity, asked: &ModelIdentity| {
            let describe = |model: &ModelIdentity| {
                format!("{} ({}, {})", model.name, model.sha256, model.dtype)
            };
            ((&here.sha256, &here.dtype) != (&asked.sha256, &asked.dtype))
                .then(|| different(kind, &describe(here), &describe(asked)))
                .flatten()
        };
        let prompts =
            |counts: &PromptCounts| format!("{} ({} prompts)", counts.sha256, counts.rows);
        let rows = |plan: &Self| plan.segment_rows.to_string();
        model("CLIP", &self.clip, &asked.clip)
            .or_else(|| model("sentence encoder", &self.sentence, &asked.sentence))
            .or_else(|| {
                different(
                    "list of prompts",
                    &prompts(&self.prompts),
                    &prompts(&asked.prompts),
                )
            })
            .or_else(|| different("number of rows a segment", &rows(self), &rows(asked)))
    }
}

/// Whether a build was begun here.
pub(crate) fn has_plan(folder: &Path) -> bool {
    folder.join(PLAN).exists()
}

fn digest_of<T: Serialize>(content: &T) -> serde_json::Result<String> {
    Ok(hexadecimal(&Sha256::digest(serde_json::to_vec(content)?)))
}

fn read_sealed<T: Serialize + DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(IndexError::io("open", path, error)),
    };
    if !found.is_file() || found.len() > MAX_BYTES {
        let message = format!("expected a file of at most {MAX_BYTES} bytes");
        return Err(IndexError::damaged(path, message));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
        .map_err(|error| IndexError::io("read", path, error))?;
    let broken = |error: serde_json::Error| IndexError::damaged(path, error.to_string());
    let sealed: Sealed<T> = serde_json::from_slice(&bytes).map_err(broken)?;
    let found = digest_of(&sealed.content).map_err(broken)?;
    if found != sealed.sha256 {
        let message = format!("its SHA-256 is {found}, expected {}", sealed.sha256);
        return Err(IndexError::damaged(path, message));
    }
    Ok(Some(sealed.content))
}

fn write_sealed<T: Serialize>(path: &Path, content: &T) -> Result<()> {
    let encode = || {
        let sha256 = digest_of(content)?;
        let mut bytes = serde_json::to_vec_pretty(&Sealed { content, sha256 })?;
        bytes.push(b'\n');
        Ok(bytes)
    };
    let failed = |error: serde_json::Error| IndexError::io("write", path, error.into());
    durable::write_bytes(path, &encode().map_err(failed)?)
}
