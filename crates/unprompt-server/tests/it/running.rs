//! A server in this process, before models that do what their inputs say.

use crate::http_client::{self, Answer};
use serde_json::Value;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::oneshot;
use unprompt::{
    Label, PredictionRecord, PromptSource, Receipt, Source,
    interrogate::{Interrogation, Mode, RankedLabel},
    metadata::{Generator, Metadata},
    models::Caption,
};
use unprompt_server::{
    Answer as Given, Catalog, Finish, Input, InputFailure, Log, Models, Ready, ServeOptions,
    Server, Task,
};

/// Models without weights. The prompt of a picture is its name; one that is called `broken` fails, one
/// that is called `panic` makes the batch panic, and one that is called `panic early` its preparation.
pub struct Fake {
    catalog: Catalog,
    /// Closed, every batch waits.
    gate: Mutex<bool>,
    opened: Condvar,
    /// The names in each batch.
    batches: Mutex<Vec<Vec<String>>>,
    /// The names of what was prepared.
    prepared: Mutex<Vec<String>>,
}

/// What is loaded, as in a server that was given every model, or none.
pub fn catalog(has_models: bool) -> Catalog {
    let named = |name: &str| has_models.then(|| name.to_owned());
    Catalog {
        preset: "lite".into(),
        receipt: Receipt {
            version: "0.0.0".into(),
            dtype: "f32",
            models: Vec::new(),
        },
        encoder: "sentences".into(),
        text_encoder: named("sentences").ok_or_else(|| "there is no encoder".into()),
        classifier: "classes".into(),
        image_encoder: named("towers"),
        captioner: named("captions"),
        clip: named("clip/labels"),
    }
}

impl Fake {
    pub fn new(has_models: bool) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog(has_models),
            gate: Mutex::new(true),
            opened: Condvar::new(),
            batches: Mutex::default(),
            prepared: Mutex::default(),
        })
    }

    pub fn close(&self) {
        *self.gate.lock().unwrap() = false;
    }

    pub fn open(&self) {
        *self.gate.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub fn batches(&self) -> Vec<Vec<String>> {
        self.batches.lock().unwrap().clone()
    }

    /// Waits until so many pictures were prepared.
    pub fn wait_for_prepared(&self, count: usize) {
        wait_until(|| self.prepared.lock().unwrap().len() >= count);
    }

    /// Waits until so many batches were begun.
    pub fn wait_for_batches(&self, count: usize) {
        wait_until(|| self.batches().len() >= count);
    }
}

