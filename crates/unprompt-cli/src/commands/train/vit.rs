//! `unprompt train vit`: all of a Vision Transformer.

use super::{
    samples::{Counted, Samples},
    vit_report::page,
};
use crate::{
    Finished,
    arguments::{Common, Format, TrainVit},
    commands::texts::Texts,
    output::{Output, complain},
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON},
    setup::{compute, hub},
};
use anyhow::{Context, Result, anyhow, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use unprompt::{
    Dtype,
    data::SourceSpec,
    image::{Filter, IMAGENET_MEAN, IMAGENET_STD, Layout, Limits, Preprocessor, Step, decode},
    load_vit_tensors,
    models::VitTensors,
    train::{
        Augment, Draw, Numbers, Parameter, Position, Stage, TrainError, Vit, VitBatch, VitFamily,
        VitOptions, VitShape, VitTraining,
    },
};
use unprompt_files::{Lock, TEMPORARY_PREFIX};

/// The longest time whose work may be lost.
const PATIENCE: Duration = Duration::from_secs(600);

/// One line of the log.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Line {
    /// Steps that are done.
    pub(super) step: u64,
    pub(super) stage: String,
    /// Epochs that were done before.
    pub(super) epoch: u32,
    pub(super) loss: f64,
    pub(super) rate: f64,
    pub(super) pictures_per_second: f64,
}

/// What the command says at its end.
#[derive(Serialize)]
struct Summary<'a> {
    step: u64,
    steps: u64,
    done: bool,
    loss: Option<f64>,
    data: &'a [Counted],
}

pub(crate) fn run(common: &Common, arguments: &TrainVit) -> Result<Finished> {
    let folder = Folder::new(common, arguments)?;
    let specs = arguments.data.iter().map(|spec| spec.parse());
    let specs: Vec<SourceSpec> = specs.collect::<Result<_, _>>()?;
    let compute = compute(common)?;
    let numbers = match compute.dtype() {
        Dtype::F32 => Numbers::F32,
        Dtype::Bf16 => Numbers::Bf16,
        other => {
            bail!("--dtype {other}: train vit computes in f32, on a graphics card in bf16 too")
        }
    };
    let mut records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;

    let hub = hub(common)?;
    let progress = LoadingProgress::new(common.quiet);
    let heads = arguments.heads.map(usize::from);
    let (tower, tensors, preprocessor) =
        load_vit_tensors(&hub, &arguments.tower, heads, &progress)?;
    let (encoder, mut texts) = Texts::load(common, &hub, &arguments.encoder, &compute.in_f32())?;
    let decoding = preprocessor.decode_options(Limits::default());
    let _lock = folder.take(common.quiet)?;
    if !Samples::are_in(&folder.training) {
        Samples::prepare(common, &folder.training, &specs, &mut texts, &decoding)?;
    }
    let outputs = texts.width();
    drop(texts);
    let samples = Samples::open(&folder.training)?;

    let (vit, head_bias, config) = network(tensors, outputs, arguments.seed, &preprocessor)?;
    let options = options(common, arguments, head_bias);
    let plan = json!({
        "options": options,
        "tower": tower.sha256()?,
        "encoder": encoder.sha256()?,
        "samples": samples.digest,
        "weights": specs.iter().map(|spec| spec.weight).collect::<Vec<_>>(),
    })
    .to_string();
    let mut training = VitTraining::new(vit, options, samples.mixture(&specs)?)?;
    if folder.state.is_file() {
        training.restore(&folder.state, &plan)?;
    }
    if !compute.is_cpu() {
        training.on_device(compute.device(), numbers)?;
    }
    let mut log = Log::open(&folder.log, training.step())?;
    let view = View::of(&preprocessor, training.shape());
    let (start, steps) = (training.step(), training.steps());
    let end = arguments
        .steps
        .map_or(steps, |more| steps.min(start + more));

    let mut bar = Bar::count("steps", steps as usize, common.quiet);
    bar.skip(start);
    let mut kept = Instant::now();
    while let Some(position) = training.position().filter(|_| training.step() < end) {
        let begin = Instant::now();
        let seen = training.draws(&position).len();
        let load = |draws: &[Draw]| load(&samples, &view, &options.augment, draws);
        let report = training
            .advance(load)
            .map_err(|error| with_ids(error, &samples))?;
        let line = log.write(&position, report.loss, training.step(), seen, begin)?;
        bar.advance(1);
        bar.say(&format!(
            "{} epoch {} loss {:.4}, {:.1} pictures a second",
            line.stage, line.epoch, line.loss, line.pictures_per_second
        ));
        let due = training.step().is_multiple_of(arguments.every) || kept.elapsed() >= PATIENCE;
        if due || training.step() == end {
            log.flush()?;
            training.save(&folder.state, &plan)?;
            folder.write_report(&log.lines, steps)?;
            kept = Instant::now();
        }
    }
    bar.finish();
    let done = training.position().is_none();
    if done {
        folder.finish(&training.averaged()?, &config)?;
    }
    let summary = Summary {
        step: training.step(),
        steps,
        done,
        loss: log.lines.last().map(|line| line.loss),
        data: &samples.list.sources,
    };
    if !records.write_json(&summary)? && records.format() == Format::Text {
        let loss = summary.loss.unwrap_or(0.0);
        let out = records.raw();
        writeln!(out, "step {} of {steps}, loss {loss:.4}", summary.step)?;
    }
    records.finish()?;
    let bad = samples.list.sources.iter().any(|source| source.bad > 0);
    Ok(match bad {
        true => Finished::WithFailures,
        false => Finished::Whole,
    })
}

