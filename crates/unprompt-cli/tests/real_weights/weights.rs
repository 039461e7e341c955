//! Fetching the weights, and the models made of them.

use crate::harness::Place;
use std::path::{Path, PathBuf};
use unprompt::{
    Classifier, Compute, DeviceChoice, Dtype, Hub, HubOptions, NoProgress, SentenceEncoder,
    Tokenizer,
    hub::{Environment, Manifest},
    load_sentence_encoder,
};

pub const ENCODER: &str = "all-MiniLM-L6-v2";
pub const CLASSIFIER: &str = "efficientnet-lite0";
pub const VOCABULARY: &str = "clip-bpe-vocabulary";
pub const LABELS: &str = "clip-interrogator-labels";

/// The models, and the cache they are in.
pub struct Weights {
    caches: PathBuf,
    pub encoder: SentenceEncoder,
    pub int8_encoder: SentenceEncoder,
    pub classifier: Classifier,
    pub clip_tokenizer: Tokenizer,
    /// The folder of clip-interrogator's lists.
    pub labels: PathBuf,
}

impl Weights {
    /// Fetches what is not in the cache; an error is one line.
    pub fn fetch() -> Result<Self, String> {
        let caches = match std::env::var_os("UNPROMPT_CACHE") {
            Some(folder) if !folder.is_empty() => std::path::absolute(folder).unwrap(),
            _ => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("model-cache"),
        };
        let mut environment = Environment::from_process();
        environment.own_cache.clone_from(&caches);
        // Where the program looks when `HF_HOME` is what `Place` sets.
        environment.hub_cache = caches.join("huggingface/hub");
        let manifest = Manifest::builtin().unwrap().clone();
        let hub = Hub::new(environment, HubOptions::default(), manifest);
        for name in [ENCODER, CLASSIFIER, VOCABULARY, LABELS] {
            let model = name.parse().unwrap();
            hub.pull(&model, &NoProgress)
                .map_err(|error| one_line(&error.to_string()))?;
        }
        // The weights are here: whatever is wrong from now on is a failure.
        let compute = Compute::default();
        let (_, encoder) = load_sentence_encoder(&hub, ENCODER, &compute, &NoProgress).unwrap();
        let int8 = Compute::new(DeviceChoice::Cpu, Some(Dtype::Int8)).unwrap();
        let (_, int8_encoder) = load_sentence_encoder(&hub, ENCODER, &int8, &NoProgress).unwrap();
        let (_, classifier) = Classifier::load(&hub, CLASSIFIER, &compute, &NoProgress).unwrap();
        let clip_tokenizer = Tokenizer::load(&hub, VOCABULARY, &NoProgress).unwrap();
        let labels = hub
            .resolve(&LABELS.parse().unwrap(), &NoProgress)
            .unwrap()
            .dir;
        Ok(Self {
            caches,
            encoder,
            int8_encoder,
            classifier,
            clip_tokenizer,
            labels,
        })
    }

    /// A folder to run the program in, with these weights in its caches. Add `--offline`.
    pub fn place(&self) -> Place {
        Place::with_caches(&self.caches)
    }
}

/// The error without its advice, which follows on lines of its own.
fn one_line(error: &str) -> String {
    let lines = error.lines().map(str::trim);
    let reasons = lines.take_while(|line| !line.starts_with("to bring it by hand"));
    reasons.collect::<Vec<_>>().join("; ")
}
