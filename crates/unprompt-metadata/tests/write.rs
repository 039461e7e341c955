//! What is written is read again, beside everything that was there, and goes without a trace.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use unprompt_metadata::write::{Form, WriteError, strip, write};
use unprompt_metadata::{Generator, read, read_text};

const FORMS: [Form; 4] = [Form::Auto, Form::Both, Form::Xmp, Form::Parameters];
const PHOTOGRAPHS: [&str; 13] = [
    "animated.webp",
    "camera-big-endian.jpg",
    "camera.jpg",
    "edited.jpg",
    "edited.png",
    "edited.webp",
    "lossless-alpha.webp",
    "lossless.webp",
    "lossy-alpha.webp",
    "lossy.webp",
    "palette.png",
    "progressive.jpg",
    "scan.jpg",
];

fn file(folder: &str, name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    std::fs::read(folder.join(name)).unwrap()
}

fn photograph(name: &str) -> Vec<u8> {
    file("photographs", name)
}

fn prompt(bytes: &[u8]) -> Option<String> {
    read(bytes).unwrap().map(|found| found.prompt)
}

/// Whether the text is anywhere in the file in an encoding that is written.
fn contains(bytes: &[u8], text: &str) -> bool {
    let utf8 = text.as_bytes();
    bytes.windows(utf8.len()).any(|window| window == utf8) || contains_utf16(bytes, text)
}

fn contains_utf16(bytes: &[u8], text: &str) -> bool {
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    bytes.windows(utf16.len()).any(|window| window == utf16)
}

#[track_caller]
fn there_and_back(name: &str, text: &str, form: Form) {
    let before = photograph(name);
    let written = write(&before, text, form).unwrap_or_else(|e| panic!("{name} {form:?}: {e}"));
    assert_eq!(
        prompt(&written.bytes).as_deref(),
        Some(text),
        "{name} {form:?}"
    );
    let again = write(&written.bytes, text, form).unwrap();
    assert_eq!(again, written, "{name} {form:?} {text:?}");
    let stripped = strip(&written.bytes).unwrap();
    assert!(
        stripped.bytes == before,
        "{name} {form:?} {text:?}: not as it was"
    );
    assert!(!stripped.in_pixels);
}

#[test]
fn every_photograph_takes_a_prompt_and_gives_it_back() {
    for name in PHOTOGRAPHS {
        for form in FORMS {
            for text in [
                "a cat, oil on canvas, 4k",
                "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 5x5",
                "{\"prompt\": \"a \\\"cat\\\"\", \"uc\": \"x\"}",
                "  a\r\n\tcat <b>&amp;</b> ]]> é 猫 😀\n\n ",
                "Steps: 1, Sampler: x, Seed: 2",
                "\0\u{1}\u{1b}[2Jcat\u{7f}\u{85}\u{2028}\u{fffe}\u{feff}",
                "\u{feff}cat",
                "一丁",
            ] {
                there_and_back(name, text, form);
            }
        }
    }
}

#[test]
fn prompts_replace_each_other_in_every_order_of_forms() {
    for name in PHOTOGRAPHS {
        for first in FORMS {
            for second in FORMS {
                let before = photograph(name);
                let one =
                    write(&before, "red fox, snow, a longer text than the next", first).unwrap();
                let two = write(&one.bytes, "a cat, a hat", second).unwrap();
                assert_eq!(prompt(&two.bytes).as_deref(), Some("a cat, a hat"));
                assert!(
                    !contains(&two.bytes, "red fox"),
                    "{name} {first:?} {second:?}"
                );
                assert!(
                    strip(&two.bytes).unwrap().bytes == before,
                    "{name} {first:?} {second:?}"
                );
                let direct = write(&before, "a cat, a hat", second).unwrap();
                assert!(two == direct, "{name} {first:?} {second:?}");
            }
        }
    }
}

fn any_prompt() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => any::<String>(),
        4 => "[a-z ]{1,12}",
        2 => "\\PC{0,20}",
        1 => "[\\x00-\\x1f\\x7f-\\x9f]{1,4}",
        1 => Just("\n".to_owned()),
        1 => Just(", ".to_owned()),
        1 => Just("\nNegative prompt: ".to_owned()),
        1 => Just("\nSteps: 20, Sampler: Euler, Seed: 7".to_owned()),
        1 => Just("{\"prompt\":\"x\",\"uc\":\"y\"}".to_owned()),
        1 => Just("]]><rdf:li>&#x0;&amp;".to_owned()),
        1 => Just("\u{fffe}\u{ffff}\u{feff}\r".to_owned()),
    ];
    proptest::collection::vec(part, 1..6)
        .prop_map(|parts| parts.concat())
        .prop_filter("blanks are no prompt", |text| !text.trim().is_empty())
}

