//! Whatever a file holds, reading it ends in answers or in an error; and what was written comes
//! back.

use proptest::prelude::*;
use unprompt_eval::{Answer, Answers, SubmissionWriter, cosine};

/// Pieces that files of answers are made of, so that random files get past the first check.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "imgId_eId,val\n",
        "imgId,prompt\n",
        "path,prompt\r\n",
        "a_0,0.5\n",
        "a_1,",
        "1e308",
        "-0",
        "nan",
        "\"",
        "\"\"",
        ",",
        "\n",
        "\r\n",
        "\r",
        "_",
        "{",
        "}",
        "[",
        "]",
        ":",
        "null",
        " ",
        "{\"id\":\"a\",\"prompt\":\"b\"}",
        "\"embedding\":[",
        "\u{feff}",
        "\u{732b}",
    ];
    prop_oneof![
        8 => prop::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

/// Rows as a spreadsheet would write them.
fn csv_text(rows: &[(String, String)], windows: bool) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let end = if windows { "\r\n" } else { "\n" };
    let rows = rows
        .iter()
        .map(|(id, prompt)| format!("{},{}{end}", quoted(id), quoted(prompt)));
    format!("imgId,prompt{end}{}", rows.collect::<String>())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(pieces in prop::collection::vec(piece(), 0..40)) {
        let bytes = pieces.concat();
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        match Answers::read("p", bytes.as_slice()) {
            Ok(answers) => prop_assert!(!answers.entries().is_empty()),
            Err(error) => {
                prop_assert!(error.line().is_none_or(|line| (1..=lines).contains(&line)));
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }
    }

    #[test]
    fn any_table_comes_back(
        prompts in prop::collection::vec("\\PC{0,12}|[\",\r\n a]{0,6}", 1..12),
        windows: bool,
    ) {
        let rows: Vec<(String, String)> =
            prompts.into_iter().enumerate().map(|(row, text)| (format!("i{row}"), text)).collect();
        let answers = Answers::read("t", csv_text(&rows, windows).as_bytes()).unwrap();
        let mut line = 2;
        prop_assert_eq!(answers.entries().len(), rows.len());
        for (entry, (id, prompt)) in answers.entries().iter().zip(&rows) {
            prop_assert_eq!(&entry.id, id);
            prop_assert_eq!(&entry.answer, &Answer::Prompt(prompt.clone()));
            prop_assert_eq!(entry.line, line);
            line += 1 + prompt.matches('\n').count() as u64;
        }
    }

    #[test]
    fn any_submission_comes_back(id in "[^/\u{0}]{1,12}", seed in any::<[f32; 16]>()) {
        let finite = |value: f32| if value.is_finite() { value } else { 1.5 };
        let embedding: Vec<f32> = (0..384).map(|d| finite(seed[d % 16])).collect();
        let mut writer = SubmissionWriter::new("s", Vec::new()).unwrap();
        writer.write(&id, &embedding).unwrap();
        let bytes = writer.finish().unwrap();
        let answers = Answers::read("s", bytes.as_slice()).unwrap();
        let expected = embedding.iter().map(|&value| f64::from(value)).map(|value| value as f32);
        match &answers.get(&id).unwrap().answer {
            Answer::Embedding(found) => {
                let found: Vec<f32> = found.iter().map(|&value| value as f32).collect();
                prop_assert_eq!(found, expected.collect::<Vec<f32>>());
            }
            Answer::Prompt(_) => prop_assert!(false, "an embedding was written"),
        }
    }

    #[test]
    fn a_cosine_is_a_cosine(
        left in prop::collection::vec(-1e3..1e3_f64, 8),
        right in prop::collection::vec(-1e3..1e3_f64, 8),
        scale in prop::sample::select(vec![1e-300, 1e-160, 1e-3, 1.0, 1e160, 1e300]),
    ) {
        let plain = cosine(&left, &right);
        let scaled: Vec<f64> = left.iter().map(|value| value * scale).collect();
        match (plain, cosine(&scaled, &right)) {
            (Some(plain), Some(scaled)) => {
                prop_assert!((plain - scaled).abs() < 1e-9);
                prop_assert!(plain.abs() <= 1.0 + 1e-12);
            }
            (plain, scaled) => prop_assert_eq!(plain, scaled),
        }
    }
}
