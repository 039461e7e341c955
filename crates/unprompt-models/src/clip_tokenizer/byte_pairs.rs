//! CLIP's byte-pair encoding: bytes of a word are joined pair by pair, the most frequent first.

use crate::{
    ModelError, Result,
    configuration::{read_json, read_optional},
};
use flate2::read::GzDecoder;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io::Read,
    path::Path,
};
use unprompt_files::open_regular;

/// Merges that open_clip reads; the file holds more.
const MERGES: usize = 49152 - 256 - 2;

/// The published file is 3 MB unpacked.
const LARGEST_FILE: u64 = 16 << 20;

/// The id of a word's last byte is this much larger than that of the same byte before it.
const LAST_BYTE: u32 = 256;

/// The id of the first merge, after all bytes in both places.
const FIRST_MERGED: u32 = 2 * LAST_BYTE;

/// The merges, by the ids of the two parts.
#[derive(Debug)]
pub(super) struct BytePairs {
    merges: HashMap<(u32, u32), u32>,
    // Of each of the 256 bytes, anywhere but at a word's end
    byte_ids: Vec<u32>,
}

impl BytePairs {
    /// Reads `bpe_simple_vocab_16e6.txt.gz`.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let failed = |message: String| ModelError::configuration(path, message);
        let file = open_regular(path).map_err(|error| failed(error.to_string()))?;
        let mut text = String::new();
        GzDecoder::new(file)
            .take(LARGEST_FILE + 1)
            .read_to_string(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > LARGEST_FILE {
            return Err(failed(format!("unpacks to more than {LARGEST_FILE} bytes")));
        }
        // The first line is a title.
        let (pairs, _) = Self::parse(text.split('\n').skip(1).take(MERGES)).map_err(&failed)?;
        match pairs.merges.len() {
            MERGES => Ok(pairs),
            found => Err(failed(format!("{found} merges where {MERGES} are needed"))),
        }
    }

    /// Reads `merges.txt` of a folder, which is the same list, if `vocab.json` gives everything the
    /// id that open_clip counts out for it.
    pub(super) fn of_folder(folder: &Path) -> Result<Self> {
        let merges = folder.join("merges.txt");
        let failed = |message: &str| ModelError::configuration(&merges, message);
        let bytes = read_optional(&merges)?.ok_or_else(|| failed("no such file"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| failed("is not UTF-8"))?;
        let lines = text.lines().skip(1).filter(|line| !line.is_empty());
        let (pairs, mut ids) =
            Self::parse(lines.take(MERGES)).map_err(|message| failed(&message))?;
        for (token, id) in ["<|startoftext|>", "<|endoftext|>"]
            .iter()
            .zip(pairs.start_id()..)
        {
            ids.insert((*token).to_owned(), id);
        }
        let path = folder.join("vocab.json");
        let vocabulary: HashMap<String, u32> = read_json(&path)?;
        // Of many that differ always the same is named.
        let wrong = ids
            .iter()
            .filter(|(token, id)| vocabulary.get(*token) != Some(*id));
        match wrong.min_by_key(|(_, id)| **id) {
            None => Ok(pairs),
            Some((token, id)) => {
                let found = vocabulary.get(token);
                let found = found.map_or_else(|| "nothing".to_owned(), u32::to_string);
                Err(ModelError::configuration(
                    &path,
                    format!(
                        "`{token}` is {found} where open_clip's tokenizer has {id} with the merges of \
                         merges.txt; without the two files the model `clip-bpe-vocabulary` is taken"
                    ),
                ))
            }
        }
    }

    /// The merges, and the id of everything that they make or begin with.
    fn parse<'t>(
        lines: impl Iterator<Item = &'t str>,
    ) -> std::result::Result<(Self, HashMap<String, u32>), String> {
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (id, c) in byte_order().into_iter().map(byte_character).enumerate() {
            ids.insert(c.to_string(), id as u32);
            ids.insert(format!("{c}</w>"), id as u32 + LAST_BYTE);
        }
        let mut merges = HashMap::new();
        for (index, line) in lines.enumerate() {
            let wrong = |reason: &str| format!("line {}: {reason}: `{line}`", index + 2);
            let (left, right) = line
                .split_once(' ')
                .ok_or_else(|| wrong("two parts are needed"))?;
            let pair = ids.get(left).copied().zip(ids.get(right).copied());
            let pair = pair.ok_or_else(|| wrong("a part that no line before made"))?;
            let id = FIRST_MERGED + index as u32;
            let is_new = ids.insert(format!("{left}{right}"), id).is_none();
            if !is_new || merges.insert(pair, id).is_some() {
                return Err(wrong("made before"));
            }
        }
        let byte_ids = byte_ids();
        Ok((Self { merges, byte_ids }, ids))
    }

