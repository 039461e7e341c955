//! Where the default differs from clip-interrogator 0.6.0; each of these holds for one of them only.

mod common;

use common::{fixture, model};
use std::collections::HashSet;
use unprompt_interrogate::{
    Behaviour, ChainOptions, InterrogateOptions, Interrogation, Interrogator, LabelList, LabelSet,
    LabelTable, Mode, NoTableProgress, Subject, TokenBudget,
};

const BOTH: [Behaviour; 2] = [Behaviour::Fixed, Behaviour::Compat060];
const PICTURES: [&str; 5] = [
    "astronaut.jpg",
    "cat.png",
    "coffee.webp",
    "photographer.png",
    "rocket.jpg",
];

fn one(interrogator: &Interrogator, picture: &[f32], caption: Option<&str>) -> Interrogation {
    let subject = Subject { picture, caption };
    interrogator
        .interrogate(&[subject])
        .unwrap()
        .swap_remove(0)
        .unwrap()
}

fn prompts(mode: Mode, behaviour: Behaviour, flavors: usize) -> Vec<String> {
    let options = InterrogateOptions {
        max_flavors: Some(flavors),
        ..InterrogateOptions::new(mode, behaviour)
    };
    let interrogator = model().interrogator(options);
    let pictures = model().pictures(&PICTURES);
    let prompt = |picture: &Vec<f32>| one(&interrogator, picture, Some("a caption")).prompt;
    pictures.iter().filter_map(prompt).collect()
}

fn with_lists(lists: &[(&str, &[&str])], options: InterrogateOptions) -> Interrogator {
    let list = |(name, labels): &(&str, &[&str])| {
        LabelList::new(
            *name,
            labels.iter().map(|label| (*label).to_owned()).collect(),
        )
    };
    let set = LabelSet::new(lists.iter().map(list).collect());
    Interrogator::load(model().encoder(), set, None, options, &NoTableProgress).unwrap()
}

/// One that has the tables of all modes gives in each what one of that mode gives.
#[test]
fn the_tables_of_an_analysis_serve_every_mode() {
    let options = |mode| InterrogateOptions::new(mode, Behaviour::Fixed);
    let all = model().interrogator(options(Mode::Analyze));
    let pictures = model().pictures(&PICTURES);
    let caption = Some("a caption");
    for mode in [
        Mode::Classic,
        Mode::Fast,
        Mode::Best,
        Mode::Negative,
        Mode::Competition,
        Mode::Analyze,
    ] {
        let own = model().interrogator(options(mode));
        for picture in &pictures {
            let subject = Subject { picture, caption };
            let found = all.interrogate_in(mode, &[subject]).unwrap();
            let [Ok(found)] = &found[..] else {
                panic!("{mode:?}: {found:?}")
            };
            assert_eq!(found, &one(&own, picture, caption), "{mode:?}");
        }
        let subject = Subject {
            picture: &pictures[0],
            caption,
        };
        let other = own.interrogate_in(Mode::Analyze, &[subject]);
        assert_eq!(other.is_ok(), mode == Mode::Analyze, "{mode:?}");
    }
}

/// As many labels as fit and not one more: 0.6.0 measures without the comma that it then adds, and
/// takes a text of exactly 77 tokens for too long.
#[test]
fn a_prompt_is_filled_to_the_last_token() {
    let encoder = model().encoder();
    let fills = |behaviour| {
        let all = prompts(Mode::Fast, behaviour, 60);
        let more = |prompt: &str| {
            // The labels after those that are in the prompt, for the same picture.
            let long = InterrogateOptions {
                max_flavors: Some(60),
                budget: TokenBudget::of_tokens(7700),
                ..InterrogateOptions::new(Mode::Fast, Behaviour::Fixed)
            };
            let interrogator = model().interrogator(long);
            let pictures = model().pictures(&PICTURES);
            let next = pictures.iter().find_map(|picture| {
                let whole = one(&interrogator, picture, Some("a caption"))
                    .prompt
                    .unwrap();
                let rest = whole.strip_prefix(prompt)?.strip_prefix(", ")?.to_owned();
                rest.split(", ").next().map(str::to_owned)
            });
            next.map(|next| format!("{prompt}, {next}"))
        };
        all.iter().all(|prompt| {
            let count = |text: &str| encoder.tokenizer().count(text).unwrap();
            count(prompt) <= 77 && more(prompt).is_some_and(|longer| count(&longer) > 77)
        })
    };
    assert!(fills(Behaviour::Fixed));
    assert!(!fills(Behaviour::Compat060));
}

