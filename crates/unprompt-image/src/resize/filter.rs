//! Resampling filters.

use serde::{Deserialize, Serialize};

/// A resampling filter, as Pillow defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The pixel under the target pixel's centre; no antialiasing.
    Nearest,
    /// Mean over the target pixel's area.
    Box,
    /// Triangle.
    Bilinear,
    /// Hamming window: as sharp as bicubic at bilinear's cost.
    Hamming,
    /// Keys' cubic with a = -0.5.
    Bicubic,
    /// Lanczos, three lobes.
    Lanczos,
}

impl Filter {
    /// The filter with PIL's number, as `preprocessor_config.json` stores it under `resample`;
    /// `None` for a number that PIL does not have.
    pub fn from_pil(number: u64) -> Option<Self> {
        [
            Filter::Nearest,
            Filter::Lanczos,
            Filter::Bilinear,
            Filter::Bicubic,
            Filter::Box,
            Filter::Hamming,
        ]
        .get(usize::try_from(number).ok()?)
        .copied()
    }

    /// Half-width of the filter at scale 1, in source pixels.
    pub(super) fn support(self) -> f64 {
        match self {
            Filter::Nearest | Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// The filter's weight at `x` source pixels from its centre.
    pub(super) fn weight(self, x: f64) -> f64 {
        let distance = x.abs();
        match self {
            // Half open, so that neighbouring boxes never share a pixel.
            Filter::Nearest | Filter::Box => f64::from(x > -0.5 && x <= 0.5),
            Filter::Bilinear => (1.0 - distance).max(0.0),
            Filter::Hamming => match distance {
                0.0 => 1.0,
                1.0.. => 0.0,
                _ => {
                    let angle = distance * std::f64::consts::PI;
                    angle.sin() / angle * (0.54 + 0.46 * angle.cos())
                }
            },
            Filter::Bicubic => {
                const A: f64 = -0.5;
                if distance < 1.0 {
                    ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
                } else if distance < 2.0 {
                    (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
                } else {
                    0.0
                }
            }
            Filter::Lanczos => {
                if (-3.0..3.0).contains(&x) {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    let angle = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { angle.sin() / angle }
}
