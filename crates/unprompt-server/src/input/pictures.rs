//! Pictures out of a body: multipart, JSON, or one picture as it is.

use super::{fields::Fields, parsed::parsed};
use crate::{
    error::{ErrorKind, ServeError},
    options::Limits,
    route::{Call, JSON},
    task::Input,
};
use axum::{body::Bytes, http::header};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use multer::Multipart;
use serde::Deserialize;
use serde_json::Value;
use std::{borrow::Cow, convert::Infallible};
use unprompt::Source;

/// Options that a multipart body may have.
const FIELDS: usize = 32;
/// The longest name of a picture that a record repeats.
const LONGEST_NAME: usize = 255;

/// Clients pad or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Pictures with the options beside them.
#[derive(Debug)]
pub(crate) struct PictureRequest {
    /// At least one.
    pub(crate) pictures: Vec<Input>,
    pub(crate) fields: Fields,
}

impl PictureRequest {
    /// Takes a body apart by its type.
    ///
    /// # Errors
    /// When it is of another type, broken, or has no picture or too many.
    pub(crate) async fn read(call: &Call, limits: &Limits) -> Result<Self, ServeError> {
        let content_type = call.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        let (body, limits) = (call.body.clone(), *limits);
        let request = match kind.as_str() {
            "multipart/form-data" => multipart(body, &content_type, &limits).await?,
            JSON => parsed(body.len(), move || json(&body, &limits)).await?,
            kind if kind.starts_with("image/") || kind == "application/octet-stream" => Self {
                pictures: vec![picture("-", &body)],
                fields: Fields::default(),
            },
            _ => {
                let message = "pictures come as multipart/form-data, as application/json, or one as it is with \
                               its own type";
                return Err(ServeError::new(ErrorKind::MediaType, message));
            }
        };
        match request.pictures.is_empty() {
            true => Err(ServeError::invalid("there is no picture in the request")),
            false => Ok(request),
        }
    }
}

/// One picture of a JSON body: its bytes in base64, with or without a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sent {
    Bare(String),
    Named { name: String, data: String },
}

fn json(body: &[u8], limits: &Limits) -> Result<PictureRequest, ServeError> {
    let object: Value = serde_json::from_slice(body)
        .map_err(|error| ServeError::malformed(format!("the body is no JSON: {error}")))?;
    let Value::Object(mut fields) = object else {
        return Err(ServeError::invalid("the body must be a JSON object"));
    };
    let mut sent: Vec<Value> = fields.remove("image").into_iter().collect();
    match fields.remove("images") {
        None | Some(Value::Null) => {}
        Some(Value::Array(more)) => sent.extend(more),
        Some(_) => return Err(ServeError::invalid("`images`: a list is needed")),
    }
    check_count(sent.len(), limits)?;
    let mut pictures = Vec::with_capacity(sent.len());
    for (index, value) in sent.into_iter().enumerate() {
        let needed = "an image is a text, or an object with `name` and `data`";
        let sent = Sent::deserialize(value).map_err(|_| ServeError::invalid(needed))?;
        let (name, data) = match sent {
            Sent::Bare(data) => (index.to_string(), data),
            Sent::Named { name, data } => (name, data),
        };
        pictures.push(picture(&name, &decoded(&data)?));
    }
    let fields = Fields(fields);
    Ok(PictureRequest { pictures, fields })
}

async fn multipart(
    body: Bytes,
    content_type: &str,
    limits: &Limits,
) -> Result<PictureRequest, ServeError> {
    let broken = |error: multer::Error| {
        ServeError::malformed(format!("the body is no multipart/form-data: {error}"))
    };
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let stream = futures_util::stream::iter([Ok::<_, Infallible>(body)]);
    let mut parts = Multipart::new(stream, boundary);
    let mut request = PictureRequest {
        pictures: Vec::new(),
        fields: Fields::default(),
    };
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        let file = part.file_name().map(str::to_owned);
        let data = part.bytes().await.map_err(broken)?;
        let is_picture = file.is_some() || ["image", "images", "file"].contains(&name.as_str());
        if is_picture {
            check_count(request.pictures.len() + 1, limits)?;
            let index = request.pictures.len().to_string();
            let name = file.filter(|file| !file.is_empty()).unwrap_or(index);
            request.pictures.push(picture(&name, &data));
        } else {
            if request.fields.0.len() == FIELDS {
                let message = format!("more than {FIELDS} options");
                return Err(ServeError::new(ErrorKind::TooLarge, message));
            }
            let text = String::from_utf8(data.into())
                .map_err(|_| ServeError::malformed("an option is no UTF-8"))?;
            request.fields.0.insert(name, text.into());
        }
    }
    Ok(request)
}

