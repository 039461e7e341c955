//! The text that is chosen for an embedding, by the real sentence encoder.

use crate::{Test, reference::cosine, weights::Weights};
use unprompt::{Candidate, TextQuery, search_texts};

pub const TESTS: &[Test] = &[(
    "text_search::never_worse_than_the_best_single_source",
    never_worse,
)];

/// What people might say of the example pictures: a caption, what an interrogator adds, labels.
const SOURCES: [[&str; 3]; 5] = [
    [
        "a smiling woman in an orange space suit with a helmet in her hands",
        "an astronaut in front of a flag and a space shuttle, portrait, studio light, official photo",
        "space shuttle, crash helmet, mask, bulletproof vest",
    ],
    [
        "a close-up of the face of a tabby cat with green eyes",
        "a cat looking into the camera, whiskers, shallow depth of field, photograph",
        "tabby, tabby cat, tiger cat, Egyptian cat, lynx",
    ],
    [
        "a cup of black coffee and a spoon on a saucer",
        "an espresso on a wooden table, seen from above, warm colours, still life",
        "espresso, cup, coffee mug, wooden spoon",
    ],
    [
        "a man in a dark coat stands behind a camera on a tripod",
        "black and white photograph of a cameraman on a meadow, towers in the distance, 1970s",
        "tripod, stopwatch, reflex camera, crutch",
    ],
    [
        "a rocket on its launch pad with smoke under it",
        "a white rocket takes off at night, bright flames, long exposure, NASA",
        "missile, projectile, space shuttle, pole",
    ],
];

/// Blends of the sources, most of one and some of the others, and of another picture's.
const WEIGHTS: [[f64; 4]; 5] = [
    [0.4, 0.3, 0.2, 0.1],
    [0.7, 0.2, 0.1, 0.0],
    [0.1, 0.2, 0.7, 0.0],
    [0.0, 0.5, 0.5, 0.0],
    [0.25, 0.25, 0.0, 0.5],
];

fn never_worse(weights: &Weights) {
    let candidates = |texts: &[&str]| -> Vec<Candidate> {
        let rows = weights.encoder.embed(texts).unwrap();
        let candidate = |(text, embedding): (&&str, _)| Candidate {
            text: (*text).into(),
            embedding,
        };
        texts.iter().zip(rows).map(candidate).collect()
    };
    let mut queries = Vec::new();
    for (index, sources) in SOURCES.iter().enumerate() {
        let whole = candidates(sources);
        let other = &candidates(&SOURCES[(index + 1) % SOURCES.len()])[0];
        let pieces: Vec<&str> = sources.iter().flat_map(|text| text.split(", ")).collect();
        for shares in WEIGHTS {
            let mut target = vec![0.0; weights.encoder.width()];
            for (share, source) in shares.iter().zip(whole.iter().chain([other])) {
                let values = target.iter_mut().zip(&source.embedding);
                values.for_each(|(sum, value)| *sum += share * f64::from(*value));
            }
            queries.push(TextQuery {
                target,
                whole: whole.clone(),
                phrases: candidates(&pieces),
            });
        }
    }
    let found = search_texts(&weights.encoder, &queries);
    let (mut gain, mut chained) = (0.0, 0);
    for (query, found) in queries.iter().zip(&found) {
        let similarity = |row: &[f32]| {
            let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
            cosine(&row, &query.target)
        };
        let whole = query
            .whole
            .iter()
            .map(|source| similarity(&source.embedding));
        let best = whole.fold(-1.0, f64::max);
        let embedded = weights.encoder.embed(&[&found.text]).unwrap();
        let measured = similarity(&embedded[0]);
        assert!(
            (measured - found.similarity).abs() < 1e-9,
            "{found:?} {measured}"
        );
        assert!(measured >= best, "{found:?}: {measured} below {best}");
        assert!(weights.encoder.tokenize(&found.text).unwrap().len() <= 77);
        gain += measured - best;
        chained += usize::from(query.whole.iter().all(|source| source.text != found.text));
        let alone = search_texts(&weights.encoder, std::slice::from_ref(query));
        assert_eq!(alone[0], *found);
    }
    let count = found.len() as f64;
    eprintln!(
        "text search: {chained} of {count} chained, mean gain {:.4}",
        gain / count
    );
    assert!(chained > 0);
}
