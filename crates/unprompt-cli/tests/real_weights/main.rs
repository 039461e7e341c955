//! What needs the real weights of all-MiniLM-L6-v2 and EfficientNet-Lite0, and
//! CLIP's real vocabulary and the lists of clip-interrogator.
//!
//! They are fetched once, about 110 MB, into a cache that stays: the folder that `UNPROMPT_CACHE`
//! names, else `model-cache` in cargo's target folder; never the user's own caches. Where they
//! cannot be fetched, every test is reported as ignored and one line says why; with
//! `UNPROMPT_REQUIRE_WEIGHTS=1` it is a failure instead.
//!
//! `UNPROMPT_COMPETITION_DIR` may name a folder with `prompts.csv` and `sample_submission.csv` of
//! the Kaggle competition "Stable Diffusion - Image to Prompts", which cannot be part of this
//! repository: then one more test compares the embeddings of these prompts with the submission.

#![allow(clippy::print_stderr, reason = "tests say what they measured")]

#[path = "../harness/mod.rs"]
mod harness;

mod classifier;
mod clip_tokenizer;
mod commands;
mod drawing;
mod fitting;
mod inputs;
mod interrogator;
mod prediction;
mod reference;
mod sentence_encoder;
mod text_search;
mod weights;

use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::Arc;
use weights::Weights;

/// What a test of these is: it panics where it fails, as other tests do.
type Test = (&'static str, fn(&Weights));

fn main() {
    let arguments = Arguments::from_args();
    let mut tests: Vec<Test> = [
        sentence_encoder::TESTS,
        classifier::TESTS,
        clip_tokenizer::TESTS,
        prediction::TESTS,
        fitting::TESTS,
        drawing::TESTS,
        text_search::TESTS,
        inputs::TESTS,
        interrogator::TESTS,
        commands::TESTS,
    ]
    .concat();
    if std::env::var_os(sentence_encoder::COMPETITION_DIR).is_some() {
        tests.push(sentence_encoder::COMPETITION);
    }
    let filtered_out = |(name, _): &Test| {
        let trial = Trial::test(*name, || Ok(()));
        arguments.is_filtered_out(&trial)
    };
    let weights = if arguments.list || tests.iter().all(filtered_out) {
        Err("no test was asked for".to_owned())
    } else {
        let weights = Weights::fetch();
        if let Err(reason) = &weights {
            let count = tests.len();
            eprintln!("skipping {count} tests that need real weights: {reason}");
        }
        weights.map(Arc::new)
    };
    let required = std::env::var_os("UNPROMPT_REQUIRE_WEIGHTS").is_some_and(|value| value == "1");
    let trial = |(name, test): Test| match &weights {
        Ok(weights) => {
            let weights = Arc::clone(weights);
            Trial::test(name, move || {
                test(&weights);
                Ok(())
            })
        }
        Err(reason) => {
            let reason = reason.clone();
            let skipped = Trial::test(name, move || Err(Failed::from(reason)));
            skipped.with_ignored_flag(!required && !arguments.list)
        }
    };
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit();
}
