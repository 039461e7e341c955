//! What all commands share: help, flags, exit codes.

use crate::harness::Place;

const COMMANDS: [&str; 20] = [
    "predict",
    "caption",
    "interrogate",
    "classify",
    "embed",
    "tokenize",
    "metadata",
    "score",
    "eval",
    "blend",
    "data",
    "index",
    "merge",
    "job",
    "draw",
    "redraw",
    "serve",
    "models",
    "bench",
    "doctor",
];

#[test]
fn help_and_version_are_answers() {
    let place = Place::new();
    let version = concat!("unprompt ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(place.run(&["--version"]).output(), version);
    assert_eq!(place.run(&["-V"]).output(), version);
    let help = place.run(&["--help"]);
    for command in COMMANDS {
        assert!(
            help.output().contains(&format!("\n  {command} ")),
            "{help:?}"
        );
        let own = place.run(&[command, "--help"]);
        let usage = format!("Usage: unprompt {command}");
        assert!(own.output().contains(&usage), "{command}: {own:?}");
    }
}

#[test]
fn nothing_to_do_is_answered_with_help_and_a_failure() {
    let place = Place::new();
    for arguments in [&[][..], &["embed"], &["models"]] {
        let run = place.run(arguments);
        assert!(run.refusal().contains("Usage: unprompt"), "{run:?}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    let place = Place::new();
    let cases: &[(&[&str], &str)] = &[
        (&["predict", "x.png", "--nonsense"], "--nonsense"),
        (&["describe", "x.png"], "describe"),
        (&["predict"], "<PATH>"),
        (&["predict", "x.png", "--format", "xml"], "xml"),
        (&["predict", "x.png", "--batch-size", "0"], "--batch-size"),
        (
            &["predict", "x.png", "--batch-size", "many"],
            "--batch-size",
        ),
        (&["predict", "x.png", "--threads", "-1"], "-1"),
        (&["predict", "x.png", "--threads", "0"], "--threads 0"),
        (
            &["predict", "x.png", "--threads", "70000"],
            "--threads 70000",
        ),
        (&["predict", "x.png", "--device", "abacus"], "--device"),
        (&["predict", "x.png", "--device", "cuda"], "--device"),
        (&["predict", "x.png", "--dtype", "bf16"], "--dtype"),
        (&["classify", "x.png", "--top", "few"], "--top"),
        (&["score", "--pred", "x.csv"], "--truth"),
        (&["eval", "x.png"], "--truth"),
        (&["blend", "fit", "--truth", "x.csv"], "--member"),
        (&["embed", "text"], "<TEXT>"),
        (&["models", "frobnicate"], "frobnicate"),
        (&["models", "path"], "<M>"),
        (&["models", "export"], "--out"),
    ];
    for (arguments, named) in cases {
        let run = place.run(arguments);
        assert!(run.refusal().contains(named), "{arguments:?}: {run:?}");
    }
}

#[test]
fn variables_stand_in_for_flags() {
    let place = Place::new();
    for (variable, value, named) in [
        ("UNPROMPT_DEVICE", "cuda", "--device"),
        ("UNPROMPT_DTYPE", "f16", "--dtype"),
        ("UNPROMPT_THREADS", "0", "--threads 0"),
        ("UNPROMPT_BATCH_SIZE", "0", "--batch-size"),
        ("UNPROMPT_PRESET", "heavy", "heavy"),
    ] {
        let mut command = place.command(&["predict", "x.png"]);
        let run = place.finish(command.env(variable, value));
        assert!(run.refusal().contains(named), "{variable}: {run:?}");
    }
}

#[test]
fn a_format_that_a_command_does_not_write_is_refused_before_any_work() {
    let place = Place::new();
    let picture = place.write("x.png", "");
    let picture = picture.to_str().unwrap();
    for arguments in [
        &["classify", picture][..],
        &["metadata", picture, "--strip"],
        &["embed", "text", "a cat"],
        &["embed", "image", picture, "--model", "nosuch"],
        &["tokenize", "a cat", "--model", "nosuch"],
        &["score", "--pred", picture, "--truth", picture],
        &["blend", "fit", "--truth", picture, "--member", picture],
        &["index", "build", picture, "--clip", "nosuch", "--out", "x"],
        &["index", "search", "nosuch", picture],
        &["index", "info", "nosuch"],
        &["merge", "nosuch"],
        &["job", "status", "nosuch"],
        &["models", "list"],
        &["bench"],
        &["doctor"],
    ] {
        for format in ["csv", "submission"] {
            let run = place.run(&[arguments, &["--format", format]].concat());
            let refused = format!("unprompt: --format {format}: this command writes text, json");
            assert!(
                run.refusal().starts_with(&refused),
                "{arguments:?}: {run:?}"
            );
        }
    }
}

#[test]
fn the_help_of_a_command_offers_the_formats_that_it_writes() {
    let place = Place::new();
    let offered = |arguments: &[&str]| -> Vec<bool> {
        let run = place.run(arguments);
        let (_, rest) = run.output().split_once("--format <FORMAT>").unwrap();
        // The list ends with the default, wherever the argument stands among the others.
        let (values, _) = rest.split_once("[default: text]").unwrap();
        let names = ["json", "csv", "submission"];
        names.iter().map(|name| values.contains(name)).collect()
    };
    assert_eq!(offered(&["metadata", "--help"]), [true, true, false]);
    assert_eq!(offered(&["models", "list", "--help"]), [true, false, false]);
    assert_eq!(offered(&["interrogate", "--help"]), [true, true, false]);
    assert_eq!(offered(&["predict", "--help"]), [true, true, true]);
}