/// Waits for what other threads do.
#[track_caller]
pub fn wait_until(is_so: impl Fn() -> bool) {
    let tries = http_client::PATIENCE.as_millis() / 2;
    for _ in 0..tries {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("waited in vain");
}

fn name(input: &Ready) -> String {
    match input {
        Ready::Given(Input::Picture(source)) => source.path().to_string_lossy().into_owned(),
        Ready::Given(Input::Text(text)) => text.clone(),
        Ready::Prepared(_) => unreachable!("nothing here makes one"),
    }
}

impl Models for Fake {
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn prepares(&self, task: &Task) -> bool {
        matches!(task, Task::Predict { .. })
    }

    fn prepare(&self, _: &Task, input: Input) -> Ready {
        let prepared = Ready::Given(input);
        let name = name(&prepared);
        self.prepared.lock().unwrap().push(name.clone());
        assert!(name != "panic early", "told to");
        prepared
    }

    fn run(&self, task: &Task, inputs: Vec<Ready>) -> Vec<Result<Given, InputFailure>> {
        let names: Vec<String> = inputs.iter().map(name).collect();
        self.batches.lock().unwrap().push(names.clone());
        let gate = self.gate.lock().unwrap();
        drop(self.opened.wait_while(gate, |is_open| !*is_open).unwrap());
        assert!(!names.contains(&"panic".to_owned()), "told to");
        let one = |(name, input): (String, Ready)| {
            // What is read must be what was sent.
            if let Ready::Given(Input::Picture(Source::Memory(_, bytes))) = &input
                && **bytes == *b"broken"
            {
                return Err(InputFailure("not a picture".into()));
            }
            Ok(answer(&self.catalog, task, name))
        };
        names.into_iter().zip(inputs).map(one).collect()
    }
}

fn answer(catalog: &Catalog, task: &Task, name: String) -> Given {
    match task {
        Task::Predict { metadata } => Given::Prediction(Box::new(PredictionRecord {
            path: name.clone(),
            prompt: format!("prompt of {name}"),
            source: match metadata {
                true => PromptSource::Metadata,
                false => PromptSource::Predicted,
            },
            metadata_error: None,
            embedding: Some(vec![0.1, -0.2]),
            embedding_error: None,
            members: Vec::new(),
            evidence: Vec::new(),
            expected_score: None,
            preset: "lite".into(),
            elapsed_ms: 0.0,
            receipt: catalog.receipt.clone(),
        })),
        Task::Metadata if name == "none" => Given::Metadata(None),
        Task::Metadata => {
            let settings = r#"{"Steps": 20, "Size": "512x512"}"#;
            Given::Metadata(Some(Box::new(Metadata {
                generator: Some(Generator::A1111),
                prompt: name,
                negative_prompt: Some("ugly".into()),
                settings: serde_json::from_str(settings).unwrap(),
            })))
        }
        Task::Classify { top } => Given::Labels(vec![
            Label {
                index: 1,
                label: name,
                probability: 0.1,
                logit: 0.3,
            };
            *top
        ]),
        Task::Caption(options) => Given::Caption(Caption {
            text: format!("caption of {name} {:?}", options.beams),
            token_ids: vec![1, 2],
            score: -0.1,
        }),
        Task::Interrogate { mode, caption } => {
            let label = |label: &str, similarity| RankedLabel {
                label: label.into(),
                similarity,
            };
            let tables = [
                "mediums",
                "artists",
                "movements",
                "trendings",
                "flavors",
                "negative",
            ];
            let tables =
                tables.map(|table| (table.to_owned(), vec![label("z", 0.3), label("a", 0.1)]));
            let is_analysis = *mode == Mode::Analyze;
            let found = Interrogation {
                prompt: (!is_analysis).then(|| format!("{mode:?} of {name}")),
                similarity: (!is_analysis).then_some(0.3),
                contributions: None,
                tables: is_analysis.then(|| tables.to_vec()),
                complete: true,
            };
            Given::Interrogation(Box::new(found), caption.clone())
        }
        Task::EmbedImage { .. } => Given::Vector(vec![0.6, 0.8]),
        Task::EmbedText { raw: false } => Given::Vector(vec![name.len() as f32, 0.1]),
        Task::EmbedText { raw: true } => Given::Vector(vec![1e10]),
    }
}

/// A server that is stopped in the end.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Finish>>,
}

impl Running {
    pub fn start(models: &Arc<Fake>, options: ServeOptions) -> Self {
        // One waits at the gate of the models while others prepare.
        let threads = rayon::ThreadPoolBuilder::new().num_threads(4);
        let _ = threads.build_global();
        let models: Arc<dyn Models> = Arc::<Fake>::clone(models);
        let server = Server::new(models, options).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let thread = std::thread::spawn(move || server.run(listener, stopped).unwrap());
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Tells it to stop.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finish {
        self.stop();
        self.thread.take().unwrap().join().unwrap()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        http_client::get(self.address, path)
    }

    #[track_caller]
    pub fn json(&self, path: &str, body: &Value) -> Answer {
        http_client::post_json(self.address, path, body)
    }

    #[track_caller]
    pub fn files(&self, path: &str, files: &[(&str, &[u8])], fields: &[(&str, &str)]) -> Answer {
        http_client::post_files(self.address, path, files, fields)
    }

    /// The same on a thread of its own.
    pub fn files_later(&self, path: &str, names: &[&str]) -> JoinHandle<Answer> {
        let (address, path) = (self.address, path.to_owned());
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        std::thread::spawn(move || {
            let files: Vec<(&str, &[u8])> = names
                .iter()
                .map(|name| (name.as_str(), &b"bytes"[..]))
                .collect();
            http_client::post_files(address, &path, &files, &[])
        })
    }

    /// A counter or gauge of /metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.get("/metrics");
        let line = answer
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}"))
            .trim()
            .parse()
            .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A log that is kept.
pub fn kept_log() -> (Log, Arc<Mutex<Vec<String>>>) {
    let kept = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&kept);
    (
        Arc::new(move |line| log.lock().unwrap().push(line.to_owned())),
        kept,
    )
}

/// A PNG of 33 bytes that claims these sides.
pub fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}
