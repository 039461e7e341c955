//! The names by which chats ask for what is loaded, and the text that each gives for a picture.

use super::pictures::{picture_error, something_else};
use crate::{
    error::{ErrorKind, ServeError},
    models::Catalog,
    service::Service,
    task::{Answer, Input, Task},
};
use std::time::Instant;
use unprompt::interrogate::Mode;

/// Our own name for the preset, whatever it is.
const OWN: &str = "unprompt";

/// What gives a picture a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextModel {
    /// The preset.
    Preset,
    /// The captioner.
    Captioner,
    /// The interrogator in a mode.
    Interrogator(Mode),
}

/// What gives pictures a text, by name: `unprompt`, the preset, the captioner and the CLIP, the last two
/// where they are loaded.
pub(super) fn text_models(catalog: &Catalog) -> Vec<(&str, TextModel)> {
    let mut models = vec![(OWN, TextModel::Preset)];
    if catalog.preset != OWN {
        models.push((&catalog.preset, TextModel::Preset));
    }
    let captioner = catalog.captioner.as_deref();
    models.extend(captioner.map(|name| (name, TextModel::Captioner)));
    let clip = catalog.clip.as_deref();
    models.extend(clip.map(|name| (name, TextModel::Interrogator(Mode::Fast))));
    models
}

/// Everything with a name, each once: what gives pictures a text, then what embeds.
pub(super) fn all_names(catalog: &Catalog) -> Vec<&str> {
    let mut names: Vec<&str> = text_models(catalog).iter().map(|(name, _)| *name).collect();
    for name in [
        catalog.text_encoder.as_deref().ok(),
        catalog.image_encoder.as_deref(),
    ] {
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The model of a name; without one, the preset.
///
/// # Errors
/// When there is none of this name.
pub(super) fn text_model(catalog: &Catalog, name: &str) -> Result<TextModel, ServeError> {
    let models = text_models(catalog);
    if name.is_empty() {
        return Ok(TextModel::Preset);
    }
    let found = models.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, model)| *model)
        .ok_or_else(|| no_such_model(models.iter().map(|(name, _)| *name)))
}

/// The refusal of a name, with those that there are. The name itself is not repeated.
pub(super) fn no_such_model<'a>(names: impl Iterator<Item = &'a str>) -> ServeError {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let message = format!(
        "there is no such model here; there are {}",
        names.join(", ")
    );
    ServeError::new(ErrorKind::NoSuchModel, message)
}

/// The text of each picture.
///
/// # Errors
/// The first picture that has none.
pub(super) async fn texts_of(
    service: &Service,
    model: TextModel,
    pictures: Vec<Input>,
    deadline: Instant,
) -> Result<Vec<String>, ServeError> {
    let task = match model {
        TextModel::Preset => Task::Predict { metadata: true },
        TextModel::Captioner => Task::Caption(Box::default()),
        TextModel::Interrogator(mode) => Task::Interrogate {
            mode,
            caption: None,
        },
    };
    let answers = service.submit(task, pictures, deadline).await?;
    let text = |answer| match answer {
        Ok(Answer::Prediction(record)) => Ok(record.prompt),
        Ok(Answer::Caption(caption)) => Ok(caption.text),
        Ok(Answer::Interrogation(found, _)) => Ok(found.prompt.unwrap_or_default()),
        Ok(_) => Err(something_else()),
        Err(failure) => Err(picture_error(failure)),
    };
    answers.into_iter().map(text).collect()
}

/// The text of one picture.
///
/// # Errors
/// When it has none.
pub(super) async fn text_of(
    service: &Service,
    model: TextModel,
    picture: Input,
    deadline: Instant,
) -> Result<String, ServeError> {
    let texts = texts_of(service, model, vec![picture], deadline).await?;
    Ok(texts.into_iter().next().unwrap_or_default())
}
