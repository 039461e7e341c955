//! "Raw profile" texts of PNG: ImageMagick and old exiftool keep EXIF, XMP and IPTC blocks so, a
//! name, a length, and the block in hexadecimal digits.

use super::{exif, iptc, xmp_packet};
use crate::MetadataError;
use crate::carried::Carried;

const KEYWORD: &str = "Raw profile type ";
const EXIF_HEADER: &[u8] = b"Exif\0\0";
const XMP_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Reads the block in a text with such a keyword; false for every other text.
pub(super) fn read(keyword: &str, text: &str, carried: &mut Carried) -> bool {
    let Some(kind) = keyword.strip_prefix(KEYWORD) else {
        return false;
    };
    let kind = kind.to_lowercase();
    if !matches!(kind.as_str(), "exif" | "app1" | "xmp" | "iptc" | "8bim") {
        return true;
    }
    let Some(block) = block(text) else {
        carried.note(MetadataError::malformed(format_args!(
            "PNG text `{keyword}` is not the block that it announces"
        )));
        return true;
    };
    if let Some(block) = block.strip_prefix(EXIF_HEADER) {
        exif::read(block, carried);
    } else if let Some(packet) = block.strip_prefix(XMP_HEADER) {
        xmp_packet(packet, carried);
    } else if block.starts_with(b"8BIM") {
        iptc::read_resources(&block, carried);
    } else {
        match kind.as_str() {
            "xmp" => xmp_packet(&block, carried),
            "iptc" | "8bim" => iptc::read(&block, carried),
            _ => exif::read(&block, carried),
        }
    }
    true
}

/// The bytes: after the line with the name and the line with their number, two digits each, in
/// lines of any length.
fn block(text: &str) -> Option<Vec<u8>> {
    let (_name, rest) = text.trim_start().split_once('\n')?;
    let rest = rest.trim_start();
    let (length, digits) = rest.split_once(['\n', ' '])?;
    let length: usize = length.trim().parse().ok()?;
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    (digits.len() == length.checked_mul(2)?).then(|| {
        digits
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[high, low]| high << 4 | low)
            .collect()
    })
}
