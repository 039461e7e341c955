//! The comment of the user in an EXIF block (TIFF 6.0 and EXIF 2.32), and the places from which
//! records are taken out.
//!
//! Offsets are never moved, so that notes of cameras, whose offsets nobody else knows, stay right. A
//! directory that needs an entry more is copied to the end of the block, with the entry, and the
//! one pointer to it is changed; the last bytes of the block then say how to undo that.

use super::WriteError;
use crate::text::{exif_ascii, user_comment};

const ENTRY: usize = 12;
const ASCII: u16 = 2;
const BYTE: u16 = 1;
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;

const SOFTWARE: u16 = 0x0131;
const EXIF_DIRECTORY: u16 = 0x8769;
const EXIF_VERSION: u16 = 0x9000;
const MAKER_NOTE: u16 = 0x927c;
const USER_COMMENT: u16 = 0x9286;
const IMAGE_DESCRIPTION: u16 = 0x010e;
/// Titles, comments, keywords and subjects of the Windows Explorer; its author stays.
const EXPLORER: [u16; 4] = [0x9c9b, 0x9c9c, 0x9c9e, 0x9c9f];
/// Where ComfyUI savers put their records, `name:{json}`.
const COMFYUI: std::ops::RangeInclusive<u16> = 0x0100..=0x0110;

/// What a comment begins with that goes on in UTF-16.
const CHARACTER_SET: &[u8] = b"UNICODE\0";

/// The last bytes of a block that was made longer: this mark, the block's length before (zero when
/// there was none), the place of the pointer and what it was.
const MARK: &[u8; 8] = b"unprompt";
const TRAILER: usize = MARK.len() + 12;

/// A block, with the byte order that it states.
#[derive(Clone)]
struct Block {
    bytes: Vec<u8>,
    little_endian: bool,
}

/// An entry of a directory.
#[derive(Clone, Copy)]
struct Entry {
    /// Where it stands.
    at: usize,
    tag: u16,
    kind: u16,
    count: usize,
}

/// A directory: where it stands and its entries.
struct Directory {
    at: usize,
    entries: Vec<Entry>,
}

/// The text of the comment, if it is one. UTF-16 does not say its byte order: `known` is how a
/// comment of ours begins.
pub(super) fn comment(block: &[u8], known: Option<&str>) -> Option<String> {
    let block = Block::new(block).ok()?;
    let (_, exif) = block.directories().ok()?;
    let value = block.value(&exif?.find(USER_COMMENT)?).ok()?;
    let units = value.strip_prefix(CHARACTER_SET).map(|text| {
        let units = text
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_be_bytes(*pair));
        String::from_utf16_lossy(&units.collect::<Vec<u16>>())
    });
    match (units, known) {
        (Some(text), Some(known)) if text.starts_with(known) => Some(text),
        _ => Some(user_comment(value)),
    }
}

/// The block, or a new one, with this comment: the character set `UNICODE` in big endian, as piexif
/// writes it whatever the order of the block, since that is what the web UI reads.
pub(super) fn with_comment(block: Option<&[u8]>, text: &str) -> Result<Vec<u8>, WriteError> {
    let mut value = CHARACTER_SET.to_vec();
    value.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    let Some(block) = block else {
        return new_block(&value);
    };
    let mut block = Block::new(block)?;
    if let Some(before) = block.undone()? {
        if before.is_empty() {
            return new_block(&value);
        }
        block.bytes = before;
    }
    let (main, exif) = block.directories()?;
    match exif.as_ref().and_then(|exif| exif.find(USER_COMMENT)) {
        Some(entry) => block.replace(&main, exif.as_ref(), entry, &value)?,
        None => block.append(&main, exif.as_ref(), &value)?,
    }
    Ok(block.bytes)
}