proptest! {
    #[test]
    fn any_prompt_comes_back_and_goes_again(
        text in any_prompt(),
        name in prop::sample::select(&PHOTOGRAPHS[..]),
        form in prop::sample::select(&FORMS[..]),
    ) {
        there_and_back(name, &text, form);
    }

    #[test]
    fn any_prompt_goes_into_files_of_generators(
        text in any_prompt(),
        name in prop::sample::select(&[
            "a1111-text.png", "a1111-unicode.jpg", "a1111.webp", "a1111-little-endian.jpg",
            "comfyui.png", "comfyui-model-make.webp", "fooocus.png", "novelai.png", "swarmui.jpg",
            "invokeai.png", "midjourney.png", "drawthings.png", "stealth_pngcomp.png",
        ][..]),
    ) {
        let before = file("fixtures", name);
        let written = write(&before, &text, Form::Auto)
            .map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
        prop_assert_eq!(prompt(&written.bytes), Some(text.clone()));
        let again = write(&written.bytes, &text, Form::Auto).unwrap();
        prop_assert!(again == written, "{}", name);
        let stripped = strip(&written.bytes).unwrap();
        prop_assert_eq!(read_text(&stripped.bytes).unwrap(), None);
    }

    #[test]
    fn damaged_files_are_an_answer(
        name in prop::sample::select(&PHOTOGRAPHS[..]),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..8),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = write(&photograph(name), "a cat", Form::Both).unwrap().bytes;
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        // What is returned was verified; all that can go wrong here is a panic.
        let _ = write(&bytes, "another, text", Form::Auto);
        let _ = strip(&bytes);
    }
}

#[test]
fn settings_and_negative_prompt_of_an_infotext_stay() {
    for name in ["a1111-text.png", "a1111-unicode.jpg", "a1111.webp"] {
        let before = file("fixtures", name);
        let old = read(&before).unwrap().unwrap();
        for form in FORMS {
            let written = write(&before, "another prompt", form).unwrap();
            let found = read(&written.bytes).unwrap().unwrap();
            assert_eq!(found.prompt, "another prompt");
            if form == Form::Xmp {
                assert_eq!(found.generator, Some(Generator::Unprompt));
                continue;
            }
            assert_eq!(found.generator, Some(Generator::A1111));
            assert_eq!(found.negative_prompt, old.negative_prompt, "{name}");
            assert_eq!(found.settings, old.settings, "{name}");
        }
    }
}

#[test]
fn a_record_that_is_no_infotext_is_not_replaced() {
    for name in [
        "swarmui.png",
        "comfyui-user-comment.jpg",
        "fooocus.png",
        "easydiffusion.jpg",
    ] {
        let before = file("fixtures", name);
        let record = read(&before).unwrap().unwrap();
        let written = write(&before, "a cat", Form::Auto).unwrap();
        assert_eq!(prompt(&written.bytes).as_deref(), Some("a cat"));
        if written.parameters {
            // Fooocus' PNG has its record elsewhere.
            continue;
        }
        assert_eq!(
            write(&before, "a cat", Form::Both),
            Err(WriteError::Occupied),
            "{name}"
        );
        assert_eq!(
            write(&before, "a cat", Form::Parameters),
            Err(WriteError::Occupied)
        );
        let back = read(&strip_note(&written.bytes)).unwrap();
        assert_eq!(back, Some(record), "{name}");
    }
}

/// The file without its XMP, by hand: in these fixtures it is all that was added.
fn strip_note(bytes: &[u8]) -> Vec<u8> {
    let name = b"urn:unprompt:metadata:1.0/";
    let mut bytes = bytes.to_vec();
    let at = bytes
        .windows(name.len())
        .rposition(|window| window == name)
        .unwrap();
    bytes[at] = b'x';
    if bytes.starts_with(b"\x89PNG") {
        // The checksum is wrong now, so that the chunk is left out.
        return bytes;
    }
    bytes
}

