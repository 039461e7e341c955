//! COCO's captions: one JSON file with `images` and `annotations`.

use super::{Records, list_text, pictures::Pictures};
use crate::{DataError, Limits, RecordError, RecordProblem, SourceSpec};
use indexmap::IndexMap;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::HashMap;

#[derive(Deserialize)]
struct Captions {
    images: Vec<Either<Image>>,
    annotations: Vec<Either<Annotation>>,
}

/// One entry that is not what it should be costs only itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either<T> {
    Good(T),
    Bad(IgnoredAny),
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    caption: String,
}

/// Pictures in the order of `images`, each with its captions in the order of `annotations`.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let list = &spec.path;
    let text = list_text(list, limits.list)?;
    let found: Captions =
        serde_json::from_str(&text).map_err(|error| DataError::list(list, error))?;
    drop(text);
    let mut bad: Vec<Result<_, RecordError>> = Vec::new();
    let malformed =
        |id: String, message: &str| Err(RecordProblem::Malformed(message.to_owned()).of(id));
    let mut captions: IndexMap<String, Vec<String>> = IndexMap::new();
    let mut files: HashMap<u64, String> = HashMap::new();
    for (index, image) in found.images.into_iter().enumerate() {
        match image {
            Either::Good(image) => {
                captions.entry(image.file_name.clone()).or_default();
                files.insert(image.id, image.file_name);
            }
            Either::Bad(_) => bad.push(malformed(
                format!("image {index}"),
                "an image has an `id` and a `file_name`",
            )),
        }
    }
    for (index, annotation) in found.annotations.into_iter().enumerate() {
        let of_image = match annotation {
            Either::Good(annotation) => files
                .get(&annotation.image_id)
                .and_then(|file| captions.get_mut(file))
                .map(|captions| captions.push(annotation.caption)),
            Either::Bad(_) => None,
        };
        if of_image.is_none() {
            bad.push(malformed(
                format!("annotation {index}"),
                "an annotation has the `image_id` of an image and a `caption`",
            ));
        }
    }
    let records = Pictures::of(spec, list, limits).records(captions);
    Ok(Box::new(bad.into_iter().chain(records)))
}
