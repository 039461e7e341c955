//! ViT and CLIP at full size, on random weights that a Python peer writes.

use super::{
    comparison::{largest_difference, least_cosine, median},
    minilm::minilm_throughput,
    peer::{Peers, SETTLE, watched},
    row::{INT8, Row},
    subject::{PICTURE, PICTURES},
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, process::Command, thread, time::Instant};
use unprompt::{
    Compute, DeviceChoice, Dtype, Hub, ImageEncoder, ModelRef, NoProgress, Views,
    image::{DecodeOptions, RgbImage, decode},
    models::{Checkpoint, ClipCheckpoint, LoadOptions, Pickle, Vit},
};

const SCRIPT: &str = include_str!("../../../bench/towers.py");
/// Phrases of the length that CLIP Interrogator ranks.
const PHRASES: &str = "clip-interrogator-labels";
const PHRASE_COUNT: usize = 256;
/// The folders that the peer writes.
const VIT: &str = "vit_base_patch16_224";
const CLIP: &str = "ViT-L-14";
/// Our side of one case: a forward pass, giving the rows of its output.
type Forward = Box<dyn Fn() -> Result<Vec<Vec<f32>>>>;

/// Measures every network, and from process start to the first embedding.
pub(super) fn towers(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    let script = folder.join("towers.py");
    fs::write(&script, SCRIPT)?;
    let phrases = hub.resolve(&PHRASES.parse::<ModelRef>()?, &NoProgress)?;
    let phrases = fs::read_to_string(phrases.file("flavors.txt")?)?;
    // Every 400th of some 100,000: short and long ones alike.
    let phrases: Vec<&str> = phrases.lines().step_by(390).take(PHRASE_COUNT).collect();
    let texts = folder.join("phrases.txt");
    fs::write(&texts, phrases.join("\n"))?;

    let mut rows = Vec::new();
    for (name, case, batch) in [
        ("ViT-B/16, batch 1", "vit-b-16", 1),
        ("ViT-B/16, batch 8", "vit-b-16", 8),
        ("CLIP ViT-L/14, batch 1", "clip-l-14-image", 1),
        ("CLIP ViT-L/14, batch 4", "clip-l-14-image", 4),
        ("CLIP ViT-L/14, 256 phrases", "clip-l-14-text", PHRASE_COUNT),
    ] {
        if !common.quiet {
            complain(&format!(
                "{name}: writing random weights, starting the peers"
            ));
        }
        let mut command = Command::new(&arguments.python);
        command
            .arg(&script)
            .arg("serve")
            .arg(folder)
            .arg(case)
            .arg(batch.to_string());
        command
            .arg(rayon::current_num_threads().to_string())
            .arg(&texts);
        match Peers::start(command) {
            Ok(peers) => {
                let int8 = Compute::new(DeviceChoice::Cpu, Some(Dtype::Int8))?;
                let ours = [Compute::default(), int8].map(|compute| load(case, folder, compute));
                let [exact, int8] = ours;
                let forwards = [exact?, int8?];
                rows.extend(measure(name, arguments, peers, &forwards)?);
                // Random noise is no picture.
                if let (Some(model), Some(row)) = (folder_of(case), int8_row(&mut rows, name)) {
                    row.cosine_to_f32 = least_cosine_of_pictures(hub, &folder.join(model))?;
                }
            }
            Err(error) => rows.push(Row::missing(name, "peers", describe(&error))),
        }
    }
    rows.extend(minilm_throughput(common, arguments, hub, folder)?);
    rows.extend(first_embedding(arguments, &script, folder)?);
    Ok(rows)
}

/// Builds a case's network from the folder that the peer wrote.
fn load(case: &str, folder: &Path, compute: Compute) -> Result<Forward> {
    let options = LoadOptions {
        pickle: Pickle::Deny,
        compute,
    };
    let input = Checkpoint::open(folder.join("input.safetensors"), Pickle::Deny)?;
    let values = |name: &str| -> Result<(Vec<usize>, Vec<f32>)> {
        let shape = input
            .tensor(name)
            .with_context(|| format!("no input `{name}`"))?
            .shape;
        Ok((shape.to_vec(), input.tensor_f32(name, shape)?))
    };
    let pictures = || -> Result<Vec<Vec<f32>>> {
        let (shape, pixels) = values("pixels")?;
        let size = shape.iter().skip(1).product::<usize>();
        Ok(pixels.chunks_exact(size).map(<[f32]>::to_vec).collect())
    };
    Ok(match case {
        "vit-b-16" => {
            let vit = Vit::load(&folder.join(VIT), options)?;
            let pictures = pictures()?;
            Box::new(move || Ok(vit.forward(&pictures)?))
        }
        "clip-l-14-image" => {
            let clip = ClipCheckpoint::open(&folder.join(CLIP), options)?;
            let tower = clip.image_tower()?;
            let pictures = pictures()?;
            Box::new(move || Ok(tower.forward(&pictures)?))
        }
        "clip-l-14-text" => {
            let clip = ClipCheckpoint::open(&folder.join(CLIP), options)?;
            let tower = clip.text_tower()?;
            let (shape, ids) = values("ids")?;
            let ids: Vec<Vec<u32>> = ids
                .chunks_exact(shape[1])
                .map(|row| row.iter().map(|id| *id as u32).collect())
                .collect();
            Box::new(move || Ok(tower.forward(&ids)?))
        }
        other => bail!("no case `{other}`"),
    })
}