/// The block without the comment; `None` when it has no more entries.
pub(super) fn without_comment(block: &[u8]) -> Result<Option<Vec<u8>>, WriteError> {
    let mut block = Block::new(block)?;
    if let Some(before) = block.undone()? {
        return Ok((!before.is_empty()).then_some(before));
    }
    block.remove(|_, tag, _, _| tag == USER_COMMENT)?;
    Ok(block.finished())
}

/// The block without any text in which generators leave records; `None` when it has no more entries.
pub(super) fn without_records(block: &[u8]) -> Result<Option<Vec<u8>>, WriteError> {
    let mut block = Block::new(block)?;
    if let Some(before) = block.undone()? {
        if before.is_empty() {
            return Ok(None);
        }
        block.bytes = before;
    }
    block.remove(|in_main, tag, kind, value| match tag {
        USER_COMMENT => true,
        // That of Fooocus is the name of its scheme; a camera's own is no word.
        MAKER_NOTE => exif_ascii(value).chars().all(|c| c.is_ascii_alphanumeric()),
        IMAGE_DESCRIPTION => true,
        SOFTWARE => super::names_generator(&exif_ascii(value)),
        tag if EXPLORER.contains(&tag) => true,
        tag if in_main && COMFYUI.contains(&tag) && matches!(kind, ASCII | BYTE | UNDEFINED) => {
            let text = exif_ascii(value);
            let json = text
                .split_once(':')
                .map(|(_, json)| json.trim_start().starts_with('{'));
            json == Some(true)
        }
        _ => false,
    })?;
    Ok(block.finished())
}

/// A block of nothing but the comment and the version that the standard asks for.
fn new_block(comment: &[u8]) -> Result<Vec<u8>, WriteError> {
    let mut block = Block {
        bytes: b"MM\0*\0\0\0\x08".to_vec(),
        little_endian: false,
    };
    block.push_u16(1);
    block.push_entry(EXIF_DIRECTORY, LONG, 1, 26);
    block.push_u32(0);
    block.push_u16(2);
    block.push_entry(EXIF_VERSION, UNDEFINED, 4, u32::from_be_bytes(*b"0232"));
    block.push_entry(USER_COMMENT, UNDEFINED, length(comment)?, 56);
    block.push_u32(0);
    block.bytes.extend_from_slice(comment);
    block.push_trailer(0, 0, 0);
    Ok(block.bytes)
}

fn length(bytes: &[u8]) -> Result<u32, WriteError> {
    u32::try_from(bytes.len()).map_err(|_| damaged("it is longer than its offsets reach"))
}

fn damaged(what: &str) -> WriteError {
    WriteError::Damaged(format!("the EXIF block cannot be followed: {what}"))
}

impl Directory {
    fn find(&self, tag: u16) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.tag == tag).copied()
    }

    /// Where it ends, its pointer to the next one included.
    fn end(&self) -> usize {
        self.at + 2 + self.entries.len() * ENTRY + 4
    }
}

impl Block {
    fn new(bytes: &[u8]) -> Result<Self, WriteError> {
        let little_endian = match bytes {
            [b'I', b'I', b'*', 0, ..] => true,
            [b'M', b'M', 0, b'*', ..] => false,
            _ => return Err(damaged("it has no valid header")),
        };
        Ok(Self {
            bytes: bytes.to_vec(),
            little_endian,
        })
    }

