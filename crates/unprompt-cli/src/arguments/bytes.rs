//! Amounts of memory with their units.

/// A number with its unit: MB or GB, of a million and a thousand million bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return Err("a number with MB or GB is needed, as `8GB`".into()),
    };
    let number: f64 = number.parse().map_err(|_| "a number is needed, as `8GB`")?;
    let bytes = number * unit;
    if !(1e6..=1e18).contains(&bytes) {
        return Err("from 1MB to 1000000000GB can be asked for".into());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        let found = ["8GB", "1.5GB", "1MB"].map(|text| bytes(text).unwrap());
        assert_eq!(found, [8_000_000_000, 1_500_000_000, 1_000_000]);
        for text in [
            "", "8", "GB", "8 GB", "-1GB", "0MB", "nanGB", "8gb", "8T", "1e99GB",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
