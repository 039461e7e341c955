//! Reading untrusted configuration objects, key by key, with errors that name the key.

use super::preprocessor::Normalize;
use crate::{Filter, ImageError, ImageErrorKind, Result};
use serde_json::{Map, Value};

/// Largest side a configuration may ask for, in pixels.
const MAX_SIDE: u64 = 16_384;

/// One JSON object; absent and `null` keys are alike.
pub(super) struct Config(Map<String, Value>);

pub(super) fn invalid(message: impl Into<String>) -> ImageError {
    ImageError::new(ImageErrorKind::InvalidConfig, message)
}

impl Config {
    /// The object in `json`, or the object under `part` if it has such a key.
    pub(super) fn parse(json: &str, part: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| invalid(format!("the configuration is not JSON: {error}")))?;
        match value {
            Value::Object(mut object) => match object.remove(part) {
                Some(Value::Object(inner)) => Ok(Self(inner)),
                Some(_) => Err(invalid(format!("`{part}` must be an object"))),
                None => Ok(Self(object)),
            },
            _ => Err(invalid("the configuration must be a JSON object")),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        let expected = || invalid(format!("`{key}` must be a string"));
        self.get(key)
            .map(|value| value.as_str().ok_or_else(expected))
            .transpose()
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let expected = || invalid(format!("`{key}` must be true or false"));
        self.get(key)
            .map_or(Ok(default), |value| value.as_bool().ok_or_else(expected))
    }

    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64> {
        let expected = || invalid(format!("`{key}` must be a number"));
        self.get(key)
            .map_or(Ok(default), |value| value.as_f64().ok_or_else(expected))
    }

    /// A number for all channels, or one for each.
    pub(super) fn channels(&self, key: &str, default: [f32; 3]) -> Result<[f32; 3]> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let numbers = match value {
            Value::Array(values) => values.iter().map(Value::as_f64).collect(),
            other => other.as_f64().map(|number| vec![number; 3]),
        };
        match numbers.as_deref() {
            Some(&[red, green, blue]) => Ok([red, green, blue].map(|number| number as f32)),
            Some(&[number]) => Ok([number as f32; 3]),
            _ => Err(invalid(format!(
                "`{key}` must be one number or three, found {value}"
            ))),
        }
    }

    pub(super) fn normalize(
        &self,
        [mean, std]: [&str; 2],
        default: Normalize,
    ) -> Result<Normalize> {
        let mean = self.channels(mean, default.mean)?;
        let deviations = self.channels(std, default.std)?;
        if deviations
            .iter()
            .any(|&value| value == 0.0 || !value.is_finite())
        {
            return Err(invalid(format!("`{std}` must be finite and not zero")));
        }
        Ok(Normalize {
            mean,
            std: deviations,
        })
    }
}

pub(super) fn side(key: &str, value: &Value) -> Result<u32> {
    match value.as_u64() {
        Some(side @ 1..=MAX_SIDE) => Ok(side as u32),
        _ => Err(invalid(format!(
            "`{key}` must be a whole number of pixels from 1 to {MAX_SIDE}, found {value}"
        ))),
    }
}

/// A `[height, width]` pair, as `(width, height)`.
pub(super) fn height_width(key: &str, pair: &[Value]) -> Result<(u32, u32)> {
    match pair {
        [both] => side(key, both).map(|side| (side, side)),
        [height, width] => Ok((side(key, width)?, side(key, height)?)),
        _ => Err(invalid(format!("`{key}` must be a height and a width"))),
    }
}

pub(super) fn filter_named(key: &str, name: &str) -> Result<Filter> {
    match name {
        "nearest" => Ok(Filter::Nearest),
        "box" => Ok(Filter::Box),
        "bilinear" => Ok(Filter::Bilinear),
        "hamming" => Ok(Filter::Hamming),
        "bicubic" => Ok(Filter::Bicubic),
        "lanczos" => Ok(Filter::Lanczos),
        other => Err(invalid(format!(
            "`{key}` names no filter: `{other}`; known are nearest, box, bilinear, hamming, \
             bicubic and lanczos"
        ))),
    }
}
