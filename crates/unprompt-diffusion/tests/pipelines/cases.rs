//! What diffusers drew with the tiny pipelines, and how it was asked to.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    fs,
    path::{Path, PathBuf},
};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_diffusion::{Drawing, Noise, Pipeline, SchedulerKind, Settings};
use unprompt_models::{Compute, LoadOptions};

#[derive(Deserialize)]
pub struct Cases {
    pub stated: Map<String, Value>,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub kind: String,
    pub guidance: f32,
    pub prompts: Vec<String>,
    pub negative: Option<String>,
    pub size: [usize; 2],
    pub steps: usize,
    pub scheduler: Map<String, Value>,
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub fn cases(folder: &Path) -> Cases {
    serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap()
}

pub fn open(folder: &Path) -> Pipeline {
    open_computed(folder, &Compute::default())
}

/// The same, computed otherwise.
pub fn open_computed(folder: &Path, compute: &Compute) -> Pipeline {
    let options = LoadOptions {
        pickle: Pickle::Deny,
        compute: compute.clone(),
    };
    Pipeline::open(folder, &options, &mut |_| {}).unwrap()
}

/// The folder with another scheduler's file; the rest are links.
pub fn with_scheduler(folder: &Path, settings: &Map<String, Value>) -> tempfile::TempDir {
    let changed = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "scheduler" {
            link(&entry.path(), &changed.path().join(entry.file_name()));
        }
    }
    fs::create_dir(changed.path().join("scheduler")).unwrap();
    let mut settings = settings.clone();
    settings.insert("_class_name".into(), "DDIMScheduler".into());
    let path = changed.path().join("scheduler/scheduler_config.json");
    fs::write(path, serde_json::to_vec(&settings).unwrap()).unwrap();
    changed
}

pub fn link(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            link(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::hard_link(from, to)
            .or_else(|_| fs::copy(from, to).map(|_| ()))
            .unwrap();
    }
}

/// All values of a tensor.
pub fn values(expected: &Checkpoint, name: &str) -> Vec<f32> {
    let shape = expected
        .tensor(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .shape;
    expected.tensor_f32(name, shape).unwrap()
}

pub fn drawings(case: &Case, expected: &Checkpoint) -> Vec<Drawing> {
    let [width, height] = case.size;
    let noise = values(expected, &format!("noise.{width}x{height}"));
    let length = 4 * width / 8 * height / 8;
    // (steps, 2, length)
    let of = |step: usize, index: usize| noise[(2 * step + index) * length..][..length].to_vec();
    let one = |(index, prompt): (usize, &String)| Drawing {
        prompt: prompt.clone(),
        negative: case.negative.clone(),
        noise: Noise::Given {
            start: of(0, index),
            steps: (1..=case.steps).map(|step| of(step, index)).collect(),
        },
    };
    case.prompts.iter().enumerate().map(one).collect()
}

pub fn settings(case: &Case) -> Settings {
    Settings {
        width: case.size[0],
        height: case.size[1],
        steps: case.steps,
        guidance: case.guidance,
        scheduler: case.kind.parse::<SchedulerKind>().unwrap(),
    }
}

pub fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let both = found.iter().zip(expected);
    both.map(|(found, expected)| (found - expected).abs())
        .fold(0.0, f32::max)
}

/// What a case's pictures are apart from those of the reference.
pub struct Apart {
    /// Of the latents, the largest after any evaluation, and which one that was.
    pub latents: (f32, usize),
    /// The same as a part of the largest latent then.
    pub share: f32,
    /// Levels of the pixels, where the fixture has a picture.
    pub levels: Option<u8>,
}

/// Draws a case of a folder, and compares latents after each evaluation, and pixels.
pub fn draw_case(folder: &Path, case: &Case, compute: &Compute) -> Apart {
    let expected = Checkpoint::open(folder.join("expected.safetensors"), Pickle::Deny).unwrap();
    let mut scheduler = cases(folder).stated;
    scheduler.extend(case.scheduler.clone());
    let changed = with_scheduler(folder, &scheduler);
    let pipeline = open_computed(changed.path(), compute);
    let wanted = values(&expected, &format!("{}.latents", case.name));
    let [width, height] = case.size;
    // One a step, but for PNDM.
    let mut steps = wanted.chunks_exact(case.prompts.len() * 4 * width / 8 * height / 8);
    let evaluations = pipeline.evaluations(&settings(case)).unwrap();
    assert_eq!(steps.len(), evaluations, "{}", case.name);
    let mut apart = Apart {
        latents: (0.0, 0),
        share: 0.0,
        levels: None,
    };
    let drawings = drawings(case, &expected);
    let drawn = pipeline
        .draw(&drawings, &settings(case), &mut |step, latents| {
            let expected = steps.next().unwrap();
            let difference = largest_difference(&latents.concat(), expected);
            if difference > apart.latents.0 {
                apart.latents = (difference, step);
            }
            let largest = expected
                .iter()
                .fold(0.0f32, |most, value| most.max(value.abs()));
            apart.share = apart.share.max(difference / largest);
        })
        .unwrap();
    assert_eq!(steps.count(), 0, "{}", case.name);
    if let Some(image) = expected.tensor(&format!("{}.image", case.name)) {
        let found = &drawn[drawn.len() - 1].image.pixels;
        let image = image.data().unwrap();
        assert_eq!(found.len(), image.len());
        let levels = found.iter().zip(image.iter()).map(|(a, b)| a.abs_diff(*b));
        apart.levels = levels.max();
    }
    apart
}
