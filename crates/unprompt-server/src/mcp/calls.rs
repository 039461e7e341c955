//! What becomes of a call.

use super::{
    roots::Roots,
    tools::{LONGEST_TEXT, MOST_SIMILAR, Picture, PicturePrompt, ScorePrompt, SimilarPrompts},
};
use crate::{
    service::Service,
    task::{Answer, Input, Task},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use unprompt::{
    CaptionOptions, PredictionRecord, PromptSource, Source, eval::cosine, similar_prompts,
};

/// How long a call may take, its time in the queue included.
const PATIENCE: Duration = Duration::from_secs(600);

/// What calls are answered with.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) service: Arc<Service>,
    pub(super) roots: Arc<Roots>,
}

/// Arguments as they come.
type Arguments = Map<String, Value>;

/// What an agent is told: a tool's structured result, or what is wrong.
type Told = Result<Value, String>;

impl Calls {
    /// The result of a tool, or `None` where there is no such tool.
    pub(super) async fn answer(&self, tool: &str, arguments: Arguments) -> Option<Told> {
        Some(match tool {
            "picture_prompt" => self.picture_prompt(arguments).await,
            "picture_metadata" => self.picture_metadata(arguments).await,
            "picture_caption" => self.picture_caption(arguments).await,
            "similar_prompts" => self.similar_prompts(arguments).await,
            "score_prompt" => self.score_prompt(arguments).await,
            _ => return None,
        })
    }

    async fn picture_prompt(&self, arguments: Arguments) -> Told {
        let PicturePrompt { path, metadata } = parsed(arguments)?;
        let record = self.prediction(&path, metadata).await?;
        let members = record.members.iter().map(|member| {
            let mut shown = json!({ "name": member.name, "weight": member.weight });
            if let Some(text) = &member.text {
                shown["text"] = text.as_str().into();
            }
            shown
        });
        let mut shown = json!({
            "path": path,
            "prompt": record.prompt,
            "source": source(record.source),
            "preset": record.preset,
            "members": members.collect::<Vec<_>>(),
            "similar": record.evidence,
        });
        if let Some(score) = record.expected_score {
            shown["expected_score"] = score.into();
        }
        if let Some(error) = record.metadata_error {
            shown["metadata_error"] = error.into();
        }
        Ok(shown)
    }

    async fn picture_metadata(&self, arguments: Arguments) -> Told {
        let Picture { path } = parsed(arguments)?;
        match self.ask(Task::Metadata, self.picture(&path)?).await? {
            Answer::Metadata(Some(found)) => {
                let mut shown = serde_json::to_value(found).map_err(|error| error.to_string())?;
                shown["path"] = path.into();
                shown["found"] = true.into();
                Ok(shown)
            }
            Answer::Metadata(None) => Ok(json!({ "path": path, "found": false })),
            _ => Err(unexpected()),
        }
    }

    async fn picture_caption(&self, arguments: Arguments) -> Told {
        let Picture { path } = parsed(arguments)?;
        if self.service.catalog().captioner.is_none() {
            return Err("no captioner is loaded: start the server with --captioner M".into());
        }
        let task = Task::Caption(Box::<CaptionOptions>::default());
        match self.ask(task, self.picture(&path)?).await? {
            Answer::Caption(caption) => Ok(json!({ "path": path, "caption": caption.text.trim() })),
            _ => Err(unexpected()),
        }
    }

    async fn similar_prompts(&self, arguments: Arguments) -> Told {
        let SimilarPrompts { path, text, top } = parsed(arguments)?;
        if top == 0 || top > MOST_SIMILAR {
            return Err(format!("`top`: from 1 to {MOST_SIMILAR} can be asked for"));
        }
        let embedding = match (path, text) {
            (Some(path), None) => {
                let record = self.prediction(&path, true).await?;
                embedding_of(&record)?
            }
            (None, Some(text)) => self.embed(text).await?,
            _ => return Err("one of `text` and `path` is needed".into()),
        };
        let encoder = self.service.catalog().encoder.clone();
        let search = move || similar_prompts(&encoder, &embedding, top);
        let found = tokio::task::spawn_blocking(search).await;
        let found = found.map_err(|_| unexpected())?;
        Ok(json!({ "prompts": found.map_err(|error| error.to_string())? }))
    }

    async fn score_prompt(&self, arguments: Arguments) -> Told {
        let ScorePrompt {
            prompt,
            path,
            truth,
        } = parsed(arguments)?;
        let (truth, text, source) = match (path, truth) {
            (Some(path), None) => {
                let record = self.prediction(&path, true).await?;
                let embedding = embedding_of(&record)?;
                (embedding, record.prompt, Some(source(record.source)))
            }
            (None, Some(truth)) => (self.embed(truth.clone()).await?, truth, None),
            _ => return Err("one of `path` and `truth` is needed".into()),
        };
        let own = self.embed(prompt).await?;
        let wide = |row: &[f32]| row.iter().copied().map(f64::from).collect::<Vec<f64>>();
        let similarity = cosine(&wide(&own), &wide(&truth)).ok_or_else(unexpected)?;
        let mut shown = json!({ "similarity": similarity, "compared_with": text });
        if let Some(source) = source {
            shown["source"] = source.into();
        }
        Ok(shown)
    }

    async fn prediction(
        &self,
        path: &str,
        metadata: bool,
    ) -> Result<Box<PredictionRecord>, String> {
        let answer = self.ask(Task::Predict { metadata }, self.picture(path)?);
        match answer.await? {
            Answer::Prediction(record) => Ok(record),
            _ => Err(unexpected()),
        }
    }

    async fn embed(&self, text: String) -> Result<Vec<f32>, String> {
        if text.len() > LONGEST_TEXT {
            return Err(format!("a text is longer than {LONGEST_TEXT} bytes"));
        }
        self.service.catalog().text_encoder.clone()?;
        let answer = self.ask(Task::EmbedText { raw: false }, Input::Text(text));
        match answer.await? {
            Answer::Vector(embedding) => Ok(embedding),
            _ => Err(unexpected()),
        }
    }

    fn picture(&self, path: &str) -> Result<Input, String> {
        Ok(Input::Picture(Source::File(self.roots.file(path)?)))
    }

    async fn ask(&self, task: Task, input: Input) -> Result<Answer, String> {
        let deadline = Instant::now() + PATIENCE;
        let answers = self.service.submit(task, vec![input], deadline).await;
        let answers = answers.map_err(|error| error.to_string())?;
        let answer = answers.into_iter().next().ok_or_else(unexpected)?;
        answer.map_err(|failure| failure.0)
    }
}

fn parsed<A: DeserializeOwned>(arguments: Arguments) -> Result<A, String> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| error.to_string())
}

fn source(source: PromptSource) -> &'static str {
    match source {
        PromptSource::Metadata => "metadata",
        PromptSource::Predicted => "predicted",
    }
}

fn embedding_of(record: &PredictionRecord) -> Result<Vec<f32>, String> {
    let missing = || record.embedding_error.clone().unwrap_or_else(unexpected);
    record.embedding.clone().ok_or_else(missing)
}

/// For what cannot happen.
fn unexpected() -> String {
    "the server failed on this call, which is a bug".into()
}