/// Pictures that came as base64 or data URLs, by their places.
///
/// # Errors
/// When there are too many, or one is neither.
pub(crate) fn pictures_of_texts(
    texts: &[impl AsRef<str>],
    limits: &Limits,
) -> Result<Vec<Input>, ServeError> {
    check_count(texts.len(), limits)?;
    let named = texts.iter().enumerate();
    named
        .map(|(index, text)| picture_of_text(&index.to_string(), text.as_ref()))
        .collect()
}

/// A picture that came as base64 or as a data URL.
///
/// # Errors
/// When it is neither.
pub(crate) fn picture_of_text(name: &str, text: &str) -> Result<Input, ServeError> {
    Ok(picture(name, &decoded(text)?))
}

fn picture(name: &str, bytes: &[u8]) -> Input {
    let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
    Input::Picture(Source::Memory(name.into(), bytes.into()))
}

fn check_count(count: usize, limits: &Limits) -> Result<(), ServeError> {
    if count <= limits.pictures {
        return Ok(());
    }
    let message = format!("more than {} pictures in one request", limits.pictures);
    Err(ServeError::new(ErrorKind::TooLarge, message))
}

fn decoded(text: &str) -> Result<Vec<u8>, ServeError> {
    let text = text.trim();
    let encoded = match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("data") => match rest.split_once(',') {
            Some((kind, encoded)) if kind.to_ascii_lowercase().ends_with(";base64") => encoded,
            _ => {
                return Err(ServeError::malformed(
                    "a data URL of a picture must be in base64",
                ));
            }
        },
        Some((scheme, _)) if ["http", "https", "file", "ftp"].contains(&scheme) => {
            let message =
                "pictures are not fetched from addresses; send the picture itself, in base64";
            return Err(ServeError::invalid(message));
        }
        _ => text,
    };
    let encoded = match encoded.bytes().any(|byte| byte.is_ascii_whitespace()) {
        true => Cow::Owned(encoded.split_ascii_whitespace().collect::<String>()),
        false => Cow::Borrowed(encoded),
    };
    BASE64
        .decode(encoded.as_bytes())
        .map_err(|error| ServeError::malformed(format!("a picture is no base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_comes_in_many_forms() {
        for text in [
            "aGVsbG8=",
            "aGVsbG8",
            " aGVs\r\nbG8=\n",
            "data:image/png;base64,aGVsbG8=",
            "DATA:;BASE64,aGVsbG8",
            "data:image/png;name=a.png;base64,aGVsbG8=",
        ] {
            assert_eq!(decoded(text).unwrap(), b"hello", "{text}");
        }
        for (text, kind) in [
            ("aGVsbG8*", ErrorKind::Malformed),
            ("a", ErrorKind::Malformed),
            ("data:image/png,hello", ErrorKind::Malformed),
            ("data:image/png;base64", ErrorKind::Malformed),
            ("http://127.0.0.1/a.png", ErrorKind::Invalid),
            ("file:///etc/passwd", ErrorKind::Invalid),
            ("/etc/passwd.png", ErrorKind::Malformed),
        ] {
            assert_eq!(decoded(text).unwrap_err().kind(), kind, "{text}");
        }
    }

    #[test]
    fn names_of_pictures_are_cut_at_a_letter() {
        let Input::Picture(source) = picture(&"é".repeat(200), b"") else {
            panic!("no picture");
        };
        assert_eq!(source.path().to_str().unwrap(), "é".repeat(127));
    }
}
