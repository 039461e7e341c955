//! A share of a job.

use std::{fmt, ops::Range, str::FromStr};

/// The share `i/n`: the i-th of n, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// The whole job.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// Its parts, of all: those that follow each other.
    pub(crate) fn parts(self, all: usize) -> Range<usize> {
        let begin = |index: usize| (index as u128 * all as u128 / self.of as u128) as usize;
        begin(self.index - 1)..begin(self.index)
    }

    /// The name of its lock.
    pub(crate) fn lock_name(self) -> String {
        format!("shard-{}-of-{}.lock", self.index, self.of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, of)| {
            let shard = Self {
                index: index.parse().ok()?,
                of: of.parse().ok()?,
            };
            (shard.index >= 1 && shard.index <= shard.of).then_some(shard)
        });
        parsed.ok_or_else(|| "I/N is expected, as `1/3`: the first of three".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_all_parts_between_them() {
        for (all, of) in [(0, 1), (1, 3), (7, 3), (100, 7), (3, 3)] {
            let mut next = 0;
            for index in 1..=of {
                let shard: Shard = format!("{index}/{of}").parse().unwrap();
                let parts = shard.parts(all);
                assert_eq!(parts.start, next);
                assert!(parts.len() <= all.div_ceil(of));
                next = parts.end;
            }
            assert_eq!(next, all);
        }
        for bad in ["", "1", "0/3", "4/3", "1/0", "a/b", "-1/3"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        assert_eq!(Shard::WHOLE.to_string(), "1/1");
    }
}
