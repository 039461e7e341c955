//! A step of training at full size, on random weights that a Python peer writes: the way forward and back
//! on the processor, and where `--device` is a graphics card a whole step there in bf16.

use super::{
    comparison::{largest_difference, median},
    peer::{Peers, SETTLE},
    row::Row,
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
    setup::compute,
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command, thread, time::Instant};
use unprompt::{
    Compute,
    models::{Checkpoint, Pickle, VitTensors},
    train::{
        Augment, Draw, Gradients, Numbers, Parameter, Part, SourceItems, TrainError, Vit, VitBatch,
        VitFamily, VitOptions, VitShape, VitTraining, Workspace, cosine_loss, recycle,
    },
};

const SCRIPT: &str = include_str!("../../../bench/train.py");
const NAME: &str = "ViT-B/16 forward + backward, batch 8";
const BATCH: usize = 8;
const ON_CARD: &str = "ViT-B/16, a step on the card, batch 128";
const BATCH_ON_CARD: usize = 128;

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

    // As a run of training has one.
    let _workspace = Workspace::new();
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
        gradients.into_iter().for_each(recycle);
        difference = largest_difference(&first, &answer["first"]);
        if round > 0 {
            ours.push(elapsed);
            theirs.push(answer["ms"].as_f64().context("no `ms`")?);
        }
    }
    let [our_row, peer_row] = rows(
        NAME,
        BATCH,
        ("unprompt f32", &mut ours),
        (peer.name(0), &mut theirs),
    );
    let peer_row = Row {
        largest_difference: difference,
        ..peer_row
    };
    let mut rows = vec![our_row, peer_row];
    drop(peer);
    let compute = compute(common)?;
    if !compute.is_cpu() {
        rows.extend(on_card(&compute, arguments, &script, folder)?);
    }
    Ok(rows)
}

/// A whole step in bf16 of a run on a graphics card, beside PyTorch's in the same rounds: pictures to
/// the card, forward, back, AdamW, average.
fn on_card(compute: &Compute, arguments: &Bench, script: &Path, folder: &Path) -> Result<Vec<Row>> {
    let model = folder.join("vit-on-card");
    fs::create_dir(&model)?;
    let mut command = Command::new(&arguments.python);
    command.arg(script).arg(&model);
    command.args([&BATCH_ON_CARD.to_string(), "1", "cuda"]);
    let mut peer = match Peers::start(command) {
        Ok(peer) => peer,
        Err(error) => return Ok(vec![Row::missing(ON_CARD, "PyTorch", describe(&error))]),
    };
    let vit = load(&model)?;
    let input = Checkpoint::open(model.join("input.safetensors"), Pickle::Deny)?;
    let (height, width) = vit.shape().image;
    let batch = VitBatch {
        pictures: input.tensor_f32("pixels", &[BATCH_ON_CARD, height, width, 3])?,
        targets: input.tensor_f32("targets", &[BATCH_ON_CARD, vit.shape().outputs])?,
    };
    let options = VitOptions {
        head_epochs: 0,
        head_rate: 1e-5,
        epochs: 1000,
        rate: 1e-5,
        last_epochs: 0,
        last_rate: 1e-5,
        layer_decay: 0.6,
        decay: 0.05,
        average: 0.9998,
        warm_up: 0.0,
        batch: BATCH_ON_CARD,
        part: BATCH_ON_CARD,
        augment: Augment::default(),
        head_bias: true,
        seed: 0,
    };
    let items = SourceItems {
        weight: 1.0,
        pictures: vec![1; BATCH_ON_CARD],
    };
    let mut run = VitTraining::new(vit, options, vec![items])?;
    run.on_device(compute.device(), Numbers::Bf16)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // A card is fast, and slow to begin: more rounds than asked for, of which the first are not counted.
    for round in 0..arguments.runs.saturating_add(3) {
        let start = Instant::now();
        run.advance(|_: &[Draw]| Ok::<_, TrainError>(batch.clone()))?;
        // What the step has asked for is not yet done.
        compute.device().synchronize()?;
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        let answer = peer.ask(0)?;
        if round >= 3 {
            ours.push(elapsed);
            theirs.push(answer["ms"].as_f64().context("no `ms`")?);
        }
    }
    let rows = rows(
        ON_CARD,
        BATCH_ON_CARD,
        ("unprompt bf16", &mut ours),
        (peer.name(0), &mut theirs),
    );
    Ok(rows.into())
}

/// Both by the medians of their milliseconds for so many pictures.
fn rows(
    name: &'static str,
    batch: usize,
    (our_name, ours): (&str, &mut [f64]),
    (peer_name, theirs): (&str, &mut [f64]),
) -> [Row; 2] {
    let (our_median, peer_median) = (median(ours), median(theirs));
    let rate = |milliseconds: f64| Some(batch as f64 * 1e3 / milliseconds);
    [
        Row {
            pictures_per_second: rate(our_median),
            ..Row::measured(name, our_name, our_median)
        },
        Row {
            pictures_per_second: rate(peer_median),
            ours_to_this: Some(our_median / peer_median),
            ..Row::measured(name, peer_name, peer_median)
        },
    ]
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