/// 0.6.0 compares a reversed chain with the similarity of its start as if it went forward.
#[test]
fn a_negative_chain_goes_away_from_the_picture() {
    let chain = ChainOptions {
        min_count: 8,
        max_count: 10,
        reverse: true,
        deadline: None,
    };
    let mut longer = [0, 0];
    for picture in model().pictures(&PICTURES) {
        for (behaviour, longer) in BOTH.into_iter().zip(&mut longer) {
            let options = InterrogateOptions::new(Mode::Fast, behaviour);
            let interrogator = model().interrogator(options);
            // Labels whose similarity is positive.
            let mut tables = interrogator.tables().iter();
            let flavors = tables.find(|table| table.name() == "flavors").unwrap();
            let ranked = flavors.rank(&picture, 40).unwrap().into_iter();
            let phrases: Vec<String> = ranked
                .filter(|ranked| ranked.similarity > 0.0)
                .map(|ranked| ranked.label)
                .collect();
            let chain = ChainOptions {
                max_count: phrases.len().clamp(1, 11) - 1,
                ..chain
            };
            let found = interrogator.chain(&picture, phrases, None, &chain).unwrap();
            if found.phrases.len() > 1 {
                *longer += 1;
                let texts = [found.phrases[0].clone(), found.phrases.join(", ")];
                let similarities = interrogator
                    .encoder()
                    .similarities(&picture, &texts)
                    .unwrap();
                assert!(similarities[1] < similarities[0], "{similarities:?}");
            }
        }
    }
    assert!(longer[0] >= 3, "{longer:?}");
    assert_eq!(longer[1], 0);
}

/// 0.6.0 keeps a few labels of each chunk of a table, and so loses those that crowd in one.
#[test]
fn no_label_is_lost_to_chunks() {
    let picture = model().pictures(&["cat.png"]).swap_remove(0);
    let words = [
        "glass", "fire", "river", "stone", "paper", "metal", "smoke", "forest",
    ];
    let labels: Vec<String> = words
        .iter()
        .flat_map(|a| words.map(|b| format!("{a} {b}")))
        .collect();
    let ranked = {
        let list = LabelList::new("flavors", labels);
        let table = LabelTable::load(list, &model().encoder(), None, &NoTableProgress).unwrap();
        table.rank(&picture, 64).unwrap()
    };
    // The most similar ones beside each other; the same ones reversed.
    let labels: Vec<&str> = ranked.iter().map(|ranked| ranked.label.as_str()).collect();
    let reversed: Vec<&str> = labels.iter().rev().copied().collect();
    for (labels, first) in [(&labels, &labels[..8]), (&reversed, &labels[..8])] {
        for behaviour in BOTH {
            let options = InterrogateOptions {
                max_flavors: Some(8),
                chunk_size: 16,
                ..InterrogateOptions::new(Mode::Fast, behaviour)
            };
            let interrogator = with_lists(&[("flavors", labels)], options);
            let prompt = one(&interrogator, &picture, Some("a cat")).prompt.unwrap();
            let found: Vec<&str> = prompt.split(", ").skip(1).collect();
            match behaviour {
                Behaviour::Fixed => assert_eq!(found, first),
                Behaviour::Compat060 => assert_ne!(found, first),
            }
        }
    }
    // The least similar, of which 0.6.0 takes the most similar.
    for behaviour in BOTH {
        let options = InterrogateOptions {
            candidates: 1,
            max_flavors: Some(0),
            chunk_size: 16,
            ..InterrogateOptions::new(Mode::Negative, behaviour)
        };
        let prompt = one(
            &with_lists(&[("flavors", &labels)], options),
            &picture,
            None,
        )
        .prompt;
        let is_the_least = prompt.as_deref() == labels.last().copied();
        assert_eq!(is_the_least, behaviour == Behaviour::Fixed, "{prompt:?}");
    }
}

