//! Reads the prompt that an image file itself carries; [`write`](mod@write) puts one in and takes it out.
//!
//! Generators write down how a picture was made: in PNG text chunks, in EXIF and XMP blocks, in
//! comments, or hidden in the pixels. What is found here is exact, which a prediction never is.
//!
//! ```no_run
//! if let Some(found) = unprompt_metadata::read_file("picture.png".as_ref())? {
//!     println!("{}", found.prompt);
//! }
//! # Ok::<(), unprompt_metadata::MetadataError>(())
//! ```
//!
//! # Where is looked
//! | container | places |
//! |---|---|
//! | PNG | `tEXt`, `zTXt`, `iTXt` (before and after the pixels) under any keyword, raw profiles, `eXIf`, XMP, stealth info |
//! | JPEG | EXIF and XMP in APP1 (also of several segments), IPTC in APP13, comments |
//! | WebP | `EXIF` and `XMP ` chunks, stealth info |
//! | GIF | comments, XMP |
//! | TIFF | tags of the first directory |
//! | AVIF, HEIC | the items `Exif` and XMP |
//! | JPEG XL | the boxes `Exif`, `xml ` and `brob` |
//! | MP4, QuickTime | tags: `ilst` by letters and by `keys`, texts of `udta`, XMP |
//! | WebM, Matroska | `Tags` |
//! | BMP | nothing: it has no place for text |
//!
//! The container is told by its content. EXIF means UserComment, ImageDescription, the Windows tags
//! (`XPComment` and its like), Make, Model and the tags below them (in which ComfyUI savers put their
//! JSON), Artist and Copyright, Software and MakerNote (which name Fooocus), and XMP and IPTC blocks.
//! Values of one block that overlap are not read twice. A character set that is wrongly named is told
//! from the bytes; halves of surrogate pairs are replaced.
//!
//! # Which record is taken
//! First a prompt that [`write`](mod@write) put there, with the settings of the infotext that it was put into. When
//! a file has several others, the first that has a prompt, in the order: NovelAI (text `Software`),
//! InvokeAI (`invokeai_metadata`, `sd-metadata`, `Dream`), the text `parameters` (JSON of any program,
//! or an infotext), ComfyUI (`prompt`, then `workflow`), Easy Diffusion, a text that is called prompt,
//! XMP (Draw Things; its properties as if they were texts), comments and UserComment (JSON of any of
//! these, or an infotext), Midjourney (text `Description`), every other text that says by itself that
//! it is a record, and last what is hidden in the pixels, which are looked at only when no text has a
//! prompt. A record that cannot be read is passed over. Of two PNG texts with one keyword the later
//! counts.
//!
//! A record without a prompt, or with a placeholder in its place (`unknown`, `None`), stands back
//! behind all that have one. It is found all the same ([`Metadata::has_prompt`] says so): settings may
//! be all that a picture made from an empty prompt carries.
//!
//! A JSON object, or a dictionary as Python prints it, is a record when it has a prompt under that name.
//! One that has not is the prompt itself where only a prompt can stand: `parameters`, or a text called
//! prompt. A program is named only by what it alone writes.
//!
//! # Promises
//! Invariant: whatever the bytes are, the answer is a record, nothing, or a [`MetadataError`]; work
//! and memory are bounded by the file's length and fixed limits (8 MiB a text, 16 MiB of text and 8 MiB
//! of decompressed text a file, 200,000 marks of XMP, 4 MiB of JSON without the pictures in it and 16 MiB of
//! values made of it), also for compressed text, nested JSON and cyclic graphs. The example `costs`
//! measures what the worst files take.
//!
//! Invariant: damaged text is not guessed at. A PNG text chunk with a wrong checksum is left out,
//! unless it proves itself whole: as JSON that parses to its end, or by a checksum of its own.
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
mod video;
pub mod write;
mod written;
mod xmp;
mod xmp_texts;

use std::io::Read;
use std::path::Path;

use unprompt_image::sniff;

pub use error::{MetadataError, MetadataErrorKind};
pub use metadata::{Generator, Metadata, Settings};
pub use stealth::read_pixels;
pub use video::video_tags;

/// Reads the record that an encoded picture, or a video, carries; `None` when it has none.
///
/// The pixels are decoded (under the default limits of `unprompt-image`) only when no text has a
/// prompt and the file stores its pixels so that hidden bits survive. A caller that decodes the
/// picture anyway can spare that with [`read_text`] and [`read_pixels`].
///
/// # Errors
/// When there is no record and the reason is not simply that there is none: see
/// [`MetadataErrorKind`].
pub fn read(bytes: &[u8]) -> Result<Option<Metadata>, MetadataError> {
    let in_text = read_text(bytes);
    if matches!(&in_text, Ok(Some(found)) if found.has_prompt()) {
        return in_text;
    }
    let in_pixels = match sniff(bytes) {
        Some(format) if container::keeps_low_bits(format, bytes) => {
            stealth::read_encoded(format, bytes)
        }
        _ => Ok(None),
    };
    match (in_text, in_pixels) {
        (_, Ok(Some(hidden))) if hidden.has_prompt() => Ok(Some(hidden)),
        (Ok(None), hidden) => hidden,
        (in_text, _) => in_text,
    }
}

/// Reads the record in the texts of an encoded picture, without looking at its pixels.
///
/// # Errors
/// As [`read`].
pub fn read_text(bytes: &[u8]) -> Result<Option<Metadata>, MetadataError> {
    let carried = container::read(bytes)?;
    if let Some(found) = interpret::interpret(&carried) {
        return Ok(Some(found));
    }
    match interpret::unreadable(&carried).or(carried.into_damage()) {
        Some(error) => Err(error),
        None => Ok(None),
    }
}

/// Reads the record that a file carries, as [`read`] does. Of a video only the tags are loaded.
///
/// # Errors
/// As [`read`], with the file's name in the message; and [`MetadataErrorKind::Io`] when it cannot
/// be read, [`MetadataErrorKind::TooLarge`] when what must be loaded of it is longer than 256 MiB.
pub fn read_file(path: &Path) -> Result<Option<Metadata>, MetadataError> {
    let io = |error| MetadataError::io(path, error);
    let mut file = std::fs::File::open(path).map_err(io)?;
    let bytes = match video_tags(&mut file).map_err(io)? {
        Some(tags) => tags,
        None => {
            let length = file.metadata().map_err(io)?.len();
            let length = usize::try_from(length.min(limits::MAX_FILE_BYTES)).unwrap_or(0);
            // One byte more, by which the reader sees the end without growing.
            let mut bytes = Vec::with_capacity(length + 1);
            file.take(limits::MAX_FILE_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(io)?;
            bytes
        }
    };
    if bytes.len() as u64 > limits::MAX_FILE_BYTES {
        let limit = limits::MAX_FILE_BYTES;
        let error = MetadataError::too_large(format_args!("the file is longer than {limit} bytes"));
        return Err(error.at(path));
    }
    read(&bytes).map_err(|error| error.at(path))
}
