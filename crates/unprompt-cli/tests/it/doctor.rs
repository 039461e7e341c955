//! `unprompt doctor`.

use crate::harness::{Place, json};

#[test]
fn every_gap_has_a_next_step() {
    let place = Place::new();
    let run = place.run(&["doctor", "--offline", "--format", "json"]);
    let checks = json(run.output());
    let checks = checks.as_array().unwrap();
    let mut gaps = Vec::new();
    for check in checks {
        let good = check["good"].as_bool().unwrap();
        let name = check["name"].as_str().unwrap();
        assert!(!check["found"].as_str().unwrap().is_empty());
        assert_eq!(check["next_step"].is_string(), !good, "{check}");
        if !good && name != "processor" {
            gaps.push((name, check["next_step"].as_str().unwrap()));
        }
    }
    let expected = [("all-MiniLM-L6-v2", "unprompt models pull all-MiniLM-L6-v2")];
    assert_eq!(gaps, expected);
    let text = place.run(&["doctor", "--offline"]);
    assert!(text.output().starts_with("ok  version"), "{text:?}");
    assert_eq!(
        text.stdout.matches("next: ").count(),
        checks.iter().filter(|c| c["good"] == false).count()
    );
}

#[test]
fn a_hub_that_is_not_there_is_a_gap_and_no_failure() {
    let place = Place::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let mut command = place.command(&["doctor", "--format", "json"]);
    let run = place.finish(command.env("HF_ENDPOINT", &endpoint).env("PATH", ""));
    let checks = json(run.output());
    for name in ["network", "python"] {
        let mut all = checks.as_array().unwrap().iter();
        let check = all.find(|check| check["name"] == name).unwrap();
        assert_eq!(check["good"], false, "{check}");
    }
    assert!(run.stdout.contains(&endpoint), "{run:?}");
}