/// 0.6.0 cuts a caption at its commas, as if they stood between labels.
#[test]
fn a_long_caption_is_cut_after_a_word() {
    let picture = model().pictures(&["rocket.jpg"]).swap_remove(0);
    let part = "a rocket takes off from stone and glass in the golden light of the rain";
    let caption = [part; 6].join(", ");
    for behaviour in BOTH {
        let interrogator = model().interrogator(InterrogateOptions::new(Mode::Fast, behaviour));
        let prompt = one(&interrogator, &picture, Some(&caption)).prompt.unwrap();
        assert!(caption.starts_with(&prompt), "{prompt}");
        let whole_parts = prompt.split(", ").all(|found| found == part);
        assert_eq!(whole_parts, behaviour == Behaviour::Compat060, "{prompt}");
    }
}

/// With fewer labels than steps 0.6.0 ends in an error.
#[test]
fn a_chain_ends_with_its_candidates() {
    let picture = model().pictures(&["cat.png"]).swap_remove(0);
    for behaviour in BOTH {
        let interrogator = model().interrogator(InterrogateOptions::new(Mode::Best, behaviour));
        let phrases = ["glass", "fire"].map(str::to_owned).to_vec();
        let options = ChainOptions {
            min_count: 8,
            max_count: 8,
            reverse: false,
            deadline: None,
        };
        let found = interrogator.chain(&picture, phrases, Some("a cat"), &options);
        match behaviour {
            Behaviour::Fixed => assert_eq!(found.unwrap().phrases[0], "a cat"),
            Behaviour::Compat060 => {
                let refused = found.unwrap_err().to_string();
                assert!(refused.contains("no label left"), "{refused}");
            }
        }
    }
}

/// 0.6.0 shows a label as often as it is in its lists.
#[test]
fn a_label_is_shown_once() {
    for behaviour in BOTH {
        let repeats = prompts(Mode::Fast, behaviour, 200).iter().any(|prompt| {
            let labels: Vec<&str> = prompt.split(", ").collect();
            labels.iter().collect::<HashSet<_>>().len() < labels.len()
        });
        // The same label in two tables, and within one.
        let lists: [(&str, &[&str]); 2] = [
            ("flavors", &["glass", "fire", "glass"]),
            ("mediums", &["fire"]),
        ];
        let interrogator = with_lists(&lists, InterrogateOptions::new(Mode::Fast, behaviour));
        let picture = model().pictures(&["cat.png"]).swap_remove(0);
        let prompt = one(&interrogator, &picture, Some("a cat")).prompt.unwrap();
        let labels = prompt.split(", ").count();
        match behaviour {
            Behaviour::Fixed => assert_eq!((repeats, labels), (false, 3), "{prompt}"),
            Behaviour::Compat060 => assert_eq!(labels, 5, "{prompt}"),
        }
    }
}

