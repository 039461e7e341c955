//! A tower of eight bits tries the candidates, and the tower of f32 decides: the same words and
//! numbers as from f32 alone.

mod common;

use common::{Model, expected, fixture, model};
use unprompt_interrogate::{
    Behaviour, InterrogateOptions, Interrogation, Interrogator, LabelSet, Mode, NoTableProgress,
    Subject,
};

fn interrogate(model: &Model, name: &str, mode: Mode, scouted: bool) -> Interrogation {
    let expected = expected();
    let number = |key: &str| expected[key].as_u64().unwrap() as usize;
    let options = InterrogateOptions {
        chunk_size: number("chunk_size"),
        candidates: number("candidates"),
        ..InterrogateOptions::new(mode, Behaviour::Compat060)
    };
    let mut encoder = model.encoder();
    if scouted {
        encoder = encoder.with_scout(model.int8_tower()).unwrap();
    }
    let labels = LabelSet::read(&fixture("labels"), options.behaviour).unwrap();
    let interrogator =
        Interrogator::load(encoder, labels, None, options, &NoTableProgress).unwrap();
    let vector = model.pictures(&[name]).swap_remove(0);
    let subject = Subject {
        picture: &vector,
        caption: expected["pictures"][name]["caption"].as_str(),
    };
    let found = interrogator.interrogate(&[subject]).unwrap();
    found.into_iter().next().unwrap().unwrap()
}

#[test]
fn what_eight_bits_try_single_precision_decides() {
    let expected = expected();
    for (name, _) in expected["pictures"].as_object().unwrap() {
        let model = Model::of(name);
        for mode in [Mode::Best, Mode::Negative] {
            let exact = interrogate(&model, name, mode, false);
            let scouted = interrogate(&model, name, mode, true);
            assert_eq!(scouted, exact, "{name}, {mode:?}");
        }
    }
}

#[test]
fn eight_bits_alone_would_say_something_else() {
    let (model, name) = (model(), "cat.png");
    let picture = model.pictures(&[name]).swap_remove(0);
    let texts = ["a cat, golden light", "a cat, smoke render"];
    let exact = model.encoder().similarities(&picture, &texts).unwrap();
    let ids = texts.map(|text| model.encoder().tokenizer().encode(text).unwrap());
    let rough = model.int8_tower().forward(&ids).unwrap();
    for (mut rough, exact) in rough.into_iter().zip(exact) {
        unprompt_models::to_unit_length(&mut rough);
        let terms = rough.iter().zip(&picture);
        let rough: f32 = terms.map(|(a, b)| a * b).sum();
        assert!((rough - exact).abs() > 1e-5);
    }
}

#[test]
fn a_tower_of_another_network_does_not_scout() {
    let other = unprompt_models::ClipCheckpoint::open(
        &common::workspace("fixtures/models/tiny-clip"),
        unprompt_checkpoint::Pickle::Deny,
    );
    let other = other.unwrap().text_tower().unwrap();
    let refused = model().encoder().with_scout(other).unwrap_err();
    assert!(refused.to_string().contains("another network"), "{refused}");
}
