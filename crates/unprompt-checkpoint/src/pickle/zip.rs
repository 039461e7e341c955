//! The directory of a zip archive whose members are stored, not compressed.
//!
//! Stricter than zip readers are, because torch writes no other archives and different readers
//! must not see different members: each name is there once, central directory and local header
//! agree, no two members share bytes, and the archive ends with the file. Members are used where
//! they lie in the memory map, which zip libraries do not offer. Checksums are not compared (torch
//! can be told to leave them out); who needs certainty pins the file's hash.
//!
//! Source: PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3.

use crate::error::{Fault, Quoted};
use std::{collections::HashMap, ops::Range};

const END_BYTES: usize = 22;
const ZIP64_LOCATOR_BYTES: usize = 20;
const ZIP64_END_BYTES: usize = 56;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
const MAX_COMMENT_BYTES: usize = u16::MAX as usize;
const MAX_MEMBERS: u64 = 200_000;
/// Flag bits: encrypted (0), patched (5), strongly encrypted (6), masked headers (13).
const UNREADABLE_FLAGS: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

/// The members' names and where their bytes are in the file.
pub(super) struct Directory<'f> {
    members: HashMap<&'f str, Range<usize>>,
}

/// A member as the central directory has it.
struct Member<'f> {
    name: &'f str,
    length: u64,
    header: u64,
}

impl<'f> Directory<'f> {
    pub fn read(file: &'f [u8]) -> Result<Self, Fault> {
        let Central {
            count,
            start,
            length,
        } = find_central(file)?;
        let central = field(file, start, length)?;
        let mut position = 0;
        let mut members = HashMap::new();
        let mut places = Vec::new();
        for _ in 0..count {
            let (member, end) = read_central(central, position)?;
            position = end;
            let (header, place) = locate(file, start, &member)?;
            places.push((header, place.end));
            if members.insert(member.name, place).is_some() {
                let name = Quoted(member.name);
                return Err(Fault::malformed(format!(
                    "zip member {name} is there twice"
                )));
            }
        }
        if position != central.len() {
            return Err(Fault::malformed(
                "the zip directory holds more than its members",
            ));
        }
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(Fault::malformed("zip members overlap"));
        }
        Ok(Self { members })
    }

    pub fn member(&self, name: &str) -> Option<&Range<usize>> {
        self.members.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &'f str> {
        self.members.keys().copied()
    }
}

/// Where the central directory is.
struct Central {
    count: u64,
    start: usize,
    length: usize,
}

fn find_central(file: &[u8]) -> Result<Central, Fault> {
    let lowest = file.len().saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    let end = (lowest..=file.len().saturating_sub(END_BYTES))
        .rev()
        .find(|&at| {
            file[at..].starts_with(b"PK\x05\x06")
                && u16_at(file, at + 20).is_ok_and(|n| at + END_BYTES + n as usize == file.len())
        })
        .ok_or_else(|| {
            Fault::malformed("no zip directory at the end; the file may be cut short")
        })?;

    let mut count = u64::from(u16_at(file, end + 10)?);
    let mut length = u64::from(u32_at(file, end + 12)?);
    let mut start = u64::from(u32_at(file, end + 16)?);
    let mut disks = [u16_at(file, end + 4)?.into(), u16_at(file, end + 6)?.into()];
    let mut count_here = u64::from(u16_at(file, end + 8)?);
    let mut directory_end = end;
    let is_zip64 = count == 0xffff || length == 0xffff_ffff || start == 0xffff_ffff;
    if is_zip64 {
        let locator = end
            .checked_sub(ZIP64_LOCATOR_BYTES)
            .filter(|&at| file[at..].starts_with(b"PK\x06\x07"))
            .ok_or_else(|| Fault::malformed("no zip64 locator where one must be"))?;
        let record = u64_at(file, locator + 8)?;
        // Only the plain record, right before its locator, so that there is one reading.
        let at = locator
            .checked_sub(ZIP64_END_BYTES)
            .filter(|&at| at as u64 == record && file[at..].starts_with(b"PK\x06\x06"))
            .ok_or_else(|| Fault::malformed("no zip64 directory record where one must be"))?;
        disks = [u32_at(file, at + 16)?, u32_at(file, at + 20)?];
        count_here = u64_at(file, at + 24)?;
        count = u64_at(file, at + 32)?;
        length = u64_at(file, at + 40)?;
        start = u64_at(file, at + 48)?;
        directory_end = at;
    }
    if disks != [0, 0] || count_here != count {
        return Err(Fault::unsupported("a zip archive in several parts"));
    }
    if count > MAX_MEMBERS {
        return Err(Fault::too_large(format!(
            "{count} zip members, at most {MAX_MEMBERS}"
        )));
    }
    let start_and_length = usize::try_from(start)
        .ok()
        .zip(usize::try_from(length).ok());
    match start_and_length {
        // Torch's writer puts the zip64 records there even when nothing refers to them.
        Some((start, length))
            if start.checked_add(length).is_some_and(|stop| {
                stop == directory_end
                    || !is_zip64
                        && stop.checked_add(ZIP64_END_BYTES + ZIP64_LOCATOR_BYTES) == Some(end)
                        && file[stop..].starts_with(b"PK\x06\x06")
            }) =>
        {
            Ok(Central {
                count,
                start,
                length,
            })
        }
        _ => Err(Fault::malformed(
            "the zip directory is not where the archive says",
        )),
    }
}

