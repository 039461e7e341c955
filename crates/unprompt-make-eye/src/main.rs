//! Makes the lists and the tower that `unprompt-eye` carries; its `make.sh` calls this:
//!
//! ```text
//! unprompt-make-eye OUT ENCODER TOWER without=TESTS.csv parti=PROMPTS.csv licensed=PROMPTS.csv
//! ```
//!
//! marks the carried lists by the rule of what may be shown as it is now, without embedding anything:
//!
//! ```text
//! unprompt-make-eye again OUT
//! ```
//!
//! and chooses the numbers of the preset that uses them, see [`choose`]:
//!
//! ```text
//! unprompt-make-eye choose FOLDER...
//! ```
//!
//! ENCODER and TOWER are the folders of all-MiniLM-L6-v2 and efficientnet-lite0, as `unprompt models
//! path` shows them. Each list is a CSV file with a column `prompt`; prompts are cut at 77 words, and
//! one that was there before is left out. So is one that is near to a prompt of `without`, whose
//! pictures measure the result.

#![allow(clippy::print_stdout, reason = "the tables are what it is for")]

mod choose;

use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::HashSet, error::Error, fs, path::Path};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_eye::{NewSegment, TextList, make_list, remake_list};
use unprompt_models::{Compute, LoadOptions, SentenceEncoder, imagenet_labels};

/// Words that a prompt is cut to.
const WORDS: usize = 77;
/// From this cosine on a prompt is as good as one of those that are measured with.
const SAME: f32 = 0.85;
/// Texts that are embedded together.
const TEXTS_AT_ONCE: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, sets @ ..] = arguments.as_slice()
        && first == "choose"
    {
        return choose::run(sets);
    }
    if let [first, out] = arguments.as_slice()
        && first == "again"
    {
        let out = Path::new(out);
        let prompts = remake_list(unprompt_eye::prompts()?, |_| true)?;
        let labels = remake_list(unprompt_eye::labels()?, |_| true)?;
        fs::write(out.join("prompts.safetensors"), prompts)?;
        fs::write(out.join("labels.safetensors"), labels)?;
        return Ok(());
    }
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
    let (mut tests, mut segments) = (Vec::new(), Vec::new());
    for list in lists {
        let (name, path) = list.split_once('=').ok_or("a list is NAME=FILE.csv")?;
        match name {
            "without" => {
                let prompts = prompts(path, &mut HashSet::new())?;
                tests.extend(segment(name, prompts, &encoder)?.embeddings);
            }
            _ => segments.push(segment(name, prompts(path, &mut seen)?, &encoder)?),
        }
    }
    let all = TextList::open(make_list(&segments)?.leak())?;
    let mut is_near = vec![false; all.len()];
    for test in &tests {
        let products = is_near.iter_mut().zip(all.products(test));
        products.for_each(|(is_near, product)| *is_near |= product >= SAME);
    }
    for segment in all.segments() {
        let near = segment.rows.clone().filter(|index| is_near[*index]).count();
        let stay = segment.rows.len() - near;
        let name = &segment.name;
        println!("{name}: {stay} prompts; {near} are near to one that is measured with");
    }
    let list = remake_list(&all, |index| !is_near[index])?;
    fs::write(out.join("prompts.safetensors"), list)?;
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
