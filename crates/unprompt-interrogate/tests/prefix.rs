//! A prompt that is computed once for many phrases gives what the whole texts give.

mod common;

use common::{Draw, fixture, model};
use unprompt_models::to_unit_length;

/// Tokens reach across the comma, or seem to: signs, HTML references, wrong encodings, blanks,
/// special tokens, none at all.
const ODD: [&str; 24] = [
    "",
    " ",
    "!",
    "...",
    "(masterpiece)",
    ",",
    ", ,",
    "it's",
    "'s",
    "--",
    "&amp",
    "amp;",
    "&",
    "lt;b",
    "&#4",
    "<end_of_text>",
    "<start_of_text>",
    "\u{c3}",
    "\u{a9}clair",
    "caf\u{e9}",
    "a\tb ",
    "\n",
    "\u{3a3}",
    "1 9 9 0",
];

#[test]
fn a_thousand_prompts_equal_their_whole_texts() {
    let encoder = model().encoder();
    let picture = model().pictures(&["cat.png"]).swap_remove(0);
    let flavors = std::fs::read_to_string(fixture("labels/flavors.txt")).unwrap();
    let flavors: Vec<&str> = flavors.lines().collect();
    let mut draw = Draw(7);
    let phrase = |draw: &mut Draw| match draw.below(4) {
        0 => ODD[draw.below(ODD.len())].to_owned(),
        1 => format!(
            "{}{}",
            ODD[draw.below(ODD.len())],
            flavors[draw.below(flavors.len())]
        ),
        _ => flavors[draw.below(flavors.len())].to_owned(),
    };
    let mut at_the_limit = 0;
    for _ in 0..1000 {
        let count = draw.below(30);
        let parts: Vec<String> = (0..=count).map(|_| phrase(&mut draw)).collect();
        let prompt = parts.join(", ");
        let mut phrases: Vec<String> = (0..3).map(|_| phrase(&mut draw)).collect();
        phrases.push(phrases[0].clone());
        let found = encoder
            .similarities_after(&picture, &prompt, &phrases)
            .unwrap();
        let whole: Vec<String> = phrases.iter().map(|p| format!("{prompt}, {p}")).collect();
        let ids: Vec<Vec<u32>> = whole
            .iter()
            .map(|text| encoder.tokenizer().encode(text).unwrap())
            .collect();
        // By the other path through the network, which shares nothing.
        let mut expected = encoder.tower().forward(&ids).unwrap();
        let expected = expected.iter_mut().map(|feature| {
            to_unit_length(feature);
            let terms = feature.iter().zip(&picture);
            terms.map(|(a, b)| a * b).sum::<f32>()
        });
        for (text, (found, expected)) in whole.iter().zip(found.iter().zip(expected)) {
            assert!(
                (found - expected).abs() < 1e-5,
                "{text:?}: {found}, {expected}"
            );
            let length = encoder.tokenizer().count(text).unwrap();
            at_the_limit += usize::from((75..=79).contains(&length));
        }
        assert_eq!(found[0], found[3]);
    }
    assert!(at_the_limit > 100, "{at_the_limit}");
}
