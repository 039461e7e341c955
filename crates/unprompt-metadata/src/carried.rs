//! The texts that a container carries, before anyone asks what they mean.

use std::rc::Rc;

use memchr::memchr_iter;

use crate::MetadataError;
use crate::json::Budget;
use crate::limits::{
    MAX_INFLATED_BYTES, MAX_TEXT_BYTES, MAX_TEXTS, MAX_TOTAL_TEXT_BYTES, MAX_XMP_MARKS,
};
use crate::text::without_padding;

/// Texts gathered from one file, under the limits, with the first damage met on the way.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    keyed: Vec<(String, String)>,
    comments: Vec<String>,
    xmp: Vec<String>,
    spent: usize,
    /// Bytes that were decompressed.
    inflated: usize,
    /// Elements and attributes of XMP, by their marks.
    xmp_marks: usize,
    /// Bytes of the texts kept, which may be longer than what they were read from.
    held: usize,
    /// Only texts that are whole JSON are kept.
    needs_proof: bool,
    damage: Option<MetadataError>,
    json: Rc<Budget>,
}

impl Carried {
    /// Nothing yet, of what lies inside a text of a file: with its budget.
    pub(crate) fn within(json: &Rc<Budget>) -> Self {
        Self {
            json: Rc::clone(json),
            ..Self::default()
        }
    }

    /// What the JSON of the file may still take.
    pub(crate) fn json(&self) -> &Rc<Budget> {
        &self.json
    }

    /// How long the next text may be.
    pub(crate) fn allowance(&self) -> usize {
        MAX_TEXT_BYTES.min(MAX_TOTAL_TEXT_BYTES - self.spent.min(MAX_TOTAL_TEXT_BYTES))
    }

    /// How long the next text may be that is decompressed.
    pub(crate) fn inflated_allowance(&self) -> usize {
        let left = MAX_INFLATED_BYTES - self.inflated.min(MAX_INFLATED_BYTES);
        left.min(self.allowance())
    }

    /// Counts bytes that were decompressed, whether or not they are kept.
    pub(crate) fn spend_inflated(&mut self, bytes: usize) {
        self.inflated = self.inflated.saturating_add(bytes);
    }

    /// Whether no further text is kept, whatever it is.
    pub(crate) fn is_full(&self) -> bool {
        self.keyed.len() + self.comments.len() + self.xmp.len() >= MAX_TEXTS
    }

    /// Counts work done on a text, whether or not the text is kept.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// Says whether a text of this many bytes may be copied, and counts it; notes a refusal.
    pub(crate) fn admit(&mut self, what: &str, bytes: usize) -> bool {
        if bytes > self.allowance() || self.is_full() {
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
        let text = text.into();
        let count = |mark: u8| memchr_iter(mark, text.as_bytes()).count();
        self.xmp_marks += count(b'<') + count(b'=');
        if self.xmp_marks > MAX_XMP_MARKS {
            self.note(MetadataError::too_large(format_args!(
                "XMP of more than {MAX_XMP_MARKS} elements and attributes"
            )));
            return;
        }
        if let Some(text) = self.kept(text) {
            self.xmp.push(text);
        }
    }

    /// The text as it is kept: without the NULs and byte order marks around it, which are artefacts
    /// of how it was stored.
    fn kept(&mut self, text: String) -> Option<String> {
        if self.needs_proof && self.json.object(&text).is_none() {
            return None;
        }
        let inner = without_padding(&text);
        let held = self.held + inner.len();
        if inner.len() > MAX_TEXT_BYTES || held > MAX_TOTAL_TEXT_BYTES {
            self.note(MetadataError::too_large(format_args!(
                "a text of {} bytes as UTF-8 exceeds what is read",
                inner.len()
            )));
            return None;
        }
        self.held = held;
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
