//! Matroska and WebM (RFC 9559): texts in the element `Tags` of the segment. Clusters, which hold
//! the frames, are stepped over by their length.

use super::push_tag;
use crate::MetadataError;
use crate::carried::Carried;
use crate::text;

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
pub(crate) const TAGS: u32 = 0x1254_c367;
const TAG: u32 = 0x7373;
const SIMPLE_TAG: u32 = 0x67c8;
const TAG_NAME: u32 = 0x45a3;
const TAG_STRING: u32 = 0x4487;

/// The header of an element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) id: u32,
    /// Bytes of the header itself.
    pub(crate) length: usize,
    /// Bytes of what follows; `None` when the writer did not know.
    pub(crate) data: Option<u64>,
}

/// Reads the header that `bytes` starts with.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let first = *bytes.first()?;
    let id_bytes = first.leading_zeros() as usize + 1;
    if id_bytes > 4 {
        return None;
    }
    let id = bytes.get(..id_bytes)?;
    let id = id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte));
    let rest = &bytes[id_bytes..];
    let size_bytes = rest.first()?.leading_zeros() as usize + 1;
    if size_bytes > 8 {
        return None;
    }
    let size = rest.get(..size_bytes)?;
    let size = size
        .iter()
        .fold(0, |size, &byte| size << 8 | u64::from(byte));
    let mask = (1 << (7 * size_bytes)) - 1;
    let size = size & mask;
    Some(Header {
        id,
        length: id_bytes + size_bytes,
        data: (size != mask).then_some(size),
    })
}

impl Header {
    /// Whether the walk goes into the element and not past it: into the segment, and into a cluster
    /// of a stream whose length nobody knew.
    pub(crate) fn is_entered(self) -> bool {
        self.id == SEGMENT || (self.id == CLUSTER && self.data.is_none())
    }
}

/// Gathers the tags.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let mut rest = bytes;
    let mut has_segment = false;
    while let Some(element) = header(rest) {
        let data = &rest[element.length..];
        has_segment |= element.id == SEGMENT;
        if element.is_entered() {
            rest = data;
            continue;
        }
        let Some((data, after)) = element
            .data
            .and_then(|length| data.split_at_checked(usize::try_from(length).ok()?))
        else {
            break;
        };
        if element.id == TAGS {
            read_tags(data, carried);
        }
        rest = after;
    }
    if !has_segment || !rest.is_empty() {
        carried.note(MetadataError::malformed("the video file is cut short"));
    }
}

/// `Tags` hold `Tag`s, which hold `SimpleTag`s of a name and a text.
fn read_tags(tags: &[u8], carried: &mut Carried) {
    for (_, tag) in Elements(tags).filter(|(id, _)| *id == TAG) {
        for (_, simple) in Elements(tag).filter(|(id, _)| *id == SIMPLE_TAG) {
            let part = |wanted| Elements(simple).find(|(id, _)| *id == wanted);
            if let (Some((_, name)), Some((_, value))) = (part(TAG_NAME), part(TAG_STRING))
                && carried.admit("a text of the video", value.len())
            {
                push_tag(&text::unstated(name), text::unstated(value), carried);
            }
        }
    }
}

/// Elements that lie one after the other, whole.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let found = header(self.0)?;
        let length = usize::try_from(found.data?).ok()?;
        let (data, rest) = self.0[found.length..].split_at_checked(length)?;
        self.0 = rest;
        Some((found.id, data))
    }
}

/// Makes a small file of the tags of a large one.
pub(crate) fn file_of_tags(tags: &[u8]) -> Vec<u8> {
    let mut file = EBML.to_be_bytes().to_vec();
    file.push(0x80);
    file.extend(SEGMENT.to_be_bytes());
    file.push(0xff);
    file.extend(tags);
    file
}
