//! Which file of a folder is opened, and sharded checkpoints.

mod common;

use common::{fixture, safetensors_file};
use std::{fs, path::Path};
use unprompt_checkpoint::{Checkpoint, CheckpointErrorKind, Pickle};

fn copy(fixture_name: &str, folder: &Path, name: &str) {
    fs::copy(fixture(fixture_name), folder.join(name)).unwrap();
}

#[test]
fn shards_read_as_one() {
    let checkpoint = Checkpoint::open(fixture("sharded"), Pickle::Deny).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(
        checkpoint.tensor_f32("b", &[4]).unwrap(),
        [-3.0, -2.75, -2.5, -2.25]
    );
}

#[test]
fn the_safest_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let count = |pickle| Checkpoint::open(folder.path(), pickle).map(|found| found.names().len());

    assert_eq!(
        count(Pickle::Allow).unwrap_err().kind(),
        CheckpointErrorKind::Io
    );
    copy("nested.pth", folder.path(), "weights.pth");
    let denied = count(Pickle::Deny).unwrap_err();
    assert_eq!(denied.kind(), CheckpointErrorKind::PickleDenied);
    assert!(denied.to_string().contains("--allow-pickle"), "{denied}");
    assert_eq!(count(Pickle::Allow).unwrap(), 3);
    copy("training.pth", folder.path(), "pytorch_model.bin");
    assert_eq!(count(Pickle::Allow).unwrap(), 7);
    copy("nested.safetensors", folder.path(), "other.safetensors");
    assert_eq!(count(Pickle::Allow).unwrap(), 3);
    copy("nested.safetensors", folder.path(), "another.safetensors");
    assert_eq!(
        count(Pickle::Deny).unwrap_err().kind(),
        CheckpointErrorKind::Unsupported
    );
    copy("kinds.safetensors", folder.path(), "model.safetensors");
    assert_eq!(count(Pickle::Deny).unwrap(), 31);
}

#[test]
fn a_broken_safetensors_file_never_leads_to_the_pickle() {
    let folder = tempfile::tempdir().unwrap();
    copy("nested.pth", folder.path(), "pytorch_model.bin");
    fs::write(folder.path().join("model.safetensors"), b"broken").unwrap();
    let error = Checkpoint::open(folder.path(), Pickle::Allow).unwrap_err();
    assert_eq!(error.kind(), CheckpointErrorKind::Malformed);
}

#[test]
fn an_index_leads_nowhere_else_and_must_match() {
    let shard = safetensors_file(
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
        &[7],
    );
    for (file, name, part) in [
        ("../outside.safetensors", "a", "same folder"),
        ("/etc/outside.safetensors", "a", "same folder"),
        ("C:outside.safetensors", "a", "same folder"),
        (".hidden.safetensors", "a", "same folder"),
        ("pytorch_model.bin", "a", "same folder"),
        ("missing.safetensors", "a", "cannot open"),
        ("shard.safetensors", "b", "is not in the index"),
        ("shard.safetensors", "A", "is not in the shard"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shard.safetensors"), &shard).unwrap();
        let index = serde_json::json!({ "weight_map": { name: file } }).to_string();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        let error = Checkpoint::open(folder.path(), Pickle::Deny).unwrap_err();
        assert!(error.to_string().contains(part), "{file}: {error}");
    }
    for index in [
        "",
        "[]",
        "{}",
        r#"{"weight_map":{"a":1}}"#,
        "{\"weight_map\":{\"\u{0}",
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        let error = Checkpoint::open(folder.path(), Pickle::Deny).unwrap_err();
        assert_eq!(error.kind(), CheckpointErrorKind::Malformed, "{index}");
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Checkpoint::open(folder.path().join("x.pth"), Pickle::Allow).unwrap_err();
    assert_eq!(missing.kind(), CheckpointErrorKind::Io);
    if cfg!(unix) {
        let device = Checkpoint::open("/dev/zero", Pickle::Allow).unwrap_err();
        assert_eq!(device.kind(), CheckpointErrorKind::Unsupported);
    }
}
