//! Makes the lists and the tower that `unprompt-eye` carries; its `make.sh` calls this:
//!
//! ```text
//! unprompt-make-eye OUT ENCODER TOWER parti=PROMPTS.csv licensed=PROMPTS.csv
//! ```
//!
//! ENCODER and TOWER are the folders of all-MiniLM-L6-v2 and efficientnet-lite0, as `unprompt models
//! path` shows them. Each list is a CSV file with a column `prompt`; prompts are cut at 77 words, and
//! one that was there before is left out.

use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::HashSet, error::Error, fs, path::Path};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_eye::{NewSegment, make_list};
use unprompt_models::{Compute, LoadOptions, SentenceEncoder, imagenet_labels};

/// Words that a prompt is cut to.
const WORDS: usize = 77;
/// Texts that are embedded together.
const TEXTS_AT_ONCE: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, encoder, tower, lists @ ..] = arguments.as_slice() else {
        return Err("the arguments are OUT ENCODER TOWER NAME=FILE.csv ...".into());
    };
    let out = Path::new(out);
    write_tower(Path::new(tower), &out.join("tower.safetensors"))?;

    let options = LoadOptions {
        pickle: Pickle::Deny,
        compute: Compute::default(),
    };
    let encoder = SentenceEncoder::load(Path::new(encoder), options)?;
    let labels = imagenet_labels()
        .iter()
        .map(|label| phrase(label))
        .collect();
    let labels = [segment("labels", labels, &encoder)?];
    fs::write(out.join("labels.safetensors"), make_list(&labels)?)?;

    let mut seen = HashSet::new();
    let mut segments = Vec::new();
    for list in lists {
        let (name, path) = list.split_once('=').ok_or("a list is NAME=FILE.csv")?;
        segments.push(segment(name, prompts(path, &mut seen)?, &encoder)?);
    }
    fs::write(out.join("prompts.safetensors"), make_list(&segments)?)?;
    Ok(())
}

/// The first name of a label behind its article.
fn phrase(label: &str) -> String {
    let name = label.split(',').next().unwrap_or(label);
    let vowel = name.to_lowercase().starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {name}", if vowel { "an" } else { "a" })
}

/// The prompts of a file that no list had before.
fn prompts(path: &str, seen: &mut HashSet<String>) -> Result<Vec<String>, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let column = reader.headers()?.iter().position(|name| name == "prompt");
    let column = column.ok_or("no column is called `prompt`")?;
    let mut prompts = Vec::new();
    for record in reader.records() {
        let record = record?;
        let words = record[column].split_whitespace().take(WORDS);
        let prompt = words.collect::<Vec<_>>().join(" ");
        if !prompt.is_empty() && seen.insert(prompt.clone()) {
            prompts.push(prompt);
        }
    }
    Ok(prompts)
}

fn segment(
    name: &str,
    texts: Vec<String>,
    encoder: &SentenceEncoder,
) -> Result<NewSegment, Box<dyn Error>> {
    let mut embeddings = Vec::new();
    for batch in texts.chunks(TEXTS_AT_ONCE) {
        embeddings.extend(encoder.embed(batch)?);
    }
    Ok(NewSegment {
        name: name.to_owned(),
        texts,
        embeddings,
    })
}

/// EfficientNet-Lite0 with convolutions and the last layer in half precision; what batch
/// normalisation needs stays in single precision.
fn write_tower(folder: &Path, path: &Path) -> Result<(), Box<dyn Error>> {
    let checkpoint = Checkpoint::open(folder, Pickle::Deny)?;
    let mut tensors = Vec::new();
    for name in checkpoint
        .names()
        .filter(|name| !name.ends_with("num_batches_tracked"))
    {
        let shape = checkpoint.tensor(name).ok_or("a tensor is missing")?.shape;
        let values = checkpoint.tensor_f32(name, shape)?;
        let (dtype, bytes): (_, Vec<u8>) = if shape.len() > 1 {
            let half = values
                .iter()
                .flat_map(|value| f16::from_f32(*value).to_le_bytes());
            (Dtype::F16, half.collect())
        } else {
            (
                Dtype::F32,
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            )
        };
        tensors.push((name.to_owned(), dtype, shape.to_vec(), bytes));
    }
    let mut views = Vec::new();
    for (name, dtype, shape, bytes) in &tensors {
        views.push((name, TensorView::new(*dtype, shape.clone(), bytes)?));
    }
    fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}