/// The entry at `position` of the central directory, and where the next one starts.
fn read_central(central: &[u8], position: usize) -> Result<(Member<'_>, usize), Fault> {
    let entry = field(central, position, CENTRAL_BYTES)?;
    if !entry.starts_with(b"PK\x01\x02") {
        return Err(Fault::malformed(
            "the zip directory has fewer members than it says",
        ));
    }
    let name_bytes = u16_at(entry, 28)? as usize;
    let extra_bytes = u16_at(entry, 30)? as usize;
    let comment_bytes = u16_at(entry, 32)? as usize;
    let name_start = position + CENTRAL_BYTES;
    let name = text(field(central, name_start, name_bytes)?)?;
    let extra = field(central, name_start + name_bytes, extra_bytes)?;
    field(
        central,
        name_start + name_bytes + extra_bytes,
        comment_bytes,
    )?;

    if u16_at(entry, 8)? & UNREADABLE_FLAGS != 0 {
        return Err(Fault::unsupported(format!(
            "zip member {} is encrypted",
            Quoted(name)
        )));
    }
    let mut stored_length = u64::from(u32_at(entry, 20)?);
    let mut length = u64::from(u32_at(entry, 24)?);
    let mut header = u64::from(u32_at(entry, 42)?);
    // The zip64 field holds, in this order, just the numbers that do not fit in 4 bytes.
    let mut zip64 = None;
    for (index, number) in [&mut length, &mut stored_length, &mut header]
        .into_iter()
        .filter(|number| **number == 0xffff_ffff)
        .enumerate()
    {
        let values = match zip64 {
            Some(values) => values,
            None => *zip64.insert(zip64_field(extra)?),
        };
        *number = u64_at(values, index * 8)?;
    }
    if u16_at(entry, 10)? != 0 || stored_length != length {
        return Err(Fault::unsupported(format!(
            "zip member {} is compressed, which torch never does",
            Quoted(name)
        )));
    }
    let next = name_start + name_bytes + extra_bytes + comment_bytes;
    Ok((
        Member {
            name,
            length,
            header,
        },
        next,
    ))
}

fn zip64_field(mut extra: &[u8]) -> Result<&[u8], Fault> {
    while !extra.is_empty() {
        let length = u16_at(extra, 2)? as usize;
        let value = field(extra, 4, length)?;
        if u16_at(extra, 0)? == 1 {
            return Ok(value);
        }
        extra = &extra[4 + length..];
    }
    Err(Fault::malformed(
        "a zip member lacks the zip64 sizes it refers to",
    ))
}

/// The start of the member's local header and the place of its bytes, both before the central
/// directory at `limit`.
fn locate(file: &[u8], limit: usize, member: &Member<'_>) -> Result<(usize, Range<usize>), Fault> {
    let outside = || {
        Fault::malformed(format!(
            "zip member {} lies outside the file",
            Quoted(member.name)
        ))
    };
    let file = &file[..limit];
    let header = usize::try_from(member.header).map_err(|_| outside())?;
    let local = field(file, header, LOCAL_BYTES).map_err(|_| outside())?;
    let name_bytes = u16_at(local, 26)? as usize;
    let extra_bytes = u16_at(local, 28)? as usize;
    let name = field(file, header + LOCAL_BYTES, name_bytes).map_err(|_| outside())?;
    if !local.starts_with(b"PK\x03\x04")
        || name != member.name.as_bytes()
        || u16_at(local, 8)? != 0
        || u16_at(local, 6)? & UNREADABLE_FLAGS != 0
    {
        let name = Quoted(member.name);
        return Err(Fault::malformed(format!(
            "zip member {name} differs from its directory entry"
        )));
    }
    let start = header + LOCAL_BYTES + name_bytes + extra_bytes;
    let length = usize::try_from(member.length).map_err(|_| outside())?;
    field(file, start, length).map_err(|_| outside())?;
    Ok((header, start..start + length))
}

fn field(bytes: &[u8], start: usize, length: usize) -> Result<&[u8], Fault> {
    start
        .checked_add(length)
        .and_then(|end| bytes.get(start..end))
        .ok_or_else(|| Fault::malformed("the zip directory is cut short"))
}

fn fixed<const N: usize>(bytes: &[u8], start: usize) -> Result<[u8; N], Fault> {
    bytes
        .get(start..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .ok_or_else(|| Fault::malformed("the zip directory is cut short"))
}

fn u16_at(bytes: &[u8], start: usize) -> Result<u16, Fault> {
    Ok(u16::from_le_bytes(fixed(bytes, start)?))
}

fn u32_at(bytes: &[u8], start: usize) -> Result<u32, Fault> {
    Ok(u32::from_le_bytes(fixed(bytes, start)?))
}

fn u64_at(bytes: &[u8], start: usize) -> Result<u64, Fault> {
    Ok(u64::from_le_bytes(fixed(bytes, start)?))
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::malformed("a zip member's name is not UTF-8"))
}
