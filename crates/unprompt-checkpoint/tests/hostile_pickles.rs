//! Pickles and archives made to harm: each one a typed error, in little memory, nothing run.

mod common;

use common::{
    Member, PickleWriter, assert_refused, one_tensor, read_all, torch_archive, torch_legacy,
    zip_file,
};
use unprompt_checkpoint::CheckpointErrorKind::{ForbiddenGlobal, Malformed, TooLarge, Unsupported};

/// Makes an honest archive's members lie.
type Lie = fn(&mut Vec<Member<'_>>);

/// Refuses a pickle in both of torch's formats.
#[track_caller]
fn assert_pickle_refused(
    pickle: &[u8],
    kind: unprompt_checkpoint::CheckpointErrorKind,
    part: &str,
) {
    assert_refused("x.pth", &torch_archive(pickle), kind, part);
    assert_refused(
        "x.pth",
        &torch_legacy(pickle, &[("0", 4, &[0; 16])]),
        kind,
        part,
    );
}

#[test]
fn the_honest_file_that_the_others_are_made_from_is_read() {
    let pickle = one_tensor(0, &[2, 2], &[2, 1]);
    assert_eq!(read_all("x.pth", &torch_archive(&pickle)).unwrap(), 16);
    assert_eq!(
        read_all("x.pth", &torch_legacy(&pickle, &[("0", 4, &[0; 16])])).unwrap(),
        16
    );
}

#[test]
fn calls_are_refused_by_name_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("witness");
    let command = format!("echo run > {}", witness.display());
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("importlib", "import_module"),
        ("runpy", "run_path"),
        ("os.path", "join"),
        ("pickle", "loads"),
    ] {
        let full = format!("{module}.{name}");
        let reduced = PickleWriter::new()
            .global(module, name)
            .text(&command)
            .raw(b"\x85R")
            .end();
        assert_pickle_refused(&reduced, ForbiddenGlobal, &full);
        let stacked = PickleWriter::new()
            .text(module)
            .text(name)
            .raw(b"\x93")
            .text(&command)
            .raw(b"\x85R");
        assert_pickle_refused(&stacked.end(), ForbiddenGlobal, &full);
        let hidden = PickleWriter::new()
            .raw(b"}")
            .text("weight")
            .tensor("0", 4, 0, &[4], &[1])
            .raw(b"s")
            .text("x")
            .global(module, name)
            .text(&command)
            .raw(b"\x85\x81s")
            .end();
        assert_pickle_refused(&hidden, ForbiddenGlobal, &full);
        // Even in one of the small pickles before the object.
        let first = PickleWriter::new()
            .global(module, name)
            .text(&command)
            .raw(b"\x85R")
            .end();
        assert_refused("x.pth", &first, ForbiddenGlobal, &full);
    }
    assert!(!witness.exists());
}

#[test]
fn unknown_objects_are_inert() {
    let pickle = PickleWriter::new()
        .raw(b"}")
        .text("config")
        .global("somewhere.else", "Config")
        .raw(b")\x81}b")
        .raw(b"s")
        .text("weight")
        .tensor("0", 4, 0, &[4], &[1])
        .raw(b"s")
        .end();
    assert_eq!(read_all("x.pth", &torch_archive(&pickle)).unwrap(), 16);

    let only = PickleWriter::new()
        .global("somewhere.else", "Model")
        .raw(b")\x81}b")
        .end();
    assert_pickle_refused_as_root(&only);
    let sparse = PickleWriter::new()
        .raw(b"}")
        .text("weight")
        .global("torch._utils", "_rebuild_sparse_tensor")
        .raw(b")Rs")
        .end();
    let name = "torch._utils._rebuild_sparse_tensor";
    assert_refused("x.pth", &torch_archive(&sparse), Unsupported, name);
}

#[track_caller]
fn assert_pickle_refused_as_root(pickle: &[u8]) {
    assert_refused(
        "x.pth",
        &torch_archive(pickle),
        Unsupported,
        "somewhere.else.Model",
    );
}

