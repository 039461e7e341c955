//! The features of a folder, as `train head` computes and keeps them, beside PyTorch.

use super::{
    comparison::{largest_difference, median},
    peer::{Peers, SETTLE},
    row::Row,
    subject::PICTURES,
};
use crate::{
    arguments::{Bench, Common},
    commands::train::{Tower, features},
    output::{complain, describe},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command, thread, time::Instant};
use unprompt::{
    Compute, FeatureTower, Hub, NoProgress,
    data::{Limits, Source, SourceSpec},
    train::VectorStore,
};

const SCRIPT: &str = include_str!("../../../bench/features.py");
const NAME: &str = "features of a folder of JPEGs";
const TOWER: &str = "efficientnet-lite0";
/// Pictures in the folder, and with `--quick`.
const PICTURE_COUNT: usize = 600;
const FEW_PICTURES: usize = 60;
/// A folder takes seconds, so no more runs of it than these are measured.
const MOST_RUNS: u16 = 5;

/// Both in the same rounds. Each of ours begins with an empty store, and ends when it is on the disk.
pub(super) fn features_of_a_folder(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    let script = folder.join("features.py");
    fs::write(&script, SCRIPT)?;
    let count = if arguments.quick {
        FEW_PICTURES
    } else {
        PICTURE_COUNT
    };
    let pictures = folder.join("pictures");
    write_jpegs(&pictures, count)?;
    let (resolved, network) = FeatureTower::load(hub, TOWER, &Compute::default(), &NoProgress)?;
    let weights = resolved.files.values().next();
    let weights = weights.context("the tower has no file")?;
    if !common.quiet {
        complain(&format!("{NAME}: starting the peer"));
    }
    let mut command = Command::new(&arguments.python);
    command.arg(&script).arg(weights).arg(&pictures);
    command.arg(rayon::current_num_threads().to_string());
    let mut peer = Peers::start(command);

    let mut network = Some(network);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut difference = None;
    // The first round warms everything and is not counted.
    for round in 0..=arguments.runs.min(MOST_RUNS) {
        thread::sleep(SETTLE);
        let mut tower = Tower {
            network: network.take().context("the tower")?,
            features: VectorStore::open(&folder.join(format!("store-{round}")), NAME, 1280)?,
        };
        let start = Instant::now();
        let first = pass(common, &pictures, count, std::slice::from_mut(&mut tower))?;
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        network = Some(tower.network);
        if round > 0 {
            ours.push(elapsed);
        }
        if let Ok(peer) = &mut peer {
            thread::sleep(SETTLE);
            let answer = peer.ask(0)?;
            difference = largest_difference(&serde_json::to_value(&first)?, &answer["first"]);
            if round > 0 {
                theirs.push(answer["ms"].as_f64().context("no `ms`")?);
            }
        }
    }
    let rate = |milliseconds: f64| Some(count as f64 * 1e3 / milliseconds);
    let our_median = median(&mut ours);
    let row = Row {
        pictures_per_second: rate(our_median),
        ..Row::measured(NAME, "unprompt train head", our_median)
    };
    let peers = match peer {
        Err(error) => Row::missing(NAME, "PyTorch, timm", describe(&error)),
        Ok(peer) => {
            let peer_median = median(&mut theirs);
            Row {
                pictures_per_second: rate(peer_median),
                ours_to_this: Some(our_median / peer_median),
                largest_difference: difference,
                ..Row::measured(NAME, peer.name(0), peer_median)
            }
        }
    };
    Ok(vec![row, peers])
}

/// Those of the pictures that are JPEGs, again and again, each with bytes of its own behind its end: equal
/// pictures would be computed once.
fn write_jpegs(folder: &Path, count: usize) -> Result<()> {
    fs::create_dir(folder)?;
    let jpegs = PICTURES.iter().filter(|(name, _)| name.ends_with(".jpg"));
    for (index, (_, bytes)) in jpegs.cycle().take(count).enumerate() {
        let name = format!("{index:04}");
        let bytes = [*bytes, name.as_bytes()].concat();
        fs::write(folder.join(format!("{name}.jpg")), bytes)?;
        fs::write(folder.join(format!("{name}.txt")), "a picture")?;
    }
    Ok(())
}

/// Reads a folder as `train head` does, but for the captions, and returns the features of the first.
fn pass(common: &Common, folder: &Path, count: usize, towers: &mut [Tower]) -> Result<Vec<f32>> {
    let spec: SourceSpec = folder.to_string_lossy().parse()?;
    let mut source = Source::open(&spec, Limits::default())?;
    let (mut first, mut seen) = (None, 0);
    loop {
        let samples = source.by_ref().take(common.batch_size.into());
        let samples: Vec<_> = samples.collect::<Result<_, _>>()?;
        if samples.is_empty() {
            break;
        }
        for row in features(&samples, towers)? {
            let row = row?;
            seen += 1;
            first.get_or_insert(row);
        }
    }
    anyhow::ensure!(seen == count, "{seen} of {count} pictures have features");
    first.context("no picture")
}
