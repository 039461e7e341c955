//! What a signal leaves behind: of SIGINT and SIGTERM nothing, of SIGKILL what the next run removes.

use crate::harness::{Place, json};
use std::{
    fs::File,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

fn signal(name: &str, child: &Child) {
    let kill = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// A run that waits for a pipe, with a result begun beside `out`.
fn waiting(place: &Place) -> Child {
    let made = Command::new("mkfifo").arg(place.path("pipe.png")).status();
    assert!(made.unwrap().success());
    place.write("out", "old");
    let child = place
        .command(&["metadata", "pipe.png", "--out", "out"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while leftovers(place).is_empty() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "nothing is begun"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn leftovers(place: &Place) -> Vec<String> {
    let mut names = place.names();
    names.retain(|name| name.starts_with(".unprompt-"));
    names
}

#[test]
fn a_signal_ends_with_its_code_and_leaves_nothing() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let place = Place::new();
        let mut child = waiting(&place);
        signal(name, &child);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        assert_eq!(place.names(), ["out", "pipe.png"], "{name}");
        assert_eq!(place.read("out"), "old", "{name}");
    }
}

#[test]
fn what_a_killed_run_leaves_is_named_and_then_removed() {
    let place = Place::new();
    let mut child = waiting(&place);
    // In use it is nobody's leftover, whatever its age.
    let left = leftovers(&place);
    let age = || {
        let file = File::open(place.path(&left[0])).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
    };
    age();
    let named = || {
        let run = place.run(&["doctor", "--offline", "--format", "json"]);
        let checks = json(run.output());
        let mut checks = checks.as_array().unwrap().iter();
        let check = checks.find(|check| check["name"] == "leftovers").unwrap();
        check["found"].as_str().unwrap().to_owned()
    };
    assert_eq!(named(), "none");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(leftovers(&place), left);
    assert!(named().contains(&left[0]), "{}", named());
    place.write("a.png", b"\x89PNG\r\n\x1a\n");
    place.run(&["metadata", "a.png", "--out", "other"]);
    assert_eq!(place.names(), ["a.png", "other", "out", "pipe.png"]);
    assert_eq!(named(), "none");
    assert_eq!(place.read("out"), "old");
}
