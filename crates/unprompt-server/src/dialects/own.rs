//! Our own dialect: the records of the command line.

use super::{
    pictures::something_else,
    steps,
    texts::{OneOrMany, body, embedded},
};
use crate::{
    error::{ErrorKind, ServeError},
    input::{Fields, PictureRequest},
    route::{Call, Route, json_answer},
    service::Service,
    task::{Answer, Input, InputFailure, ModeName, Task},
};
use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use unprompt::{
    CaptionOptions, FailureRecord, Label, PredictionRecord, Views,
    eval::{ImageScore, Score, cosine},
    interrogate::RankedLabel,
    metadata::Metadata,
};

/// The most labels of one picture.
const MOST_LABELS: usize = 1000;
/// The most beams and tokens of a caption.
const MOST_BEAMS: usize = 16;
const MOST_TOKENS: usize = 256;

pub(super) fn routes() -> Vec<Route> {
    let pictures = |options: Value| {
        let mut properties = json!({
            "image": { "$ref": "#/components/schemas/Image" },
            "images": { "type": "array", "items": { "$ref": "#/components/schemas/Image" } },
        });
        if let (Some(all), Value::Object(options)) = (properties.as_object_mut(), options) {
            all.extend(options);
        }
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    };
    vec![
        Route::post("/v1/predict", "The prompt of each picture, and its embedding.", predict)
            .body(pictures(json!({ "metadata": { "type": "boolean", "default": true } })))
            .files()
            .streams()
            .answers(records("Prediction")),
        Route::post("/v1/metadata", "The prompt stored inside each file, if any.", metadata)
            .body(pictures(json!({})))
            .files()
            .streams()
            .answers(records("Metadata")),
        Route::post("/v1/classify", "The labels that the classifier gives.", classify)
            .body(pictures(json!({ "top": { "type": "integer", "minimum": 0, "maximum": MOST_LABELS, "default": 5 } })))
            .files()
            .streams()
            .answers(records("Labels")),
        Route::post("/v1/caption", "What each picture shows, in words.", caption)
            .body(pictures(json!({
                "prompt": { "type": "string" },
                "beams": { "type": "integer", "minimum": 1, "maximum": MOST_BEAMS },
                "no_repeat_ngram": { "type": "integer", "minimum": 0, "maximum": MOST_TOKENS },
                "min_length": { "type": "integer", "minimum": 0, "maximum": MOST_TOKENS },
                "max_length": { "type": "integer", "minimum": 0, "maximum": MOST_TOKENS },
                "max_new_tokens": { "type": "integer", "minimum": 0, "maximum": MOST_TOKENS },
            })))
            .files()
            .streams()
            .answers(records("Caption")),
        Route::post("/v1/interrogate", "A prompt of labels, or an analysis: CLIP Interrogator.", interrogate)
            .body(pictures(json!({
                "mode": { "enum": ["classic", "fast", "best", "negative", "competition", "analyze"], "default": "best" },
                "caption": { "type": "string" },
            })))
            .files()
            .streams()
            .answers(records("Interrogation")),
        Route::post("/v1/embed/image", "The vector of each picture.", embed_image)
            .body(pictures(json!({
                "raw": { "type": "boolean", "default": false },
                "tta": { "enum": ["none", "flip"], "default": "none" },
            })))
            .files()
            .streams()
            .answers(records("ImageEmbedding")),
        Route::post("/v1/embed/text", "The vector of each text.", embed_text)
            .body(json!({
                "type": "object",
                "properties": {
                    "text": { "type": "string" },
                    "texts": { "type": "array", "items": { "type": "string" } },
                    "raw": { "type": "boolean", "default": false },
                },
                "additionalProperties": false,
            }))
            .answers(records("TextEmbedding")),
        Route::post("/v1/score", "The mean cosine similarity of predictions and truth.", score)
            .body(json!({
                "type": "object",
                "required": ["pairs"],
                "properties": { "pairs": { "type": "array", "minItems": 1, "items": {
                    "type": "object",
                    "required": ["prediction", "truth"],
                    "properties": {
                        "id": { "type": "string" },
                        "prediction": { "$ref": "#/components/schemas/Scored" },
                        "truth": { "$ref": "#/components/schemas/Scored" },
                    },
                    "additionalProperties": false,
                } } },
                "additionalProperties": false,
            }))
            .answers(json!({ "$ref": "#/components/schemas/Score" })),
    ]
}

/// The schema of an answer with records of this name.
fn records(name: &str) -> Value {
    json!({
        "type": "object",
        "required": ["records"],
        "properties": { "records": { "type": "array", "items": { "anyOf": [
            { "$ref": format!("#/components/schemas/{name}") },
            { "$ref": "#/components/schemas/Failure" },
        ] } } },
    })
}