#[test]
fn nonsense_opcodes_are_refused() {
    let cases: [(&[u8], &str); 22] = [
        (b"", "never gave"),
        (b"R", "never gave"),
        (b"NR", "never gave"),
        (b"NNR", "no function"),
        (b")]R", "named function"),
        (b"ca\nb\n]R", "named function"),
        (b"ca\nb\nNR", "no function"),
        (b"t", "never opened"),
        (b"u", "never opened"),
        (b"}(Nu", "without a value"),
        (b"(Nd", "without a value"),
        (b"Na", "never gave"),
        (b"NNa", "holds nothing"),
        (b"}Na", "no list"),
        (b"]NNs", "no dict"),
        (b"}(0", "never gave"),
        (b"h\x05", "memo 5"),
        (b"j\x05\x00\x00\x00", "memo 5"),
        (b"q\x00", "never gave"),
        (b"NN\x93", "no text"),
        (b"Q", "never gave"),
        (b"X\x02\x00\x00\x00\xff\xfe", "UTF-8"),
    ];
    for (opcodes, part) in cases {
        let pickle = PickleWriter::new().raw(opcodes).end();
        assert_pickle_refused(&pickle, Malformed, part);
    }
    for opcode in [b'I', b'S', b'P', b'i', b'o', 0x82, 0x97, 0xff] {
        let pickle = PickleWriter::new().raw(&[opcode, b'\n']).end();
        assert_pickle_refused(&pickle, Unsupported, &format!("0x{opcode:02x}"));
    }
    assert_refused("x.pth", &torch_archive(b"(dp0\n."), Unsupported, "protocol");
    assert_refused(
        "x.pth",
        &torch_archive(b"\x80\x09N."),
        Unsupported,
        "protocol",
    );
    assert_refused("x.pth", b"\x80\x02N.", Unsupported, "not one of torch.save");
}

#[test]
fn tensors_stay_within_their_storage() {
    let huge = 1i64 << 62;
    let cases: [(i64, &[i64], &[i64], _, &str); 13] = [
        (1, &[4], &[1], Malformed, "past the end"),
        (4, &[], &[], Malformed, "past the end"),
        (0, &[2], &[4], Malformed, "past the end"),
        (0, &[5], &[1], Malformed, "past the end"),
        (0, &[2, 3], &[3, 1], Malformed, "past the end"),
        (0, &[huge, huge], &[1, 1], Malformed, "past the end"),
        (0, &[2, 2], &[huge, huge], Malformed, "past the end"),
        (i64::MAX, &[2], &[i64::MAX], Malformed, "past the end"),
        (0, &[-1], &[1], Malformed, "whole number"),
        (0, &[2], &[-1], Malformed, "whole number"),
        (-1, &[2], &[1], Malformed, "whole number"),
        (0, &[2], &[1, 1], Malformed, "number of sizes"),
        // Elements repeated without end out of 4 bytes.
        (0, &[1 << 40], &[0], TooLarge, "16 times"),
    ];
    for (offset, shape, strides, kind, part) in cases {
        assert_pickle_refused(&one_tensor(offset, shape, strides), kind, part);
    }
    assert_pickle_refused(
        &one_tensor(0, &[1; 17], &[1; 17]),
        TooLarge,
        "17 dimensions",
    );
}

#[test]
fn calls_with_wrong_arguments_are_refused() {
    let with = |name: &str, arguments: &[u8]| {
        let call = PickleWriter::new()
            .raw(b"}")
            .text("weight")
            .global("torch._utils", name);
        torch_archive(&call.raw(arguments).raw(b"Rs").end())
    };
    for arguments in [&b")"[..], b"N\x85", b"NN\x86", b"(NNNNNt", b"(NNNNNNNNt"] {
        let part = "wrong number";
        assert_refused(
            "x.pth",
            &with("_rebuild_tensor_v2", arguments),
            Malformed,
            part,
        );
    }
    for arguments in [&b")"[..], b"N\x85", b"NN\x86"] {
        let part = "wrong number";
        assert_refused(
            "x.pth",
            &with("_rebuild_parameter", arguments),
            Malformed,
            part,
        );
    }
    let no_storage = with("_rebuild_tensor_v2", b"(NNNNNNt");
    assert_refused("x.pth", &no_storage, Malformed, "external reference");
    let no_reference = with("_rebuild_tensor_v2", b"(NQK\x00))\x89Nt");
    assert_refused("x.pth", &no_reference, Malformed, "no torch storage");
}