#[test]
fn no_text_of_a_generator_is_left_and_all_else_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ![".png", ".jpg", ".webp"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            continue;
        }
        seen += 1;
        let before = std::fs::read(&path).unwrap();
        let found = read(&before).unwrap();
        let stripped = strip(&before).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read_text(&stripped.bytes).unwrap(), None, "{name}");
        assert_eq!(stripped.in_pixels, name.starts_with("stealth"), "{name}");
        let again = strip(&stripped.bytes).unwrap();
        assert!(again == stripped, "{name}: not the same the second time");
        match found {
            None => assert!(stripped.bytes == before, "{name}"),
            Some(found) if !stripped.in_pixels => {
                let word = found
                    .prompt
                    .split([',', '\n', '"'])
                    .next()
                    .unwrap()
                    .to_owned();
                let long = word.len() > 5;
                assert!(!long || !contains(&stripped.bytes, &word), "{name}: {word}");
            }
            Some(_) => {}
        }
    }
    assert!(seen > 50);
}

#[test]
fn colour_orientation_camera_and_rights_stay_when_a_record_goes() {
    for name in [
        "camera.jpg",
        "camera-big-endian.jpg",
        "edited.jpg",
        "edited.webp",
        "edited.png",
    ] {
        let before = photograph(name);
        let text =
            "a red fox\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 5x5";
        let written = write(&before, text, Form::Parameters).unwrap().bytes;
        // Without our note it is another program's record.
        let mut foreign = strip_note(&written);
        if name.ends_with("png") {
            foreign = remove_png_xmp(&written);
        }
        assert_eq!(prompt(&foreign).as_deref(), Some("a red fox"), "{name}");
        let stripped = strip(&foreign).unwrap().bytes;
        assert!(!contains_utf16(&stripped, "red fox"), "{name}");
        for kept in ["Camera Works", "(c) A. Nobody", "private", "lcms"] {
            let lost = contains(&before, kept) && !contains(&stripped, kept);
            assert!(!lost, "{name}: {kept}");
        }
    }
}

fn remove_png_xmp(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes[..8].to_vec();
    let mut at = 8;
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let chunk = &bytes[at..at + 12 + length];
        if !chunk[8..].starts_with(b"XML:com.adobe.xmp") {
            out.extend_from_slice(chunk);
        }
        at += chunk.len();
    }
    out
}

#[test]
fn offsets_of_the_camera_stay_right() {
    for name in ["camera.jpg", "camera-big-endian.jpg"] {
        let before = photograph(name);
        let after = write(&before, "a cat", Form::Both).unwrap().bytes;
        let block = |bytes: &[u8]| {
            let at = bytes
                .windows(6)
                .position(|window| window == b"Exif\0\0")
                .unwrap();
            let length = u16::from_be_bytes([bytes[at - 2], bytes[at - 1]]) as usize;
            bytes[at + 6..at - 2 + length].to_vec()
        };
        let (before, after) = (block(&before), block(&after));
        let changed: Vec<usize> = (0..before.len())
            .filter(|at| before[*at] != after[*at])
            .collect();
        // Nothing but the pointer to the EXIF directory.
        assert!(!changed.is_empty() && changed.len() <= 4, "{changed:?}");
        assert!(changed.last().unwrap() - changed[0] < 4);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_a_png_takes_it() {
    let long = "猫, ".repeat(20_000);
    for form in [Form::Both, Form::Parameters, Form::Xmp] {
        let error = write(&photograph("scan.jpg"), &long, form).unwrap_err();
        assert!(matches!(error, WriteError::TooLong { .. }), "{error}");
    }
    let fits = "a".repeat(30_000);
    there_and_back("scan.jpg", &fits, Form::Both);
    there_and_back("palette.png", &long, Form::Both);
    there_and_back("lossy.webp", &long, Form::Both);
    let longest = "\u{1}".repeat(1 << 20);
    there_and_back("palette.png", &longest, Form::Both);
    let error = write(
        &photograph("palette.png"),
        &format!("{longest}a"),
        Form::Auto,
    )
    .unwrap_err();
    assert_eq!(error, WriteError::Prompt((1 << 20) + 1));
}

#[test]
fn formats_without_a_place_and_empty_prompts_are_refused() {
    for (name, format) in [
        ("none.gif", "a GIF"),
        ("none.bmp", "a BMP"),
        ("none.tiff", "a TIFF"),
    ] {
        let bytes = file("fixtures", name);
        assert_eq!(
            write(&bytes, "a cat", Form::Auto),
            Err(WriteError::Format(format))
        );
        assert_eq!(strip(&bytes), Err(WriteError::Format(format)));
    }
    let bytes = photograph("scan.jpg");
    assert_eq!(write(&bytes, " \n", Form::Auto), Err(WriteError::Empty));
    assert!(write(b"no picture", "a cat", Form::Auto).is_err());
}
