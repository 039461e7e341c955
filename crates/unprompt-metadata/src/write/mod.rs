//! Puts a prompt into a picture's file, and takes prompts out of it, without touching a pixel.
//!
//! | form | where it goes | who reads it there |
//! |---|---|---|
//! | XMP | `dc:description`; a list with commas to `dc:subject` too | editors, catalogues, exiftool |
//! | parameters | PNG text `parameters`; in JPEG and WebP the EXIF tag UserComment | the web UI and its relatives |
//!
//! With either goes a note in an XMP property of our own, so that [`crate::read`] gives back any text
//! as it went in. Settings and negative prompt of an infotext that is there stay behind the prompt.
//!
//! Invariant: chunks and segments that hold none of this are the same bytes in the same order; so is
//! every other property of XMP and every other tag of EXIF, none of whose values moves.
//!
//! Invariant: what is returned was read again and decoded: it has the prompt (or none), and the
//! pixels that the file had.
//!
//! Invariant: writing the same prompt again changes nothing, and [`strip`] gives back the file in
//! which there was no prompt, description, keyword or comment before.

mod exif;
mod jpeg;
mod keywords;
mod parameters;
mod png;
mod webp;
mod xmp;

use unprompt_image::{Format, Limits, decode_rgba, sniff};

use crate::written::{Note, visible};
use crate::{MetadataError, read, read_text};
use keywords::keywords;
use parameters::Found;

/// The longest prompt that is written, in bytes of UTF-8.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;

/// Names by which programs that generate pictures call themselves where cameras and editors name
/// themselves too.
const GENERATORS: [&str; 11] = [
    "automatic1111",
    "comfyui",
    "draw things",
    "easy diffusion",
    "fooocus",
    "invokeai",
    "midjourney",
    "novelai",
    "sd.next",
    "stable diffusion",
    "swarmui",
];

/// Where a prompt is put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// Both, but `parameters` only where it does not hold a record that is no infotext.
    #[default]
    Auto,
    /// The XMP description and `parameters`.
    Both,
    /// The XMP description, and keywords.
    Xmp,
    /// What the web UI calls `parameters`.
    Parameters,
}

/// A file with a prompt in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// Whether the prompt is the XMP description.
    pub description: bool,
    /// Whether the prompt is in `parameters`.
    pub parameters: bool,
}

/// A file without prompts.
#[derive(Debug, Clone, PartialEq)]
pub struct Stripped {
    /// The file; as it was where it had none.
    pub bytes: Vec<u8>,
    /// Whether a prompt is hidden in the pixels, which are never touched.
    pub in_pixels: bool,
}

/// Why a file is left as it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The format is not one of those that are written.
    #[error("prompts are written into PNG, JPEG and WebP, and this is {0}; convert it first")]
    Format(&'static str),
    /// Blanks are no prompt.
    #[error("the prompt is empty; to take one out, strip the file")]
    Empty,
    /// The prompt is beyond [`MAX_PROMPT_BYTES`].
    #[error("a prompt of {0} bytes is longer than the {MAX_PROMPT_BYTES} that are written")]
    Prompt(usize),
    /// A place cannot hold it.
    #[error(
        "the prompt does not fit into {place}; write it in one form only, or into a PNG or WebP"
    )]
    TooLong {
        /// Which one.
        place: &'static str,
    },
    /// `parameters` holds what would be lost.
    #[error(
        "`parameters` holds a record that is no infotext and would be lost; write the form xmp"
    )]
    Occupied,
    /// The file cannot be followed to where something is to be changed.
    #[error("damaged file: {0}")]
    Damaged(String),
    /// What was written is not what is read again.
    #[error("not changed, for the result would not be what was asked: {0}")]
    Verification(String),
}

/// A file taken apart, with the places where prompts are.
trait Container {
    /// The XMP packet.
    fn xmp(&self) -> Result<Option<String>, WriteError>;
    /// Replaces the packet, or takes it out.
    fn set_xmp(&mut self, packet: Option<&str>) -> Result<(), WriteError>;
    /// What the web UI calls so; `known` is how it begins if we wrote it.
    fn parameters(&self, known: Option<&str>) -> Result<Option<String>, WriteError>;
    /// Replaces it, or takes it out.
    fn set_parameters(&mut self, text: Option<&str>) -> Result<(), WriteError>;
    /// Takes out every text in which generators leave records, but for XMP.
    fn strip_records(&mut self) -> Result<(), WriteError>;
    /// Whether the file has no header for metadata yet.
    fn needs_extension(&self) -> bool {
        false
    }
    /// Gives it that header.
    fn extend(&mut self) -> Result<(), WriteError> {
        Ok(())
    }
    /// Takes that header out where nothing needs it.
    fn unextend(&mut self) {}
    /// The file.
    fn finish(&self) -> Result<Vec<u8>, WriteError>;
}

