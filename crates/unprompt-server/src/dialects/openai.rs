//! OpenAI's API, for captioning tools that send pictures to a chat, and for embeddings.
//!
//! What a chat says besides its pictures is not read: the models here have no instructions to follow.

use super::{
    clock::now,
    named_models::{all_names, no_such_model, text_model, texts_of},
    texts::{OneOrMany, body, embedded, vectors},
};
use crate::{
    error::{ErrorKind, ServeError},
    input::pictures_of_texts,
    route::{Call, Route, json_answer, respond},
    service::Service,
    task::Task,
};
use axum::{http::StatusCode, response::Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use unprompt::Views;

const OWNER: &str = "unprompt";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/models", "OpenAI: the models.", models).errors(error),
        Route::post(
            "/v1/embeddings",
            "OpenAI: vectors of texts, or of pictures as data URLs.",
            embeddings,
        )
        .body(json!({
            "type": "object",
            "required": ["input"],
            "properties": {
                "model": { "type": "string" },
                "input": { "anyOf": [
                    { "type": "string" },
                    { "type": "array", "items": { "type": "string" } },
                ] },
                "encoding_format": { "enum": ["float", "base64"], "default": "float" },
            },
        }))
        .errors(error),
        Route::post(
            "/v1/chat/completions",
            "OpenAI: the prompt of each picture of the last message that has any, one a line.",
            chat,
        )
        .body(json!({
            "type": "object",
            "required": ["messages"],
            "properties": {
                "model": { "type": "string" },
                "messages": { "type": "array", "minItems": 1, "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": { "role": { "type": "string" }, "content": {} },
                } },
                "stream": { "type": "boolean", "default": false },
            },
        }))
        .errors(error),
    ]
}

/// OpenAI's form of an error.
fn error(error: &ServeError) -> Response {
    let kind = error.kind();
    let (name, code) = match kind {
        ErrorKind::NoSuchModel => ("invalid_request_error", Some("model_not_found")),
        ErrorKind::Unauthorized => ("invalid_request_error", Some("invalid_api_key")),
        ErrorKind::Busy => ("rate_limit_error", Some("rate_limit_exceeded")),
        ErrorKind::Bug | ErrorKind::Unavailable | ErrorKind::NotLoaded => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    let body = json!({ "error": {
        "message": error.to_string(),
        "type": name,
        "param": null,
        "code": code,
    } });
    json_answer(kind.status(), &body)
}

async fn models(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    let created = (now() - service.started().elapsed()).as_secs();
    let model = |name: &&str| json!({ "id": name, "object": "model", "created": created, "owned_by": OWNER });
    let models: Vec<Value> = all_names(service.catalog()).iter().map(model).collect();
    Ok(json_answer(
        StatusCode::OK,
        &json!({ "object": "list", "data": models }),
    ))
}

#[derive(Deserialize)]
struct EmbeddingsRequest {
    #[serde(default)]
    model: String,
    input: OneOrMany,
    #[serde(default)]
    encoding_format: Encoding,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    model: &'a str,
    data: Vec<Embedding>,
    usage: Value,
}

async fn embeddings(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let EmbeddingsRequest {
        model,
        input,
        encoding_format,
    } = body(&call).await?;
    let catalog = service.catalog();
    let inputs = match input {
        OneOrMany::One(input) => vec![input],
        OneOrMany::Many(inputs) => inputs,
    };
    if inputs.is_empty() {
        return Err(ServeError::invalid("`input` is empty"));
    }
    let is_picture = |input: &String| input.starts_with("data:image/");
    let (name, vectors) = if inputs.iter().all(is_picture) {
        let Some(name) = &catalog.image_encoder else {
            let message =
                "no image encoder is loaded; start the server with `--image-encoder MODEL`";
            return Err(ServeError::new(ErrorKind::NotLoaded, message));
        };
        check_name(&model, name)?;
        let pictures = pictures_of_texts(&inputs, service.limits())?;
        let (views, raw) = (Views::Plain, false);
        let task = Task::EmbedImage { views, raw };
        let answers = service.submit(task, pictures, call.deadline).await?;
        (name, vectors(answers)?)
    } else if inputs.iter().any(is_picture) {
        return Err(ServeError::invalid(
            "`input` has both pictures and texts; send them apart",
        ));
    } else {
        let texts = OneOrMany::Many(inputs).checked(service.limits())?;
        let name = match &catalog.text_encoder {
            Ok(name) => name,
            Err(reason) => return Err(ServeError::new(ErrorKind::NotLoaded, reason.clone())),
        };
        check_name(&model, name)?;
        (name, embedded(&service, texts, false, call.deadline).await?)
    };
    let embedding = |(index, vector): (usize, Vec<f32>)| Embedding {
        object: "embedding",
        index,
        embedding: match encoding_format {
            Encoding::Float => Vector::Float(vector),
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                Vector::Base64(BASE64_STANDARD.encode(bytes))
            }
        },
    };
    let answer = Embeddings {
        object: "list",
        model: name,
        data: vectors.into_iter().enumerate().map(embedding).collect(),
        usage: json!({ "prompt_tokens": 0, "total_tokens": 0 }),
    };
    Ok(json_answer(StatusCode::OK, &answer))
}

