//! `unprompt train head`: a head in closed form or by gradient.

use super::rows::{Encoders, Likeness, Rows, Tower, read};
use crate::{
    Finished,
    arguments::{Common, Solver, Strength, TrainHead},
    commands::texts::Texts,
    output::Output,
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON},
    setup::{compute, hub},
};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::{io::Write as _, time::Instant};
use unprompt::{
    FeatureTower,
    data::{SourceSpec, divide},
    eval::cosine,
    models::Features,
    train::{
        GradientOptions, HeadConfig, HeadWeights, RidgeOptions, STRENGTHS, SourceNotice,
        SourceRows, StrengthChoice, TowerNotice, VectorStore, Vocabulary, choose_strength,
        head_by_gradient, ridge, save_head,
    },
};

/// One line of the log.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    samples: usize,
    bad: usize,
    weight: f64,
    /// The mean cosine of what the head gives, a ridge's with the mean of all captions, with the
    /// captions themselves, on the pictures that it was trained on.
    mean_cosine: f64,
    seconds: f64,
}

pub(crate) fn run(common: &Common, arguments: &TrainHead) -> Result<Finished> {
    let Some(folder) = &common.out else {
        bail!("train head needs --out DIR: where the head goes");
    };
    if folder.join("config.json").exists() {
        bail!("--out {}: a head is there already", folder.display());
    }
    let specs = arguments.data.iter().map(|spec| spec.parse());
    let specs: Vec<SourceSpec> = specs.collect::<Result<_, _>>()?;
    if arguments.vocabulary > 0 && arguments.solver != Solver::Mlp {
        bail!("--vocabulary: words are learnt by a hidden layer, which only --solver mlp has");
    }
    let mut records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;

    let (hub, compute) = (hub(common)?, compute(common)?);
    let progress = LoadingProgress::new(common.quiet);
    let (_, texts) = Texts::load(common, &hub, &arguments.encoder, &compute)?;
    let store = hub.environment().own_cache.join("features");
    let outputs = texts.width();
    let (mut towers, mut named) = (Vec::new(), Vec::<TowerNotice>::new());
    for name in &arguments.tower {
        let (model, network) = FeatureTower::load(&hub, name, &compute, &progress)?;
        let tower_sha256 = model.sha256()?.to_owned();
        if named
            .iter()
            .any(|notice| notice.tower_sha256 == tower_sha256)
        {
            bail!("--tower {name}: it is there already");
        }
        let identity = format!("pictures {}", compute.identity(&tower_sha256));
        let features = VectorStore::open(&store, &identity, network.width())?;
        named.push(TowerNotice {
            tower: name.clone(),
            tower_sha256,
            features: match network.kind() {
                Features::Pooled => "pooled",
                Features::Vector => "vector",
            },
        });
        towers.push(Tower { network, features });
    }
    let inputs = towers
        .iter()
        .map(|tower| tower.network.width())
        .sum::<usize>();
    let chooses = arguments.solver == Solver::Ridge && arguments.strength == Strength::Auto;
    let mut encoders = Encoders {
        towers,
        likeness: chooses.then(|| Likeness::new(texts.width())),
        texts,
        vocabulary: (arguments.vocabulary > 0).then(Vocabulary::default),
    };

    let (mut sources, mut notices, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for spec in &specs {
        let start = Instant::now();
        let Rows { rows, bad } = read(common, spec, &mut encoders)?;
        seconds.push(start.elapsed().as_secs_f64());
        notices.push(SourceNotice {
            name: rows.name.clone(),
            samples: rows.features.len(),
            bad,
            weight: rows.weight,
        });
        sources.push(rows);
    }
    let words = choose_words(&mut sources, &encoders, arguments);
    let gradient = gradient_options(arguments, words);
    let choice = encoders.likeness.as_ref().map(|likeness| {
        let groups = likeness.groups();
        cross_validated(&sources, &groups, arguments.folds)
    });
    let choice = choice.transpose()?;
    let strength = match (arguments.strength, &choice) {
        (Strength::Is(strength), _) => Some(strength),
        (Strength::Auto, choice) => choice.as_ref().map(|choice| choice.strength),
    };
    let strength = strength.filter(|_| gradient.is_none());
    let head: HeadWeights = match (&gradient, strength) {
        (Some(options), _) => by_gradient(common, &sources, options)?,
        (None, strength) => {
            let strength = strength.context("a ridge has a strength")?;
            ridge(&sources, RidgeOptions { strength })?.into()
        }
    };
    let first = named.remove(0);
    let config = HeadConfig {
        model_type: "head",
        tower: first.tower,
        tower_sha256: first.tower_sha256,
        features: first.features,
        more_towers: named,
        encoder: arguments.encoder.clone(),
        inputs,
        outputs,
        solver: match arguments.solver {
            Solver::Ridge => "ridge".into(),
            Solver::Linear => "linear".into(),
            Solver::Mlp => "mlp".into(),
        },
        strength,
        tried: choice.map(|choice| choice.tried).unwrap_or_default(),
        gradient,
        data: notices,
    };
    save_head(folder, &head, &config)?;

    let mut log = Output::open(Some(&folder.join("log.jsonl")))?;
    for tried in &config.tried {
        serde_json::to_writer(&mut log, tried)?;
        writeln!(log)?;
        if !records.write_json(tried)? {
            let folds = tried.folds.iter().map(|cosine| format!("{cosine:.3}"));
            let folds = folds.collect::<Vec<_>>().join(", ");
            let chosen = match Some(tried.strength) == config.strength {
                true => ": chosen",
                false => "",
            };
            writeln!(
                records.raw(),
                "strength {}: cosine {:.4} beyond the mean (folds {folds}){chosen}",
                tried.strength,
                tried.mean_cosine
            )?;
        }
    }
    let failures = config.data.iter().any(|notice| notice.bad > 0);
    for ((rows, notice), seconds) in sources.iter().zip(&config.data).zip(seconds) {
        let entry = Entry {
            name: &notice.name,
            samples: notice.samples,
            bad: notice.bad,
            weight: notice.weight,
            mean_cosine: mean_cosine(&head, rows, config.gradient.is_none()),
            seconds,
        };
        serde_json::to_writer(&mut log, &entry)?;
        writeln!(log)?;
        if !records.write_json(&entry)? {
            let Entry {
                name,
                samples,
                bad,
                mean_cosine,
                ..
            } = entry;
            let out = records.raw();
            writeln!(
                out,
                "{name}: {samples} pictures, {bad} left out, cosine {mean_cosine:.3}"
            )?;
        }
    }
    log.finish()?;
    records.finish()?;
    Ok(match failures {
        true => Finished::WithFailures,
        false => Finished::Whole,
    })
}

/// Leaves each sample the words that are among the most frequent, and says how many these are.
fn choose_words(sources: &mut [SourceRows], encoders: &Encoders, arguments: &TrainHead) -> usize {
    let Some(vocabulary) = &encoders.vocabulary else {
        return 0;
    };
    let chosen = vocabulary.choose(arguments.vocabulary as usize);
    for words in sources.iter_mut().flat_map(|source| &mut source.words) {
        *words = chosen.of(words);
    }
    chosen.count()
}

/// The strength that cross-validation chooses; pictures of one group are in one fold.
fn cross_validated(sources: &[SourceRows], groups: &[usize], folds: u16) -> Result<StrengthChoice> {
    let fractions = vec![1.0; folds.into()];
    let divided = divide(groups, &fractions, 0).context("--strength auto")?;
    let mut divided = divided.into_iter();
    let fold_of: Vec<Vec<usize>> = sources
        .iter()
        .map(|source| divided.by_ref().take(source.features.len()).collect())
        .collect();
    choose_strength(sources, &fold_of, &STRENGTHS).context("--strength auto")
}

/// How a head is trained by gradient, if it is.
fn gradient_options(arguments: &TrainHead, words: usize) -> Option<GradientOptions> {
    let hidden = match arguments.solver {
        Solver::Ridge => return None,
        Solver::Linear => None,
        Solver::Mlp => Some(arguments.hidden as usize),
    };
    let gradient = &arguments.gradient;
    Some(GradientOptions {
        hidden,
        words,
        epochs: gradient.epochs,
        batch: gradient.samples as usize,
        rate: gradient.rate,
        decay: gradient.decay,
        seed: gradient.seed,
    })
}

fn by_gradient(
    common: &Common,
    sources: &[SourceRows],
    options: &GradientOptions,
) -> Result<HeadWeights> {
    let mut bar = Bar::count("epochs", options.epochs as usize, common.quiet);
    let head = head_by_gradient(sources, options, |epoch| {
        bar.advance(1);
        bar.say(&format!("loss {:.4}", epoch.loss));
    })?;
    bar.finish();
    Ok(head)
}

fn mean_cosine(head: &HeadWeights, rows: &SourceRows, beyond_mean: bool) -> f64 {
    let cosines = rows
        .features
        .iter()
        .zip(&rows.targets)
        .map(|(features, target)| {
            let mut prediction = head.output(features);
            if beyond_mean {
                let values = prediction.iter_mut().zip(&head.target_mean);
                values.for_each(|(value, mean)| *value += mean);
            }
            let target: Vec<f64> = target.iter().copied().map(f64::from).collect();
            cosine(&prediction, &target).unwrap_or(0.0)
        });
    cosines.sum::<f64>() / rows.features.len().max(1) as f64
}
