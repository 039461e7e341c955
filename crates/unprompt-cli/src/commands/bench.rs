//! `unprompt bench`: the project's own measurements, each with its Python peers beside it in the
//! same run. Machines are noisy: what counts are the medians and the ratios.

use crate::{
    Finished,
    arguments::{Bench, Common, Format},
    commands::hub,
    output::{Output, complain, describe},
    progress::DownloadProgress,
    records::RecordWriter,
};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};
use unprompt::{Hub, ModelRef, SentenceEncoder, load_sentence_encoder, models::imagenet_labels};

const PICTURE: &[u8] = include_bytes!("../../../../examples/pictures/rocket.jpg");
const FIRST_PREDICTION: &str = include_str!("../../bench/first_prediction.py");
const MINILM_THROUGHPUT: &str = include_str!("../../bench/minilm_throughput.py");

/// The encoder whose speed is measured.
const ENCODER: &str = "all-MiniLM-L6-v2";

/// One line of the result.
#[derive(Serialize)]
struct Row {
    measurement: &'static str,
    program: String,
    /// Milliseconds; the median of the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    median_ms: Option<f64>,
    /// Our median divided by this one: below 1 we are faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    ours_to_this: Option<f64>,
    /// Largest difference of its first embedding to ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_difference: Option<f32>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

impl Row {
    fn measured(measurement: &'static str, program: impl Into<String>, median_ms: f64) -> Self {
        let program = program.into();
        Self {
            measurement,
            program,
            median_ms: Some(median_ms),
            ours_to_this: None,
            largest_difference: None,
            missing: None,
        }
    }

    fn missing(measurement: &'static str, program: impl Into<String>, why: String) -> Self {
        let missing = Some(why);
        Self {
            median_ms: None,
            missing,
            ..Self::measured(measurement, program, 0.0)
        }
    }
}

pub(crate) fn run(common: &Common, arguments: &Bench) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let formats = [Format::Text, Format::Json, Format::Jsonl];
    let mut records = RecordWriter::new(output, common.format, &formats)?;
    let hub = hub(common)?;
    let progress = DownloadProgress::new(common.quiet);
    // Everything is fetched before anything is timed.
    for name in [ENCODER, "efficientnet-lite0"] {
        hub.resolve(&name.parse::<ModelRef>()?, &progress)?;
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut rows = first_prediction(common, arguments, &hub, folder.path())?;
    rows.extend(minilm_throughput(common, arguments, &hub, folder.path())?);
    let threads = rayon::current_num_threads();
    if records.format() == Format::Text {
        writeln!(
            records.raw(),
            "{threads} threads, medians of {} runs",
            arguments.runs
        )?;
    }
    for row in &rows {
        if !records.write_json(row)? {
            write_text(records.raw(), row)?;
        }
    }
    records.finish()?;
    Ok(Finished::Whole)
}

fn write_text(output: &mut impl Write, row: &Row) -> Result<()> {
    let Row {
        measurement,
        program,
        ..
    } = row;
    write!(output, "{measurement:<28} {program:<40}")?;
    match (row.median_ms, &row.missing) {
        (Some(median), _) => write!(output, " {median:>10.1} ms")?,
        (None, Some(missing)) => write!(output, " not measured: {missing}")?,
        (None, None) => {}
    }
    if let Some(ratio) = row.ours_to_this {
        write!(output, "   ours / this {ratio:.3}")?;
    }
    if let Some(difference) = row.largest_difference {
        write!(output, "   differs by {difference:.1e}")?;
    }
    Ok(writeln!(output)?)
}

/// From process start to the first prediction with everything in the cache, beside a script that
/// does the same with Python's packages.
fn first_prediction(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    const NAME: &str = "process to first prediction";
    let picture = match &arguments.picture {
        Some(picture) => picture.clone(),
        None => {
            let path = folder.join("rocket.jpg");
            fs::write(&path, PICTURE)?;
            path
        }
    };
    let minilm = hub.resolve(&ENCODER.parse()?, &unprompt::NoProgress)?.dir;
    let labels = folder.join("labels.txt");
    fs::write(&labels, imagenet_labels().join("\n"))?;
    let script = folder.join("first_prediction.py");
    fs::write(&script, FIRST_PREDICTION)?;
    let threads = rayon::current_num_threads().to_string();

    let ours = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "predict",
            "--no-metadata",
            "--offline",
            "--format",
            "jsonl",
            "--quiet",
        ]);
        command.args(["--threads", &threads]).arg(&picture);
        output_of(command)
    };
    let peer = || {
        let mut command = Command::new(&arguments.python);
        command
            .arg(&script)
            .arg(&picture)
            .arg("--minilm")
            .arg(&minilm)
            .arg("--labels");
        command
            .arg(&labels)
            .args(["--threads", &threads, "--lemmas", "all"]);
        command.args(["--text-weight", "0.25"]);
        output_of(command)
    };
    let peer_name = "torch + sentence-transformers";
    let (mut our_times, mut peer_times) = (Vec::new(), Vec::new());
    let mut missing = None;
    let mut difference = None;
    // The first round warms the page cache and is not counted.
    for round in 0..=arguments.runs {
        if !common.quiet {
            complain(&format!("{NAME}: round {round} of {}", arguments.runs));
        }
        let start = Instant::now();
        let our_answer = ours()?;
        let our_time = start.elapsed().as_secs_f64() * 1e3;
        let mut peer_time = None;
        if missing.is_none() {
            let start = Instant::now();
            match peer().and_then(|answer| answer_of_peer(&answer)) {
                Ok(answer) => {
                    peer_time = Some(start.elapsed().as_secs_f64() * 1e3);
                    difference = largest_difference(&our_answer["embedding"], &answer["embedding"]);
                }
                Err(error) => missing = Some(describe(&error)),
            }
        }
        if round > 0 {
            our_times.push(our_time);
            peer_times.extend(peer_time);
        }
    }
    let our_median = median(&mut our_times);
    let mut rows = vec![Row::measured(NAME, "unprompt", our_median)];
    rows.push(match missing {
        Some(why) => Row::missing(NAME, peer_name, why),
        None => {
            let peer_median = median(&mut peer_times);
            Row {
                ours_to_this: Some(our_median / peer_median),
                largest_difference: difference,
                ..Row::measured(NAME, peer_name, peer_median)
            }
        }
    });
    Ok(rows)
}