/// The folder of a run.
struct Folder {
    path: PathBuf,
    /// What is needed to go on, and goes when all is done.
    training: PathBuf,
    state: PathBuf,
    log: PathBuf,
}

impl Folder {
    /// The folder that `--out` names, unless it has what is not to be replaced.
    fn new(common: &Common, arguments: &TrainVit) -> Result<Self> {
        let Some(path) = &common.out else {
            bail!("train vit needs --out DIR: where the network goes");
        };
        let training = path.join("training");
        if path.join("config.json").exists() {
            bail!("--out {}: a network is there already", path.display());
        }
        if training.exists() && !arguments.resume {
            bail!(
                "--out {}: a run was begun there; --resume goes on with it",
                path.display()
            );
        }
        Ok(Self {
            state: training.join("state.safetensors"),
            training,
            log: path.join("log.jsonl"),
            path: path.clone(),
        })
    }

    /// Takes the folder for this process, and clears what a killed one left half written.
    fn take(&self, quiet: bool) -> Result<Lock> {
        let Some(lock) = Lock::try_acquire(&self.training.join("lock")) else {
            bail!("--out {}: another run works there", self.path.display());
        };
        for entry in fs::read_dir(&self.training).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !name
                .as_encoded_bytes()
                .starts_with(TEMPORARY_PREFIX.as_bytes())
            {
                continue;
            }
            if fs::remove_file(entry.path()).is_ok() && !quiet {
                let path = entry.path();
                complain(&format!(
                    "removed {}, left by a run that was killed",
                    path.display()
                ));
            }
        }
        Ok(lock)
    }

    fn write_report(&self, lines: &[Line], steps: u64) -> Result<()> {
        self.write("report.html", page(lines, steps).as_bytes())
    }

    /// Writes the network, its configuration last, and clears what only the run needed.
    fn finish(&self, vit: &Vit, config: &Value) -> Result<()> {
        // Half a file of a killed process is to be where the next one looks for it.
        let [written, model] =
            [&self.training, &self.path].map(|folder| folder.join("model.safetensors"));
        vit.save(&written)?;
        unprompt_files::rename(&written, &model)
            .with_context(|| format!("cannot write {}", model.display()))?;
        let text = serde_json::to_string_pretty(config)? + "\n";
        self.write("config.json", text.as_bytes())?;
        if let Err(error) = fs::remove_dir_all(&self.training) {
            complain(&format!(
                "{} is of no use any more and could not be removed: {error}",
                self.training.display()
            ));
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        unprompt_files::write(&path, bytes)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The network to begin with, whether the bias of its head is trained, and the configuration that
/// it will have. A head of another width gives way to one that knows nothing yet, and has no bias.
fn network(
    tensors: VitTensors,
    outputs: usize,
    seed: u64,
    preprocessor: &Preprocessor,
) -> Result<(Vit, bool, Value)> {
    let shape = VitShape {
        family: match tensors.clip {
            false => VitFamily::Plain,
            true => VitFamily::Clip {
                quick: tensors.quick_gelu,
            },
        },
        image: tensors.image_size,
        patch: tensors.patch,
        width: tensors.width,
        depth: tensors.depth,
        heads: tensors.heads,
        inner: tensors.inner,
        outputs,
    };
    let config = configuration(&tensors, outputs, preprocessor);
    let keeps = tensors.outputs == Some(outputs);
    let mut parameters: Vec<Parameter> = tensors
        .tensors
        .into_iter()
        .filter(|(name, ..)| keeps || !name.starts_with("head."))
        .map(|(name, shape, values)| Parameter {
            name,
            shape,
            values,
        })
        .collect();
    if !keeps {
        parameters.extend(Vit::new_head(&shape, seed));
    }
    Ok((Vit::new(shape, parameters)?, keeps, config))
}

/// The configuration as timm reads it: that of the tower with another head, or where it has none one
/// that says everything.
fn configuration(tensors: &VitTensors, outputs: usize, preprocessor: &Preprocessor) -> Value {
    let mut config = tensors.config.clone().unwrap_or_else(|| {
        let (mean, std) = preprocessor
            .normalize
            .map_or((IMAGENET_MEAN, IMAGENET_STD), |normalize| {
                (normalize.mean, normalize.std)
            });
        // timm rounds the product down.
        let whole = tensors.inner.is_multiple_of(tensors.width);
        let ratio = (tensors.inner as f64 + if whole { 0.0 } else { 0.5 }) / tensors.width as f64;
        let said = json!({
            "architecture": match (tensors.clip, tensors.quick_gelu) {
                (false, _) => "vit_base_patch16_224",
                (true, false) => "vit_base_patch16_clip_224",
                (true, true) => "vit_base_patch16_clip_quickgelu_224",
            },
            "model_args": {
                "img_size": tensors.image_size.0,
                "patch_size": tensors.patch,
                "embed_dim": tensors.width,
                "depth": tensors.depth,
                "num_heads": tensors.heads,
                "mlp_ratio": ratio,
            },
            "pretrained_cfg": {
                "input_size": [3, tensors.image_size.0, tensors.image_size.1],
                "interpolation": match filter_of(preprocessor) {
                    Filter::Bilinear => "bilinear",
                    _ => "bicubic",
                },
                "crop_pct": 1.0,
                "mean": mean.map(plain),
                "std": std.map(plain),
                "first_conv": "patch_embed.proj",
                "classifier": "head",
            },
        });
        said.as_object().cloned().unwrap_or_default()
    });
    config.remove("label_names");
    config.remove("label_descriptions");
    config.insert("num_classes".into(), outputs.into());
    config.insert("num_features".into(), tensors.width.into());
    config.insert("global_pool".into(), "token".into());
    if let Some(Value::Object(pretrained)) = config.get_mut("pretrained_cfg") {
        pretrained.remove("label_names");
        pretrained.insert("num_classes".into(), outputs.into());
    }
    if let Some(Value::Object(arguments)) = config.get_mut("model_args") {
        arguments.remove("num_classes");
    }
    config.into()
}

/// The number as people write it, 0.485, and not its nearest one in single precision.
fn plain(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn options(common: &Common, arguments: &TrainVit, head_bias: bool) -> VitOptions {
    VitOptions {
        head_epochs: arguments.head_epochs,
        head_rate: arguments.head_rate,
        epochs: arguments.epochs,
        rate: arguments.rate,
        last_epochs: arguments.last_epochs,
        last_rate: arguments.last_rate,
        layer_decay: arguments.layer_decay,
        decay: arguments.decay,
        average: arguments.average,
        warm_up: 0.05,
        batch: arguments.samples as usize,
        part: common.batch_size.into(),
        augment: Augment {
            least_area: arguments.least_area,
            jitter: arguments.jitter,
            operations: arguments.operations,
            magnitude: arguments.magnitude,
        },
        head_bias,
        seed: arguments.seed,
    }
}

/// How pictures become the network's input.
struct View<'a> {
    /// As a picture is predicted.
    plain: &'a Preprocessor,
    /// The same without its geometry.
    normalised: Preprocessor,
    size: (u32, u32),
    filter: Filter,
}

impl<'a> View<'a> {
    fn of(plain: &'a Preprocessor, shape: &VitShape) -> Self {
        Self {
            plain,
            normalised: Preprocessor {
                steps: Vec::new(),
                ..plain.clone()
            },
            size: (shape.image.1 as u32, shape.image.0 as u32),
            filter: filter_of(plain),
        }
    }
}

/// How a network's pictures are resized.
fn filter_of(preprocessor: &Preprocessor) -> Filter {
    let filters = preprocessor.steps.iter().find_map(|step| match step {
        Step::Resize { filter, .. } => Some(*filter),
        Step::CenterCrop { .. } => None,
    });
    filters.unwrap_or(Filter::Bicubic)
}

/// The pictures and targets of some draws.
fn load(samples: &Samples, view: &View<'_>, augment: &Augment, draws: &[Draw]) -> Result<VitBatch> {
    let options = view.plain.decode_options(Limits::default());
    let pictures: Vec<Vec<f32>> = draws
        .par_iter()
        .map(|draw| {
            let item = &samples.list.items[draw.item];
            let bytes = samples.pictures.picture(item.places[draw.picture])?;
            let picture =
                decode(&bytes, &options).with_context(|| item.ids[draw.picture].clone())?;
            let pixels = match draw.keys {
                None => view.plain.apply(&picture, Layout::Hwc)?,
                Some(keys) => {
                    let seen = augment.view(&picture, view.size, view.filter, &keys)?;
                    view.normalised.apply(&seen, Layout::Hwc)?
                }
            };
            Ok(pixels.data)
        })
        .collect::<Result<_>>()?;
    let targets = draws.iter().flat_map(|draw| samples.target(draw.item));
    Ok(VitBatch {
        pictures: pictures.concat(),
        targets: targets.copied().collect(),
    })
}

/// A loss that is no number, with the names of what the step saw.
fn with_ids(error: anyhow::Error, samples: &Samples) -> anyhow::Error {
    match error.downcast_ref() {
        Some(TrainError::NotFinite { items, .. }) => {
            let names = items
                .iter()
                .map(|(item, picture)| samples.list.items[*item].ids[*picture].as_str());
            let names = names.collect::<Vec<_>>().join("; ");
            anyhow!("{error}; it saw {names}. A lower --rate may help")
        }
        _ => error,
    }
}

/// The log of a run: one line a step.
struct Log {
    file: File,
    path: PathBuf,
    lines: Vec<Line>,
}

impl Log {
    /// Opens the log and forgets what was written after step `kept`.
    fn open(path: &Path, kept: u64) -> Result<Self> {
        let mut lines: Vec<Line> = match File::open(path) {
            Err(_) => Vec::new(),
            Ok(file) => BufReader::new(file)
                .lines()
                .map_while(Result::ok)
                .map_while(|line| serde_json::from_str(&line).ok())
                .collect(),
        };
        lines.retain(|line| line.step <= kept);
        let text: String = lines
            .iter()
            .map(|line| Ok(serde_json::to_string(line)? + "\n"))
            .collect::<Result<_>>()?;
        let failed = || format!("cannot write {}", path.display());
        unprompt_files::write(path, text.as_bytes()).with_context(failed)?;
        let file = File::options()
            .append(true)
            .open(path)
            .with_context(failed)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            lines,
        })
    }

    fn write(
        &mut self,
        position: &Position,
        loss: f64,
        step: u64,
        seen: usize,
        begin: Instant,
    ) -> Result<&Line> {
        let stage = match position.stage {
            Stage::Head => "head",
            Stage::All => "all",
            Stage::Last => "last",
        };
        let line = Line {
            step,
            stage: stage.into(),
            epoch: position.epoch,
            loss,
            rate: position.rate,
            pictures_per_second: seen as f64 / begin.elapsed().as_secs_f64().max(1e-9),
        };
        let text = serde_json::to_string(&line)? + "\n";
        let path = &self.path;
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.lines.push(line);
        self.lines.last().context("the log has a line")
    }

    fn flush(&self) -> Result<()> {
        let path = &self.path;
        let synced = self.file.sync_data();
        synced.with_context(|| format!("cannot write {}", path.display()))
    }
}
