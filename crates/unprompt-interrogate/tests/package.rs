//! The same words as clip-interrogator 0.6.0, on real pictures with a tiny CLIP;
//! `fixtures/models/interrogate.py` asks the package.

mod common;

use common::{expected, model};
use serde_json::Value;
use unprompt_interrogate::{Behaviour, InterrogateOptions, Interrogation, Mode, Subject};

const MODES: [(&str, Mode); 4] = [
    ("classic", Mode::Classic),
    ("fast", Mode::Fast),
    ("best", Mode::Best),
    ("negative", Mode::Negative),
];

/// Each picture's file and what the package says of it.
fn pictures(expected: &Value) -> Vec<(&str, &Value)> {
    let pictures = expected["pictures"].as_object().unwrap();
    pictures
        .iter()
        .map(|(name, picture)| (name.as_str(), picture))
        .collect()
}

fn options(mode: Mode, behaviour: Behaviour, expected: &Value) -> InterrogateOptions {
    let chunk = expected["chunk_size"].as_u64().unwrap() as usize;
    InterrogateOptions {
        chunk_size: chunk,
        candidates: chunk,
        top: 10,
        ..InterrogateOptions::new(mode, behaviour)
    }
}

fn interrogate(mode: Mode, behaviour: Behaviour, expected: &Value) -> Vec<Interrogation> {
    let pictures = pictures(expected);
    let names: Vec<&str> = pictures.iter().map(|(name, _)| *name).collect();
    let vectors = model().pictures(&names);
    let subjects: Vec<Subject> = vectors
        .iter()
        .zip(&pictures)
        .map(|(picture, (_, expected))| Subject {
            picture,
            caption: expected["caption"].as_str(),
        })
        .collect();
    let interrogator = model().interrogator(options(mode, behaviour, expected));
    let found = interrogator.interrogate(&subjects).unwrap();
    found.into_iter().map(Result::unwrap).collect()
}

#[test]
fn pictures_have_the_vectors_of_the_package() {
    let expected = expected();
    let pictures = pictures(&expected);
    assert!(pictures.len() >= 5);
    let names: Vec<&str> = pictures.iter().map(|(name, _)| *name).collect();
    for ((name, picture), vector) in pictures.iter().zip(model().pictures(&names)) {
        let features = picture["features"].as_array().unwrap();
        for (feature, found) in features.iter().zip(vector) {
            let difference = (feature.as_f64().unwrap() as f32 - found).abs();
            assert!(difference < 1e-5, "{name}: {difference}");
        }
    }
}

#[test]
fn every_mode_says_the_same_words() {
    let expected = expected();
    assert!(expected["margin"].as_f64().unwrap() > 1e-4);
    for (key, mode) in MODES {
        let found = interrogate(mode, Behaviour::Compat060, &expected);
        for ((name, picture), found) in pictures(&expected).iter().zip(found) {
            assert_eq!(
                found.prompt.as_deref(),
                picture[key].as_str(),
                "{name}, {key}"
            );
            let similarity = picture["similarity"][key].as_f64().unwrap() as f32;
            let difference = (found.similarity.unwrap() - similarity).abs();
            assert!(difference < 1e-5, "{name}, {key}: {difference}");
        }
    }
}

#[test]
fn every_table_has_the_same_first_labels() {
    let expected = expected();
    let found = interrogate(Mode::Analyze, Behaviour::Compat060, &expected);
    for ((name, picture), found) in pictures(&expected).iter().zip(found) {
        for (table, labels) in found.tables.unwrap() {
            let labels: Vec<String> = labels.into_iter().map(|ranked| ranked.label).collect();
            assert_eq!(
                serde_json::json!(labels),
                picture["tables"][&table],
                "{name}, {table}"
            );
        }
    }
}

#[test]
fn ten_runs_say_the_same_alone_and_together_and_with_any_number_of_threads() {
    let expected = expected();
    let first = interrogate(Mode::Best, Behaviour::Fixed, &expected);
    for run in 0..10 {
        let threads = [1, 2, 4][run % 3];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let found = pool
            .build()
            .unwrap()
            .install(|| interrogate(Mode::Best, Behaviour::Fixed, &expected));
        assert_eq!(found, first, "{threads} threads");
    }
    let (name, picture) = pictures(&expected)[2];
    let vector = model().pictures(&[name]).swap_remove(0);
    let interrogator = model().interrogator(options(Mode::Best, Behaviour::Fixed, &expected));
    let subject = Subject {
        picture: &vector,
        caption: picture["caption"].as_str(),
    };
    let alone = interrogator.interrogate(&[subject]).unwrap().swap_remove(0);
    assert_eq!(alone.unwrap(), first[2]);
}
