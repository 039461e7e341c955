//! The speed of the sentence encoder.

use super::{
    comparison::{largest_difference, least_cosine, median},
    peer::{answer_of_peer, output_of},
    row::{INT8, Row},
    subject::ENCODER,
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, process::Command, time::Instant};
use unprompt::{Compute, DeviceChoice, Dtype, Hub, SentenceEncoder, load_sentence_encoder};

const SCRIPT: &str = include_str!("../../../bench/minilm_throughput.py");

/// 32 texts of 32 tokens through the sentence encoder, tokenizing included.
pub(super) fn minilm_throughput(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    const NAME: &str = "MiniLM, 32 texts x 32 tokens";
    let (model, encoder) =
        load_sentence_encoder(hub, ENCODER, &Compute::default(), &unprompt::NoProgress)?;
    let int8 = Compute::new(DeviceChoice::Cpu, Some(Dtype::Int8))?;
    let (_, int8) = load_sentence_encoder(hub, ENCODER, &int8, &unprompt::NoProgress)?;
    let texts = thirty_two_texts(&encoder)?;
    let texts_file = folder.join("texts.txt");
    fs::write(&texts_file, texts.join("\n"))?;
    let script = folder.join("minilm_throughput.py");
    fs::write(&script, SCRIPT)?;

    // Before, between and after the peers, so that a slow minute of the machine hits all alike.
    let runs = usize::from(arguments.runs);
    let (mut our_times, mut int8_times) = (Vec::new(), Vec::new());
    let mut exact = encoder.embed(&texts)?;
    let cosine = least_cosine(&exact, &int8.embed(&texts)?);
    let first = exact.swap_remove(0);
    let mut measure_ours = || -> Result<()> {
        for _ in 0..runs {
            let start = Instant::now();
            encoder.embed(&texts)?;
            our_times.push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            int8.embed(&texts)?;
            int8_times.push(start.elapsed().as_secs_f64() * 1e3);
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
    let int8_median = median(&mut int8_times);
    let mut rows = vec![
        Row::measured(NAME, "unprompt", our_median),
        Row {
            int8_to_f32: Some(int8_median / our_median),
            cosine_to_f32: cosine,
            ..Row::measured(NAME, INT8, int8_median)
        },
    ];
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