/// A record, or why there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Prediction(Box<PredictionRecord>),
    Metadata {
        path: String,
        found: bool,
        #[serde(flatten)]
        metadata: Option<Box<Metadata>>,
    },
    Labels {
        path: String,
        labels: Vec<Label>,
    },
    Caption {
        path: String,
        caption: String,
        token_ids: Vec<u32>,
        /// Not of a captioner on another server, which tells none.
        #[serde(skip_serializing_if = "Option::is_none")]
        score: Option<f32>,
    },
    Interrogation(Box<InterrogationRecord>),
    Embedding {
        path: String,
        embedding: Vec<f32>,
    },
    Failure(FailureRecord),
}

#[derive(Serialize)]
struct InterrogationRecord {
    path: String,
    mode: ModeName,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<BTreeMap<String, Vec<RankedLabel>>>,
}

#[derive(Serialize)]
struct Records<'a> {
    /// Where no picture has a record: what is wrong with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    records: &'a [Outcome],
}

async fn predict(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    work(&service, &call, |fields| {
        let metadata = fields.switch("metadata")?.unwrap_or(true);
        Ok(Task::Predict { metadata })
    })
    .await
}

async fn metadata(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    work(&service, &call, |_| Ok(Task::Metadata)).await
}

async fn classify(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    work(&service, &call, |fields| {
        let top = fields.count("top", MOST_LABELS)?.unwrap_or(5);
        Ok(Task::Classify { top })
    })
    .await
}

async fn caption(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    loaded(&service.catalog().captioner, "captioner", "--captioner")?;
    work(&service, &call, |fields| {
        let mut tokens = |name| fields.count(name, MOST_TOKENS);
        let options = CaptionOptions {
            no_repeat_ngram: tokens("no_repeat_ngram")?,
            min_length: tokens("min_length")?,
            max_length: tokens("max_length")?,
            max_new_tokens: tokens("max_new_tokens")?,
            beams: fields.count("beams", MOST_BEAMS)?,
            prompt: fields.text("prompt")?,
            ..CaptionOptions::default()
        };
        Ok(Task::Caption(Box::new(options)))
    })
    .await
}

async fn interrogate(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    loaded(&service.catalog().clip, "CLIP", "--clip")?;
    work(&service, &call, |fields| {
        let mode = match fields.text("mode")? {
            None => ModeName::default(),
            Some(name) => mode_of(&name)?,
        };
        let (mode, caption) = (mode.mode(), fields.text("caption")?);
        Ok(Task::Interrogate { mode, caption })
    })
    .await
}

fn mode_of(name: &str) -> Result<ModeName, ServeError> {
    let message = "`mode`: one of classic, fast, best, negative, competition, analyze is needed";
    ModeName::deserialize(Value::from(name)).map_err(|_| ServeError::invalid(message))
}

async fn embed_image(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    loaded(
        &service.catalog().image_encoder,
        "image encoder",
        "--image-encoder",
    )?;
    work(&service, &call, |fields| {
        let views = match fields.text("tta")?.as_deref() {
            None | Some("none") => Views::Plain,
            Some("flip") => Views::Flip,
            Some(_) => return Err(ServeError::invalid("`tta`: none or flip is needed")),
        };
        let raw = fields.switch("raw")?.unwrap_or(false);
        Ok(Task::EmbedImage { views, raw })
    })
    .await
}

/// Refuses what the server was started without.
fn loaded(model: &Option<String>, what: &str, flag: &str) -> Result<(), ServeError> {
    if model.is_some() {
        return Ok(());
    }
    let message = format!("no {what} is loaded; start the server with `{flag} MODEL`");
    Err(ServeError::new(ErrorKind::NotLoaded, message))
}

/// From a request with pictures to an answer with records.
async fn work(
    service: &Service,
    call: &Call,
    task: impl FnOnce(&mut Fields) -> Result<Task, ServeError>,
) -> Result<Response, ServeError> {
    let PictureRequest {
        pictures,
        mut fields,
    } = PictureRequest::read(call, service.limits()).await?;
    let task = task(&mut fields)?;
    fields.finish()?;
    let paths: Vec<String> = pictures.iter().map(path).collect();
    if steps::are_asked_for(call) {
        return steps::answer(service, call, task, pictures, paths, outcome);
    }
    let answers = service
        .submit(task.clone(), pictures, call.deadline)
        .await?;
    let records = paths.into_iter().zip(answers);
    let records: Vec<Outcome> = records
        .map(|(path, answer)| outcome(path, &task, answer))
        .collect::<Result<_, ServeError>>()?;
    Ok(answer_with(&records))
}

/// A picture's record, or why there is none.
fn outcome(
    path: String,
    task: &Task,
    answer: Result<Answer, InputFailure>,
) -> Result<Outcome, ServeError> {
    match answer {
        Ok(answer) => record(path, task, answer),
        Err(failure) => Ok(Outcome::Failure(FailureRecord {
            path,
            error: failure.0,
        })),
    }
}

fn path(input: &Input) -> String {
    match input {
        Input::Picture(source) => source.path().to_string_lossy().into_owned(),
        Input::Text(_) => String::new(),
    }
}