/// There is one encoder of a kind.
fn check_name(asked: &str, name: &str) -> Result<(), ServeError> {
    match asked {
        "" => Ok(()),
        asked if asked == name => Ok(()),
        _ => Err(no_such_model([name].into_iter())),
    }
}

#[derive(Deserialize)]
struct ChatRequest {
    #[serde(default)]
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

impl Message {
    /// Its pictures, as data URLs or base64.
    fn pictures(&self) -> Vec<&str> {
        let parts = self
            .content
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        parts.iter().filter_map(picture).collect()
    }
}

/// The picture of a part. Some clients leave the object around its address out.
fn picture(part: &Value) -> Option<&str> {
    let image = part.get("image_url")?;
    image.as_str().or_else(|| image.get("url")?.as_str())
}

async fn chat(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let ChatRequest {
        model: name,
        messages,
        stream,
    } = body(&call).await?;
    let catalog = service.catalog();
    let model = text_model(catalog, &name)?;
    let pictures = messages.iter().rev().map(Message::pictures);
    let pictures = pictures.into_iter().find(|pictures| !pictures.is_empty());
    let Some(pictures) = pictures else {
        let message =
            "there is no picture in the messages; send one as an `image_url` part with a data URL";
        return Err(ServeError::invalid(message));
    };
    let pictures = pictures_of_texts(&pictures, service.limits())?;
    let texts = texts_of(&service, model, pictures, call.deadline).await?;
    let name = if name.is_empty() {
        &catalog.preset
    } else {
        &name
    };
    let text = texts.join("\n");
    match stream {
        Some(true) => Ok(streamed(name, &text)),
        _ => {
            let message = json!({ "role": "assistant", "content": text });
            let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
            let mut answer = completion("chat.completion", name, choice);
            answer["usage"] =
                json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 });
            Ok(json_answer(StatusCode::OK, &answer))
        }
    }
}

/// The whole text as one event, for what streams must speak.
fn streamed(model: &str, text: &str) -> Response {
    let delta = json!({ "role": "assistant", "content": text });
    let first = json!({ "index": 0, "delta": delta, "finish_reason": null });
    let last = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
    let mut first = completion("chat.completion.chunk", model, first);
    let mut last = completion("chat.completion.chunk", model, last);
    last["id"] = first["id"].take();
    first["id"] = last["id"].clone();
    let body = format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n");
    respond(StatusCode::OK, "text/event-stream", body)
}

fn completion(object: &str, model: &str, choice: Value) -> Value {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    json!({
        "id": format!("chatcmpl-{number}"),
        "object": object,
        "created": now().as_secs(),
        "model": model,
        "choices": [choice],
    })
}
