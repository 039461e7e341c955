//! The part of AUTOMATIC1111's web UI API that is about pictures as they are.
//!
//! Source: `modules/api/api.py` and `modules/api/models.py` of the web UI, version 1.10.

use super::{
    named_models::{TextModel, text_of},
    pictures::{answer_of, picture_of, something_else},
    texts::body,
};
use crate::{
    error::{ErrorKind, ServeError},
    route::{Call, Route, json_answer},
    service::Service,
    task::{Answer, Input, Task},
};
use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use unprompt::{interrogate::Mode, metadata::Metadata};

pub(super) fn routes() -> Vec<Route> {
    let image = json!({ "type": "string", "description": "base64 or a data URL" });
    vec![
        Route::post(
            "/sdapi/v1/interrogate",
            "AUTOMATIC1111: the prompt of a picture. `clip` is the interrogator, or the preset where none is loaded.",
            interrogate,
        )
        .body(json!({
            "type": "object",
            "required": ["image"],
            "properties": { "image": image, "model": { "type": "string", "default": "clip" } },
        }))
        .answers(json!({
            "type": "object",
            "required": ["caption"],
            "properties": { "caption": { "type": "string" } },
        }))
        .errors(error),
        Route::post(
            "/sdapi/v1/png-info",
            "AUTOMATIC1111: the prompt and settings stored in a picture, of whatever program.",
            png_info,
        )
        .body(json!({ "type": "object", "required": ["image"], "properties": { "image": image } }))
        .answers(json!({
            "type": "object",
            "required": ["info", "items", "parameters"],
            "properties": {
                "info": { "type": "string" },
                "items": { "type": "object" },
                "parameters": { "type": "object" },
            },
        }))
        .errors(error),
        Route::get("/sdapi/v1/progress", "AUTOMATIC1111: how far the work is.", progress)
            .answers(json!({
                "type": "object",
                "required": ["progress", "eta_relative", "state"],
                "properties": {
                    "progress": { "type": "number" },
                    "eta_relative": { "type": "number" },
                    "state": { "type": "object" },
                },
            }))
            .errors(error),
    ]
}

/// An error as the web UI's middleware writes it. It answers with 500 to a picture that cannot be read.
fn error(error: &ServeError) -> Response {
    let kind = error.kind();
    let (status, detail) = match kind {
        ErrorKind::Picture => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Invalid encoded image".to_owned(),
        ),
        _ => (kind.status(), error.to_string()),
    };
    let body = json!({
        "error": "HTTPException",
        "detail": detail,
        "body": "",
        "errors": error.to_string(),
    });
    json_answer(status, &body)
}

#[derive(Deserialize)]
struct InterrogateRequest {
    image: Option<String>,
    #[serde(default = "clip")]
    model: String,
}

fn clip() -> String {
    "clip".into()
}

async fn interrogate(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let InterrogateRequest { image, model } = body(&call).await?;
    let picture = picture(image)?;
    if model != "clip" {
        return Err(ServeError::new(ErrorKind::NoSuchModel, "Model not found"));
    }
    let model = match service.catalog().clip {
        // The mode that is nearest to what the web UI makes of its lists.
        Some(_) => TextModel::Interrogator(Mode::Classic),
        None => TextModel::Preset,
    };
    let caption = text_of(&service, model, picture, call.deadline).await?;
    Ok(json_answer(StatusCode::OK, &json!({ "caption": caption })))
}

fn picture(image: Option<String>) -> Result<Input, ServeError> {
    let image = image.filter(|image| !image.is_empty());
    let image = image.ok_or_else(|| ServeError::new(ErrorKind::NotFound, "Image not found"))?;
    picture_of(&image)
}

#[derive(Deserialize)]
struct PngInfoRequest {
    image: String,
}

#[derive(Default, Serialize)]
struct PngInfo {
    info: String,
    items: Map<String, Value>,
    parameters: Map<String, Value>,
}

async fn png_info(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let PngInfoRequest { image } = body(&call).await?;
    if image.trim().is_empty() {
        return Ok(json_answer(StatusCode::OK, &PngInfo::default()));
    }
    let picture = picture_of(&image)?;
    let found = match answer_of(&service, Task::Metadata, picture, call.deadline).await? {
        Answer::Metadata(found) => found,
        _ => return Err(something_else()),
    };
    let info = found.map_or_else(PngInfo::default, |found| png_info_of(&found));
    Ok(json_answer(StatusCode::OK, &info))
}

fn png_info_of(found: &Metadata) -> PngInfo {
    let info = infotext(found);
    let mut parameters = Map::new();
    parameters.insert("Prompt".into(), found.prompt.clone().into());
    let negative = found.negative_prompt.clone().unwrap_or_default();
    parameters.insert("Negative prompt".into(), negative.into());
    for (name, value) in &found.settings {
        parameters.insert(name.clone(), plain(value).into());
    }
    let items = Map::from_iter([("parameters".to_owned(), info.clone().into())]);
    PngInfo {
        info,
        items,
        parameters,
    }
}

/// The record in the web UI's own form, whatever program wrote it.
fn infotext(found: &Metadata) -> String {
    let mut text = found.prompt.clone();
    if let Some(negative) = &found.negative_prompt {
        text += &format!("\nNegative prompt: {negative}");
    }
    let settings: Vec<String> = found
        .settings
        .iter()
        .filter_map(|(name, value)| setting(found, name, value))
        .collect();
    if !settings.is_empty() {
        text += &format!("\n{}", settings.join(", "));
    }
    text
}

/// One setting as the line has it. A size, which is read as two numbers, is one setting again.
fn setting(found: &Metadata, name: &str, value: &Value) -> Option<String> {
    let other = |stem: &str, number: &str| found.settings.get(&format!("{stem}-{number}"));
    if let Some(stem) = name.strip_suffix("-1")
        && let Some(height) = other(stem, "2")
    {
        return Some(format!("{stem}: {}x{}", plain(value), plain(height)));
    }
    match name.strip_suffix("-2") {
        Some(stem) if other(stem, "1").is_some() => None,
        _ => Some(format!("{name}: {}", quoted(plain(value)))),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A value that would break the line of settings is a JSON string there.
fn quoted(value: String) -> String {
    match value.contains([',', ':', '\n']) {
        true => Value::from(value).to_string(),
        false => value,
    }
}

async fn progress(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    let (jobs, _) = service.load();
    let answer = json!({
        "progress": 0.0,
        "eta_relative": 0.0,
        "state": {
            "skipped": false,
            "interrupted": false,
            "job": "",
            "job_count": jobs,
            "job_timestamp": "0",
            "job_no": 0,
            "sampling_step": 0,
            "sampling_steps": 0,
        },
        "current_image": null,
        "textinfo": null,
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_an_infotext_that_reads_back() {
        // From a text, which keeps the order of settings.
        let found = r#"{"generator": "comfyui", "prompt": "a cat,\nasleep", "negative_prompt": "ugly",
            "settings": {"Steps": 20, "Size-1": 64, "Size-2": 96, "Model": "a:b, c", "x-2": 1}}"#;
        let found: Metadata = serde_json::from_str(found).unwrap();
        let text = infotext(&found);
        assert_eq!(
            text,
            "a cat,\nasleep\nNegative prompt: ugly\nSteps: 20, Size: 64x96, Model: \"a:b, c\", x-2: 1"
        );
        let info = png_info_of(&found);
        assert_eq!(info.parameters["Steps"], "20");
        assert_eq!(info.items["parameters"], text.as_str());
    }
}
