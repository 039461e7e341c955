//! A network on pictures by where they are: read side by side, looked at together.

use crate::{encoders::networks::together, error::InputError, source::Source};
use rayon::prelude::*;
use unprompt_image::{Admission, Limits};

/// One result for each source: `prepare` makes of a picture's bytes what the network takes, and
/// `answer` has one result for each of those. Where it fails as a whole, each picture is looked at
/// alone, so that only the one at fault fails.
pub(crate) fn of_sources<P: Send, R>(
    sources: &[Source],
    limits: &Limits,
    prepare: impl Fn(&[u8], Limits) -> Result<P, InputError> + Sync,
    answer: impl Fn(&[P]) -> Result<Vec<R>, InputError>,
) -> Vec<Result<R, InputError>> {
    let read = |source: &Source| {
        let limits = source.limits(limits);
        let bytes = source.read(&limits)?;
        // Until it is prepared, which is when its pixels go.
        let _admission = Admission::wait(&bytes, &limits)?;
        prepare(&bytes, limits)
    };
    let prepared: Vec<Result<P, InputError>> = sources.par_iter().map(read).collect();
    let mut good = Vec::new();
    let prepared: Vec<Result<(), InputError>> = prepared
        .into_iter()
        .map(|one| one.map(|picture| good.push(picture)))
        .collect();
    let mut answers = together(&good, answer).into_iter();
    let result = |one: Result<(), InputError>| match one {
        Ok(()) => answers.next(),
        Err(error) => Some(Err(error)),
    };
    prepared.into_iter().filter_map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_at_fault_costs_no_other_its_result() {
        let sources: Vec<Source> = [&b"a"[..], b"", b"b", b"!", b"c"]
            .iter()
            .map(|bytes| Source::Memory("x".into(), (*bytes).into()))
            .collect();
        let refuse = |why: &str| InputError::Walk(why.to_owned());
        let found = of_sources(
            &sources,
            &Limits::default(),
            |bytes, _| bytes.first().copied().ok_or_else(|| refuse("empty")),
            |letters| match letters.contains(&b'!') {
                true => Err(refuse("no letter")),
                false => Ok(letters.iter().map(|letter| letter + 1).collect()),
            },
        );
        let found: Vec<Result<u8, String>> = found
            .into_iter()
            .map(|one| one.map_err(|error| error.to_string()))
            .collect();
        let failed = |why: &str| Err(why.to_owned());
        let expected = [
            Ok(b'b'),
            failed("empty"),
            Ok(b'c'),
            failed("no letter"),
            Ok(b'd'),
        ];
        assert_eq!(found, expected);
    }
}