    /// The id of the start token; the end token's follows.
    pub(super) fn start_id(&self) -> u32 {
        FIRST_MERGED + self.merges.len() as u32
    }

    /// The ids of a word. Always the earliest merge in the file, at all its places from left to
    /// right, until there is none.
    pub(super) fn encode(&self, word: &[u8], out: &mut Vec<u32>) {
        let mut symbols: Vec<u32> = word
            .iter()
            .map(|byte| self.byte_ids[*byte as usize])
            .collect();
        let Some(last) = symbols.last_mut() else {
            return;
        };
        *last += LAST_BYTE;
        let count = symbols.len();
        // A symbol reaches to the start of the next; `count` is the end.
        let mut next: Vec<usize> = (1..=count).collect();
        let mut previous: Vec<Option<usize>> = (0..count).map(|i| i.checked_sub(1)).collect();
        let mut is_there = vec![true; count];
        let mut queue = BinaryHeap::new();
        let push = |queue: &mut BinaryHeap<_>, symbols: &[u32], left: usize, right: usize| {
            if let Some(&id) = self.merges.get(&(symbols[left], symbols[right])) {
                queue.push(Reverse((id, left)));
            }
        };
        for left in 1..count {
            push(&mut queue, &symbols, left - 1, left);
        }
        while let Some(&Reverse((id, _))) = queue.peek() {
            let mut merged = Vec::new();
            while let Some(&Reverse((same, left))) = queue.peek() {
                if same != id {
                    break;
                }
                queue.pop();
                let right = next[left];
                let is_current = is_there[left]
                    && right < count
                    && self.merges.get(&(symbols[left], symbols[right])) == Some(&id);
                if !is_current {
                    continue;
                }
                symbols[left] = id;
                is_there[right] = false;
                next[left] = next[right];
                if next[left] < count {
                    previous[next[left]] = Some(left);
                }
                merged.push(left);
            }
            // The pairs with the new symbol count only now that all its places are joined.
            for left in merged {
                if let Some(before) = previous[left] {
                    push(&mut queue, &symbols, before, left);
                }
                if next[left] < count {
                    push(&mut queue, &symbols, left, next[left]);
                }
            }
        }
        let there = symbols.iter().zip(&is_there).filter(|(_, there)| **there);
        out.extend(there.map(|(symbol, _)| *symbol));
    }
}

/// The bytes in the order of their ids: those that print first.
fn byte_order() -> Vec<u8> {
    let prints = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let (mut order, others): (Vec<u8>, Vec<u8>) = (0..=0xff).partition(prints);
    order.extend(others);
    order
}

/// The id of each byte.
fn byte_ids() -> Vec<u32> {
    let mut ids = vec![0; 256];
    for (id, byte) in byte_order().into_iter().enumerate() {
        ids[byte as usize] = id as u32;
    }
    ids
}

/// What stands for a byte in the file: itself, or where it does not print a character from U+0100
/// on.
fn byte_character(byte: u8) -> char {
    let order = byte_order();
    let printing = 188;
    match order.iter().position(|other| *other == byte) {
        Some(index) if index >= printing => {
            char::from_u32(0x100 + (index - printing) as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_ordered_as_in_the_published_vocabulary() {
        let ids = byte_ids();
        assert_eq!((ids[b'!' as usize], ids[b'a' as usize]), (0, 64));
        assert_eq!(ids[0xff], 187);
        assert_eq!((ids[0], ids[0x20], ids[0xad]), (188, 220, 255));
        assert_eq!(byte_character(b' '), '\u{120}');
        assert_eq!(byte_character(0xe9), '\u{e9}');
    }

    #[test]
    fn a_broken_vocabulary_is_an_error_with_its_line() {
        for (lines, expected) in [
            (vec!["a"], "line 2: two parts"),
            (vec!["a b", "x yz"], "line 3: a part"),
            (vec!["a b", "a b"], "line 3: made before"),
        ] {
            let message = BytePairs::parse(lines.into_iter()).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
