//! Files that torch itself wrote, compared with safetensors twins. `fixtures/make.py` makes both.

mod common;

use common::{PickleWriter, fixture, one_tensor, read_all, torch_archive, torch_legacy};
use std::fs;
use unprompt_checkpoint::{Checkpoint, CheckpointErrorKind, DType, Pickle, convert_to_safetensors};

const PICKLES_AND_TWINS: [(&str, &str); 6] = [
    ("kinds.pth", "kinds.safetensors"),
    ("kinds_protocol5.bin", "kinds.safetensors"),
    ("kinds_legacy.pth", "kinds.safetensors"),
    ("training.pth", "training.safetensors"),
    ("training_legacy.pth", "training.safetensors"),
    ("nested.pth", "nested.safetensors"),
];

#[test]
fn pickles_hold_what_their_twins_hold() {
    for (pickle, twin) in PICKLES_AND_TWINS {
        let found = Checkpoint::open(fixture(pickle), Pickle::Allow).unwrap();
        let expected = Checkpoint::open(fixture(twin), Pickle::Deny).unwrap();
        assert!(found.names().eq(expected.names()), "{pickle}");
        for name in expected.names() {
            let (found, expected) = (found.tensor(name).unwrap(), expected.tensor(name).unwrap());
            assert_eq!(found.dtype, expected.dtype, "{pickle}: {name}");
            assert_eq!(found.shape, expected.shape, "{pickle}: {name}");
            assert_eq!(
                found.data().unwrap(),
                expected.data().unwrap(),
                "{pickle}: {name}"
            );
        }
    }
}

