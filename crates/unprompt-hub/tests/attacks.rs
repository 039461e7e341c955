//! Hubs, bundles and caches that want to cost more than they may: one test an attack.
#![cfg(unix)]

mod common;

use common::{
    COMMIT, Place, REPOSITORY, hub_source, manifest,
    server::{Delivery, Reply, Server, etag, hub_reply},
    sha256, tiny_files, tree,
};
use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};
use unprompt_hub::{Hub, HubOptions, Manifest, ModelRef, NoProgress};

fn repository() -> ModelRef {
    REPOSITORY.parse().unwrap()
}

/// What the only source of the repository failed with, and how long it took.
fn failure(server: &Server) -> (String, Duration) {
    let place = Place::new();
    let mut environment = place.environment(&server.address);
    environment.answer_timeout = Duration::from_millis(150);
    environment.stall_timeout = Duration::from_millis(400);
    let text = manifest(&tiny_files(), &[hub_source()]);
    let hub = Hub::new(
        environment,
        HubOptions::default(),
        Manifest::parse(&text).unwrap(),
    );
    let begin = Instant::now();
    let error = hub.resolve(&repository(), &NoProgress).unwrap_err();
    for (name, content) in tree(place.root.path()) {
        assert!(
            content.len() < 100_000,
            "{name} has {} bytes",
            content.len()
        );
    }
    (error.to_string(), begin.elapsed())
}

#[test]
fn a_hub_that_trickles_a_listing_is_given_up() {
    let files = tiny_files();
    let server = Server::start(move |request| {
        hub_reply(&files, request).delivery(Delivery::Slow(1, Duration::from_millis(100)))
    });
    let (error, took) = failure(&server);
    assert!(error.contains("no answer within 1.5 seconds"), "{error}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn a_hub_that_trickles_a_file_is_given_up() {
    let files = tiny_files();
    let server = Server::start(move |request| {
        let reply = hub_reply(&files, request);
        match reply.body.len() > 100_000 {
            true => reply.delivery(Delivery::Slow(10, Duration::from_millis(100))),
            false => reply,
        }
    });
    let (error, took) = failure(&server);
    assert!(error.contains("given up"), "{error}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn a_hub_that_lists_half_a_million_files_is_refused() {
    for name in ["x", "a-name-of-some-length"] {
        let one = format!("{{\"rfilename\":\"{name}\"}}");
        let siblings = vec![one; 500_000].join(",");
        let body = format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{siblings}]}}");
        let server = Server::start(move |_| Reply::new(200, body.clone()));
        let (error, _) = failure(&server);
        let refused = ["500000 files", "too large", "limit"];
        assert!(refused.iter().any(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn a_hub_whose_model_has_thousands_of_files_is_refused_before_they_are_asked_for() {
    let server = Server::start(move |request| {
        assert!(request.path.starts_with("/api/"), "{}", request.path);
        let names = (0..5000).map(|number| format!("{{\"rfilename\":\"{number}.json\"}}"));
        let siblings = names.collect::<Vec<_>>().join(",");
        Reply::new(
            200,
            format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{siblings}]}}"),
        )
    });
    let (error, _) = failure(&server);
    assert!(error.contains("5000 files"), "{error}");
}

#[test]
fn a_hub_that_claims_an_impossible_size_is_refused() {
    let files = tiny_files();
    for size in [(1_u64 << 62).to_string(), "9".repeat(40)] {
        let files = files.clone();
        let claimed = size.clone();
        let server = Server::start(move |request| {
            let mut reply = hub_reply(&files, request);
            if request.path.ends_with("model.safetensors") {
                reply.headers.retain(|(name, _)| name != "x-linked-size");
                reply = reply.header("x-linked-size", claimed.clone());
            }
            reply
        });
        let (error, _) = failure(&server);
        let refused = ["at most", "gives no size", "expected"];
        assert!(
            refused.iter().any(|word| error.contains(word)),
            "{size}: {error}"
        );
    }
}