/// 32 texts of 32 tokens through the sentence encoder, tokenizing included.
fn minilm_throughput(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    const NAME: &str = "MiniLM, 32 texts x 32 tokens";
    let (model, encoder) = load_sentence_encoder(hub, ENCODER, &unprompt::NoProgress)?;
    let texts = thirty_two_texts(&encoder)?;
    let texts_file = folder.join("texts.txt");
    fs::write(&texts_file, texts.join("\n"))?;
    let script = folder.join("minilm_throughput.py");
    fs::write(&script, MINILM_THROUGHPUT)?;

    // Before, between and after the peers, so that a slow minute of the machine hits all alike.
    let runs = usize::from(arguments.runs);
    let mut our_times = Vec::new();
    let first = encoder.embed(&texts)?.swap_remove(0);
    let mut measure_ours = || -> Result<()> {
        for _ in 0..runs {
            let start = Instant::now();
            encoder.embed(&texts)?;
            our_times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(())
    };
    let mut peers = Vec::new();
    measure_ours()?;
    for peer in ["sentence-transformers", "onnxruntime"] {
        if !common.quiet {
            complain(&format!("{NAME}: {peer}"));
        }
        let mut command = Command::new(&arguments.python);
        command
            .arg(&script)
            .arg("--model")
            .arg(&model.dir)
            .args(["--peer", peer]);
        command.args(["--threads", &rayon::current_num_threads().to_string()]);
        command
            .args(["--repetitions", &runs.to_string()])
            .arg("--texts")
            .arg(&texts_file);
        peers.push((peer, output_of(command)));
        measure_ours()?;
    }
    let our_median = median(&mut our_times);
    let mut rows = vec![Row::measured(NAME, "unprompt", our_median)];
    for (peer, answer) in peers {
        let answer = answer.and_then(|answer| answer_of_peer(&answer["peers"][0]));
        rows.push(match answer {
            Err(error) => Row::missing(NAME, peer, describe(&error)),
            Ok(answer) => {
                let peer_median = answer["median_ms"].as_f64().context("no median_ms")?;
                let ours = serde_json::to_value(&first)?;
                Row {
                    ours_to_this: Some(our_median / peer_median),
                    largest_difference: largest_difference(&ours, &answer["first_embedding"]),
                    ..Row::measured(NAME, peer, peer_median)
                }
            }
        });
    }
    Ok(rows)
}

/// Texts of 30 words that are one token each; the two special tokens make 32.
fn thirty_two_texts(encoder: &SentenceEncoder) -> Result<Vec<String>> {
    const WORDS: [&str; 11] = [
        "photo", "of", "red", "castle", "in", "the", "forest", "with", "dramatic", "light", "and",
    ];
    let text = |row: usize| {
        let words: Vec<&str> = (0..30)
            .map(|i| WORDS[(row + i * (row % 7 + 1)) % 11])
            .collect();
        words.join(" ")
    };
    let texts: Vec<String> = (0..32).map(text).collect();
    for text in &texts {
        let tokens = encoder.tokenize(text)?.len();
        if tokens != 32 {
            bail!("`{text}` has {tokens} tokens, not 32");
        }
    }
    Ok(texts)
}

/// What a command prints on standard output, as JSON.
fn output_of(mut command: Command) -> Result<Value> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        bail!("{program} ended with {}: {last}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{program} printed no JSON"))
}

/// A peer's answer, or the command that would install it.
fn answer_of_peer(answer: &Value) -> Result<Value> {
    match answer["missing"].as_str() {
        Some(install) => bail!("{install}"),
        None => Ok(answer.clone()),
    }
}

fn largest_difference(ours: &Value, theirs: &Value) -> Option<f32> {
    let (ours, theirs) = (ours.as_array()?, theirs.as_array()?);
    if ours.len() != theirs.len() {
        return None;
    }
    let pairs = ours.iter().zip(theirs);
    pairs
        .map(|(a, b)| Some((a.as_f64()? - b.as_f64()?).abs() as f32))
        .try_fold(0.0, |largest: f32, difference| {
            Some(largest.max(difference?))
        })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