/// Labels with the same tokens are equally near: the first in the list is taken.
#[test]
fn ties_keep_the_order_of_the_list() {
    let picture = model().pictures(&["coffee.webp"]).swap_remove(0);
    let labels: [&[&str]; 2] = [
        &["1 9 9 0", "1990", "GLASS", "glass"],
        &["1990", "1 9 9 0", "glass", "GLASS"],
    ];
    for labels in labels {
        let lists: [(&str, &[&str]); 1] = [("flavors", labels)];
        let options = InterrogateOptions::new(Mode::Fast, Behaviour::Fixed);
        let prompt = one(&with_lists(&lists, options), &picture, None)
            .prompt
            .unwrap();
        let place = |label: &str| prompt.split(", ").position(|part| part == label).unwrap();
        assert!(place(labels[0]) < place(labels[1]), "{prompt}");
        assert!(place(labels[2]) < place(labels[3]), "{prompt}");
        let interrogator = with_lists(
            &lists,
            InterrogateOptions::new(Mode::Best, Behaviour::Fixed),
        );
        let prompt = one(&interrogator, &picture, None).prompt.unwrap();
        let place = |label: &str| prompt.split(", ").position(|part| part == label);
        for pair in labels.chunks(2) {
            if let Some(second) = place(pair[1]) {
                assert!(
                    place(pair[0]).is_some_and(|first| first < second),
                    "{prompt}"
                );
            }
        }
    }
}

#[test]
fn a_caption_may_be_missing_or_too_long() {
    let picture = model().pictures(&["rocket.jpg"]).swap_remove(0);
    let long = "a rocket takes off, ".repeat(40);
    for mode in [Mode::Classic, Mode::Fast, Mode::Competition, Mode::Best] {
        let fixed = model().interrogator(InterrogateOptions::new(mode, Behaviour::Fixed));
        let without = one(&fixed, &picture, None).prompt.unwrap();
        assert!(
            !without.is_empty() && !without.starts_with(','),
            "{without}"
        );
        assert_eq!(one(&fixed, &picture, Some("")).prompt.unwrap(), without);
        let cut = one(&fixed, &picture, Some(&long)).prompt.unwrap();
        let count = |text: &str| fixed.encoder().tokenizer().count(text).unwrap();
        assert!(count(&cut) <= 77 && count(&cut) > 70, "{mode:?}: {cut}");
        assert!(long.starts_with(&cut), "{cut}");

        let compat = model().interrogator(InterrogateOptions::new(mode, Behaviour::Compat060));
        let subject = Subject {
            picture: &picture,
            caption: None,
        };
        let refused = compat
            .interrogate(&[subject])
            .unwrap()
            .swap_remove(0)
            .unwrap_err();
        assert!(refused.to_string().contains("caption"), "{refused}");
    }
    // 0.6.0 keeps the first part even if nothing of it fits.
    let long = "rocket ".repeat(100);
    let compat = model().interrogator(InterrogateOptions::new(Mode::Fast, Behaviour::Compat060));
    assert_eq!(one(&compat, &picture, Some(&long)).prompt.unwrap(), long);
}

#[test]
fn budgets_are_kept_exactly() {
    let picture = model().pictures(&["astronaut.jpg"]).swap_remove(0);
    for limit in [20, 77, 154, 231] {
        let options = || InterrogateOptions {
            max_flavors: Some(200),
            budget: TokenBudget::of_tokens(limit),
            ..InterrogateOptions::new(Mode::Fast, Behaviour::Fixed)
        };
        let interrogator = model().interrogator(options());
        let prompt = one(&interrogator, &picture, Some("a flag")).prompt.unwrap();
        let content = interrogator.encoder().tokenizer().count(&prompt).unwrap() - 2;
        let most = if limit < 77 {
            limit - 2
        } else {
            limit / 77 * 75
        };
        // No label has more than 8 tokens.
        assert!((most - 9..=most).contains(&content), "{limit}: {content}");
        let best = model().interrogator(InterrogateOptions {
            candidates: 30,
            ..InterrogateOptions {
                mode: Mode::Best,
                ..options()
            }
        });
        let prompt = one(&best, &picture, Some("a flag")).prompt.unwrap();
        assert!(best.encoder().tokenizer().count(&prompt).unwrap() - 2 <= most);
    }
    // Another tokenizer: one that counts characters.
    let options = InterrogateOptions {
        budget: TokenBudget::counted_by(60, Box::new(|text| Ok(text.chars().count()))),
        ..InterrogateOptions::new(Mode::Best, Behaviour::Fixed)
    };
    let prompt = one(&model().interrogator(options), &picture, Some("a flag"))
        .prompt
        .unwrap();
    assert!((20..=60).contains(&prompt.chars().count()), "{prompt}");
}

