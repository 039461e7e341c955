//! GIF comment extensions (GIF89a specification, section 24), and XMP in an application extension.

use crate::MetadataError;
use crate::carried::Carried;
use crate::text;

const HEADER_AND_SCREEN_LENGTH: usize = 13;
const EXTENSION: u8 = 0x21;
const COMMENT: u8 = 0xfe;
const APPLICATION: u8 = 0xff;
/// The packet is no row of sub-blocks; bytes after it lead every reader of sub-blocks to the end.
const XMP_TRAILER_LENGTH: usize = 258;
const XMP_APPLICATION: &[u8] = b"\x0bXMP DataXMP";
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

/// Gathers the comments between the frames. A missing trailer is no damage: many writers leave it
/// out.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    if blocks(bytes, carried).is_none() {
        carried.note(MetadataError::malformed("the GIF file is cut short"));
    }
}

fn blocks(bytes: &[u8], carried: &mut Carried) -> Option<()> {
    let (header, rest) = bytes.split_at_checked(HEADER_AND_SCREEN_LENGTH)?;
    let mut rest = rest.get(colour_table_length(header[10])..)?;
    loop {
        let Some((&block, after)) = rest.split_first() else {
            return Some(());
        };
        rest = match block {
            EXTENSION => {
                let (&label, after) = after.split_first()?;
                if label == COMMENT {
                    let limit = carried.allowance();
                    let mut text = Vec::new();
                    let after = sub_blocks(after, |part| {
                        if text.len() + part.len() <= limit {
                            text.extend_from_slice(part);
                        }
                    })?;
                    if carried.admit("a GIF comment", text.len()) {
                        carried.push_comment(text::unstated(&text));
                    }
                    after
                } else {
                    let rest = sub_blocks(after, |_| {})?;
                    let block = &after[..after.len() - rest.len()];
                    if label == APPLICATION
                        && let Some(packet) = block.strip_prefix(XMP_APPLICATION)
                    {
                        let end = packet.len().saturating_sub(XMP_TRAILER_LENGTH);
                        super::xmp_packet(&packet[..end], carried);
                    }
                    rest
                }
            }
            IMAGE => {
                let (descriptor, after) = after.split_at_checked(9)?;
                let after = after.get(colour_table_length(descriptor[8])..)?;
                let (_code_size, after) = after.split_first()?;
                sub_blocks(after, |_| {})?
            }
            TRAILER => return Some(()),
            _ => return None,
        };
    }
}

/// Bytes of the colour table that a packed field announces.
fn colour_table_length(packed: u8) -> usize {
    if packed & 0x80 == 0 {
        0
    } else {
        3 << ((packed & 7) + 1)
    }
}

/// Visits sub-blocks up to the empty one that ends them; returns what follows.
fn sub_blocks(mut bytes: &[u8], mut visit: impl FnMut(&[u8])) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        let (part, rest) = rest.split_at_checked(usize::from(length))?;
        bytes = rest;
        if length == 0 {
            return Some(bytes);
        }
        visit(part);
    }
}
