//! The tiny CLIP of `fixtures/models/interrogate.py`, made from its recipe, and its pictures.
#![allow(dead_code, reason = "each test program uses a part")]

use flate2::{Compression, write::GzEncoder};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashSet},
    io::Write,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use unprompt_checkpoint::Pickle;
use unprompt_image::{DecodeOptions, Layout, Preprocessor, decode};
use unprompt_interrogate::{
    InterrogateOptions, Interrogator, LabelSet, NoTableProgress, PhraseEncoder,
};
use unprompt_models::{
    ClipCheckpoint, ClipTextTower, ClipTokenizer, Compute, DeviceChoice, LoadOptions,
    to_unit_length,
};

pub const MERGES: usize = 48894;

pub fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

pub fn fixture(path: &str) -> PathBuf {
    workspace("fixtures/models/tiny-interrogator").join(path)
}

pub fn expected() -> Value {
    json("expected.json")
}

/// What `fixtures/models/interrogate_limits.py` found.
pub fn limits() -> Value {
    json("limits.json")
}

fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A model's folder, with the vocabulary.
pub struct Model {
    folder: tempfile::TempDir,
    vocabulary: PathBuf,
}

/// The model of cat.png, made once for each test program.
pub fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| Model::of("cat.png"))
}

impl Model {
    /// The one that the package had for a picture.
    pub fn of(picture: &str) -> Self {
        let expected = expected();
        let seed = expected["pictures"][picture]["seed"].as_u64().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = folder.path().join("vocabulary.gz");
        write_vocabulary(&vocabulary);
        let config = "open_clip_config.json";
        std::fs::copy(fixture(config), folder.path().join(config)).unwrap();
        let weights = folder.path().join("open_clip_model.safetensors");
        write_weights(&weights, &expected["tensors"], seed);
        Self { folder, vocabulary }
    }

    fn checkpoint(&self) -> ClipCheckpoint {
        ClipCheckpoint::open(self.folder.path(), Pickle::Deny).unwrap()
    }

    /// The text tower with weights of eight bits.
    pub fn int8_tower(&self) -> ClipTextTower {
        let options = LoadOptions {
            pickle: Pickle::Deny,
            compute: Compute::new(DeviceChoice::Cpu, Some(unprompt_models::Dtype::Int8)).unwrap(),
        };
        let checkpoint = ClipCheckpoint::open(self.folder.path(), options).unwrap();
        checkpoint.text_tower().unwrap()
    }

    pub fn encoder(&self) -> PhraseEncoder {
        let tokenizer = ClipTokenizer::open_clip(&self.vocabulary, 77).unwrap();
        PhraseEncoder::new(tokenizer, self.checkpoint().text_tower().unwrap())
    }

    /// The unit vectors of files of examples/pictures.
    pub fn pictures(&self, names: &[&str]) -> Vec<Vec<f32>> {
        let config = std::fs::read_to_string(fixture("open_clip_config.json")).unwrap();
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config["preprocess_cfg"] = serde_json::json!({"size": [32, 32]});
        let preprocessor = Preprocessor::from_open_clip_config(&config.to_string()).unwrap();
        let tower = self.checkpoint().image_tower().unwrap();
        let pixels: Vec<Vec<f32>> = names
            .iter()
            .map(|name| {
                let bytes = std::fs::read(workspace("examples/pictures").join(name)).unwrap();
                let image = decode(&bytes, &DecodeOptions::default()).unwrap();
                preprocessor.apply(&image, Layout::Hwc).unwrap().data
            })
            .collect();
        let mut vectors = tower.forward(&pixels).unwrap();
        vectors.iter_mut().for_each(|vector| to_unit_length(vector));
        vectors
    }

    pub fn interrogator(&self, options: InterrogateOptions) -> Interrogator {
        let labels = LabelSet::read(&fixture("labels"), options.behaviour).unwrap();
        Interrogator::load(self.encoder(), labels, None, options, &NoTableProgress).unwrap()
    }
}

/// A counter hashed by splitmix64, as the script does.
fn write_weights(path: &Path, recipe: &Value, seed: u64) {
    let mut tensors = Vec::new();
    for (index, tensor) in recipe.as_array().unwrap().iter().enumerate() {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        let number = |key: &str| tensor[key].as_f64().unwrap() as f32;
        let (offset, scale) = (number("offset"), number("scale"));
        let count = shape.iter().product::<usize>() as u64;
        let first = (seed << 48).wrapping_add((index as u64) << 32);
        let bytes: Vec<u8> = (0..count)
            .flat_map(|counter| {
                let x = first.wrapping_add(counter).wrapping_add(1);
                let mut x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                x ^= x >> 31;
                let u = (x >> 40) as f32 / (1 << 23) as f32 - 1.0;
                (offset + scale * u).to_le_bytes()
            })
            .collect();
        tensors.push((tensor["name"].as_str().unwrap(), shape, bytes));
    }
    let views: Vec<(&str, TensorView)> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
            (*name, view)
        })
        .collect();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A vocabulary of the published size in which the merges that the fixture's texts can touch are
/// at their places, and the others join control characters.
fn write_vocabulary(path: &Path) {
    let kept = std::fs::read_to_string(fixture("clip_merges.txt")).unwrap();
    let limits = limits();
    let more = limits["merges"].as_object().unwrap().iter();
    let kept: BTreeMap<usize, &str> = kept
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .chain(more.map(|(rank, merge)| (rank.as_str(), merge.as_str().unwrap())))
        .map(|(rank, merge)| (rank.parse().unwrap(), merge))
        .collect();
    let mut made: HashSet<String> = kept.values().map(|merge| merge.replace(' ', "")).collect();
    let controls: Vec<String> = ('\u{100}'..='\u{11f}').map(String::from).collect();
    let mut words = controls.clone();
    let (mut word, mut control) = (0, 0);
    let mut filler = || loop {
        let joined = format!("{}{}", words[word], controls[control]);
        let line = format!("{} {}", words[word], controls[control]);
        control += 1;
        if control == controls.len() {
            (word, control) = (word + 1, 0);
        }
        if made.insert(joined.clone()) {
            words.push(joined);
            return line;
        }
    };
    let mut text = String::from("title\n");
    for rank in 0..MERGES {
        match kept.get(&rank) {
            Some(merge) => text.push_str(merge),
            None => text.push_str(&filler()),
        }
        text.push('\n');
    }
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = GzEncoder::new(file, Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
}

/// A fixed sequence of numbers below `bound`.
pub struct Draw(pub u64);

impl Draw {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }
}
