//! CLIP's tokenizers against open_clip and transformers; `fixtures/models/clip_tokenizer.py` makes
//! the texts and their ids.

mod common;

use common::{TestResult, fixture};
use flate2::{Compression, write::GzEncoder};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashSet},
    io::Write,
    path::Path,
};
use unprompt_models::ClipTokenizer;

const MERGES: usize = 48894;

#[derive(Deserialize)]
struct Expected {
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
    #[serde(default)]
    padded: Vec<u32>,
}

fn expected(path: &str) -> Vec<Text> {
    let bytes = std::fs::read(fixture(path)).unwrap();
    serde_json::from_slice::<Expected>(&bytes).unwrap().texts
}

/// A vocabulary of the published size in which the merges that the texts can touch are at their
/// places, and the others join control characters, which no text has after its cleaning.
fn vocabulary() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut encoder = GzEncoder::new(&mut file, Compression::fast());
    encoder.write_all(vocabulary_text().as_bytes()).unwrap();
    encoder.finish().unwrap();
    file
}

fn vocabulary_text() -> String {
    let kept = std::fs::read_to_string(fixture("clip_merges.txt")).unwrap();
    let kept: BTreeMap<usize, &str> = kept
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(rank, merge)| (rank.parse().unwrap(), merge))
        .collect();
    let mut made: HashSet<String> = kept.values().map(|merge| merge.replace(' ', "")).collect();
    let controls: Vec<String> = ('\u{100}'..='\u{11f}').map(String::from).collect();
    let mut words = controls.clone();
    let mut next = (0, 0);
    let mut filler = || loop {
        let (word, control) = next;
        next = if control + 1 < controls.len() {
            (word, control + 1)
        } else {
            (word + 1, 0)
        };
        let joined = format!("{}{}", words[word], controls[control]);
        if made.insert(joined.clone()) {
            let line = format!("{} {}", words[word], controls[control]);
            words.push(joined);
            return line;
        }
    };
    let mut text = String::from("title\n");
    for rank in 0..MERGES {
        match kept.get(&rank) {
            Some(merge) => text.push_str(merge),
            None => text.push_str(&filler()),
        }
        text.push('\n');
    }
    text
}

