//! Names of models, and manifests that must not be accepted.

mod common;

use common::{Place, hub_source, manifest, package_source, tiny_files};
use std::{fs, path::PathBuf};
use unprompt_hub::{Error, HubOptions, Manifest, ModelRef, NoProgress};

#[test]
fn the_form_of_a_text_decides_what_it_names() {
    let local = |text: &str| ModelRef::Local(PathBuf::from(text));
    for text in ["/models/x", "./x", "../x", "~/x", ".", "..", "./org/repo"] {
        assert_eq!(text.parse::<ModelRef>().unwrap(), local(text));
    }
    // An existing path wins over the other forms: tests run in the crate's folder.
    for text in ["src", "src/lib.rs", "Cargo.toml"] {
        assert_eq!(text.parse::<ModelRef>().unwrap(), local(text));
    }
    for text in ["all-MiniLM-L6-v2", "nobody-knows"] {
        assert_eq!(
            text.parse::<ModelRef>().unwrap(),
            ModelRef::Named(text.to_owned())
        );
    }
    for (text, expected) in [
        ("org/repo", None),
        ("org/repo@main", Some("main")),
        ("org/repo@refs/pr/7", Some("refs/pr/7")),
        ("Org-1/re.po_2@v1.0", Some("v1.0")),
    ] {
        let parsed: ModelRef = text.parse().unwrap();
        let ModelRef::Repository { id, revision } = &parsed else {
            panic!("{parsed:?}")
        };
        assert_eq!(id.as_str(), text.split('@').next().unwrap());
        assert_eq!(revision.as_deref(), expected);
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn what_names_nothing_is_refused() {
    for text in [
        "",
        " ",
        "\0",
        "a b",
        "name@rev",
        "org/",
        "/\0",
        "org/repo/more",
        "org//repo",
        "org/..",
        "-org/repo",
        "org/repo.",
        "org/re--po",
        "org/re..po",
        "org/repo@",
        "org/repo@../x",
        "org/repo@a//b",
        "org/repo@.hidden",
        "org/re po",
        "name\u{e9}",
        "org/repo@a b",
    ] {
        let parsed = text.parse::<ModelRef>();
        let absolute = text.starts_with('/') && !text.contains('\0');
        assert!(parsed.is_err() || absolute, "{text:?} became {parsed:?}");
    }
    let too_long = format!("org/{}", "r".repeat(100));
    assert!(too_long.parse::<ModelRef>().is_err());
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    let place = Place::new();
    let hub = place.hub(
        "http://127.0.0.1:1",
        &manifest(&tiny_files(), &[hub_source()]),
    );
    let error = hub
        .resolve(&"tinny".parse().unwrap(), &NoProgress)
        .unwrap_err();
    assert!(matches!(error, Error::UnknownModel { .. }));
    assert!(error.to_string().contains("known names: tiny"), "{error}");
}

#[test]
fn a_local_folder_or_file_is_a_model() {
    let place = Place::new();
    let folder = place.root.path().join("model");
    fs::create_dir_all(folder.join("1_Pooling")).unwrap();
    for (name, content) in tiny_files() {
        fs::write(folder.join(name), content).unwrap();
    }
    let offline = HubOptions {
        offline: true,
        ..HubOptions::default()
    };
    let hub = place.hub_with("http://127.0.0.1:1", "", offline);
    let found = hub
        .resolve(&ModelRef::Local(folder.clone()), &NoProgress)
        .unwrap();
    assert_eq!(
        found.files.keys().collect::<Vec<_>>(),
        tiny_files().keys().collect::<Vec<_>>()
    );
    assert_eq!(found.dir, folder);
    let digest = found.sha256().unwrap().to_owned();
    // `~/` is the user's home.
    let from_home = hub
        .resolve(&"~/model".parse().unwrap(), &NoProgress)
        .unwrap();
    assert_eq!(from_home.sha256().unwrap(), digest);
    fs::write(folder.join("config.json"), "{}").unwrap();
    let changed = hub
        .resolve(&ModelRef::Local(folder.clone()), &NoProgress)
        .unwrap();
    assert_ne!(changed.sha256().unwrap(), digest);

    let file = folder.join("model.safetensors");
    let single = hub
        .resolve(&ModelRef::Local(file.clone()), &NoProgress)
        .unwrap();
    assert_eq!(single.file("model.safetensors").unwrap(), file);
    assert_eq!(single.dir, folder);
    assert!(single.file("config.json").is_err());

    let pickle = folder.join("weights.pth");
    fs::write(&pickle, "x").unwrap();
    let refused = hub.locate(&ModelRef::Local(pickle.clone())).unwrap_err();
    assert!(matches!(refused, Error::PickleRefused { .. }), "{refused}");
    let allowing = HubOptions {
        allow_pickle: true,
        ..offline
    };
    let hub = place.hub_with("http://127.0.0.1:1", "", allowing);
    assert!(hub.locate(&ModelRef::Local(pickle)).unwrap().is_some());
    assert!(hub.locate(&ModelRef::Local(folder.join("absent"))).is_err());
    assert!(hub.remove(&ModelRef::Local(folder.clone())).is_err());
    assert!(folder.join("config.json").exists());
}

#[test]
fn the_built_in_manifest_is_complete() {
    let manifest = Manifest::builtin().unwrap();
    let names: Vec<&str> = manifest.names().collect();
    for name in [
        "all-MiniLM-L6-v2",
        "efficientnet-lite0",
        "clip-interrogator-labels",
        "clip-bpe-vocabulary",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let place = Place::new();
    let hub = unprompt_hub::Hub::new(
        place.environment("http://127.0.0.1:1"),
        HubOptions::default(),
        manifest.clone(),
    );
    for row in hub.list() {
        assert!(!row.installed && row.path.is_none() && row.bytes_on_disk == 0);
        assert!(row.download_bytes > 0 && !row.licence.is_empty() && !row.description.is_empty());
    }
}

#[test]
fn a_broken_manifest_is_refused() {
    let good = manifest(&tiny_files(), &[hub_source(), package_source(b"wheel")]);
    assert!(Manifest::parse(&good).is_ok());
    let changes = [
        ("name = \"tiny\"", "name = \"ti/ny\""),
        ("name = \"tiny\"", "name = \"..\""),
        ("kind = \"labels\"", "kind = \"magic\""),
        ("revision = \"1\"", "revision = \"../1\""),
        ("revision = \"1\"", "revision = \"1\"\nunknown = 1"),
        ("path = \"config.json\"", "path = \"../config.json\""),
        ("path = \"config.json\"", "path = \"/config.json\""),
        ("path = \"config.json\"", "path = \"model.safetensors\""),
        ("size = 300007", "size = -1"),
        ("sha256 = \"", "sha256 = \"X"),
        ("revision = \"0123", "revision = \"main"),
        ("repo = \"org/tiny-model\"", "repo = \"tiny-model\""),
        ("package = \"tiny-package\"", "package = \"--index-url=x\""),
        ("version = \"1.0\"", "version = \"1.0 --pre\""),
        ("prefix = \"tiny/data/\"", "prefix = \"../data/\""),
        ("type = \"pypi\"", "type = \"ftp\""),
    ];
    for (from, to) in changes {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from} is not in the manifest");
        let parsed = Manifest::parse(&text);
        assert!(matches!(parsed, Err(Error::Manifest(_))), "{to}");
    }
    assert!(
        Manifest::parse(&format!("{good}{good}")).is_err(),
        "a name twice"
    );
    assert!(
        Manifest::parse(&manifest(&tiny_files(), &[])).is_err(),
        "no source"
    );
}
