//! Times with their units.

use std::time::Duration;

/// A number with its unit: ms, s, m or h; without one, seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a number with ms, s, m or h is needed, as `5s`".into()),
    };
    let number: f64 = number.parse().map_err(|_| "a number is needed, as `5s`")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let found = ["5s", "800ms", "1.5", "2m", "1h"].map(|text| duration(text).unwrap());
        let expected = [5000, 800, 1500, 120_000, 3_600_000].map(Duration::from_millis);
        assert_eq!(found, expected);
        for text in ["", "s", "5 s", "-1s", "5d", "nans", "1e300h", "5é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
