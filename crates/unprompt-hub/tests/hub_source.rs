//! Fetching from a hub: a server on the loopback interface, well-behaved and not.

mod common;

use common::{
    COMMIT, Heard, Place, REPOSITORY, hub_source, manifest, pattern,
    server::{Delivery, Reply, Server, etag, file_reply, hub_reply},
    sha256, tiny_files, tree,
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use unprompt_hub::{Error, Hub, HubOptions, ModelRef, NoProgress, Token};

fn named() -> ModelRef {
    ModelRef::Named("tiny".to_owned())
}

fn repository() -> ModelRef {
    REPOSITORY.parse().unwrap()
}

fn good_server() -> Server {
    let files = tiny_files();
    Server::start(move |request| hub_reply(&files, request))
}

/// The reason the only source failed with.
fn only_failure(error: Error) -> Error {
    match error {
        Error::AllSourcesFailed { mut failures, .. } if failures.len() == 1 => {
            *failures.remove(0).error
        }
        other => panic!("expected one failed source, got: {other}"),
    }
}

#[test]
fn the_cache_is_laid_out_as_python_lays_it_out() {
    let place = Place::new();
    let server = good_server();
    let hub = place.hub(&server.address, "");
    let heard = Heard::default();
    let found = hub.resolve(&repository(), &heard).unwrap();

    let expected: Vec<String> = include_str!("fixtures/layout.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert!(expected.len() >= 7);
    assert_eq!(layout(&place.hub_cache()), expected);

    let files = tiny_files();
    assert_eq!(found.revision, COMMIT);
    assert_eq!(
        found.files.keys().collect::<Vec<_>>(),
        files.keys().collect::<Vec<_>>()
    );
    for (name, content) in &files {
        assert_eq!(&fs::read(found.file(name).unwrap()).unwrap(), content);
    }
    let total: usize = files.values().map(Vec::len).sum();
    assert_eq!(
        *heard.starts.lock().unwrap(),
        [(REPOSITORY.to_owned(), total as u64)]
    );
    assert_eq!(*heard.bytes.lock().unwrap(), total as u64);
    assert_eq!(*heard.finished.lock().unwrap(), 1);

    // The second time nothing is asked.
    let asked = server.connection_count();
    let again = hub.resolve(&repository(), &NoProgress).unwrap();
    assert_eq!(server.connection_count(), asked);
    assert_eq!(again.dir, found.dir);
    assert_eq!(again.sha256().unwrap(), found.sha256().unwrap());
}

/// Files, links with their targets and branches, as `make_layout.py` writes them down.
fn layout(cache: &Path) -> Vec<String> {
    let mut lines: Vec<String> = tree(cache)
        .into_iter()
        .filter(|(name, _)| !name.starts_with(".locks/") && !name.ends_with("CACHEDIR.TAG"))
        .map(|(name, content)| match fs::read_link(cache.join(&name)) {
            Ok(target) => format!("{name} -> {}", target.display()),
            Err(_) => format!("{name} {}", sha256(&content)),
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_snapshot_that_python_fetched_is_found_without_a_receipt() {
    let place = Place::new();
    let server = good_server();
    place
        .hub(&server.address, "")
        .resolve(&repository(), &NoProgress)
        .unwrap();
    fs::remove_dir_all(place.own_cache()).unwrap();
    let offline = HubOptions {
        offline: true,
        ..HubOptions::default()
    };
    let hub = place.hub_with("http://127.0.0.1:1", "", offline);
    let found = hub.resolve(&repository(), &NoProgress).unwrap();
    assert_eq!(found.files.len(), 3);
    // With the weights gone it is no model any more.
    fs::remove_file(place.snapshot().join("model.safetensors")).unwrap();
    assert!(hub.locate(&repository()).unwrap().is_none());
}

#[test]
fn a_named_model_comes_from_its_pinned_commit() {
    let place = Place::new();
    let server = good_server();
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    let found = hub.resolve(&named(), &NoProgress).unwrap();
    assert_eq!(found.dir, place.snapshot());
    assert!(hub.verify(&named()).unwrap().is_good());
    let status = &hub.list()[0];
    assert!(status.installed);
    assert_eq!(status.bytes_on_disk, status.download_bytes);
    assert_eq!(
        hub.list().len(),
        1,
        "a named model's repository is not listed twice"
    );
}

#[test]
fn a_wrong_hash_is_not_kept() {
    let place = Place::new();
    let mut served = tiny_files();
    served.get_mut("model.safetensors").unwrap()[5] ^= 1;
    let server = Server::start(move |request| hub_reply(&served, request));
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    let error = only_failure(hub.resolve(&named(), &NoProgress).unwrap_err());
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&sha256(&tiny_files()["model.safetensors"])),
        "{error}"
    );
    assert!(hub.locate(&named()).unwrap().is_none());
    assert!(
        no_bytes_of_weights(&place),
        "{:?}",
        tree(place.root.path()).keys()
    );
}

fn no_bytes_of_weights(place: &Place) -> bool {
    tree(place.root.path())
        .values()
        .all(|content| content.len() < 1000)
}

#[test]
fn an_unlisted_file_is_checked_against_its_own_name() {
    for changed in ["config.json", "model.safetensors"] {
        let place = Place::new();
        let files = tiny_files();
        let server = Server::start(move |request| {
            let mut reply = hub_reply(&files, request);
            if request.method == "GET" && request.path.ends_with(&format!("main/{changed}"))
                || request.path.ends_with(&format!("{COMMIT}/{changed}"))
            {
                reply.body[3] ^= 1;
            }
            reply
        });
        let hub = place.hub(&server.address, "");
        let error = only_failure(hub.resolve(&repository(), &NoProgress).unwrap_err());
        assert!(
            matches!(error, Error::Mismatch { .. }),
            "{changed}: {error}"
        );
        assert!(hub.locate(&repository()).unwrap().is_none());
    }
}

#[test]
fn a_size_other_than_the_listed_one_is_refused_before_the_transfer() {
    let place = Place::new();
    let mut served = tiny_files();
    served.get_mut("model.safetensors").unwrap().push(0);
    let server = Server::start(move |request| hub_reply(&served, request));
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    let error = only_failure(hub.resolve(&named(), &NoProgress).unwrap_err());
    assert!(error.to_string().contains("300007 bytes"), "{error}");
    assert_eq!(server.downloads("model.safetensors"), 0);
}

#[test]
fn a_body_of_another_length_than_announced_is_refused() {
    for (length, announce) in [(299_000, true), (300_100, true), (300_100, false)] {
        let place = Place::new();
        let files = tiny_files();
        let server = Server::start(move |request| {
            let mut reply = hub_reply(&files, request);
            if request.method == "GET" && request.path.ends_with("model.safetensors") {
                reply.body = pattern(length);
                if !announce {
                    // Chunked, so that no length is announced at all.
                    let mut body = format!("{length:x}\r\n").into_bytes();
                    body.extend(&reply.body);
                    body.extend(b"\r\n0\r\n\r\n");
                    reply.body = body;
                    reply
                        .headers
                        .push(("transfer-encoding".to_owned(), "chunked".to_owned()));
                    reply
                        .headers
                        .push(("content-length".to_owned(), "0".to_owned()));
                    reply.headers.retain(|(name, _)| name != "x-linked-size");
                }
            }
            reply
        });
        let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        let error = only_failure(hub.resolve(&named(), &NoProgress).unwrap_err());
        assert!(!error.to_string().is_empty());
        assert!(hub.locate(&named()).unwrap().is_none());
        assert!(
            !tree(place.root.path())
                .values()
                .any(|content| content.len() == length)
        );
    }
}

#[test]
fn a_cut_or_stalled_connection_is_resumed() {
    for stall in [false, true] {
        let place = Place::new();
        let files = tiny_files();
        let server = Server::start(move |request| {
            let reply = hub_reply(&files, request);
            match (stall, reply.body.len() > 110_000) {
                (false, true) => reply.delivery(Delivery::CutAfter(100_000)),
                (true, true) => reply.delivery(Delivery::StallAfter(100_000)),
                _ => reply,
            }
        });
        let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        let heard = Heard::default();
        hub.resolve(&named(), &heard).unwrap();
        assert!(hub.verify(&named()).unwrap().is_good());
        let ranges: Vec<_> = server
            .requests
            .lock()
            .unwrap()
            .iter()
            .filter(|request| request.method == "GET" && request.path.ends_with(".safetensors"))
            .map(|request| request.headers.get("range").cloned())
            .collect();
        assert_eq!(
            ranges,
            [
                None,
                Some("bytes=100000-".to_owned()),
                Some("bytes=200000-".to_owned())
            ]
        );
        let total: usize = tiny_files().values().map(Vec::len).sum();
        assert_eq!(*heard.bytes.lock().unwrap(), total as u64);
    }
}

/// The part that an interrupted run leaves.
fn leave_part(place: &Place, content: &[u8]) {
    let blobs = place.repository_folder().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let name = etag(&tiny_files()["model.safetensors"]);
    fs::write(blobs.join(format!("{name}.incomplete")), content).unwrap();
}

#[test]
fn the_part_of_an_earlier_run_is_taken_up_and_a_spoilt_one_is_thrown_away() {
    let weights = tiny_files()["model.safetensors"].clone();
    let mut spoilt = weights[..1000].to_vec();
    spoilt[10] ^= 1;
    let too_long = pattern(400_000);
    let whole_but_spoilt = vec![0; weights.len()];
    for (part, range) in [
        (&weights[..1000], Some("bytes=1000-")),
        (&spoilt[..], Some("bytes=1000-")),
        (&too_long[..], None),
        (&whole_but_spoilt[..], None),
    ] {
        let place = Place::new();
        leave_part(&place, part);
        let server = good_server();
        let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        hub.resolve(&named(), &NoProgress).unwrap();
        assert!(hub.verify(&named()).unwrap().is_good());
        let requests = server.requests.lock().unwrap();
        let first = requests
            .iter()
            .find(|request| request.method == "GET" && request.path.ends_with(".safetensors"))
            .unwrap();
        assert_eq!(first.headers.get("range").map(String::as_str), range);
        assert!(
            !tree(place.root.path())
                .keys()
                .any(|name| name.ends_with(".incomplete"))
        );
    }
}

#[test]
fn a_server_that_cannot_resume_sends_all_of_it() {
    let place = Place::new();
    leave_part(&place, &tiny_files()["model.safetensors"][..1000]);
    let files = tiny_files();
    let server = Server::start(move |request| {
        let mut request = request.clone();
        request.headers.remove("range");
        hub_reply(&files, &request)
    });
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    hub.resolve(&named(), &NoProgress).unwrap();
    assert!(hub.verify(&named()).unwrap().is_good());
}

#[test]
fn refusals_are_told_apart() {
    for (status, word) in [
        (401, "HF_TOKEN"),
        (403, "HF_TOKEN"),
        (404, "no such"),
        (500, "trouble"),
    ] {
        let place = Place::new();
        let server = Server::start(move |_| Reply::new(status, "secret internals"));
        let named_hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        for model in [named(), repository()] {
            let error = only_failure(named_hub.resolve(&model, &NoProgress).unwrap_err());
            assert!(
                matches!(error, Error::Status { status: found, .. } if found == status),
                "{error}"
            );
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}

#[test]
fn a_passing_trouble_of_the_server_is_sat_out() {
    let place = Place::new();
    let files = tiny_files();
    let failures = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        if request.method == "GET" && failures.fetch_add(1, Ordering::SeqCst) < 2 {
            return Reply::new(503, "");
        }
        hub_reply(&files, request)
    });
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    hub.resolve(&named(), &NoProgress).unwrap();
}

#[test]
fn the_token_goes_to_the_hub_and_to_no_other_host() {
    let place = Place::new();
    let elsewhere = Server::start({
        let files = tiny_files();
        move |request| file_reply(&files["model.safetensors"], request)
    });
    let storage = elsewhere.address.clone();
    let files = tiny_files();
    let server = Server::start(move |request| {
        if request.path.ends_with("model.safetensors") {
            let content = &files["model.safetensors"];
            return Reply::new(302, "")
                .header("location", format!("{storage}/blob?signature=c0ffee"))
                .header("x-repo-commit", COMMIT)
                .header("x-linked-etag", format!("\"{}\"", etag(content)))
                .header("x-linked-size", content.len().to_string());
        }
        // Small files move within the hub.
        if let Some(rest) = request.path.strip_prefix("/cached") {
            let mut moved = request.clone();
            moved.path = rest.to_owned();
            return hub_reply(&files, &moved);
        }
        if request.path.contains("/resolve/") {
            return Reply::new(307, "")
                .header("location", format!("/cached{}", request.path))
                .header("x-repo-commit", COMMIT);
        }
        hub_reply(&files, request)
    });
    let mut environment = place.environment(&server.address);
    environment.token = Token::new("hf_secret");
    let manifest =
        unprompt_hub::Manifest::parse(&manifest(&tiny_files(), &[hub_source()])).unwrap();
    let hub = Hub::new(environment, HubOptions::default(), manifest);
    hub.resolve(&named(), &NoProgress).unwrap();
    assert!(hub.verify(&named()).unwrap().is_good());

    let to_hub = server.requests.lock().unwrap();
    let to_storage = elsewhere.requests.lock().unwrap();
    assert!(
        to_hub
            .iter()
            .all(|r| r.headers["authorization"] == "Bearer hf_secret")
    );
    assert!(to_hub.iter().any(|r| r.path.starts_with("/cached")));
    assert!(!to_storage.is_empty());
    assert!(
        to_storage
            .iter()
            .all(|r| !r.headers.contains_key("authorization"))
    );
}

#[test]
fn messages_hold_no_signature_and_no_token() {
    let place = Place::new();
    let elsewhere = Server::start(|_| Reply::new(403, ""));
    let target = format!("{}/blob?signature=c0ffee", elsewhere.address);
    let files = tiny_files();
    let server = Server::start(move |request| match request.method.as_str() {
        "GET" => Reply::new(302, "").header("location", target.clone()),
        _ => hub_reply(&files, request),
    });
    let mut environment = place.environment(&server.address);
    environment.token = Token::new("hf_secret");
    let manifest =
        unprompt_hub::Manifest::parse(&manifest(&tiny_files(), &[hub_source()])).unwrap();
    let hub = Hub::new(environment, HubOptions::default(), manifest);
    let error = hub.resolve(&named(), &NoProgress).unwrap_err();
    let text = format!("{error} {error:?} {hub:?}");
    assert!(
        text.contains("403") && text.contains(&elsewhere.address),
        "{text}"
    );
    assert!(
        !text.contains("c0ffee") && !text.contains("hf_secret"),
        "{text}"
    );
}

#[test]
fn a_redirect_that_never_ends_ends() {
    let place = Place::new();
    let server = Server::start(|r| Reply::new(302, "").header("location", format!("{}x", r.path)));
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    let error = only_failure(hub.resolve(&named(), &NoProgress).unwrap_err());
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[test]
fn a_hub_that_answers_with_another_commit_is_not_believed() {
    let place = Place::new();
    let files = tiny_files();
    let server = Server::start(move |request| {
        let mut reply = hub_reply(&files, request);
        for (name, value) in &mut reply.headers {
            if name == "x-repo-commit" {
                *value = "f".repeat(40);
            }
        }
        reply
    });
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    assert!(
        only_failure(hub.resolve(&named(), &NoProgress).unwrap_err())
            .to_string()
            .contains("commit")
    );
}

/// Names that would leave the cache, or that some platform reads differently.
const HOSTILE_NAMES: &[&str] = &[
    "../evil.json",
    "../../evil.json",
    "../../../evil.json",
    "../../../../../../../../tmp/unprompt-evil.json",
    "/evil.json",
    "//evil.json",
    "/tmp/unprompt-evil.json",
    "./evil.json",
    "a/../../evil.json",
    "a/./evil.json",
    "a//evil.json",
    "a/../../../evil.json",
    "1_Pooling/../../../../evil.json",
    "1_Pooling/../evil.json",
    "..\\evil.json",
    "..\\..\\evil.json",
    "\\evil.json",
    "C:evil.json",
    "C:\\evil.json",
    "C:/evil.json",
    "\\\\host\\share\\evil.json",
    "\u{0}evil.json",
    "evil.json\u{0}",
    "evil\n.json",
    "evil\u{202e}.json",
    "con.json",
    "nul.json",
    "aux.json",
    "lpt1.json",
    "evil.json.",
    "evil.json ",
    " evil.json",
    "evil:stream.json",
    "evil?.json",
    "evil*.json",
    "../model.safetensors",
    "../../refs/main.json",
    "../../blobs/evil.json",
];

#[test]
fn hostile_names_in_a_listing_write_nothing_outside_the_cache() {
    assert!(HOSTILE_NAMES.len() >= 30);
    for name in HOSTILE_NAMES {
        let place = Place::new();
        let escaped: String = name
            .chars()
            .map(|c| format!("\\u{:04x}", c as u32))
            .collect();
        let files = tiny_files();
        let server = Server::start(move |request| {
            if request.path.starts_with("/api/") {
                let body = format!(
                    "{{\"sha\": \"{COMMIT}\", \"siblings\": [{{\"rfilename\": \"config.json\"}}, \
                     {{\"rfilename\": \"model.safetensors\"}}, {{\"rfilename\": \"{escaped}\"}}]}}"
                );
                return Reply::new(200, body);
            }
            // Whatever is asked for is there.
            let known = files
                .iter()
                .find(|(name, _)| request.path.ends_with(name.as_str()));
            file_reply(
                known.map_or(b"evil", |(_, content)| content.as_slice()),
                request,
            )
        });
        let hub = place.hub(&server.address, "");
        let refused = hub.resolve(&repository(), &NoProgress);
        assert!(
            matches!(refused, Err(Error::UnsafePath { .. })),
            "{name:?}: {refused:?}"
        );
        assert_only_caches(&place, name);
    }
}

fn assert_only_caches(place: &Place, what: &str) {
    for name in tree(place.root.path()).keys() {
        let inside = name.starts_with("own/locks/") || name.starts_with("hf/hub/models--");
        assert!(inside && !name.contains("evil"), "{what:?} wrote {name}");
    }
    assert!(!Path::new("/tmp/unprompt-evil.json").exists());
}

#[test]
fn hostile_commits_and_entity_tags_write_nothing_outside_the_cache() {
    let hostile = [
        "../../../evil",
        "..",
        "/tmp/unprompt-evil",
        "a/b/c/evil",
        "",
        "evil\\evil",
    ];
    for value in hostile {
        for header in ["sha", "x-repo-commit", "etag"] {
            let place = Place::new();
            let files = tiny_files();
            let server = Server::start(move |request| {
                let mut reply = hub_reply(&files, request);
                if header == "sha" && request.path.starts_with("/api/") {
                    reply.body = String::from_utf8(reply.body)
                        .unwrap()
                        .replace(COMMIT, &value.replace('\\', "\\\\"))
                        .into_bytes();
                }
                for (name, content) in &mut reply.headers {
                    if name == header {
                        *content = value.to_owned();
                    }
                }
                reply
            });
            let hub = place.hub(&server.address, "");
            assert!(
                hub.resolve(&repository(), &NoProgress).is_err(),
                "{header}: {value}"
            );
            assert_only_caches(&place, value);
        }
    }
}

#[test]
fn a_link_planted_in_the_cache_does_not_lead_a_write_out_of_it() {
    let place = Place::new();
    let outside = place.root.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(place.snapshot()).unwrap();
    std::os::unix::fs::symlink(&outside, place.snapshot().join("1_Pooling")).unwrap();
    let server = good_server();
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    let error = only_failure(hub.resolve(&named(), &NoProgress).unwrap_err());
    assert!(matches!(error, Error::UnsafePath { .. }), "{error}");
    assert!(tree(&outside).is_empty());
}

#[test]
fn pickles_are_refused_by_name_and_allowed_on_request() {
    let files = BTreeMap::from([
        ("config.json".to_owned(), b"{}".to_vec()),
        ("pytorch_model.bin".to_owned(), pattern(2000)),
        ("other.bin".to_owned(), pattern(10)),
    ]);
    let server = Server::start(move |request| hub_reply(&files, request));
    let place = Place::new();
    let hub = place.hub(&server.address, "");
    let error = hub.resolve(&repository(), &NoProgress).unwrap_err();
    assert!(matches!(error, Error::PickleRefused { .. }), "{error}");
    assert!(error.to_string().contains("--allow-pickle"), "{error}");
    assert!(error.to_string().contains("pytorch_model.bin"), "{error}");
    assert_eq!(server.downloads("pytorch_model.bin"), 0);

    let allowing = HubOptions {
        allow_pickle: true,
        ..HubOptions::default()
    };
    let found = place
        .hub_with(&server.address, "", allowing)
        .resolve(&repository(), &NoProgress)
        .unwrap();
    assert_eq!(
        found.files.keys().collect::<Vec<_>>(),
        ["config.json", "pytorch_model.bin"]
    );
    // It is here now, but the permission is not.
    assert!(matches!(
        hub.locate(&repository()),
        Err(Error::PickleRefused { .. })
    ));
}

#[test]
fn shards_are_fetched_by_their_index() {
    let index = br#"{"weight_map": {"a": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}}"#;
    let files = BTreeMap::from([
        ("config.json".to_owned(), b"{}".to_vec()),
        ("model.safetensors.index.json".to_owned(), index.to_vec()),
        ("model-00001-of-00002.safetensors".to_owned(), pattern(5000)),
        ("model-00002-of-00002.safetensors".to_owned(), pattern(6000)),
        ("pytorch_model.bin".to_owned(), pattern(7000)),
        ("onnx/model.safetensors".to_owned(), pattern(8000)),
    ]);
    let server = Server::start(move |request| hub_reply(&files, request));
    let place = Place::new();
    let hub = place.hub(&server.address, "");
    let found = hub.resolve(&repository(), &NoProgress).unwrap();
    let expected = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ];
    assert_eq!(found.files.keys().collect::<Vec<_>>(), expected);
    // Without our receipt the same files are found, and not when a shard is gone.
    fs::remove_dir_all(place.own_cache()).unwrap();
    let again = hub.locate(&repository()).unwrap().unwrap();
    assert_eq!(again.files.keys().collect::<Vec<_>>(), expected);
    fs::remove_file(place.snapshot().join(expected[1])).unwrap();
    assert!(hub.locate(&repository()).unwrap().is_none());
}

#[test]
fn a_branch_moves_with_pull_and_stays_with_resolve() {
    let place = Place::new();
    let moved = "f".repeat(40);
    let present = std::sync::Arc::new(Mutex::new(COMMIT.to_owned()));
    let files = tiny_files();
    let server = Server::start({
        let present = present.clone();
        move |request| {
            let commit = present.lock().unwrap().clone();
            let mut request = request.clone();
            request.path = request.path.replace(&commit, COMMIT);
            let mut reply = hub_reply(&files, &request);
            reply.headers.retain(|(name, _)| name != "x-repo-commit");
            if request.path.starts_with("/api/") {
                reply.body = String::from_utf8(reply.body)
                    .unwrap()
                    .replace(COMMIT, &commit)
                    .into();
            }
            reply
        }
    });
    let hub = place.hub(&server.address, "");
    assert_eq!(
        hub.resolve(&repository(), &NoProgress).unwrap().revision,
        COMMIT
    );
    *present.lock().unwrap() = moved.clone();
    assert_eq!(
        hub.resolve(&repository(), &NoProgress).unwrap().revision,
        COMMIT
    );
    let downloads = server.downloads("model.safetensors");
    assert_eq!(
        hub.pull(&repository(), &NoProgress).unwrap().revision,
        moved
    );
    assert_eq!(
        hub.resolve(&repository(), &NoProgress).unwrap().revision,
        moved
    );
    assert_eq!(
        server.downloads("model.safetensors"),
        downloads,
        "the bytes were here already"
    );

    // The old commit goes without taking the shared blobs along; the new one takes them.
    let old: ModelRef = format!("{REPOSITORY}@{COMMIT}").parse().unwrap();
    assert_eq!(hub.list().len(), 2);
    assert_eq!(hub.remove(&old).unwrap(), 0);
    assert!(hub.verify(&repository()).unwrap().is_good());
    let total: usize = tiny_files().values().map(Vec::len).sum();
    assert_eq!(hub.remove(&repository()).unwrap(), total as u64);
    assert!(hub.locate(&repository()).unwrap().is_none());
    assert!(hub.list().is_empty());
}

#[test]
fn a_flipped_byte_is_noticed_and_pull_mends_it() {
    for model in [named(), repository()] {
        let place = Place::new();
        let server = good_server();
        let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
        hub.resolve(&model, &NoProgress).unwrap();
        let path = place.snapshot().join("model.safetensors");
        let mut content = fs::read(&path).unwrap();
        content[123_456] ^= 0x10;
        fs::write(fs::canonicalize(&path).unwrap(), &content).unwrap();
        let verification = hub.verify(&model).unwrap();
        let bad: Vec<_> = verification
            .files
            .iter()
            .filter(|file| file.state.is_bad())
            .collect();
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].name, "model.safetensors");
        hub.pull(&model, &NoProgress).unwrap();
        assert!(hub.verify(&model).unwrap().is_good());
    }
}

#[test]
fn an_unreachable_hub_is_one_clear_error() {
    // Refused, not resolvable, silent, and something that is no hub.
    let silent = Server::start(|_| Reply::new(200, "").delivery(Delivery::Silent));
    let chatty = Server::start(|_| Reply::new(200, "<html>"));
    for endpoint in [
        "http://127.0.0.1:1",
        "http://host.invalid",
        &silent.address,
        &chatty.address,
        "ftp://x",
    ] {
        let place = Place::new();
        let hub = place.hub(endpoint, &manifest(&tiny_files(), &[hub_source()]));
        for model in [named(), repository()] {
            let error = hub.resolve(&model, &NoProgress).unwrap_err();
            assert!(
                error.to_string().contains("unprompt models import"),
                "{error}"
            );
            only_failure(error);
        }
    }
}

#[test]
fn a_slow_but_steady_transfer_is_not_broken_off() {
    let place = Place::new();
    let files = tiny_files();
    let server = Server::start(move |request| {
        // Longer in all than either timeout, never silent for as long as one.
        hub_reply(&files, request).delivery(Delivery::Slow(20_000, Duration::from_millis(100)))
    });
    let hub = place.hub(&server.address, &manifest(&tiny_files(), &[hub_source()]));
    hub.resolve(&named(), &NoProgress).unwrap();
    assert_eq!(server.downloads("model.safetensors"), 1);
}

#[test]
fn one_file_is_fetched_alone_and_once() {
    let place = Place::new();
    let server = good_server();
    let hub = place.hub(&server.address, "");
    let id = unprompt_hub::RepositoryId::parse(REPOSITORY).unwrap();
    let files = tiny_files();
    let (name, content) = files.iter().next().unwrap();
    let most = content.len() as u64;
    let fetch = |hub: &Hub, name: &str, most| hub.fetch_file(&id, name, most, &NoProgress);

    let refused = fetch(&hub, "nothing.safetensors", most).unwrap_err();
    assert!(matches!(refused, Error::NoSuchFile { .. }), "{refused}");
    let refused = fetch(&hub, name, most - 1).unwrap_err();
    assert!(matches!(refused, Error::Mismatch { .. }), "{refused}");
    for name in ["../x", "/etc/passwd", ""] {
        assert!(fetch(&hub, name, most).is_err(), "{name}");
    }
    assert_eq!(server.downloads(name), 0);

    let path = fetch(&hub, name, most).unwrap();
    assert_eq!(path, place.snapshot().join(name));
    assert_eq!(&fs::read(&path).unwrap(), content);
    assert_eq!(fs::read_dir(place.snapshot()).unwrap().count(), 1);
    let asked = server.connection_count();
    assert_eq!(fetch(&hub, name, most).unwrap(), path);
    assert_eq!(server.connection_count(), asked);

    // Offline it is still there, and others are not.
    let offline = HubOptions {
        offline: true,
        ..HubOptions::default()
    };
    let hub = place.hub_with(&server.address, "", offline);
    assert_eq!(fetch(&hub, name, most).unwrap(), path);
    let refused = fetch(&hub, "other", most).unwrap_err();
    assert!(matches!(refused, Error::Offline { .. }), "{refused}");
    assert_eq!(server.connection_count(), asked);
}
