//! The same as clip-interrogator 0.6.0 where prompts overflow the 77 tokens and where labels are
//! equally near; `fixtures/models/interrogate_limits.py` asks the package.

mod common;

use common::{Model, expected, limits};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use unprompt_interrogate::{
    Behaviour, ChainOptions, InterrogateOptions, Interrogator, LabelList, LabelTable, Mode,
    NoTableProgress, Subject,
};

const CONTEXT: usize = 77;
const BOTH: [Behaviour; 2] = [Behaviour::Compat060, Behaviour::Fixed];

fn options(mode: Mode, behaviour: Behaviour, expected: &Value) -> InterrogateOptions {
    let number = |key: &str| expected[key].as_u64().unwrap() as usize;
    InterrogateOptions {
        chunk_size: number("chunk_size"),
        candidates: number("candidates"),
        ..InterrogateOptions::new(mode, behaviour)
    }
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The cases of each picture, whose weights are its own.
fn by_picture(cases: &Value) -> BTreeMap<&str, Vec<&Value>> {
    let mut pictures: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for case in cases.as_array().unwrap() {
        let picture = case["picture"].as_str().unwrap();
        pictures.entry(picture).or_default().push(case);
    }
    pictures
}

fn tokens(interrogator: &Interrogator, text: &str) -> usize {
    interrogator.encoder().tokenizer().count(text).unwrap()
}

fn similarity(interrogator: &Interrogator, picture: &[f32], text: &str) -> f32 {
    let encoder = interrogator.encoder();
    encoder.similarities(picture, &[text]).unwrap()[0]
}

/// A label that begins within the 77 tokens and ends past them is judged by its beginning, and is
/// in the prompt whole. The default takes no such label.
#[test]
fn chains_past_the_limit_say_what_the_package_says() {
    let (expected, limits) = (expected(), limits());
    let mut cut = 0;
    for (name, cases) in by_picture(&limits["chains"]) {
        let model = Model::of(name);
        let picture = model.pictures(&[name]).swap_remove(0);
        let [compat, fixed] =
            BOTH.map(|behaviour| model.interrogator(options(Mode::Best, behaviour, &expected)));
        for case in cases {
            let number = |key: &str| case[key].as_u64().unwrap() as usize;
            let options = ChainOptions {
                min_count: number("min_count"),
                max_count: number("max_count"),
                reverse: case["reverse"].as_bool().unwrap(),
                deadline: None,
            };
            let chain = |interrogator: &Interrogator| {
                let (phrases, start) = (strings(&case["phrases"]), case["start"].as_str());
                let found = interrogator.chain(&picture, phrases, start, &options);
                found.unwrap().phrases.join(", ")
            };
            let found = chain(&compat);
            assert_eq!(found, case["chain"].as_str().unwrap(), "{name}");
            assert_eq!(tokens(&compat, &found), number("tokens"));
            assert!(number("tokens") > CONTEXT);
            let theirs = case["similarity"].as_f64().unwrap() as f32;
            let ours = similarity(&compat, &picture, &found);
            assert!((ours - theirs).abs() < 1e-5, "{name}: {ours}, {theirs}");
            let kept = chain(&fixed);
            if case["start"]
                .as_str()
                .is_none_or(|start| tokens(&fixed, start) <= CONTEXT)
            {
                assert!(tokens(&fixed, &kept) <= CONTEXT, "{kept}");
                cut += usize::from(kept != found);
            }
        }
    }
    assert!(cut >= 10, "{cut}");
}

/// Captions that are too long, in one part or in many, or that leave room for a word: what is
/// kept, and which of the four prompts is the best, where two of them are the same to the tower.
#[test]
fn long_captions_give_what_the_package_gives() {
    let (expected, limits) = (expected(), limits());
    let mut longest = HashSet::new();
    for (name, cases) in by_picture(&limits["prompts"]) {
        let model = Model::of(name);
        let picture = model.pictures(&[name]).swap_remove(0);
        for (key, mode) in [
            ("classic", Mode::Classic),
            ("fast", Mode::Fast),
            ("best", Mode::Best),
        ] {
            let [compat, fixed] =
                BOTH.map(|behaviour| model.interrogator(options(mode, behaviour, &expected)));
            for case in &cases {
                let subject = Subject {
                    picture: &picture,
                    caption: case["caption"].as_str(),
                };
                let prompt = |interrogator: &Interrogator| {
                    let found = interrogator.interrogate(&[subject]).unwrap().swap_remove(0);
                    found.unwrap().prompt.unwrap()
                };
                let found = prompt(&compat);
                assert_eq!(found, case[key].as_str().unwrap(), "{name}, {key}");
                let count = case["tokens"][key].as_u64().unwrap() as usize;
                assert_eq!(tokens(&compat, &found), count, "{name}, {key}");
                if count > CONTEXT {
                    longest.insert(key);
                }
                assert!(tokens(&fixed, &prompt(&fixed)) <= CONTEXT, "{name}, {key}");
            }
        }
    }
    assert_eq!(longest.len(), 3);
}

/// Where a chain meets labels that are equally near, the package gives what its `set` happens to
/// begin with: another text in every process. Ours is one of those, by the order of the list.
#[test]
fn ties_in_a_chain_are_one_of_what_the_package_may_say() {
    let (expected, limits) = (expected(), limits());
    let ties = &limits["ties"];
    let name = ties["picture"].as_str().unwrap();
    let (model, labels) = (Model::of(name), strings(&ties["labels"]));
    let picture = model.pictures(&[name]).swap_remove(0);
    let options = options(Mode::Best, Behaviour::Compat060, &expected);
    let interrogator = model.interrogator(options);
    let chain = |labels: Vec<String>| {
        let options = ChainOptions {
            min_count: 8,
            max_count: 3,
            reverse: false,
            deadline: None,
        };
        let found = interrogator.chain(&picture, labels, None, &options);
        found.unwrap().phrases
    };
    let theirs = strings(&ties["chains"]);
    assert!(theirs.len() > 1);
    let forward = chain(labels.clone());
    let backward = chain(labels.iter().rev().cloned().collect());
    assert_ne!(forward, backward);
    for found in [&forward, &backward] {
        assert!(theirs.contains(&found.join(", ")), "{found:?}: {theirs:?}");
    }
    let place = |label: &String| labels.iter().position(|other| other == label);
    for pair in labels.chunks(2) {
        let found = |chain: &[String]| chain.iter().find(|label| pair.contains(label)).cloned();
        if let (Some(first), Some(last)) = (found(&forward), found(&backward)) {
            assert!(place(&first) < place(&last), "{first}, {last}");
        }
    }
}

/// In a ranking `torch.topk` gives equal values in an order that nobody promises: up to that, the
/// order of a table is the package's. The first place among 64 or more is the first in the list.
#[test]
fn ties_in_a_ranking_differ_only_among_equals() {
    let limits = limits();
    let ties = &limits["ties"];
    let name = ties["picture"].as_str().unwrap();
    let model = Model::of(name);
    let picture = model.pictures(&[name]).swap_remove(0);
    let (labels, table) = (strings(&ties["labels"]), strings(&ties["table"]));
    let load = |labels: Vec<String>| {
        let list = LabelList::new("flavors", labels);
        LabelTable::load(list, &model.encoder(), None, &NoTableProgress).unwrap()
    };
    let ours = load(table.clone()).rank(&picture, table.len()).unwrap();
    let theirs = strings(&ties["ranked"]);
    assert_eq!(ours.len(), theirs.len());
    let by_label: BTreeMap<&str, f32> = ours
        .iter()
        .map(|ranked| (ranked.label.as_str(), ranked.similarity))
        .collect();
    for (place, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let theirs = by_label[theirs.as_str()];
        let difference = (ours.similarity - theirs).abs();
        assert!(difference < 1e-5, "{place}: {difference}");
    }
    for pair in labels.chunks(2) {
        let place = |label: &String| ours.iter().position(|ranked| ranked.label == *label);
        assert_eq!(by_label[pair[0].as_str()], by_label[pair[1].as_str()]);
        assert_eq!(place(&pair[0]).map(|first| first + 1), place(&pair[1]));
        for order in [[0, 1], [1, 0]] {
            let pair = order.map(|at| pair[at].clone());
            let others = &table[labels.len()..76];
            let list = [&others[..30], &pair, &others[30..]].concat();
            let first = load(list);
            let vector = model.encoder().embed(&pair[..1]).unwrap().swap_remove(0);
            let ours = first.rank(&vector, 1).unwrap().swap_remove(0).label;
            assert_eq!(ours, ties["first"][&pair[0]].as_str().unwrap());
        }
    }
}
