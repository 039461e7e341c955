//! The API of clip-interrogator-ext, version 0.2.1: `clip_interrogator_ext.py`.

use super::{
    named_models::{TextModel, no_such_model, text_of},
    pictures::{answer_of, picture_of, something_else},
    texts::body,
};
use crate::{
    error::{ErrorKind, ServeError},
    route::{Call, Route, json_answer},
    service::Service,
    task::{Answer, Input, ModeName, Task},
};
use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;
use unprompt::interrogate::{Interrogation, Mode, RankedLabel};

/// What the extension takes where a client names no CLIP; here it is whichever is loaded.
const USUAL_CLIP: &str = "ViT-L-14/openai";
/// Its name for no labels at all.
const CAPTION: &str = "caption";

pub(super) fn routes() -> Vec<Route> {
    let image = json!({ "type": "string", "description": "base64 or a data URL" });
    let name = json!({ "type": "string", "default": USUAL_CLIP });
    let scores = json!({ "type": "object", "additionalProperties": { "type": "number" } });
    vec![
        Route::get("/interrogator/models", "clip-interrogator-ext: the models.", models)
            .answers(json!({ "type": "array", "items": { "type": "string" } }))
            .errors(error),
        Route::post(
            "/interrogator/prompt",
            "clip-interrogator-ext: the prompt of a picture; that of the preset where no CLIP is loaded.",
            prompt,
        )
        .body(json!({
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": image,
                "clip_model_name": name,
                "mode": { "enum": ["best", "fast", "classic", "negative", "caption"], "default": "fast" },
            },
        }))
        .answers(json!({
            "type": "object",
            "required": ["prompt"],
            "properties": { "prompt": { "type": "string" } },
        }))
        .errors(error),
        Route::post("/interrogator/analyze", "clip-interrogator-ext: the first labels of each table.", analyze)
            .body(json!({
                "type": "object",
                "required": ["image"],
                "properties": { "image": image, "clip_model_name": name },
            }))
            .answers(json!({
                "type": "object",
                "properties": {
                    "medium": scores, "artist": scores, "movement": scores, "trending": scores, "flavor": scores,
                },
            }))
            .errors(error),
    ]
}

/// FastAPI's form of an error. What is no picture is a 500 there.
fn error(error: &ServeError) -> Response {
    let status = match error.kind() {
        ErrorKind::Picture => StatusCode::INTERNAL_SERVER_ERROR,
        kind => kind.status(),
    };
    json_answer(status, &json!({ "detail": error.to_string() }))
}

#[derive(Deserialize)]
struct Request {
    image: String,
    clip_model_name: Option<String>,
    mode: Option<String>,
}

async fn models(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    Ok(json_answer(StatusCode::OK, &[name(&service)]))
}

/// The one model that there is.
fn name(service: &Service) -> &str {
    let catalog = service.catalog();
    catalog.clip.as_deref().unwrap_or(&catalog.preset)
}

/// Refuses every model but that one.
fn check_name(service: &Service, asked: Option<&str>) -> Result<(), ServeError> {
    match asked {
        None | Some(USUAL_CLIP) => Ok(()),
        Some(asked) if asked == name(service) => Ok(()),
        Some(_) => Err(no_such_model([name(service)].into_iter())),
    }
}

async fn prompt(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let Request {
        image,
        clip_model_name,
        mode,
    } = body(&call).await?;
    check_name(&service, clip_model_name.as_deref())?;
    let mode = mode.as_deref().unwrap_or("fast");
    let name = ModeName::deserialize(Value::from(mode)).ok();
    let picture = picture_of(&image)?;
    let catalog = service.catalog();
    let prompt = match (name, mode) {
        (None, CAPTION) if catalog.captioner.is_some() => {
            text_of(&service, TextModel::Captioner, picture, call.deadline).await?
        }
        (None, CAPTION) => {
            let message = "no captioner is loaded; start the server with `--captioner MODEL`";
            return Err(ServeError::new(ErrorKind::NotLoaded, message));
        }
        (None | Some(ModeName::Analyze), _) => {
            let message = "`mode`: one of best, fast, classic, negative, caption is needed";
            return Err(ServeError::invalid(message));
        }
        (Some(_), _) if catalog.clip.is_none() => {
            text_of(&service, TextModel::Preset, picture, call.deadline).await?
        }
        (Some(mode), _) => {
            let found = interrogated(&service, mode.mode(), picture, &call).await?;
            found.prompt.unwrap_or_default()
        }
    };
    Ok(json_answer(StatusCode::OK, &json!({ "prompt": prompt })))
}

async fn interrogated(
    service: &Service,
    mode: Mode,
    picture: Input,
    call: &Call,
) -> Result<Interrogation, ServeError> {
    let caption = None;
    let task = Task::Interrogate { mode, caption };
    match answer_of(service, task, picture, call.deadline).await? {
        Answer::Interrogation(found, _) => Ok(*found),
        _ => Err(something_else()),
    }
}

/// An analysis by the extension's names of the tables.
#[derive(Default, Serialize)]
struct Analysis {
    medium: Scores,
    artist: Scores,
    movement: Scores,
    trending: Scores,
    flavor: Scores,
}

/// Labels with their similarities, the most similar first.
#[derive(Default)]
struct Scores(Vec<RankedLabel>);

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|label| (&label.label, label.similarity)))
    }
}

async fn analyze(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let Request {
        image,
        clip_model_name,
        ..
    } = body(&call).await?;
    check_name(&service, clip_model_name.as_deref())?;
    let picture = picture_of(&image)?;
    if service.catalog().clip.is_none() {
        let message = "no CLIP is loaded; start the server with `--clip MODEL`";
        return Err(ServeError::new(ErrorKind::NotLoaded, message));
    }
    let found = interrogated(&service, Mode::Analyze, picture, &call).await?;
    let mut analysis = Analysis::default();
    for (table, labels) in found.tables.unwrap_or_default() {
        let scores = match table.as_str() {
            "mediums" => &mut analysis.medium,
            "artists" => &mut analysis.artist,
            "movements" => &mut analysis.movement,
            "trendings" => &mut analysis.trending,
            "flavors" => &mut analysis.flavor,
            _ => continue,
        };
        scores.0 = labels;
    }
    Ok(json_answer(StatusCode::OK, &analysis))
}
