//! The search in a space where each phrase is one direction and a text the sum of its phrases.

use super::*;
use crate::vectors::unit;

const PHRASES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Texts are phrases joined by ", "; `poison` is refused.
struct Sums;

impl TextSpace for Sums {
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        texts.iter().map(|text| row(text)).collect()
    }

    fn tokens(&self, text: &str) -> Result<usize, ModelError> {
        Ok(text
            .split(", ")
            .map(|p| if p == "h" { 76 } else { 1 })
            .sum())
    }
}

fn row(text: &str) -> Result<Vec<f32>, ModelError> {
    if text.contains("poison") && text != "poison" {
        return Err(ModelError::NotFinite { model: "sums" });
    }
    Ok(PHRASES
        .map(|phrase| text.split(", ").filter(|part| *part == phrase).count() as f32)
        .to_vec())
}

fn candidates(texts: &[&str]) -> Vec<Candidate> {
    let candidate = |text: &&str| Candidate {
        text: (*text).into(),
        embedding: match *text {
            "poison" => vec![1.0; 8],
            text => row(text).unwrap(),
        },
    };
    texts.iter().map(candidate).collect()
}

fn query(target: &[f64], whole: &[&str], phrases: &[&str]) -> TextQuery {
    let mut row = target.to_vec();
    row.resize(8, 0.0);
    TextQuery {
        target: unit(&row),
        whole: candidates(whole),
        phrases: candidates(phrases),
    }
}

fn text(query: &TextQuery) -> String {
    search(&Sums, std::slice::from_ref(query)).remove(0).text
}

#[test]
fn a_chain_grows_while_it_comes_nearer() {
    let found = search(&Sums, &[query(&[3.0, 2.0, 2.0], &["a"], &PHRASES)]).remove(0);
    assert_eq!(found.text, "a, b, c");
    let expected = 7.0 / (17f64.sqrt() * 3f64.sqrt());
    assert!((found.similarity - expected).abs() < 1e-6, "{found:?}");
    assert_eq!(text(&query(&[1.0], &["a"], &PHRASES)), "a");
}

#[test]
fn whole_texts_come_before_phrases_and_earlier_before_later() {
    assert_eq!(text(&query(&[1.0, 1.0], &["a", "b"], &[])), "a");
    assert_eq!(text(&query(&[1.0, 1.0], &["b", "a"], &[])), "b");
    assert_eq!(text(&query(&[1.0, 1.0], &["a"], &["b, a", "b"])), "b, a");
    assert_eq!(
        text(&query(&[1.0, 1.0, 1.0], &["a"], &["c", "b"])),
        "a, c, b"
    );
    assert_eq!(text(&query(&[1.0], &[], &[])), "");
}

#[test]
fn budgets_of_tokens_and_phrases_are_kept() {
    let seven = [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0];
    let found = text(&query(&seven, &["a"], &PHRASES));
    assert_eq!(found.split(", ").count(), PHRASE_BUDGET);
    // `h` has 76 tokens: one phrase beside it fits, two do not.
    let target = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0];
    assert_eq!(text(&query(&target, &["a"], &["h"])), "h");
    let target = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    assert_eq!(text(&query(&target, &["a, b"], &["h"])), "a, b");
    assert_eq!(text(&query(&target, &["a"], &["h"])), "a, h");
}

#[test]
fn a_sentence_that_goes_on_loses_its_full_stop() {
    let mut query = query(&[1.0, 1.0], &[], &["b"]);
    query.whole.push(Candidate {
        text: "a.".into(),
        ..candidates(&["a"]).remove(0)
    });
    assert_eq!(text(&query), "a, b");
    query.phrases.clear();
    assert_eq!(text(&query), "a.");
}

#[test]
fn no_word_is_said_twice() {
    // "b, e, b" would be nearer, but it says `b` again.
    let target = [0.0, 4.0, 0.0, 0.0, 1.0];
    let nearer = row("b, e, b").unwrap();
    let found = query(&target, &["b"], &["e, b"]);
    let both = [nearer, row("b").unwrap()].map(|row| similarity(&row, &found.target));
    assert!(both[0] > both[1] + LEAST_GAIN);
    assert_eq!(text(&found), "b");
    let expected = ["dog", "golden", "l", "street"].map(String::from);
    assert_eq!(
        words("The golden dog, on L-Street"),
        BTreeSet::from(expected)
    );
}

#[test]
fn a_text_that_is_refused_costs_nobody_else_theirs() {
    let poisoned = query(&[1.0, 1.0, 1.0], &["a"], &["poison", "b"]);
    let sound = query(&[1.0, 1.0], &["b"], &["a"]);
    let found = search(&Sums, &[poisoned.clone(), sound.clone()]);
    assert_eq!(found[0], search(&Sums, &[poisoned]).remove(0));
    assert_eq!(found[1].text, "b, a");
}

#[test]
fn what_is_found_is_never_farther_than_the_nearest_whole_text() {
    // A fixed sequence of pseudo-random targets.
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as f64 / f64::from(1u32 << 31) - 0.3
    };
    let queries: Vec<TextQuery> = (0..200)
        .map(|_| {
            let target: Vec<f64> = (0..8).map(|_| next()).collect();
            query(&target, &["a, b", "c", "d, e, f, g"], &PHRASES[..7])
        })
        .collect();
    let together = search(&Sums, &queries);
    let mut longer = 0;
    for (query, found) in queries.iter().zip(&together) {
        let whole = query.whole.iter();
        let best = whole.map(|c| similarity(&c.embedding, &query.target));
        assert!(found.similarity >= best.fold(-1.0, f64::max));
        let measured = similarity(&row(&found.text).unwrap(), &query.target);
        assert!((measured - found.similarity).abs() < 1e-9);
        longer += usize::from(query.whole.iter().all(|c| c.text != found.text));
        assert_eq!(search(&Sums, std::slice::from_ref(query))[0], *found);
    }
    assert!(longer > 100, "{longer} of 200 were chained");
}
