//! IPTC captions: records of the Information Interchange Model (IIM 4.2), by themselves or among
//! Photoshop's image resources.

use crate::carried::Carried;
use crate::text;

/// Key under which the caption is kept.
const CAPTION_KEY: &str = "iptc:Caption-Abstract";
const RECORD_MARK: u8 = 0x1c;
const APPLICATION_RECORD: u8 = 2;
const CAPTION: u8 = 120;
/// The image resource that holds IPTC records.
const IPTC_RESOURCE: u16 = 0x0404;

/// Reads Photoshop's image resources: `8BIM`, a number, a name and data, both padded to even lengths.
pub(super) fn read_resources(mut bytes: &[u8], carried: &mut Carried) {
    while let Some((id, data, rest)) = next_resource(bytes) {
        if id == IPTC_RESOURCE {
            read(data, carried);
        }
        bytes = rest;
    }
}

fn next_resource(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let rest = bytes.strip_prefix(b"8BIM")?;
    let (id, rest) = rest.split_first_chunk::<2>()?;
    let name_length = usize::from(*rest.first()?) + 1;
    let rest = rest.get(name_length.next_multiple_of(2)..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (data, _) = rest.split_at_checked(length)?;
    let after = rest.get(length.next_multiple_of(2)..).unwrap_or_default();
    Some((u16::from_be_bytes(*id), data, after))
}

/// Reads records up to the first that is none.
pub(super) fn read(mut bytes: &[u8], carried: &mut Carried) {
    while let Some((record, dataset, data, rest)) = next_record(bytes) {
        if (record, dataset) == (APPLICATION_RECORD, CAPTION)
            && carried.admit("an IPTC caption", data.len())
        {
            carried.push_keyed(CAPTION_KEY, text::unstated(data));
        }
        bytes = rest;
    }
}

fn next_record(bytes: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let [RECORD_MARK, record, dataset, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = u16::from_be_bytes(*length);
    let (length, rest) = if length & 0x8000 == 0 {
        (usize::from(length), rest)
    } else {
        // The length of a long text has itself this many bytes.
        let (long, rest) = rest.split_at_checked(usize::from(length & 0x7fff))?;
        let long = long.iter().try_fold(0_usize, |sum, &byte| {
            sum.checked_mul(256)?.checked_add(usize::from(byte))
        })?;
        (long, rest)
    };
    let (data, rest) = rest.split_at_checked(length)?;
    Some((*record, *dataset, data, rest))
}
