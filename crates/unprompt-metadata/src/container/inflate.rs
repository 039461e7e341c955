//! Decompression that stops at a limit.

use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};

/// What came out of a compressed text.
pub(crate) enum Inflated {
    /// All of it.
    Text(Vec<u8>),
    /// More than the limit; nothing was kept.
    TooLong,
    /// Damaged data.
    Corrupt,
}

/// Decompresses a zlib stream of at most `limit` bytes.
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
        Err(_) => Inflated::Corrupt,
    }
}
