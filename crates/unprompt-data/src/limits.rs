//! How much is read of one thing.

use std::io::{self, Read};

/// The most bytes that are read of one thing. What is larger is refused before memory is taken for
/// it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one picture.
    pub picture: u64,
    /// Of one caption, or of one record of data about a picture.
    pub text: u64,
    /// Of one list that has to be read whole.
    pub list: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            picture: 64 << 20,
            text: 1 << 20,
            list: 1 << 30,
        }
    }
}

/// Everything that a reader still has, or `None` if that is more than `most` bytes.
pub(crate) fn read_at_most(reader: impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::read_at_most;

    #[test]
    fn an_endless_reader_is_left_at_the_limit() {
        assert_eq!(read_at_most(std::io::repeat(7), 3).unwrap(), None);
        assert_eq!(read_at_most(&b"abc"[..], 3).unwrap(), Some(b"abc".to_vec()));
    }
}