fn record(path: String, task: &Task, answer: Answer) -> Result<Outcome, ServeError> {
    Ok(match (answer, task) {
        (Answer::Prediction(record), _) => Outcome::Prediction(record),
        (Answer::Metadata(metadata), _) => Outcome::Metadata {
            path,
            found: metadata.is_some(),
            metadata,
        },
        (Answer::Labels(labels), _) => Outcome::Labels { path, labels },
        (Answer::Caption(caption), _) => Outcome::Caption {
            path,
            caption: caption.text,
            token_ids: caption.token_ids,
            score: caption.score.is_finite().then_some(caption.score),
        },
        (Answer::Interrogation(found, caption), Task::Interrogate { mode, .. }) => {
            let mode = ModeName::of(*mode);
            Outcome::Interrogation(Box::new(InterrogationRecord {
                path,
                mode,
                prompt: found.prompt,
                caption,
                similarity: found.similarity,
                tables: found.tables.map(|tables| tables.into_iter().collect()),
            }))
        }
        (Answer::Vector(embedding), _) => Outcome::Embedding { path, embedding },
        (Answer::Interrogation(..), _) => return Err(something_else()),
    })
}

/// A request fails as a whole where each of its pictures does.
fn answer_with(records: &[Outcome]) -> Response {
    let failure = |record: &Outcome| match record {
        Outcome::Failure(failure) => Some(failure.error.clone()),
        _ => None,
    };
    let failures: Option<Vec<String>> = records.iter().map(failure).collect();
    let error = failures.and_then(|failures| failures.into_iter().next());
    let kind = ErrorKind::Picture;
    let status = match error {
        Some(_) => kind.status(),
        None => StatusCode::OK,
    };
    let answer = Records {
        error: error.as_deref(),
        kind: error.is_some().then(|| kind.name()),
        records,
    };
    json_answer(status, &answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbedTextRequest {
    text: Option<String>,
    texts: Option<Vec<String>>,
    #[serde(default)]
    raw: bool,
}

#[derive(Serialize)]
struct TextRecord {
    text: String,
    embedding: Vec<f32>,
}

#[derive(Serialize)]
struct TextRecords {
    records: Vec<TextRecord>,
}

async fn embed_text(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let EmbedTextRequest { text, texts, raw } = body(&call).await?;
    let texts: Vec<String> = text.into_iter().chain(texts.unwrap_or_default()).collect();
    if texts.is_empty() {
        return Err(ServeError::invalid(
            "there is no `text` and there are no `texts`",
        ));
    }
    let texts = OneOrMany::Many(texts).checked(service.limits())?;
    let vectors = embedded(&service, texts.clone(), raw, call.deadline).await?;
    let pairs = texts.into_iter().zip(vectors);
    let records = pairs
        .map(|(text, embedding)| TextRecord { text, embedding })
        .collect();
    Ok(json_answer(StatusCode::OK, &TextRecords { records }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoreRequest {
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    id: Option<String>,
    prediction: Scored,
    truth: Scored,
}

/// A prompt, or its embedding.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scored {
    Prompt(String),
    Embedding(Vec<f64>),
}

async fn score(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let ScoreRequest { pairs } = body(&call).await?;
    if pairs.is_empty() {
        return Err(ServeError::invalid("`pairs`: at least one is needed"));
    }
    let sides = pairs
        .iter()
        .flat_map(|pair| [&pair.prediction, &pair.truth]);
    let texts: Vec<String> = sides
        .filter_map(|side| match side {
            Scored::Prompt(prompt) => Some(prompt.clone()),
            Scored::Embedding(_) => None,
        })
        .collect();
    let texts = OneOrMany::Many(texts).checked(service.limits())?;
    let mut embedded = match texts.is_empty() {
        true => Vec::new(),
        false => embedded(&service, texts, false, call.deadline).await?,
    }
    .into_iter();
    let mut numbers = |side: Scored| match side {
        Scored::Embedding(numbers) => numbers,
        Scored::Prompt(_) => {
            let numbers = embedded.next().unwrap_or_default().into_iter();
            numbers.map(f64::from).collect()
        }
    };
    let mut per_image = Vec::with_capacity(pairs.len());
    for (index, pair) in pairs.into_iter().enumerate() {
        let id = pair.id.unwrap_or_else(|| index.to_string());
        let (prediction, truth) = (numbers(pair.prediction), numbers(pair.truth));
        if prediction.len() != truth.len() {
            let (one, other) = (prediction.len(), truth.len());
            let message = format!("pair {index}: one side has {one} numbers, the other {other}");
            return Err(ServeError::invalid(message));
        }
        let cosine = cosine(&prediction, &truth).ok_or_else(|| {
            ServeError::invalid(format!("pair {index}: a vector of zeros has no direction"))
        })?;
        per_image.push(ImageScore { id, cosine });
    }
    let n = per_image.len();
    let mean_cosine = per_image.iter().map(|image| image.cosine).sum::<f64>() / n as f64;
    let score = Score {
        mean_cosine,
        n,
        per_image,
    };
    Ok(json_answer(StatusCode::OK, &score))
}
