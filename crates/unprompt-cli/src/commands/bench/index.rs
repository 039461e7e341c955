//! Exact search in a prompt index, beside faiss and beside a database.

use super::{
    comparison::median,
    peer::{answer_of_peer, output_of},
    row::Row,
};
use crate::{
    arguments::{Bench, Common},
    commands::peak_memory::{peak_mb, reset_peak},
    output::{complain, describe},
    progress::Bar,
    setup::hub,
};
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde_json::Value;
use std::{
    collections::HashSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};
use unprompt::index::{
    BuildOptions, BuildProgress, Embedders, IndexSearch, Match, ModelIdentity, NearestPrompts,
    Neighbour, PromptIndex, PromptIterator, Space, build, export_index, remove_exported,
};

const SCRIPT: &str = include_str!("../../../bench/index.py");
/// The width of CLIP ViT-H/14, which the published blend searches with.
const WIDTH: usize = 1024;
const QUERIES: usize = 64;
const NEIGHBOURS: usize = 100;
const ONE: &str = "index, one query, top 100";

/// The 100 nearest of many random rows to each of 64 queries.
pub(super) fn index(common: &Common, arguments: &Bench, folder: &Path) -> Result<Vec<Row>> {
    const NAME: &str = "index, 64 queries, top 100";
    if let Some(folder) = &arguments.build_index {
        build_random(common, arguments.rows, folder)?;
        return Ok(Vec::new());
    }
    let index_folder = folder.join("index");
    build_elsewhere(common, arguments.rows, &index_folder)?;
    let index = PromptIndex::open(&index_folder)?;
    let queries: Vec<Vec<f32>> = (0..QUERIES as u64).map(|query| random(!query)).collect();
    let queries_file = folder.join("queries.f32");
    // faiss takes them as they are; a search brings ours to unit length.
    let unit = queries.iter().flat_map(|query| {
        let norm = query
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt();
        query.iter().map(move |x| (f64::from(*x) / norm) as f32)
    });
    fs::write(
        &queries_file,
        unit.flat_map(f32::to_le_bytes).collect::<Vec<u8>>(),
    )?;
    let script = folder.join("index.py");
    fs::write(&script, SCRIPT)?;

    // The first search compares every file with its digest.
    let first = Instant::now();
    let found = index.nearest_rows(Space::Clip, &queries, NEIGHBOURS)?;
    let first_ms = first.elapsed().as_secs_f64() * 1e3;
    reset_peak();
    let mut our_times = Vec::new();
    let mut measure_ours = || -> Result<()> {
        for _ in 0..arguments.runs {
            let start = Instant::now();
            index.nearest_rows(Space::Clip, &queries, NEIGHBOURS)?;
            our_times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(())
    };
    measure_ours()?;
    let our_peak = peak_mb();
    let mut peers = Vec::new();
    for (peer, option) in [
        ("faiss IndexFlatIP", None),
        ("faiss IndexFlatIP, by BLAS", Some("--blas")),
    ] {
        if !common.quiet {
            complain(&format!("{NAME}: {peer}"));
        }
        let mut command = Command::new(&arguments.python);
        command.arg(&script).arg(&index_folder).args(option);
        command.arg("--queries").arg(&queries_file);
        command.args(["--count", &NEIGHBOURS.to_string()]);
        command.args(["--threads", &rayon::current_num_threads().to_string()]);
        command.args(["--repetitions", &arguments.runs.to_string()]);
        let answer = output_of(command).and_then(|answer| answer_of_peer(&answer));
        peers.push((peer, answer));
        measure_ours()?;
    }
    let our_median = median(&mut our_times);
    let mut rows = vec![Row::measured(NAME, "unprompt", our_median)];
    for (peer, answer) in &peers {
        rows.push(match answer {
            Err(error) => Row::missing(NAME, *peer, describe(error)),
            Ok(answer) => {
                let peer_median = answer["median_ms"].as_f64().context("no median_ms")?;
                let (recall, difference) = compare(&found, answer).context("no neighbours")?;
                Row {
                    ours_to_this: Some(our_median / peer_median),
                    largest_difference: Some(difference),
                    recall: Some(recall),
                    ..Row::measured(NAME, *peer, peer_median)
                }
            }
        });
    }
    rows.push(Row::measured(
        "index, first search, digests checked",
        "unprompt",
        first_ms,
    ));
    rows.extend(our_peak.map(|peak| Row::peak("index, peak memory", "unprompt", peak)));
    for (peer, answer) in peers {
        let peak = answer.ok().and_then(|answer| answer["peak_mb"].as_f64());
        rows.extend(peak.map(|peak| Row::peak("index, peak memory", peer, peak)));
    }
    if let Some(address) = &arguments.against {
        rows.extend(against(common, arguments, &index, &queries, address)?);
    }
    Ok(rows)
}

/// The same rows in a table of a database: searched whole, and through an approximate index. Queries come
/// one at a time, as those of pictures that people send do.
fn against(
    common: &Common,
    arguments: &Bench,
    index: &PromptIndex,
    queries: &[Vec<f32>],
    address: &str,
) -> Result<Vec<Row>> {
    let hub = hub(common)?;
    let expected = index.nearest(Space::Clip, queries, NEIGHBOURS)?;
    let (ours, _) = one_by_one(arguments, index, queries)?;
    let mut rows = Vec::new();
    for (program, hnsw) in [("PostgreSQL, exact", false), ("PostgreSQL, HNSW", true)] {
        if !common.quiet {
            complain(&format!("{ONE}: {program}"));
        }
        export_index(&hub, index, address, hnsw, &mut |_| {})?;
        let measured = IndexSearch::open(&hub, Path::new(address))
            .map_err(Into::into)
            .and_then(|search| one_by_one(arguments, search.prompts(), queries));
        remove_exported(&hub, address)?;
        let (row, found) = measured?;
        let (recall, difference) = compare_matches(&expected, &found);
        let ratio = ours.median_ms.zip(row.median_ms);
        rows.push(Row {
            program: program.to_owned(),
            ours_to_this: ratio.map(|(ours, this)| ours / this),
            largest_difference: Some(difference),
            recall: Some(recall),
            ..row
        });
    }
    rows.insert(0, ours);
    Ok(rows)
}

/// The time of each query alone, and what it finds.
fn one_by_one(
    arguments: &Bench,
    prompts: &dyn NearestPrompts,
    queries: &[Vec<f32>],
) -> Result<(Row, Vec<Vec<Match>>)> {
    let (mut found, mut times) = (Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        found.clear();
        for query in queries {
            let start = Instant::now();
            found.extend(prompts.nearest(Space::Clip, std::slice::from_ref(query), NEIGHBOURS)?);
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    // Sorted from here on.
    let median = median(&mut times);
    let p99 = times.get((times.len() * 99).div_ceil(100) - 1);
    let row = Row {
        p99_ms: p99.copied(),
        ..Row::measured(ONE, "unprompt", median)
    };
    Ok((row, found))
}

/// Which part of the expected rows were found, and the largest difference of two similarities of the same
/// rank.
fn compare_matches(expected: &[Vec<Match>], found: &[Vec<Match>]) -> (f64, f32) {
    let (mut same, mut all, mut largest) = (0, 0, 0f32);
    for (expected, found) in expected.iter().zip(found) {
        let rows: HashSet<u64> = expected.iter().map(|one| one.row).collect();
        all += expected.len();
        same += found.iter().filter(|one| rows.contains(&one.row)).count();
        for (expected, found) in expected.iter().zip(found) {
            largest = largest.max((expected.similarity - found.similarity).abs());
        }
    }
    (same as f64 / all.max(1) as f64, largest)
}

/// In another process, so that this one holds no memory but for the search.
fn build_elsewhere(common: &Common, rows: u64, folder: &Path) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "index", "--rows", &rows.to_string()]);
    command.arg("--build-index").arg(folder);
    command.args(common.quiet.then_some("--quiet"));
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.context("cannot start the build of an index")?;
    if !status.success() {
        bail!("the index was not built: {status}");
    }
    Ok(())
}

