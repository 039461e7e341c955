//! Finds the texts in each container.
//!
//! The walkers read chunk and segment headers only, never a pixel, so that the limits on text hold
//! whatever the picture is. Each ends in bounded time: every step moves forward in the file.

pub(crate) mod exif;
mod gif;
mod heif;
mod inflate;
mod iptc;
pub(crate) mod isobmff;
pub(crate) mod jpeg;
mod jxl;
pub(crate) mod matroska;
mod mp4;
pub(crate) mod png;
mod raw_profile;
pub(crate) mod webp;

pub(crate) use inflate::{Inflated, gunzip};
use unprompt_image::{Format, OtherFormat, sniff, sniff_other};

use crate::carried::Carried;
use crate::text;
use crate::{MetadataError, MetadataErrorKind};

/// Gathers the texts of a file; an error when it is of no format that is read.
pub(crate) fn read(bytes: &[u8]) -> Result<Carried, MetadataError> {
    let mut carried = Carried::default();
    if let Some(format) = sniff(bytes) {
        match format {
            Format::Png => png::read(bytes, &mut carried),
            Format::Jpeg => jpeg::read(bytes, &mut carried),
            Format::WebP => webp::read(bytes, &mut carried),
            Format::Gif => gif::read(bytes, &mut carried),
            // A TIFF file is what an EXIF block is made of.
            Format::Tiff => exif::read(bytes, &mut carried),
            Format::Bmp => {}
        }
        return Ok(carried);
    }
    let unknown = |message| MetadataError::new(MetadataErrorKind::UnknownFormat, message);
    match sniff_other(bytes) {
        Some(OtherFormat::Avif | OtherFormat::Heif) => heif::read(bytes, &mut carried),
        Some(OtherFormat::JpegXl) => jxl::read(bytes, &mut carried),
        Some(OtherFormat::Mp4 | OtherFormat::QuickTime) => mp4::read(bytes, &mut carried),
        Some(OtherFormat::WebM | OtherFormat::Matroska) => matroska::read(bytes, &mut carried),
        Some(format) => {
            let step = format.next_step();
            return Err(unknown(format!(
                "{format}, whose metadata are not read; {step}"
            )));
        }
        None => {
            return Err(unknown(
                "not a PNG, JPEG, WebP, GIF, BMP or TIFF picture".to_owned(),
            ));
        }
    }
    Ok(carried)
}

/// Whether hidden bits can have survived in the pixels: only where they are stored without loss.
pub(crate) fn keeps_low_bits(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Png => png::keeps_low_bits(bytes),
        Format::WebP => webp::keeps_low_bits(bytes),
        _ => false,
    }
}

/// Keeps an XMP packet. Its character set is UTF-8 almost always, UTF-16 by the byte order mark.
fn xmp_packet(packet: &[u8], carried: &mut Carried) {
    if carried.admit("an XMP packet", packet.len()) {
        carried.push_xmp(text::unstated(packet));
    }
}

/// Keeps a tag of a video under its name in small letters, without the domain that QuickTime puts
/// before it (`com.apple.quicktime.comment`).
fn push_tag(name: &str, text: String, carried: &mut Carried) {
    let name = name.rsplit('.').next().unwrap_or(name);
    carried.push_keyed(name.to_lowercase(), text);
}