#[test]
fn storages_must_be_there() {
    for key in [
        "1",
        "../data/0",
        "/data/0",
        "..",
        "",
        "0\0",
        "0/../0",
        &"0".repeat(1000),
    ] {
        let pickle = PickleWriter::new()
            .raw(b"}")
            .text("w")
            .tensor(key, 4, 0, &[4], &[1]);
        let pickle = pickle.raw(b"s").end();
        assert_refused("x.pth", &torch_archive(&pickle), Malformed, "tensor `w`");
        let legacy = torch_legacy(&pickle, &[("0", 4, &[0; 16])]);
        assert_refused(
            "x.pth",
            &legacy,
            Malformed,
            "storage `0` is used by no tensor",
        );
        assert_refused(
            "x.pth",
            &torch_legacy(&pickle, &[]),
            Malformed,
            "no storage",
        );
    }
    for count in [5, 1 << 40, i64::MAX] {
        let pickle = PickleWriter::new()
            .raw(b"}")
            .text("w")
            .tensor("0", count, 0, &[4], &[1]);
        let pickle = pickle.raw(b"s").end();
        assert_refused("x.pth", &torch_archive(&pickle), Malformed, "storage `0`");
        let legacy = torch_legacy(&pickle, &[("0", count as u64, &[0; 16])]);
        assert_refused("x.pth", &legacy, Malformed, "storage `0`");
    }
    let honest = one_tensor(0, &[4], &[1]);
    let storage = ("0", 4, &[0; 16][..]);
    for (storages, part) in [
        (vec![("0", 5, storage.2)], "5 elements"),
        (vec![("0", u64::MAX, storage.2)], "elements"),
        (vec![("0", 4, &storage.2[..15])], "cut short"),
        (vec![("0", 4, &[0; 17][..])], "1 bytes after"),
        (vec![storage, storage], "twice"),
    ] {
        assert_refused("x.pth", &torch_legacy(&honest, &storages), Malformed, part);
    }
    let unknown = PickleWriter::new()
        .raw(b"}")
        .text("w")
        .storage("QInt8Storage", "0", 4);
    let unknown = unknown.raw(b"s").end();
    let legacy = torch_legacy(&unknown, &[storage]);
    assert_refused("x.pth", &legacy, Unsupported, "torch.QInt8Storage");
}

#[test]
fn names_are_unique() {
    let twice = PickleWriter::new()
        .raw(b"}")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .raw(b"s")
        .text("w")
        .tensor("0", 4, 0, &[2], &[1])
        .raw(b"s")
        .end();
    assert_pickle_refused(&twice, Malformed, "there twice");
    for name in ["__metadata__", "module.__metadata__"] {
        let pickle = PickleWriter::new()
            .raw(b"}")
            .text(name)
            .tensor("0", 4, 0, &[4], &[1]);
        assert_pickle_refused(&pickle.raw(b"s").end(), Unsupported, "__metadata__");
    }
}

#[test]
fn lying_archives_are_refused() {
    let pickle = one_tensor(0, &[4], &[1]);
    let zeros = [0; 16];
    let honest = || {
        vec![
            Member::new("a/data.pkl", &pickle),
            Member::new("a/data/0", &zeros),
        ]
    };
    assert_eq!(read_all("x.pth", &zip_file(&honest())).unwrap(), 16);

    let lies: [(Lie, _, &str); 15] = [
        (
            |members| members.push(Member::new("a/data/0", b"other")),
            Malformed,
            "twice",
        ),
        (
            |members| members.push(Member::new("a/data.pkl", b"other")),
            Malformed,
            "twice",
        ),
        (
            |members| members.push(Member::new("b/data.pkl", b"other")),
            Malformed,
            "more than one",
        ),
        (
            |members| members.push(Member::new("a/constants.pkl", b"")),
            Unsupported,
            "TorchScript",
        ),
        (
            |members| members.push(Member::new("a/byteorder", b"big")),
            Unsupported,
            "little-endian",
        ),
        (
            |members| members[1].central_name = "a/data/1",
            Malformed,
            "differs",
        ),
        (|members| members[1].header = Some(0), Malformed, "differs"),
        (
            |members| members[1].header = Some(1 << 30),
            Malformed,
            "outside",
        ),
        (
            |members| members[1].header = Some(u32::MAX),
            Malformed,
            "zip64",
        ),
        (|members| members[1].length = 1 << 30, Malformed, "outside"),
        (|members| members[1].length = u32::MAX, Malformed, "zip64"),
        (
            |members| members[1].length = 8,
            Malformed,
            "its member has 8",
        ),
        (|members| members[1].method = 8, Unsupported, "compressed"),
        (|members| members[1].flags = 1, Unsupported, "encrypted"),
        (|members| members[0].length += 40, Malformed, "overlap"),
    ];
    for (lie, kind, part) in lies {
        let mut members = honest();
        lie(&mut members);
        assert_refused("x.pth", &zip_file(&members), kind, part);
    }
    assert_refused(
        "x.pth",
        &zip_file(&honest()[1..]),
        Unsupported,
        "without data.pkl",
    );
}