#[test]
fn conversion_writes_the_bytes_that_python_writes() {
    let folder = tempfile::tempdir().unwrap();
    for (pickle, twin) in PICKLES_AND_TWINS {
        let destination = folder.path().join("converted.safetensors");
        let summary = convert_to_safetensors(&fixture(pickle), &destination).unwrap();
        let converted = fs::read(&destination).unwrap();
        assert_eq!(converted, fs::read(fixture(twin)).unwrap(), "{pickle}");
        assert_eq!(summary.byte_count, converted.len() as u64);
        let names = Checkpoint::open(&destination, Pickle::Deny)
            .unwrap()
            .names()
            .len();
        assert_eq!(summary.tensor_count, names);
    }
    // Nothing but the file that was asked for is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_conversion_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("kept.safetensors");
    fs::write(&destination, b"old").unwrap();
    let error = convert_to_safetensors(&fixture("module.pth"), &destination).unwrap_err();
    assert_eq!(error.kind(), CheckpointErrorKind::Unsupported);
    assert_eq!(fs::read(&destination).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let missing = folder.path().join("no/such/folder.safetensors");
    let error = convert_to_safetensors(&fixture("nested.pth"), &missing).unwrap_err();
    assert_eq!(error.kind(), CheckpointErrorKind::Io);
}

#[test]
fn floats_of_every_width_convert() {
    let checkpoint = Checkpoint::open(fixture("kinds.pth"), Pickle::Allow).unwrap();
    let quarters = |count: usize| (0..count).map(|i| i as f32 / 4.0 - 3.0).collect::<Vec<_>>();
    for (name, shape) in [
        ("float64", &[3, 2][..]),
        ("float32", &[2, 3, 4]),
        ("float16", &[5]),
        ("bfloat16", &[2, 2]),
        ("parameter", &[2, 2]),
        ("shared.all", &[40]),
    ] {
        let expected = quarters(shape.iter().product());
        assert_eq!(
            checkpoint.tensor_f32(name, shape).unwrap(),
            expected,
            "{name}"
        );
    }
    assert_eq!(checkpoint.tensor_f32("scalar", &[]).unwrap(), [0.5]);
    assert_eq!(
        checkpoint.tensor_f32("repeated", &[2, 2]).unwrap(),
        [2.5; 4]
    );
    assert_eq!(
        checkpoint.tensor_f32("column", &[6]).unwrap()[1],
        11.0 / 4.0 - 3.0
    );
    assert!(checkpoint.tensor_f32("empty", &[0, 3]).unwrap().is_empty());
    assert_eq!(checkpoint.tensor("int64").unwrap().dtype, DType::I64);
}

#[test]
fn errors_name_what_was_expected_and_found() {
    let checkpoint = Checkpoint::open(fixture("kinds.pth"), Pickle::Allow).unwrap();
    let missing = checkpoint.tensor_f32("shared.heads", &[10]).unwrap_err();
    assert_eq!(missing.kind(), CheckpointErrorKind::MissingTensor);
    assert!(
        missing.to_string().contains("nearest are `shared.head`"),
        "{missing}"
    );
    assert!(missing.to_string().contains("kinds.pth"), "{missing}");

    let shape = checkpoint.tensor_f32("float32", &[4, 3, 2]).unwrap_err();
    assert_eq!(shape.kind(), CheckpointErrorKind::ShapeMismatch);
    let text = shape.to_string();
    assert!(
        text.contains("`float32`: expected shape [4, 3, 2], found [2, 3, 4]"),
        "{text}"
    );

    let dtype = checkpoint.tensor_f32("int64", &[4]).unwrap_err();
    assert_eq!(dtype.kind(), CheckpointErrorKind::DTypeMismatch);
    assert!(dtype.to_string().contains("found I64"), "{dtype}");

    let unused = checkpoint
        .check_all_used(["float32", "scalar"])
        .unwrap_err();
    assert_eq!(unused.kind(), CheckpointErrorKind::UnusedTensors);
    assert!(unused.to_string().contains("29 of 31 tensors"), "{unused}");
    assert!(unused.to_string().contains("and 19 more"), "{unused}");
    checkpoint.check_all_used(checkpoint.names()).unwrap();
}

#[test]
fn a_pickle_is_denied_unless_allowed() {
    for name in ["kinds.pth", "kinds_legacy.pth"] {
        let error = Checkpoint::open(fixture(name), Pickle::Deny).unwrap_err();
        assert_eq!(error.kind(), CheckpointErrorKind::PickleDenied);
        assert!(error.to_string().contains("--allow-pickle"), "{error}");
    }
}

#[test]
fn a_pickle_called_safetensors_is_no_way_in() {
    let bytes = fs::read(fixture("kinds.pth")).unwrap();
    let error = read_all("model.safetensors", &bytes).unwrap_err();
    assert_eq!(error.kind(), CheckpointErrorKind::TooLarge, "{error}");
}

#[test]
fn safetensors_without_their_extension_are_read() {
    let bytes = fs::read(fixture("kinds.safetensors")).unwrap();
    assert!(read_all("0123456789abcdef", &bytes).unwrap() > 0);
}

#[test]
fn names_of_python_2_and_its_ordered_dicts_are_read() {
    // OrderedDict([["weight", tensor]]), with `str` as Python 2 pickles it.
    let pickle = PickleWriter::new()
        .global("collections", "OrderedDict")
        .raw(b"]]U\x06weighta")
        .tensor("0", 4, 1, &[2], &[2])
        .raw(b"aa\x85R")
        .end();
    assert_eq!(read_all("old.pth", &torch_archive(&pickle)).unwrap(), 8);
}

#[test]
fn a_view_of_a_storage_starts_where_it_says() {
    let pickle = PickleWriter::new()
        .raw(b"}")
        .text("weight")
        .global("torch._utils", "_rebuild_tensor_v2")
        .raw(b"((")
        .text("storage")
        .global("torch", "FloatStorage")
        .text("7")
        .text("cpu")
        .int(4)
        .raw(b"(")
        .text("8")
        .int(2)
        .int(2)
        .raw(b"ttQ")
        .int(1)
        .raw(b")")
        .raw(b")\x89NtRs")
        .end();
    let floats = [0f32, 1.0, 2.0, 3.0].map(f32::to_le_bytes).concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view.pth");
    fs::write(&path, torch_legacy(&pickle, &[("7", 4, &floats)])).unwrap();
    let checkpoint = Checkpoint::open(&path, Pickle::Allow).unwrap();
    assert_eq!(checkpoint.tensor_f32("weight", &[]).unwrap(), [3.0]);
}

#[test]
fn strides_past_the_storage_do_not_matter_along_axes_of_size_one() {
    let pickle = one_tensor(0, &[1, 4], &[i64::MAX, 1]);
    assert_eq!(read_all("x.pth", &torch_archive(&pickle)).unwrap(), 16);
    let pickle = one_tensor(0, &[1, 2], &[i64::MAX, 3]);
    assert_eq!(read_all("x.pth", &torch_archive(&pickle)).unwrap(), 8);
}

#[test]
fn the_wrapper_keys_are_entered_in_their_order() {
    let pickle = PickleWriter::new()
        .raw(b"}")
        .text("ema")
        .raw(b"}")
        .text("wrong")
        .tensor("0", 4, 0, &[1], &[1])
        .raw(b"ss")
        .text("model")
        .raw(b"}")
        .text("state_dict")
        .raw(b"}")
        .text("right")
        .tensor("0", 4, 0, &[2], &[1])
        .raw(b"sss")
        .end();
    assert_eq!(read_all("x.pth", &torch_archive(&pickle)).unwrap(), 8);
}
