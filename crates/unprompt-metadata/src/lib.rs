//! Reads the prompt that an image file itself carries; [`write`](mod@write) puts one in and takes it out.
//!
//! Generators write down how a picture was made: in PNG text chunks, in EXIF and XMP blocks, in
//! comments, or hidden in the pixels. What is found here is exact, which a prediction never is.
//!
//! ```no_run
//! if let Some(found) = unprompt_metadata::read_file("picture.png".as_ref())? {
//!     println!("{} wrote: {}", found.generator, found.prompt);
//! }
//! # Ok::<(), unprompt_metadata::MetadataError>(())
//! ```
//!
//! # Where is looked
//! | container | places |
//! |---|---|
//! | PNG | `tEXt`, `zTXt`, `iTXt` (before and after the pixels), `eXIf`, XMP, stealth info |
//! | JPEG | EXIF and XMP in APP1, comments |
//! | WebP | `EXIF` and `XMP ` chunks, stealth info |
//! | GIF | comments |
//! | TIFF | tags of the first directory |
//! | BMP | nothing: it has no place for text |
//!
//! The container is told by its content. EXIF means the tags UserComment, ImageDescription, Make
//! and Model (in which ComfyUI savers put their JSON), and Software and MakerNote (which name
//! Fooocus).
//!
//! # Which record is taken
//! First a prompt that [`write`](mod@write) put there, with the settings of the infotext that it was put into. When
//! a file has several others, the first of: NovelAI (text `Software`), InvokeAI (`invokeai_metadata`,
//! `sd-metadata`, `Dream`), the text `parameters` (Fooocus, SwarmUI or A1111), ComfyUI (`prompt`,
//! then `workflow`), Easy Diffusion, Draw Things (XMP), comments and UserComment (JSON of any of
//! these, or an infotext), Midjourney (text `Description`), and last what is hidden in the pixels,
//! which are looked at only when no text had a record. A record that cannot be read is passed over.
//! Of two PNG texts with one keyword the later counts.
//!
//! A record without a prompt is found all the same ([`Metadata::has_prompt`] says so): settings may
//! be all that a picture made from an empty prompt carries.
//!
//! # Promises
//! Invariant: whatever the bytes are, the answer is a record, nothing, or a [`MetadataError`]; work
//! and memory are bounded by the file's length and fixed limits (8 MiB a text, 16 MiB of text a
//! file, 4 MiB of JSON), also for compressed text, nested JSON and cyclic graphs.
//!
//! Invariant: damaged text is not guessed at. A PNG text chunk with a wrong checksum is left out.
//!
//! Invariant: equal bytes give equal records. Nothing is read but the bytes given.

mod carried;
mod container;
mod error;
mod generators;
mod interpret;
mod json;
mod limits;
mod metadata;
mod stealth;
mod text;
pub mod write;
mod written;
mod xmp;

use std::io::Read;
use std::path::Path;

use unprompt_image::sniff;

pub use error::{MetadataError, MetadataErrorKind};
pub use metadata::{Generator, Metadata, Settings};
pub use stealth::read_pixels;

/// Reads the record that an encoded picture carries; `None` when it has none.
///
/// The pixels are decoded (under the default limits of `unprompt-image`) only when no text has a
/// record and the file stores its pixels so that hidden bits survive. A caller that decodes the
/// picture anyway can spare that with [`read_text`] and [`read_pixels`].
///
/// # Errors
/// When there is no record and the reason is not simply that there is none: see
/// [`MetadataErrorKind`].
pub fn read(bytes: &[u8]) -> Result<Option<Metadata>, MetadataError> {
    match read_text(bytes) {
        Ok(None) => {}
        found_or_damaged => return found_or_damaged,
    }
    match sniff(bytes) {
        Some(format) if container::keeps_low_bits(format, bytes) => {
            stealth::read_encoded(format, bytes)
        }
        _ => Ok(None),
    }
}

/// Reads the record in the texts of an encoded picture, without looking at its pixels.
///
/// # Errors
/// As [`read`].
pub fn read_text(bytes: &[u8]) -> Result<Option<Metadata>, MetadataError> {
    let format = sniff(bytes).ok_or_else(|| {
        MetadataError::new(
            MetadataErrorKind::UnknownFormat,
            "not a PNG, JPEG, WebP, GIF, BMP or TIFF picture",
        )
    })?;
    let carried = container::read(format, bytes);
    if let Some(found) = interpret::interpret(&carried) {
        return Ok(Some(found));
    }
    match interpret::unreadable(&carried).or(carried.into_damage()) {
        Some(error) => Err(error),
        None => Ok(None),
    }
}

/// Reads the record that a file carries, as [`read`] does.
///
/// # Errors
/// As [`read`], with the file's name in the message; and [`MetadataErrorKind::Io`] when it cannot
/// be read, [`MetadataErrorKind::TooLarge`] when it is longer than 256 MiB.
pub fn read_file(path: &Path) -> Result<Option<Metadata>, MetadataError> {
    let io = |error| MetadataError::io(path, error);
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(limits::MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > limits::MAX_FILE_BYTES {
        let limit = limits::MAX_FILE_BYTES;
        let error = MetadataError::too_large(format_args!("the file is longer than {limit} bytes"));
        return Err(error.at(path));
    }
    read(&bytes).map_err(|error| error.at(path))
}
