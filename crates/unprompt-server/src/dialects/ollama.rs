//! Ollama's API, for captioning tools that speak it: `docs/api.md` of Ollama.
//!
//! What a request says besides its pictures is not read: the models here have no instructions to follow.

use super::{
    clock::{now, rfc3339},
    named_models::{text_model, text_models, texts_of},
    texts::{OneOrMany, body, embedded},
};
use crate::{
    error::{ErrorKind, ServeError},
    input::pictures_of_texts,
    route::{Call, Route, json_answer, respond},
    service::Service,
};
use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What Ollama adds to a name without a tag.
const TAG: &str = ":latest";

pub(super) fn routes() -> Vec<Route> {
    let pictures = json!({ "type": "array", "items": { "type": "string" } });
    let stream = json!({ "type": "boolean", "default": true });
    vec![
        Route::get("/api/tags", "Ollama: the models.", tags).errors(error),
        Route::get("/api/version", "Ollama: the version.", version).errors(error),
        Route::post(
            "/api/generate",
            "Ollama: the prompt of each picture, one a line.",
            generate,
        )
        .body(json!({
            "type": "object",
            "required": ["model"],
            "properties": { "model": { "type": "string" }, "images": pictures, "stream": stream },
        }))
        .errors(error),
        Route::post(
            "/api/chat",
            "Ollama: the same of the last message that has pictures.",
            chat,
        )
        .body(json!({
            "type": "object",
            "required": ["model", "messages"],
            "properties": {
                "model": { "type": "string" },
                "messages": { "type": "array", "items": {
                    "type": "object",
                    "properties": { "images": pictures },
                } },
                "stream": stream,
            },
        }))
        .errors(error),
        Route::post("/api/embed", "Ollama: the vector of each text.", embed)
            .body(json!({
                "type": "object",
                "required": ["input"],
                "properties": {
                    "model": { "type": "string" },
                    "input": { "anyOf": [
                        { "type": "string" },
                        { "type": "array", "items": { "type": "string" } },
                    ] },
                },
            }))
            .errors(error),
    ]
}

fn error(error: &ServeError) -> Response {
    json_answer(
        error.kind().status(),
        &json!({ "error": error.to_string() }),
    )
}

fn untagged(name: &str) -> &str {
    name.strip_suffix(TAG).unwrap_or(name)
}

async fn tags(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    let catalog = service.catalog();
    let started = rfc3339(now().saturating_sub(service.started().elapsed()));
    let model = |name: &str| {
        let mut digest = Sha256::new();
        for known in &catalog.receipt.models {
            digest.update(&known.sha256);
        }
        digest.update(name);
        let digest: String = digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let name = format!("{name}{TAG}");
        json!({
            "name": name,
            "model": name,
            "modified_at": started,
            "size": 0,
            "digest": digest,
            "details": {
                "parent_model": "",
                "format": "safetensors",
                "family": "unprompt",
                "families": ["unprompt"],
                "parameter_size": "",
                "quantization_level": "",
            },
        })
    };
    let models: Vec<Value> = text_models(catalog)
        .iter()
        .map(|(name, _)| model(name))
        .collect();
    Ok(json_answer(StatusCode::OK, &json!({ "models": models })))
}

async fn version(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    let version = &service.catalog().receipt.version;
    Ok(json_answer(StatusCode::OK, &json!({ "version": version })))
}

#[derive(Deserialize)]
struct GenerateRequest {
    model: String,
    #[serde(default)]
    images: Option<Vec<String>>,
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct ChatRequest {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    images: Option<Vec<String>>,
}

async fn generate(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let request: GenerateRequest = body(&call).await?;
    let images = request.images.unwrap_or_default();
    let (text, took) = answered(&service, &call, &request.model, &images).await?;
    let part = |text: &str| json!({ "response": text });
    Ok(answer(&request.model, request.stream, &text, took, part))
}

async fn chat(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let request: ChatRequest = body(&call).await?;
    let images = request
        .messages
        .into_iter()
        .rev()
        .filter_map(|message| message.images);
    let images = images.into_iter().find(|images| !images.is_empty());
    let images = images.unwrap_or_default();
    let (text, took) = answered(&service, &call, &request.model, &images).await?;
    let part = |text: &str| json!({ "message": { "role": "assistant", "content": text } });
    Ok(answer(&request.model, request.stream, &text, took, part))
}

async fn answered(
    service: &Service,
    call: &Call,
    model: &str,
    images: &[String],
) -> Result<(String, Duration), ServeError> {
    let started = Instant::now();
    let model = text_model(service.catalog(), untagged(model))?;
    if images.is_empty() {
        let message = "there is no picture in the request; send it in `images`, in base64";
        return Err(ServeError::malformed(message));
    }
    let pictures = pictures_of_texts(images, service.limits())?;
    let texts = texts_of(service, model, pictures, call.deadline).await?;
    Ok((texts.join("\n"), started.elapsed()))
}

/// The text in the form of `part`: in one object, or as a stream of one part and an end.
fn answer(
    model: &str,
    stream: Option<bool>,
    text: &str,
    took: Duration,
    part: impl Fn(&str) -> Value,
) -> Response {
    let object = |text: &str, done: bool| {
        let mut object = part(text);
        object["model"] = model.into();
        object["created_at"] = rfc3339(now()).into();
        object["done"] = done.into();
        if done {
            object["done_reason"] = "stop".into();
            object["total_duration"] = (took.as_nanos() as u64).into();
        }
        object
    };
    match stream {
        Some(false) => json_answer(StatusCode::OK, &object(text, true)),
        _ => {
            let body = format!("{}\n{}\n", object(text, false), object("", true));
            respond(StatusCode::OK, "application/x-ndjson", body)
        }
    }
}

#[derive(Deserialize)]
struct EmbedRequest {
    #[serde(default)]
    model: String,
    input: OneOrMany,
}

#[derive(Serialize)]
struct Embedded {
    model: String,
    embeddings: Vec<Vec<f32>>,
}

async fn embed(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let EmbedRequest { model, input } = body(&call).await?;
    let known = service.catalog().text_encoder.as_deref();
    if !model.is_empty() && known.is_ok_and(|known| known != untagged(&model)) {
        let message = "there is no such model here";
        return Err(ServeError::new(ErrorKind::NoSuchModel, message));
    }
    let texts = input.checked(service.limits())?;
    let embeddings = embedded(&service, texts, false, call.deadline).await?;
    Ok(json_answer(StatusCode::OK, &Embedded { model, embeddings }))
}
