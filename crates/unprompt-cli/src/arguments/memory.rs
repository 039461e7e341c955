//! Sizes of memory.

/// Bytes out of a number with a unit: B, kB, MB, GB, KiB, MiB, GiB; a number alone is bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("b", 1),
        ("kb", 1000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
    ];
    let wrong = || "a size is written as 2GiB, 500MB or a number of bytes".to_owned();
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, times) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = number * *times as f64;
    if !(1.0..1e18).contains(&bytes) {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("2GiB", 2 << 30),
            ("1.5 GiB", 3 << 29),
            ("500mb", 500_000_000),
            ("4096", 4096),
            ("64 KiB", 64 << 10),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "GiB",
            "-1",
            "0",
            "1e9",
            "2 TB",
            "1.2.3MB",
            "99999999999GiB",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
