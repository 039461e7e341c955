//! A step of training at full size, on random weights that a Python peer writes.

use super::{
    comparison::{largest_difference, median},
    peer::{Peers, SETTLE},
    row::Row,
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command, thread, time::Instant};
use unprompt::{
    models::{Checkpoint, Pickle, VitTensors},
    train::{Gradients, Parameter, Part, Vit, VitFamily, VitShape, cosine_loss},
};

const SCRIPT: &str = include_str!("../../../bench/train.py");
const NAME: &str = "ViT-B/16 forward + backward, batch 8";
const BATCH: usize = 8;

/// The way forward and back of a batch, beside PyTorch's in the same rounds.
pub(super) fn train(common: &Common, arguments: &Bench, folder: &Path) -> Result<Vec<Row>> {
    let script = folder.join("train.py");
    fs::write(&script, SCRIPT)?;
    if !common.quiet {
        complain(&format!(
            "{NAME}: writing random weights, starting the peer"
        ));
    }
    let model = folder.join("vit");
    fs::create_dir(&model)?;
    let mut command = Command::new(&arguments.python);
    command.arg(&script).arg(&model).arg(BATCH.to_string());
    command.arg(rayon::current_num_threads().to_string());
    let mut peer = match Peers::start(command) {
        Ok(peer) => peer,
        Err(error) => return Ok(vec![Row::missing(NAME, "PyTorch", describe(&error))]),
    };
    let vit = load(&model)?;
    let input = Checkpoint::open(model.join("input.safetensors"), Pickle::Deny)?;
    let (height, width) = vit.shape().image;
    let pixels = input.tensor_f32("pixels", &[BATCH, height, width, 3])?;
    let targets = input.tensor_f32("targets", &[BATCH, vit.shape().outputs])?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut difference = None;
    // The first round warms everything and is not counted.
    for round in 0..=arguments.runs {
        thread::sleep(SETTLE);
        let start = Instant::now();
        let gradients = step(&vit, &pixels, &targets)?;
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        thread::sleep(SETTLE);
        let answer = peer.ask(0)?;
        let head = gradients.len().checked_sub(2).context("no head")?;
        let first = serde_json::to_value(&gradients[head][..vit.shape().width])?;
        difference = largest_difference(&first, &answer["first"]);
        if round > 0 {
            ours.push(elapsed);
            theirs.push(answer["ms"].as_f64().context("no `ms`")?);
        }
    }
    let (our_median, peer_median) = (median(&mut ours), median(&mut theirs));
    let rate = |milliseconds: f64| Some(BATCH as f64 * 1e3 / milliseconds);
    Ok(vec![
        Row {
            pictures_per_second: rate(our_median),
            ..Row::measured(NAME, "unprompt f32", our_median)
        },
        Row {
            pictures_per_second: rate(peer_median),
            ours_to_this: Some(our_median / peer_median),
            largest_difference: difference,
            ..Row::measured(NAME, peer.name(0), peer_median)
        },
    ])
}

fn load(folder: &Path) -> Result<Vit> {
    let tensors = VitTensors::load(folder, Pickle::Deny)?;
    let shape = VitShape {
        family: VitFamily::Plain,
        image: tensors.image_size,
        patch: tensors.patch,
        width: tensors.width,
        depth: tensors.depth,
        heads: tensors.heads,
        inner: tensors.inner,
        outputs: tensors.outputs.context("no head")?,
    };
    let parameters = tensors
        .tensors
        .into_iter()
        .map(|(name, shape, values)| Parameter {
            name,
            shape,
            values,
        });
    Ok(Vit::new(shape, parameters.collect())?)
}

fn step(vit: &Vit, pixels: &[f32], targets: &[f32]) -> Result<Gradients> {
    let kept = vit.forward(pixels)?;
    let shares = [1.0 / BATCH as f64; BATCH];
    let loss = cosine_loss(&kept.outputs, targets, vit.shape().outputs, &shares);
    let mut gradients = vec![Vec::new(); vit.parameters().len()];
    vit.backward(kept, &loss.gradient, Part::All, &mut gradients)?;
    Ok(gradients)
}