#[test]
fn a_search_that_is_stopped_gives_the_best_so_far() {
    let picture = model().pictures(&["cat.png"]).swap_remove(0);
    let prompt = |time| {
        let options = InterrogateOptions {
            time,
            ..InterrogateOptions::new(Mode::Best, Behaviour::Fixed)
        };
        one(&model().interrogator(options), &picture, Some("a cat"))
    };
    let whole = prompt(None);
    let patient = prompt(Some(std::time::Duration::from_secs(3600)));
    assert_eq!((patient.prompt, patient.complete), (whole.prompt, true));
    let stopped = prompt(Some(std::time::Duration::ZERO));
    assert!(!stopped.complete);
    assert!(stopped.similarity <= whole.similarity);
    assert!(stopped.prompt.unwrap().starts_with("a cat"));
    let compat = InterrogateOptions {
        time: Some(std::time::Duration::from_secs(5)),
        ..InterrogateOptions::new(Mode::Best, Behaviour::Compat060)
    };
    let labels = LabelSet::read(&fixture("labels"), Behaviour::Compat060).unwrap();
    assert!(Interrogator::load(model().encoder(), labels, None, compat, &NoTableProgress).is_err());
}

#[test]
fn each_phrase_tells_what_it_adds() {
    let picture = model().pictures(&["coffee.webp"]).swap_remove(0);
    let options = InterrogateOptions {
        explain: true,
        ..InterrogateOptions::new(Mode::Classic, Behaviour::Fixed)
    };
    let interrogator = model().interrogator(options);
    let found = one(&interrogator, &picture, Some("a cup"));
    let (prompt, contributions) = (found.prompt.unwrap(), found.contributions.unwrap());
    let phrases: Vec<&str> = contributions.iter().map(|c| c.phrase.as_str()).collect();
    assert_eq!(phrases.join(", "), prompt);
    assert_eq!(phrases.len(), 7);
    for (index, contribution) in contributions.iter().enumerate() {
        let mut without = phrases.clone();
        without.remove(index);
        let without = [without.join(", ")];
        let without = interrogator
            .encoder()
            .similarities(&picture, &without)
            .unwrap()[0];
        let difference = found.similarity.unwrap() - without - contribution.contribution;
        assert!(difference.abs() < 1e-6);
    }
}

#[test]
fn tables_can_be_few() {
    let picture = model().pictures(&["coffee.webp"]).swap_remove(0);
    let lists: [(&str, &[&str]); 1] = [("mine", &["glass", "fire"])];
    for mode in [Mode::Fast, Mode::Best] {
        let found = one(
            &with_lists(&lists, InterrogateOptions::new(mode, Behaviour::Fixed)),
            &picture,
            None,
        );
        let prompt = found.prompt.unwrap();
        let all_known = prompt
            .split(", ")
            .all(|phrase| lists[0].1.contains(&phrase));
        assert!(all_known, "{prompt}");
    }
    let lists: [(&str, &[&str]); 1] = [("mediums", &["a photo"])];
    let classic = with_lists(
        &lists,
        InterrogateOptions::new(Mode::Classic, Behaviour::Fixed),
    );
    assert_eq!(
        one(&classic, &picture, Some("a cup")).prompt.unwrap(),
        "a cup, a photo"
    );
    assert_eq!(
        one(&classic, &picture, Some("a photo of a cup"))
            .prompt
            .unwrap(),
        "a photo of a cup"
    );
    let negative = LabelSet::new(vec![LabelList::new("mediums", vec!["x".into()])]);
    let options = InterrogateOptions::new(Mode::Negative, Behaviour::Fixed);
    assert!(
        Interrogator::load(model().encoder(), negative, None, options, &NoTableProgress).is_err()
    );
    let wrong = Subject {
        picture: &[1.0, 0.0],
        caption: None,
    };
    assert!(classic.interrogate(&[wrong]).is_err());
}