#[test]
fn credentials_in_the_endpoint_are_never_shown() {
    let place = Place::new();
    let text = manifest(&tiny_files(), &[hub_source()]);
    for endpoint in [
        "http://user:hunter2@127.0.0.1:1",
        "http://hunter2@127.0.0.1:1",
        "hunter2@x",
    ] {
        let hub = place.hub(endpoint, &text);
        for model in [repository(), ModelRef::Named("tiny".to_owned())] {
            let error = hub.resolve(&model, &NoProgress).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(!hub.environment().shown_endpoint().contains("hunter2"));
    }
}

#[test]
fn a_link_in_the_place_of_a_part_is_not_written_through() {
    let place = Place::new();
    let files = tiny_files();
    let server = Server::start({
        let files = files.clone();
        move |request| hub_reply(&files, request)
    });
    let blobs = place.repository_folder().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let victim = place.root.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let name = etag(&files["model.safetensors"]);
    std::os::unix::fs::symlink(&victim, blobs.join(format!("{name}.incomplete"))).unwrap();
    let hub = place.hub(&server.address, &manifest(&files, &[hub_source()]));
    hub.resolve(&repository(), &NoProgress).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(hub.verify(&repository()).unwrap().is_good());
}

fn index(size: u64, files: usize) -> Vec<u8> {
    let file = |number: usize| {
        let hash = sha256(b"");
        format!(
            "{{\"path\":\"{number}.json\",\"size\":{size},\"sha256\":\"{hash}\",\"etag\":\"{hash}\"}}"
        )
    };
    let files: Vec<String> = (0..files).map(file).collect();
    let files = files.join(",");
    format!(
        "{{\"format\":1,\"models\":[{{\"name\":\"org/x\",\"revision\":\"{COMMIT}\",\"files\":[{files}]}}]}}"
    )
    .into_bytes()
}

fn entry(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    kind: tar::EntryType,
    size: u64,
    body: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    archive.append(&header, body).unwrap();
}

fn refused(place: &Place, bundle: &[u8]) -> String {
    let path = place.root.path().join("bundle.tar");
    fs::write(&path, bundle).unwrap();
    let hub = place.hub(
        "http://127.0.0.1:1",
        &manifest(&tiny_files(), &[hub_source()]),
    );
    hub.import(&path, &NoProgress).unwrap_err().to_string()
}

#[test]
fn a_bundle_that_claims_too_much_is_refused() {
    let regular = tar::EntryType::Regular;
    let place = Place::new();
    let begun = |index: &[u8]| {
        let mut archive = tar::Builder::new(Vec::new());
        entry(
            &mut archive,
            "unprompt-bundle.json",
            regular,
            index.len() as u64,
            index,
        );
        archive
    };
    for (size, files, why) in [
        (1 << 62, 4, "bytes in its index"),
        (u64::MAX, 4, "bytes in its index"),
        (1, 30_000, "30000 files"),
    ] {
        let bundle = begun(&index(size, files)).into_inner().unwrap();
        let error = refused(&place, &bundle);
        assert!(error.contains(why), "{error}");
    }
    // A name of a gigabyte, which is not there: refused by its size, before it is read.
    let mut archive = begun(&index(0, 1));
    entry(
        &mut archive,
        "././@LongLink",
        tar::EntryType::GNULongName,
        1 << 30,
        b"x",
    );
    let error = refused(&place, &archive.into_inner().unwrap());
    assert!(error.contains("a name of 1073741824 bytes"), "{error}");
}

#[test]
fn what_a_killed_import_left_goes_with_the_next() {
    let place = Place::new();
    let hub = place.hub(
        "http://127.0.0.1:1",
        &manifest(&tiny_files(), &[hub_source()]),
    );
    let by_hand = place.root.path().join("by-hand");
    fs::create_dir_all(&by_hand).unwrap();
    for (number, content) in tiny_files().values().enumerate() {
        fs::write(by_hand.join(number.to_string()), content).unwrap();
    }
    let left = place.own_cache().join("models/tiny/.unprompt-aBcDeF.tmp");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("wheel"), [0; 5000]).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    fs::File::open(&left)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let found = hub.leftovers();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].path.as_path(), found[0].bytes),
        (left.as_path(), 5000)
    );
    hub.import(&by_hand, &NoProgress).unwrap();
    assert!(!left.exists());
    assert_eq!(hub.leftovers(), []);
    // A run that was killed when the model was whole already.
    fs::create_dir_all(&left).unwrap();
    hub.pull(&ModelRef::Named("tiny".to_owned()), &NoProgress)
        .unwrap();
    assert!(!left.exists());
}
