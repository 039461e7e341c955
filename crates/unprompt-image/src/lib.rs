//! Decodes untrusted images under limits, resizes as Pillow does and normalises as each model
//! asks.
//!
//! The path of a picture through this crate:
//!
//! ```text
//! bytes --decode--> RgbImage --resize--> RgbImage --Preprocessor--> Pixels (f32)
//! ```
//!
//! ```no_run
//! use unprompt_image::{DecodeOptions, Layout, Preprocessor, decode_file};
//!
//! # fn main() -> unprompt_image::Result<()> {
//! let config = r#"{"image_processor_type": "ViTImageProcessor"}"#;
//! let preprocessor = Preprocessor::from_preprocessor_config(config)?;
//! let options = DecodeOptions { alpha: preprocessor.alpha, ..DecodeOptions::default() };
//! let image = decode_file("photo.jpg", &options)?;
//! let pixels = preprocessor.apply(&image, Layout::Chw)?;
//! assert_eq!((pixels.channels, pixels.height, pixels.width), (3, 224, 224));
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: no pixel buffer is allocated before the header's dimensions and the resulting byte
//! count passed [`Limits`].
//!
//! Invariant: all pictures that are being decoded in a process need no more than its budget
//! ([`set_memory`]), by what [`decoding_bytes`] tells of their headers.
//!
//! Invariant: whatever the bytes are, the answer is a picture or an [`ImageError`]; a panic inside
//! a third-party decoder is caught and becomes [`ImageErrorKind::DecoderPanicked`]. (This needs the
//! default `panic = "unwind"`.)
//!
//! Invariant: text, XMP and colour-profile chunks are never decompressed, and colour profiles are
//! never applied, as in the reference pipelines.
//!
//! Invariant: everything here is single-threaded and deterministic: equal bytes give equal pixels.

mod budget;
mod decode;
mod error;
mod format;
mod limits;
mod other_format;
mod picture;
mod preprocess;
mod resize;

pub use budget::{Admission, set_memory};
pub use decode::{
    Alpha, DecodeOptions, Orientation, decode, decode_file, decode_rgba, decoding_bytes, dimensions,
};
pub use error::{ImageError, ImageErrorKind, Result};
pub use format::{Format, sniff};
pub use limits::Limits;
pub use other_format::{OtherFormat, sniff_other};
pub use picture::{RgbImage, RgbaImage};
pub use preprocess::{
    CLIP_MEAN, CLIP_STD, CropRounding, HALF, IMAGENET_MEAN, IMAGENET_STD, Layout, Normalize,
    Pixels, Preprocessor, ResizeTarget, Step,
};
pub use resize::{Filter, resize};
