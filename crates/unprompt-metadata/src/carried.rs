//! The texts that a container carries, before anyone asks what they mean.

use crate::limits::{MAX_TEXT_BYTES, MAX_TEXTS, MAX_TOTAL_TEXT_BYTES};
use crate::text::without_padding;
use crate::{MetadataError, json};

/// Texts gathered from one file, under the limits, with the first damage met on the way.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    keyed: Vec<(String, String)>,
    comments: Vec<String>,
    xmp: Vec<String>,
    spent: usize,
    /// Only texts that are whole JSON are kept.
    needs_proof: bool,
    damage: Option<MetadataError>,
}

impl Carried {
    /// How long the next text may be.
    pub(crate) fn allowance(&self) -> usize {
        MAX_TEXT_BYTES.min(MAX_TOTAL_TEXT_BYTES - self.spent.min(MAX_TOTAL_TEXT_BYTES))
    }

    /// Counts work done on a text, whether or not the text is kept.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// Says whether a text of this many bytes may be copied, and counts it; notes a refusal.
    pub(crate) fn admit(&mut self, what: &str, bytes: usize) -> bool {
        let kept = self.keyed.len() + self.comments.len() + self.xmp.len();
        if bytes > self.allowance() || kept >= MAX_TEXTS {
            // Without a message for each of a million refusals.
            if self.damage.is_some() {
                return false;
            }
            self.note(MetadataError::too_large(format_args!(
                "{what} of {bytes} bytes exceeds what is read ({MAX_TEXT_BYTES} bytes a text, \
                 {MAX_TOTAL_TEXT_BYTES} bytes and {MAX_TEXTS} texts a file)"
            )));
            return false;
        }
        self.spend(bytes);
        true
    }

    /// Whether a block of this many bytes may be searched for texts, and counts it: a hostile file can
    /// point to one block from thousands of places.
    pub(crate) fn may_search(&mut self, bytes: usize) -> bool {
        let is_allowed = bytes <= self.allowance();
        if is_allowed {
            self.spend(bytes);
        }
        is_allowed
    }

    /// Keeps the first damage: later damage is often its consequence.
    pub(crate) fn note(&mut self, damage: MetadataError) {
        self.damage.get_or_insert(damage);
    }

    pub(crate) fn push_keyed(&mut self, key: impl Into<String>, text: impl Into<String>) {
        if let Some(text) = self.kept(text.into()) {
            self.keyed.push((key.into(), text));
        }
    }

    pub(crate) fn push_comment(&mut self, text: impl Into<String>) {
        if let Some(text) = self.kept(text.into()) {
            self.comments.push(text);
        }
    }

    pub(crate) fn push_xmp(&mut self, text: impl Into<String>) {
        if let Some(text) = self.kept(text.into()) {
            self.xmp.push(text);
        }
    }

    /// The text as it is kept: without the NULs and byte order marks around it, which are artefacts
    /// of how it was stored.
    fn kept(&self, text: String) -> Option<String> {
        if self.needs_proof && json::object(&text).is_none() {
            return None;
        }
        let inner = without_padding(&text);
        Some(if inner.len() == text.len() {
            text
        } else {
            inner.to_owned()
        })
    }

    /// Reads texts of which a checksum says that they are damaged: kept is what is JSON to its end
    /// all the same. Says whether anything was kept.
    pub(crate) fn only_proven(&mut self, read: impl FnOnce(&mut Self)) -> bool {
        let count =
            |carried: &Self| carried.keyed.len() + carried.comments.len() + carried.xmp.len();
        let before = count(self);
        self.needs_proof = true;
        read(self);
        self.needs_proof = false;
        count(self) > before
    }

    /// Says that the text about to be kept is known to be whole.
    pub(crate) fn prove(&mut self) {
        self.needs_proof = false;
    }

    /// The text under a key; of several, the last, as Pillow's `Image.info` has it.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.keyed
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, text)| text.as_str())
    }

    /// Texts with a key, in file order.
    pub(crate) fn keyed(&self) -> &[(String, String)] {
        &self.keyed
    }

    /// Texts without a key (comments, EXIF UserComment and ImageDescription), in file order.
    pub(crate) fn comments(&self) -> &[String] {
        &self.comments
    }

    /// XMP packets, in file order.
    pub(crate) fn xmp(&self) -> &[String] {
        &self.xmp
    }

    pub(crate) fn into_damage(self) -> Option<MetadataError> {
        self.damage
    }
}