/// Puts a prompt into a picture in place of one that was put there before.
///
/// # Errors
/// See [`WriteError`].
pub fn write(bytes: &[u8], prompt: &str, form: Form) -> Result<Written, WriteError> {
    if prompt.trim().is_empty() {
        return Err(WriteError::Empty);
    }
    if prompt.len() > MAX_PROMPT_BYTES {
        return Err(WriteError::Prompt(prompt.len()));
    }
    let mut file = open(bytes)?;
    let packet = file.xmp()?;
    let (before, previous) = packet.as_deref().and_then(Note::find).unzip();
    let before: Note = before.unwrap_or_default();
    let previous = previous
        .filter(|_| before.parameters)
        .map(|prompt| visible(&prompt));
    let shown = visible(prompt);

    let old = file.parameters(previous.as_deref())?;
    let found = Found::in_text(old.as_deref().unwrap_or_default(), previous.as_deref());
    let parameters = match (form, &found) {
        (Form::Auto, Found::Record) => false,
        (Form::Both | Form::Parameters, Found::Record) => return Err(WriteError::Occupied),
        // Behind a prompt of ours are settings: it has to be the one that is written now.
        (Form::Xmp, Found::Settings(_)) => previous.is_some(),
        (Form::Xmp, _) => false,
        (Form::Auto | Form::Both | Form::Parameters, _) => true,
    };
    if parameters {
        file.set_parameters(Some(&found.with_prompt(&shown)))?;
    } else if old.is_some() && old == previous {
        file.set_parameters(None)?;
    }

    let description = form != Form::Parameters;
    let note = Note {
        description,
        parameters,
        prompt: (!description || shown != prompt).then(|| prompt.to_owned()),
        extended: before.extended || file.needs_extension(),
    };
    let packet = xmp::with_prompt(
        packet.as_deref(),
        &xmp::Shown {
            note: &note,
            description: description.then_some(shown.as_str()),
            keywords: if description {
                keywords(prompt)
            } else {
                Vec::new()
            },
        },
    )?;
    if file.needs_extension() {
        file.extend()?;
    }
    file.set_xmp(Some(&packet))?;
    let written = Written {
        bytes: file.finish()?,
        description,
        parameters,
    };
    match read_text(&written.bytes) {
        Ok(Some(found)) if found.prompt == prompt => {}
        Ok(_) => {
            return Err(WriteError::Verification(
                "another prompt would be read".into(),
            ));
        }
        Err(error) => return Err(unverified(&error)),
    }
    check_pixels(bytes, &written.bytes)?;
    Ok(written)
}

/// Takes out of a picture's file what [`read`] reads: prompts, negative prompts,
/// workflows, and everything else that generators write down. What [`write()`] put there goes, and no
/// more; where another program's record is left then, every text goes in which programs leave
/// such records, be it a description or a comment. Colour profiles, orientation, camera data, authors
/// and rights stay.
///
/// # Errors
/// See [`WriteError`].
pub fn strip(bytes: &[u8]) -> Result<Stripped, WriteError> {
    let mut file = open(bytes)?;
    let mut prompts = Vec::new();
    if let Ok(Some(found)) = read_text(bytes) {
        prompts.push(found.prompt);
    }
    take_back(file.as_mut())?;
    let mut stripped = file.finish()?;
    if !matches!(read_text(&stripped), Ok(None)) {
        if let Ok(Some(found)) = read_text(&stripped) {
            prompts.push(found.prompt);
        }
        file.set_parameters(None)?;
        file.strip_records()?;
        if let Some(packet) = file.xmp()? {
            file.set_xmp(xmp::without_records(&packet, &prompts)?.as_deref())?;
        }
        stripped = file.finish()?;
    }
    if stripped != bytes {
        match read_text(&stripped) {
            Ok(None) => {}
            Ok(Some(_)) => {
                return Err(WriteError::Verification(
                    "a prompt would still be read".into(),
                ));
            }
            Err(error) => return Err(unverified(&error)),
        }
        check_pixels(bytes, &stripped)?;
    }
    let in_pixels = !matches!(read(&stripped), Ok(None));
    Ok(Stripped {
        bytes: stripped,
        in_pixels,
    })
}

/// Takes out what [`write`] put into a file.
fn take_back(file: &mut dyn Container) -> Result<(), WriteError> {
    let Some(packet) = file.xmp()? else {
        return Ok(());
    };
    let Some((note, prompt)) = Note::find(&packet) else {
        return Ok(());
    };
    let shown = visible(&prompt);
    if note.parameters && file.parameters(Some(&shown))?.as_deref() == Some(&shown) {
        file.set_parameters(None)?;
    }
    file.set_xmp(xmp::without_ours(&packet, &[])?.as_deref())?;
    if note.extended {
        file.unextend();
    }
    Ok(())
}

fn open(bytes: &[u8]) -> Result<Box<dyn Container + '_>, WriteError> {
    Ok(match sniff(bytes) {
        Some(Format::Png) => Box::new(png::Png::parse(bytes)?),
        Some(Format::Jpeg) => Box::new(jpeg::Jpeg::parse(bytes)?),
        Some(Format::WebP) => Box::new(webp::WebP::parse(bytes)?),
        Some(Format::Gif) => return Err(WriteError::Format("a GIF")),
        Some(Format::Bmp) => return Err(WriteError::Format("a BMP")),
        Some(Format::Tiff) => return Err(WriteError::Format("a TIFF")),
        None => return Err(WriteError::Format("none of these")),
    })
}

/// Both decode to the same pixels, or neither decodes.
fn check_pixels(before: &[u8], after: &[u8]) -> Result<(), WriteError> {
    let limits = Limits::default();
    let same = match (decode_rgba(before, &limits), decode_rgba(after, &limits)) {
        (Ok(before), Ok(after)) => {
            (before.width, before.height, before.pixels)
                == (after.width, after.height, after.pixels)
        }
        (Err(before), Err(after)) => before.kind() == after.kind(),
        _ => false,
    };
    if same {
        Ok(())
    } else {
        Err(WriteError::Verification(
            "other pixels would be decoded".into(),
        ))
    }
}

fn unverified(error: &MetadataError) -> WriteError {
    WriteError::Verification(error.to_string())
}

fn names_generator(text: &str) -> bool {
    let text = text.to_lowercase();
    GENERATORS.iter().any(|name| text.contains(name))
}