#[test]
fn lying_zip64_sizes_are_refused() {
    let pickle = one_tensor(0, &[4], &[1]);
    let with_extra = |extra: &[u8]| {
        let mut members = [
            Member::new("a/data.pkl", &pickle),
            Member::new("a/data/0", &[0; 16][..]),
        ];
        members[1].length = u32::MAX;
        members[1].extra = extra;
        zip_file(&members)
    };
    let field = |sizes: &[u64]| {
        let bytes = sizes
            .iter()
            .flat_map(|size| size.to_le_bytes())
            .collect::<Vec<_>>();
        [&[1, 0][..], &(bytes.len() as u16).to_le_bytes(), &bytes].concat()
    };
    assert_eq!(
        read_all("x.pth", &with_extra(&field(&[16, 16]))).unwrap(),
        16
    );
    for (extra, kind, part) in [
        (field(&[u64::MAX, u64::MAX]), Malformed, "outside"),
        (field(&[1 << 40, 1 << 40]), Malformed, "outside"),
        (field(&[16, 8]), Unsupported, "compressed"),
        (field(&[16]), Malformed, "cut short"),
        (vec![1, 0, 0xff, 0xff], Malformed, "cut short"),
        (vec![1], Malformed, "cut short"),
        (vec![2, 0, 0, 0], Malformed, "lacks the zip64"),
    ] {
        assert_refused("x.pth", &with_extra(&extra), kind, part);
    }
}

#[test]
fn lying_directories_are_refused() {
    let honest = torch_archive(&one_tensor(0, &[4], &[1]));
    let end = honest.len() - 22;
    let central = u32::from_le_bytes(honest[end + 16..end + 20].try_into().unwrap()) as usize;
    for (at, bytes, part) in [
        (end, &b"XX"[..], "no zip directory"),
        (end + 4, &[1, 0], "several parts"),
        (end + 8, &[4, 0], "several parts"),
        (end + 8, &[4, 0, 4, 0], "cut short"),
        (end + 8, &[2, 0, 2, 0], "more than its members"),
        (end + 8, &[0xff; 4], "zip64"),
        (end + 12, &[0xff; 4], "zip64"),
        (end + 16, &[0xff; 4], "zip64"),
        (end + 12, &[0; 4], "not where"),
        (end + 16, &[0; 4], "not where"),
        (end + 20, &[9, 0], "no zip directory"),
        (central, b"XX", "fewer members"),
        (central + 28, &[0xff, 0xff], "cut short"),
        (central + 30, &[0xff, 0xff], "cut short"),
        (central + 32, &[0xff, 0xff], "cut short"),
    ] {
        let mut lying = honest.clone();
        lying[at..at + bytes.len()].copy_from_slice(bytes);
        let error = read_all("x.pth", &lying).unwrap_err().to_string();
        assert!(
            error.contains(part),
            "{at}: `{error}` does not say `{part}`"
        );
    }
}

#[test]
fn other_formats_are_named() {
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    assert_refused("x.pth", &tar, Unsupported, "tar archive");
    assert_refused("x.pth", b"\x1f\x8b\x08\x00", Unsupported, "gzip");
    assert_refused("x.pth", b"<html>not found</html>", Unsupported, "neither");

    let machine = PickleWriter::new()
        .raw(b"}")
        .text("little_endian")
        .raw(b"\x89s")
        .end();
    let honest = torch_legacy(&one_tensor(0, &[4], &[1]), &[("0", 4, &[0; 16])]);
    let at = honest.windows(2).position(|pair| pair == b"\x88s").unwrap();
    let mut big_endian = honest;
    big_endian[at] = machine[machine.len() - 3];
    assert_refused("x.pth", &big_endian, Unsupported, "big-endian");
}
