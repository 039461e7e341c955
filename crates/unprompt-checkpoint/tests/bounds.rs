//! Pickles that try to take time and memory out of proportion.
//!
//! One test in a process of its own, because it bounds the memory of the whole process.

mod common;

use common::{PickleWriter, assert_refused, peak_memory, torch_archive, torch_legacy};
use unprompt_checkpoint::{
    CheckpointErrorKind,
    CheckpointErrorKind::{Malformed, TooLarge, Unsupported},
};

#[test]
fn bombs_end_in_errors_within_256_mib() {
    a_memo_bomb_costs_nothing();
    one_dict_used_by_many_is_bounded();
    one_long_name_used_by_many_is_bounded();
    deep_nesting_and_circles_do_not_recurse();
    claimed_lengths_are_compared_with_what_is_there();
    long_pickles_are_refused();
    if let Some(peak) = peak_memory() {
        assert!(peak < 256 << 20, "{peak} bytes of memory at the peak");
    }
}

fn a_memo_bomb_costs_nothing() {
    // Each list holds the one before it twice: 2^60 leaves if copied.
    let mut lists = PickleWriter::new().raw(b"]q\x00");
    let mut dicts = PickleWriter::new().raw(b"}q\x00");
    let mut tuples = PickleWriter::new().raw(b")q\x00");
    for level in 1..=60u8 {
        let before = [b'h', level - 1];
        lists = lists
            .raw(b"](")
            .raw(&before)
            .raw(&before)
            .raw(b"e")
            .raw(&[b'q', level]);
        tuples = tuples
            .raw(&before)
            .raw(&before)
            .raw(b"\x86")
            .raw(&[b'q', level]);
        dicts = dicts
            .raw(b"}(")
            .text("a")
            .raw(&before)
            .text("b")
            .raw(&before)
            .raw(b"u");
        dicts = dicts.raw(&[b'q', level]);
    }
    assert_refused(
        "x.pth",
        &torch_archive(&lists.end()),
        Unsupported,
        "expected a state dict",
    );
    assert_refused(
        "x.pth",
        &torch_archive(&tuples.end()),
        Unsupported,
        "expected a state dict",
    );
    // As a part of a state dict, where dicts are entered.
    let dicts = dicts
        .raw(b"0}")
        .text("weight")
        .tensor("0", 4, 0, &[4], &[1])
        .raw(b"s")
        .text("bomb")
        .raw(b"h\x3cs")
        .end();
    assert_refused("x.pth", &torch_archive(&dicts), TooLarge, "nested");
}

fn one_dict_used_by_many_is_bounded() {
    let mut wide = PickleWriter::new().raw(b"}q\x00(");
    for _ in 0..100_000 {
        wide = wide.raw(b"K\x00N");
    }
    let mut pickle = wide
        .raw(b"u0}")
        .text("t")
        .tensor("0", 4, 0, &[4], &[1])
        .raw(b"s(");
    for _ in 0..100_000 {
        pickle = pickle.raw(b"K\x01h\x00");
    }
    assert_refused(
        "x.pth",
        &torch_archive(&pickle.raw(b"u").end()),
        TooLarge,
        "1000000 entries",
    );
}

fn one_long_name_used_by_many_is_bounded() {
    let long = "x".repeat(1 << 20);
    let mut pickle = PickleWriter::new().text(&long).raw(b"q\x000");
    pickle = pickle.tensor("0", 4, 0, &[4], &[1]).raw(b"q\x010}(");
    for _ in 0..100_000 {
        pickle = pickle.raw(b"h\x00h\x01");
    }
    assert_refused(
        "x.pth",
        &torch_archive(&pickle.raw(b"u").end()),
        TooLarge,
        "names",
    );
}

fn deep_nesting_and_circles_do_not_recurse() {
    let mut nested = PickleWriter::new().raw(b")");
    for _ in 0..900_000 {
        nested = nested.raw(b"\x85");
    }
    assert_refused(
        "x.pth",
        &torch_archive(&nested.end()),
        Unsupported,
        "expected a state dict",
    );

    let list = PickleWriter::new().raw(b"]q\x00h\x00a").end();
    assert_refused(
        "x.pth",
        &torch_archive(&list),
        Unsupported,
        "expected a state dict",
    );
    let dict = PickleWriter::new()
        .raw(b"}q\x00")
        .text("model")
        .raw(b"h\x00s")
        .end();
    assert_refused(
        "x.pth",
        &torch_archive(&dict),
        Unsupported,
        "no dict of tensors",
    );
    let inner = PickleWriter::new()
        .raw(b"}q\x00")
        .text("a")
        .raw(b"h\x00s")
        .text("t")
        .tensor("0", 4, 0, &[4], &[1])
        .raw(b"s")
        .end();
    assert_refused("x.pth", &torch_archive(&inner), TooLarge, "nested");
    let parameter = PickleWriter::new()
        .raw(b"}")
        .text("t")
        .global("torch._utils", "_rebuild_parameter")
        .raw(b"]q\x00\x88N\x87R")
        .raw(b"s")
        .end();
    assert_refused(
        "x.pth",
        &torch_archive(&parameter),
        Malformed,
        "not a tensor",
    );
}

fn claimed_lengths_are_compared_with_what_is_there() {
    for claim in [
        &b"X\xff\xff\xff\xff"[..],
        b"B\xff\xff\xff\xff",
        b"T\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x96\x00\x00\x00\x00\x01\x00\x00\x00",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8c\xff",
        b"cmodule without an end",
    ] {
        let pickle = PickleWriter::new().raw(claim).raw(b"abcd.").0;
        assert_refused("x.pth", &pickle, Malformed, "past its end");
        assert_refused("x.pth", &torch_archive(&pickle), Malformed, "past its end");
    }
    // 12 bytes that claim a text of 4 GiB.
    assert_refused(
        "x.pth",
        b"\x80\x02X\xff\xff\xff\xffabcd.",
        Malformed,
        "past its end",
    );
}

fn long_pickles_are_refused() {
    let opcodes = PickleWriter::new().raw(&vec![b'N'; 1_000_001]).end();
    assert_pickle_refused(&opcodes, TooLarge, "opcodes");
    let nodes = PickleWriter::new().raw(&vec![b'}'; 1_000_001]).end();
    assert_pickle_refused(&nodes, TooLarge, "opcodes");
    let marks = PickleWriter::new().raw(&vec![b'('; 1_000_001]).end();
    assert_pickle_refused(&marks, TooLarge, "opcodes");
    let memo = PickleWriter::new()
        .raw(b"N")
        .raw(&vec![0x94; 1_000_001])
        .end();
    assert_pickle_refused(&memo, TooLarge, "opcodes");
    let text = PickleWriter::new().text(&"x".repeat(17 << 20)).end();
    assert_refused("x.pth", &torch_archive(&text), TooLarge, "16777216");
    assert_refused("x.pth", &torch_legacy(&text, &[]), TooLarge, "16777216");
}

/// Refuses a pickle in both of torch's formats.
#[track_caller]
fn assert_pickle_refused(pickle: &[u8], kind: CheckpointErrorKind, part: &str) {
    assert_refused("x.pth", &torch_archive(pickle), kind, part);
    assert_refused(
        "x.pth",
        &torch_legacy(pickle, &[("0", 4, &[0; 16])]),
        kind,
        part,
    );
}
