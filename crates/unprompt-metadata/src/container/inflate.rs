//! Decompression that stops at a limit.

use std::fmt::Display;
use std::io::Read;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::read::{GzDecoder, ZlibDecoder};

use crate::MetadataError;
use crate::carried::Carried;
use crate::limits::MAX_INFLATED_BYTES;

/// What came out of a compressed text.
pub(crate) enum Inflated {
    /// All of it.
    Text(Vec<u8>),
    /// More than the limit; nothing was kept.
    TooLong,
    /// Damaged data, of which so many bytes came out.
    Corrupt(usize),
}

/// Decompresses what a file carries, as long as it may still be; notes why nothing comes of it.
pub(super) fn expand(
    what: impl Display,
    carried: &mut Carried,
    decompress: impl FnOnce(usize) -> Inflated,
) -> Option<Vec<u8>> {
    let allowance = carried.inflated_allowance();
    let inflated = match allowance {
        0 => Inflated::TooLong,
        _ => decompress(allowance),
    };
    match inflated {
        Inflated::Text(text) => {
            carried.spend_inflated(text.len());
            return Some(text);
        }
        Inflated::TooLong => {
            carried.spend_inflated(allowance);
            carried.note(MetadataError::too_large(format_args!(
                "{what} expands beyond what is read ({MAX_INFLATED_BYTES} bytes a file)"
            )));
        }
        Inflated::Corrupt(bytes) => {
            carried.spend_inflated(bytes);
            carried.note(MetadataError::malformed(format_args!(
                "{what} cannot be decompressed"
            )));
        }
    }
    None
}

/// Decompresses a zlib stream of at most `limit` bytes. Its checksum is verified.
pub(super) fn inflate(bytes: &[u8], limit: usize) -> Inflated {
    read_to_limit(ZlibDecoder::new(bytes), limit)
}

/// Decompresses a gzip member of at most `limit` bytes.
pub(crate) fn gunzip(bytes: &[u8], limit: usize) -> Inflated {
    read_to_limit(GzDecoder::new(bytes), limit)
}

fn read_to_limit(decoder: impl Read, limit: usize) -> Inflated {
    let mut text = Vec::new();
    match decoder.take(limit as u64 + 1).read_to_end(&mut text) {
        Ok(length) if length > limit => Inflated::TooLong,
        Ok(_) => Inflated::Text(text),
        Err(_) => Inflated::Corrupt(text.len()),
    }
}

/// Decompresses a Brotli stream of at most `limit` bytes.
///
/// Only windows of RFC 7932 are accepted, of at most 16 MiB: the header of a "large window" stream
/// makes the decoder allocate up to 1 GiB.
pub(super) fn unbrotli(bytes: &[u8], limit: usize) -> Inflated {
    let mut state = BrotliState::new_strict(
        StandardAlloc::default(),
        StandardAlloc::default(),
        StandardAlloc::default(),
    );
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let (mut available_in, mut input_at) = (bytes.len(), 0);
    loop {
        let (mut available_out, mut output_at, mut total) = (buffer.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut input_at,
            bytes,
            &mut available_out,
            &mut output_at,
            &mut buffer,
            &mut total,
            &mut state,
        );
        if text.len() + output_at > limit {
            return Inflated::TooLong;
        }
        text.extend_from_slice(&buffer[..output_at]);
        match result {
            BrotliResult::ResultSuccess => return Inflated::Text(text),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                return Inflated::Corrupt(text.len());
            }
        }
    }
}
