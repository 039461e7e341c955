//! Intervals against numpy's (fixtures/make_bootstrap.py).

use serde::Deserialize;
use unprompt_eval::Bootstrap;

#[derive(Deserialize)]
struct Expected {
    group_of: Vec<usize>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    values: Vec<Option<f64>>,
    interval: [f64; 2],
}

#[test]
fn intervals_are_those_of_numpy() {
    let expected = include_str!("fixtures/bootstrap.json");
    let expected: Expected = serde_json::from_str(expected).unwrap();
    let bootstrap = Bootstrap::new(expected.group_of);
    assert_eq!(bootstrap.groups(), 17);
    for case in expected.cases {
        let found = bootstrap.interval(&case.values).unwrap();
        for (found, expected) in [found.low, found.high].iter().zip(case.interval) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}
