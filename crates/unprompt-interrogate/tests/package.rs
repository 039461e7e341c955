//! The same words as clip-interrogator 0.6.0, on real pictures with a tiny CLIP;
//! `fixtures/models/interrogate.py` asks the package.

mod common;

use common::{Model, expected, model};
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
    let number = |key: &str| expected[key].as_u64().unwrap() as usize;
    InterrogateOptions {
        chunk_size: number("chunk_size"),
        candidates: number("candidates"),
        top: 10,
        ..InterrogateOptions::new(mode, behaviour)
    }
}

fn interrogate(
    model: &Model,
    (name, picture): (&str, &Value),
    options: InterrogateOptions,
) -> Interrogation {
    let vector = model.pictures(&[name]).swap_remove(0);
    let subject = Subject {
        picture: &vector,
        caption: picture["caption"].as_str(),
    };
    let found = model.interrogator(options).interrogate(&[subject]);
    found.unwrap().swap_remove(0).unwrap()
}

#[test]
fn the_same_words_from_the_same_vectors() {
    let expected = expected();
    let pictures = pictures(&expected);
    assert!(pictures.len() >= 5);
    for (name, picture) in pictures {
        let model = Model::of(name);
        let features = picture["features"].as_array().unwrap();
        let vector = model.pictures(&[name]).swap_remove(0);
        for (feature, found) in features.iter().zip(vector) {
            let difference = (feature.as_f64().unwrap() as f32 - found).abs();
            assert!(difference < 1e-5, "{name}: {difference}");
        }
        // Rounding turns no decision.
        assert!(picture["margin"].as_f64().unwrap() > 1e-4);
        for (key, mode) in MODES {
            let options = options(mode, Behaviour::Compat060, &expected);
            let found = interrogate(&model, (name, picture), options);
            assert_eq!(
                found.prompt.as_deref(),
                picture[key].as_str(),
                "{name}, {key}"
            );
            let similarity = picture["similarity"][key].as_f64().unwrap() as f32;
            let difference = (found.similarity.unwrap() - similarity).abs();
            assert!(difference < 1e-5, "{name}, {key}: {difference}");
        }
        let options = options(Mode::Analyze, Behaviour::Compat060, &expected);
        let found = interrogate(&model, (name, picture), options);
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
    let names: Vec<&str> = pictures(&expected).iter().map(|(name, _)| *name).collect();
    let run = |mode: Mode, names: &[&str]| -> Vec<Interrogation> {
        let vectors = model().pictures(names);
        let subjects: Vec<Subject> = vectors
            .iter()
            .zip(names)
            .map(|(picture, name)| Subject {
                picture,
                caption: expected["pictures"][name]["caption"].as_str(),
            })
            .collect();
        let options = options(mode, Behaviour::Fixed, &expected);
        let found = model()
            .interrogator(options)
            .interrogate(&subjects)
            .unwrap();
        found.into_iter().map(Result::unwrap).collect()
    };
    for mode in [Mode::Best, Mode::Negative, Mode::Fast, Mode::Analyze] {
        let first = run(mode, &names);
        for round in 0..10 {
            let threads = [1, 2, 4][round % 3];
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let again = pool.install(|| run(mode, &names));
            assert_eq!(again, first, "{mode:?}, {threads} threads");
        }
        assert_eq!(run(mode, &names[2..3])[0], first[2], "{mode:?}");
    }
}