    fn u16(&self, at: usize) -> Result<u16, WriteError> {
        let bytes = self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<2>());
        let bytes = *bytes.ok_or_else(|| damaged("it is cut short"))?;
        Ok(if self.little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn u32(&self, at: usize) -> Result<u32, WriteError> {
        let bytes = self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>());
        let bytes = *bytes.ok_or_else(|| damaged("it is cut short"))?;
        Ok(if self.little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    fn offset(&self, at: usize) -> Result<usize, WriteError> {
        usize::try_from(self.u32(at)?).map_err(|_| damaged("it is cut short"))
    }

    fn set_u16(&mut self, at: usize, value: u16) {
        let bytes = if self.little_endian {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        };
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&bytes);
        }
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        let bytes = if self.little_endian {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        };
        if let Some(place) = self.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&bytes);
        }
    }

    fn push_u16(&mut self, value: u16) {
        self.bytes.extend([0; 2]);
        self.set_u16(self.bytes.len() - 2, value);
    }

    fn push_u32(&mut self, value: u32) {
        self.bytes.extend([0; 4]);
        self.set_u32(self.bytes.len() - 4, value);
    }

    fn push_entry(&mut self, tag: u16, kind: u16, count: u32, value: u32) {
        self.push_u16(tag);
        self.push_u16(kind);
        self.push_u32(count);
        self.push_u32(value);
    }

    fn push_trailer(&mut self, length: u32, at: u32, before: u32) {
        self.bytes.extend_from_slice(MARK);
        self.push_u32(length);
        self.push_u32(at);
        self.push_u32(before);
    }

    fn directory(&self, at: usize) -> Result<Directory, WriteError> {
        let count = usize::from(self.u16(at)?);
        let mut entries = Vec::with_capacity(count);
        for index in 0..count {
            let at = at + 2 + index * ENTRY;
            let (tag, kind, count) = (self.u16(at)?, self.u16(at + 2)?, self.offset(at + 4)?);
            self.u32(at + 8)?;
            entries.push(Entry {
                at,
                tag,
                kind,
                count,
            });
        }
        Ok(Directory { at, entries })
    }

    /// The main directory, and that of EXIF where there is one.
    fn directories(&self) -> Result<(Directory, Option<Directory>), WriteError> {
        let main = self.directory(self.offset(4)?)?;
        let exif = match main.find(EXIF_DIRECTORY) {
            Some(entry) => Some(self.directory(self.offset(entry.at + 8)?)?),
            None => None,
        };
        Ok((main, exif))
    }

    /// Where the bytes of a value are.
    fn place(&self, entry: &Entry) -> Result<std::ops::Range<usize>, WriteError> {
        let size = match entry.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return Err(damaged("a value has a type that is none")),
        };
        let length = entry
            .count
            .checked_mul(size)
            .ok_or_else(|| damaged("a value is too long"))?;
        let start = if length <= 4 {
            entry.at + 8
        } else {
            self.offset(entry.at + 8)?
        };
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len());
        Ok(start..end.ok_or_else(|| damaged("a value lies outside of it"))?)
    }

    fn value(&self, entry: &Entry) -> Result<&[u8], WriteError> {
        Ok(&self.bytes[self.place(entry)?])
    }

    /// What the block was before [`Block::append`]; nothing if that cannot be told, or if an entry
    /// was changed since in a directory that would go.
    fn undone(&self) -> Result<Option<Vec<u8>>, WriteError> {
        let Some(start) = self.bytes.len().checked_sub(TRAILER) else {
            return Ok(None);
        };
        if self.bytes[start..start + MARK.len()] != *MARK {
            return Ok(None);
        }
        let at = start + MARK.len();
        let (length, pointer) = (self.offset(at)?, self.offset(at + 4)?);
        let before = self.u32(at + 8)?;
        let (main, exif) = self.directories()?;
        if length == 0 {
            let ours = |directory: &Directory, tags: &[u16]| {
                directory
                    .entries
                    .iter()
                    .map(|entry| entry.tag)
                    .eq(tags.iter().copied())
            };
            let exif_is_ours = exif.is_none_or(|exif| ours(&exif, &[EXIF_VERSION, USER_COMMENT]));
            let is_ours = ours(&main, &[EXIF_DIRECTORY]) && exif_is_ours;
            return Ok(is_ours.then(Vec::new));
        }
        if length > start || pointer + 4 > length {
            return Ok(None);
        }
        let mut undone = Self {
            bytes: self.bytes[..length].to_vec(),
            little_endian: self.little_endian,
        };
        undone.set_u32(pointer, before);
        let Ok((old_main, old_exif)) = undone.directories() else {
            return Ok(None);
        };
        let same = self.same_entries(&main, &undone, &old_main, EXIF_DIRECTORY)
            && match (&exif, &old_exif) {
                (Some(exif), Some(old)) => self.same_entries(exif, &undone, old, USER_COMMENT),
                (Some(exif), None) => {
                    let added = [EXIF_VERSION, USER_COMMENT];
                    exif.entries.iter().all(|entry| added.contains(&entry.tag))
                }
                (None, _) => false,
            };
        Ok(same.then_some(undone.bytes))
    }

    /// Whether two directories have the same entries but for one tag.
    fn same_entries(&self, own: &Directory, other: &Self, others: &Directory, but: u16) -> bool {
        let entry = |block: &Self, entry: &Entry| block.bytes[entry.at..entry.at + ENTRY].to_vec();
        let own = own
            .entries
            .iter()
            .filter(|e| e.tag != but)
            .map(|e| entry(self, e));
        let others = others
            .entries
            .iter()
            .filter(|e| e.tag != but)
            .map(|e| entry(other, e));
        own.eq(others)
    }

    /// Changes a value: in its place where it fits, else at the end. The old one is erased.
    fn replace(
        &mut self,
        main: &Directory,
        exif: Option<&Directory>,
        entry: Entry,
        value: &[u8],
    ) -> Result<(), WriteError> {
        if self.value(&entry)? == value && entry.kind == UNDEFINED {
            return Ok(());
        }
        let place = self.erase(main, exif, &entry)?;
        self.set_u16(entry.at + 2, UNDEFINED);
        self.set_u32(entry.at + 4, length(value)?);
        if place.len() > 4 && value.len() <= place.len() {
            self.bytes[place.start..place.start + value.len()].copy_from_slice(value);
            return Ok(());
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(2), 0);
        let end = length(&self.bytes)?;
        self.set_u32(entry.at + 8, end);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// Adds the comment behind everything else.
    fn append(
        &mut self,
        main: &Directory,
        exif: Option<&Directory>,
        comment: &[u8],
    ) -> Result<(), WriteError> {
        let before = length(&self.bytes)?;
        self.bytes.resize(self.bytes.len().next_multiple_of(2), 0);
        let start = length(&self.bytes)?;
        let comment_length = length(comment)?;
        let pointer = match exif {
            Some(exif) => {
                let pointer = main.find(EXIF_DIRECTORY).map(|entry| entry.at + 8);
                let end = start as usize + 2 + (exif.entries.len() + 1) * ENTRY + 4;
                let entry = (USER_COMMENT, UNDEFINED, comment_length, length_of(end)?);
                self.push_directory(exif, entry)?;
                pointer.ok_or_else(|| damaged("it has no EXIF directory"))?
            }
            None => {
                let end = start as usize + 2 + (main.entries.len() + 1) * ENTRY + 4;
                self.push_directory(main, (EXIF_DIRECTORY, LONG, 1, length_of(end)?))?;
                self.push_u16(2);
                self.push_entry(EXIF_VERSION, UNDEFINED, 4, self.as_value(*b"0232"));
                let place = length_of(end + 2 + 2 * ENTRY + 4)?;
                self.push_entry(USER_COMMENT, UNDEFINED, comment_length, place);
                self.push_u32(0);
                4
            }
        };
        self.bytes.extend_from_slice(comment);
        let old = self.u32(pointer)?;
        self.set_u32(pointer, start);
        self.push_trailer(before, length_of(pointer)?, old);
        Ok(())
    }

    /// Four bytes as the number that is written as these bytes.
    fn as_value(&self, bytes: [u8; 4]) -> u32 {
        if self.little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        }
    }

    /// A copy of a directory with an entry more, in the order of tags.
    fn push_directory(
        &mut self,
        directory: &Directory,
        (tag, kind, count, value): (u16, u16, u32, u32),
    ) -> Result<(), WriteError> {
        let entries = u16::try_from(directory.entries.len() + 1)
            .map_err(|_| damaged("a directory is full"))?;
        self.push_u16(entries);
        let mut pushed = false;
        for entry in &directory.entries {
            if !pushed && entry.tag > tag {
                self.push_entry(tag, kind, count, value);
                pushed = true;
            }
            self.bytes.extend_from_within(entry.at..entry.at + ENTRY);
        }
        if !pushed {
            self.push_entry(tag, kind, count, value);
        }
        let next = self.u32(directory.end() - 4).unwrap_or_default();
        self.push_u32(next);
        Ok(())
    }

    /// Sets the bytes of a value to zero, if they are nobody else's.
    fn erase(
        &mut self,
        main: &Directory,
        exif: Option<&Directory>,
        entry: &Entry,
    ) -> Result<std::ops::Range<usize>, WriteError> {
        let place = self.place(entry)?;
        let overlaps =
            |other: &std::ops::Range<usize>| place.start < other.end && other.start < place.end;
        if place.len() > 4 {
            let directories = [Some(main), exif];
            for directory in directories.into_iter().flatten() {
                let shared = directory.entries.iter().any(|other| {
                    other.at != entry.at && self.place(other).is_ok_and(|other| overlaps(&other))
                });
                if shared || overlaps(&(directory.at..directory.end())) || place.start < 8 {
                    return Err(damaged("two values share their bytes"));
                }
            }
        }
        self.bytes[place.clone()].fill(0);
        Ok(place)
    }

    /// Takes entries out of both directories and erases their values. The entries behind move up;
    /// no value moves.
    fn remove(
        &mut self,
        is_removed: impl Fn(bool, u16, u16, &[u8]) -> bool,
    ) -> Result<(), WriteError> {
        for in_main in [true, false] {
            // Taking one out moves the others, so that they are looked for anew.
            loop {
                let (main, exif) = self.directories()?;
                let Some(directory) = (if in_main { Some(&main) } else { exif.as_ref() }) else {
                    break;
                };
                let is_removed = |entry: &&Entry| {
                    // A value that cannot be found is read by nobody.
                    self.value(entry)
                        .is_ok_and(|value| is_removed(in_main, entry.tag, entry.kind, value))
                };
                let Some(entry) = directory.entries.iter().find(is_removed).copied() else {
                    break;
                };
                let end = directory.end().min(self.bytes.len());
                let (at, count) = (directory.at, directory.entries.len() - 1);
                let place = self.erase(&main, exif.as_ref(), &entry)?;
                if place.len() > 4 && place.end == self.bytes.len() && place.start >= end {
                    self.bytes.truncate(place.start);
                }
                self.bytes.copy_within(entry.at + ENTRY..end, entry.at);
                self.bytes[end - ENTRY..end].fill(0);
                self.set_u16(at, u16::try_from(count).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// The bytes, unless no entry is left that says anything.
    fn finished(self) -> Option<Vec<u8>> {
        let says_nothing = match self.directories() {
            Ok((main, exif)) => {
                main.entries.iter().all(|entry| entry.tag == EXIF_DIRECTORY)
                    && exif.is_none_or(|exif| exif.entries.iter().all(|e| e.tag == EXIF_VERSION))
            }
            Err(_) => false,
        };
        (!says_nothing).then_some(self.bytes)
    }
}

fn length_of(offset: usize) -> Result<u32, WriteError> {
    u32::try_from(offset).map_err(|_| damaged("it is longer than its offsets reach"))
}

/// The block after its comment was set or, with no text, taken out; `None` when nothing is left.
pub(super) fn with_parameters(
    block: Option<&[u8]>,
    text: Option<&str>,
) -> Result<Option<Vec<u8>>, WriteError> {
    match (block, text) {
        (block, Some(text)) => with_comment(block, text).map(Some),
        (Some(block), None) => without_comment(block),
        (None, None) => Ok(None),
    }
}