fn compare(tokenizer: &ClipTokenizer, texts: &[Text]) {
    let mut wrong = Vec::new();
    for Text { text, ids, .. } in texts {
        let found = tokenizer.encode(text).unwrap();
        if found != *ids {
            wrong.push(format!(
                "{text:?}\n  expected {ids:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_ids_are_those_of_open_clip() -> TestResult {
    let texts = expected("clip_tokenizer.json");
    assert!(texts.len() >= 200);
    let file = vocabulary();
    let tokenizer = ClipTokenizer::open_clip(file.path(), 77)?;
    compare(&tokenizer, &texts);
    Ok(())
}

/// The ids that transformers' `vocab.json` has for merges: bytes, bytes at a word's end, merges, the two
/// special tokens.
fn vocab_json(merges: &str) -> BTreeMap<String, u32> {
    let prints = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let (printing, others): (Vec<u8>, Vec<u8>) = (0..=0xff).partition(prints);
    let mut tokens: Vec<String> = printing
        .into_iter()
        .map(char::from)
        .map(String::from)
        .collect();
    tokens.extend(('\u{100}'..).take(others.len()).map(String::from));
    let last: Vec<String> = tokens.iter().map(|token| format!("{token}</w>")).collect();
    tokens.extend(last);
    tokens.extend(merges.lines().skip(1).map(|merge| merge.replace(' ', "")));
    tokens.extend(["<|startoftext|>", "<|endoftext|>"].map(String::from));
    tokens.into_iter().zip(0..).collect()
}

#[test]
fn the_two_files_of_a_folder_give_the_same_ids_as_the_published_one() -> TestResult {
    let merges = vocabulary_text().replacen("title", "#version: 0.2", 1);
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("merges.txt"), &merges)?;
    let mut vocabulary = vocab_json(&merges);
    let write = |vocabulary: &BTreeMap<String, u32>| {
        std::fs::write(
            folder.path().join("vocab.json"),
            serde_json::to_vec(vocabulary)?,
        )
    };
    write(&vocabulary)?;
    let tokenizer = ClipTokenizer::open_clip_of_folder(folder.path(), 77)?;
    compare(&tokenizer, &expected("clip_tokenizer.json"));
    assert_eq!(tokenizer.encode_padded("a cat")?[76], 0);

    // Other ids are another vocabulary.
    vocabulary.insert("b</w>".to_owned(), 7);
    write(&vocabulary)?;
    let refused = ClipTokenizer::open_clip_of_folder(folder.path(), 77).unwrap_err();
    assert!(refused.to_string().contains("`b</w>` is 7"), "{refused}");
    // A list of fewer merges is one too, with the special tokens after them.
    let few: String = merges
        .lines()
        .take(4)
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(folder.path().join("merges.txt"), &few)?;
    write(&vocab_json(&few))?;
    let tokenizer = ClipTokenizer::open_clip_of_folder(folder.path(), 77)?;
    assert_eq!(tokenizer.encode("")?, [515, 516]);
    Ok(())
}

/// `clip_tokenizer.py --random` writes the texts; the vocabulary is the published file.
#[test]
#[ignore = "needs UNPROMPT_CLIP_VOCABULARY and UNPROMPT_CLIP_TEXTS"]
fn the_ids_of_any_text_are_those_of_open_clip_with_the_published_vocabulary() -> TestResult {
    let path = |name| std::env::var_os(name).ok_or(name);
    let tokenizer = ClipTokenizer::open_clip(Path::new(&path("UNPROMPT_CLIP_VOCABULARY")?), 77)?;
    let more = expected(&path("UNPROMPT_CLIP_TEXTS")?.to_string_lossy());
    compare(&tokenizer, &expected("clip_tokenizer.json"));
    compare(&tokenizer, &more);
    Ok(())
}

#[test]
fn ids_are_padded_with_zeros_and_cut_before_an_end_token() -> TestResult {
    let file = vocabulary();
    let tokenizer = ClipTokenizer::open_clip(file.path(), 77)?;
    let ids = tokenizer.encode_padded("a cat")?;
    assert_eq!((ids.len(), ids[0], ids[76]), (77, 49406, 0));
    let ids = tokenizer.encode_padded(&"word ".repeat(200))?;
    assert_eq!(
        (ids.len(), ids[0], ids[75] < 49406, ids[76]),
        (77, 49406, true, 49407)
    );
    // The length comes from the model.
    let tokenizer = ClipTokenizer::open_clip(file.path(), 5)?;
    let ids = tokenizer.encode("a a a a a a a")?;
    assert_eq!((ids.len(), ids[4]), (5, 49407));
    // What is cut anyway is looked at only as far as it may count.
    assert_eq!(tokenizer.encode(&"a ".repeat(1 << 20))?, ids);
    Ok(())
}

#[test]
fn texts_made_to_be_slow_are_not() -> TestResult {
    let file = vocabulary();
    let tokenizer = ClipTokenizer::open_clip(file.path(), 77)?;
    for text in [
        "a".repeat(1 << 20),
        "&amp;".repeat(1 << 17),
        format!("&{}lt;", "amp;".repeat(1 << 12)),
        "\u{c3}\u{a9}".repeat(1 << 17),
        "\u{e2}\u{20ac}".repeat(1 << 15),
    ] {
        let ids = tokenizer.encode(&text)?;
        assert!((2..=77).contains(&ids.len()));
    }
    Ok(())
}

#[test]
fn a_folder_of_transformers_brings_its_own_tokenizer() -> TestResult {
    let texts = expected("tiny-clip-tokenizer/expected.json");
    assert!(texts.len() > 50);
    let folder = fixture("tiny-clip-tokenizer");
    let with_file = ClipTokenizer::from_folder(&folder, 77)?;
    // And without tokenizer.json.
    let copy = tempfile::tempdir()?;
    for file in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        std::fs::copy(folder.join(file), copy.path().join(file))?;
    }
    let without_file = ClipTokenizer::from_folder(copy.path(), 77)?;
    for tokenizer in [with_file, without_file] {
        assert_eq!(tokenizer.context_length(), 12);
        compare(&tokenizer, &texts);
        for text in &texts {
            assert_eq!(
                tokenizer.encode_padded(&text.text)?,
                text.padded,
                "{:?}",
                text.text
            );
        }
    }
    Ok(())
}

#[test]
fn files_that_are_missing_or_broken_are_named() -> TestResult {
    let folder = tempfile::tempdir()?;
    let named = |expected: &str| {
        let message = ClipTokenizer::from_folder(folder.path(), 77)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message}");
    };
    named("tokenizer.json");
    std::fs::write(folder.path().join("vocab.json"), "{\"a\": 0}")?;
    named("merges.txt");
    std::fs::write(folder.path().join("merges.txt"), "")?;
    named("<|startoftext|>");
    std::fs::write(folder.path().join("tokenizer.json"), "{")?;
    named("tokenizer.json");

    let missing = folder.path().join("no-such-file.gz");
    let message = ClipTokenizer::open_clip(&missing, 77)
        .unwrap_err()
        .to_string();
    assert!(message.contains("no-such-file.gz"), "{message}");
    let plain = folder.path().join("vocab.json");
    assert!(ClipTokenizer::open_clip(&plain, 77).is_err());
    Ok(())
}