/// An index of prompts that are nothing but numbers, with random embeddings.
fn build_random(common: &Common, rows: u64, folder: &Path) -> Result<()> {
    let identity = |name: &str| ModelIdentity {
        name: name.to_owned(),
        revision: "bench".to_owned(),
        sha256: name.to_owned(),
        dtype: "f32".to_owned(),
    };
    let clip = |texts: &[String]| {
        let texts = texts.par_iter();
        let rows: Result<Vec<_>, _> = texts.map(|text| text.parse().map(random)).collect();
        Ok(rows?)
    };
    let sentence = |texts: &[String]| Ok(vec![vec![1.0; 8]; texts.len()]);
    let embedders = Embedders {
        clip_model: identity("random"),
        clip: &clip,
        sentence_model: identity("constant"),
        sentence: &sentence,
    };
    let prompts = || {
        let prompts = (0..rows).map(|row| Ok(row.to_string()));
        Ok(Box::new(prompts) as PromptIterator)
    };
    let options = BuildOptions {
        batch: 2048,
        ..BuildOptions::default()
    };
    let total = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut bar = Bar::count("random rows", total, common.quiet);
    build(folder, &prompts, &embedders, options, &mut |progress| {
        if let BuildProgress::Embedded(by) = progress {
            bar.advance(by);
        }
    })?;
    bar.finish();
    Ok(())
}

/// Numbers between -1 and 1, by SplitMix64.
fn random(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0xd134_2543_de82_ef95);
    let number = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..WIDTH).map(number).collect()
}

/// Which part of the peer's neighbours are ours, and the largest difference of two similarities of
/// the same rank.
fn compare(found: &[Vec<Neighbour>], answer: &Value) -> Option<(f64, f32)> {
    let (mut same, mut all, mut largest) = (0, 0, 0f32);
    let theirs = answer["neighbours"].as_array()?;
    for ((ours, theirs), similarities) in found
        .iter()
        .zip(theirs)
        .zip(answer["similarities"].as_array()?)
    {
        let rows: HashSet<u64> = ours.iter().map(|neighbour| neighbour.row).collect();
        for (rank, row) in theirs.as_array()?.iter().enumerate() {
            all += 1;
            same += usize::from(rows.contains(&row.as_u64()?));
            let similarity = similarities.get(rank)?.as_f64()? as f32;
            largest = largest.max((ours.get(rank)?.similarity - similarity).abs());
        }
    }
    Some((f64::from(same as u32) / f64::from(all), largest))
}