/// All engines in turn, round by round.
fn measure(
    name: &'static str,
    arguments: &Bench,
    mut peers: Peers,
    [exact, int8]: &[Forward; 2],
) -> Result<Vec<Row>> {
    let (mut our_times, mut int8_times) = (Vec::new(), Vec::new());
    let mut cosine = None;
    let mut peer_times = vec![Vec::new(); peers.names.len()];
    let mut differences = vec![None; peers.names.len()];
    // The first round warms everything and is not counted.
    for round in 0..=arguments.runs {
        let (ours, our_time) = timed(exact)?;
        let (rounded, int8_time) = timed(int8)?;
        cosine = least_cosine(&ours, &rounded);
        let ours = serde_json::to_value(ours.first().context("no output")?)?;
        for index in 0..peers.names.len() {
            thread::sleep(SETTLE);
            let answer = peers.ask(index)?;
            differences[index] = largest_difference(&ours, &answer["first"]);
            if round > 0 {
                peer_times[index].push(answer["ms"].as_f64().context("no `ms`")?);
            }
        }
        if round > 0 {
            our_times.push(our_time);
            int8_times.push(int8_time);
        }
    }
    let our_median = median(&mut our_times);
    let int8_median = median(&mut int8_times);
    let mut rows = vec![
        Row::measured(name, "unprompt f32", our_median),
        Row {
            int8_to_f32: Some(int8_median / our_median),
            cosine_to_f32: cosine,
            ..Row::measured(name, INT8, int8_median)
        },
    ];
    for (index, program) in peers.names.iter().enumerate() {
        let peer_median = median(&mut peer_times[index]);
        rows.push(Row {
            ours_to_this: Some(our_median / peer_median),
            largest_difference: differences[index],
            ..Row::measured(name, program, peer_median)
        });
    }
    Ok(rows)
}

/// A forward pass and its milliseconds.
fn timed(forward: &Forward) -> Result<(Vec<Vec<f32>>, f64)> {
    thread::sleep(SETTLE);
    let start = Instant::now();
    let rows = forward()?;
    Ok((rows, start.elapsed().as_secs_f64() * 1e3))
}

/// The model that a case shows pictures to.
fn folder_of(case: &str) -> Option<&'static str> {
    match case {
        "vit-b-16" => Some(VIT),
        "clip-l-14-image" => Some(CLIP),
        _ => None,
    }
}

fn int8_row<'r>(rows: &'r mut [Row], name: &str) -> Option<&'r mut Row> {
    rows.iter_mut()
        .find(|row| row.measurement == name && row.program == INT8)
}

/// The smallest cosine between int8 weights and f32 over the example pictures.
fn least_cosine_of_pictures(hub: &Hub, model: &Path) -> Result<Option<f64>> {
    let images: Vec<RgbImage> = PICTURES
        .iter()
        .map(|(_, bytes)| decode(bytes, &DecodeOptions::default()))
        .collect::<Result<_, _>>()?;
    let embed = |dtype| -> Result<Vec<Vec<f32>>> {
        let compute = Compute::new(DeviceChoice::Cpu, Some(dtype))?;
        let name = model.to_string_lossy();
        let (_, encoder) = ImageEncoder::load(hub, &name, &compute, &NoProgress)?;
        Ok(encoder.embed(&images, Views::Plain, true)?)
    };
    Ok(least_cosine(&embed(Dtype::F32)?, &embed(Dtype::Int8)?))
}

/// From process start to the first embedding with ViT-L/14, and the largest memory meanwhile.
fn first_embedding(arguments: &Bench, script: &Path, folder: &Path) -> Result<Vec<Row>> {
    const TIME: &str = "process to first ViT-L/14 embedding";
    const MEMORY: &str = "its peak memory";
    let weights = folder.join("ViT-L-14");
    if !weights.is_dir() {
        return Ok(vec![Row::missing(
            TIME,
            "unprompt f32",
            "no weights were written".into(),
        )]);
    }
    let picture = folder.join("rocket.jpg");
    fs::write(&picture, PICTURE)?;
    let threads = rayon::current_num_threads().to_string();
    let program = std::env::current_exe()?;
    let ours = || {
        let mut command = Command::new(&program);
        command.args([
            "embed",
            "image",
            "--offline",
            "--quiet",
            "--format",
            "jsonl",
        ]);
        command
            .args(["--threads", &threads, "--model"])
            .arg(&weights)
            .arg(&picture);
        command
    };
    let peer = || {
        let mut command = Command::new(&arguments.python);
        command
            .arg(script)
            .arg("first")
            .arg(folder)
            .arg(&picture)
            .arg(&threads);
        command
    };
    let (mut times, mut memory) = ([Vec::new(), Vec::new()], [0.0f64; 2]);
    let mut difference = None;
    for round in 0..=arguments.runs {
        let mut answers = Vec::new();
        for (index, command) in [ours(), peer()].into_iter().enumerate() {
            let watched = watched(command)?;
            if round > 0 {
                times[index].push(watched.first_ms);
            }
            memory[index] = memory[index].max(watched.peak_mb);
            answers.push(watched.answer);
        }
        difference = largest_difference(&answers[0]["embedding"], &answers[1]["embedding"]);
    }
    let [mut our_times, mut peer_times] = times;
    let (our_median, peer_median) = (median(&mut our_times), median(&mut peer_times));
    Ok(vec![
        Row::measured(TIME, "unprompt f32", our_median),
        Row {
            ours_to_this: Some(our_median / peer_median),
            largest_difference: difference,
            ..Row::measured(TIME, "open_clip", peer_median)
        },
        Row::peak(MEMORY, "unprompt f32", memory[0]),
        Row {
            ours_to_this: Some(memory[0] / memory[1]),
            ..Row::peak(MEMORY, "open_clip", memory[1])
        },
    ])
}
