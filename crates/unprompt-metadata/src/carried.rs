//! The texts that a container carries, before anyone asks what they mean.

use crate::MetadataError;
use crate::limits::{MAX_TEXT_BYTES, MAX_TEXTS, MAX_TOTAL_TEXT_BYTES};

/// Texts gathered from one file, under the limits, with the first damage met on the way.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    keyed: Vec<(String, String)>,
    comments: Vec<String>,
    xmp: Vec<String>,
    spent: usize,
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
            self.note(MetadataError::too_large(format_args!(
                "{what} of {bytes} bytes exceeds what is read ({MAX_TEXT_BYTES} bytes a text, \
                 {MAX_TOTAL_TEXT_BYTES} bytes and {MAX_TEXTS} texts a file)"
            )));
            return false;
        }
        self.spend(bytes);
        true
    }

    /// Keeps the first damage: later damage is often its consequence.
    pub(crate) fn note(&mut self, damage: MetadataError) {
        self.damage.get_or_insert(damage);
    }

    pub(crate) fn push_keyed(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.keyed.push((key.into(), text.into()));
    }

    pub(crate) fn push_comment(&mut self, text: impl Into<String>) {
        self.comments.push(text.into());
    }

    pub(crate) fn push_xmp(&mut self, text: impl Into<String>) {
        self.xmp.push(text.into());
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
