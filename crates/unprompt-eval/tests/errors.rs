//! Every way in which a file of answers can be wrong names the file, the line and the cause.

use unprompt_eval::{Answers, EmbedError, Error, SubmissionWriter, score};

/// A submission of the given images, one line changed by `edit` (line numbers from 1).
fn submission(ids: &[&str], edit: impl Fn(usize, String) -> Option<String>) -> String {
    let rows = ids
        .iter()
        .flat_map(|id| (0..384).map(move |d| format!("{id}_{d},0.5")));
    let lines = std::iter::once("imgId_eId,val".to_owned())
        .chain(rows)
        .enumerate();
    let edited = lines.filter_map(|(index, line)| edit(index + 1, line));
    edited.map(|line| line + "\n").collect()
}

fn replaced(line: usize, by: &str) -> String {
    submission(&["a", "b"], |number, old| {
        Some(if number == line { by.to_owned() } else { old })
    })
}

fn read_error(text: impl AsRef<[u8]>) -> String {
    Answers::read("p", text.as_ref()).unwrap_err().to_string()
}

fn score_error(prediction: &str, truth: &str) -> Error {
    let mut embed = |texts: &[String]| -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts
            .iter()
            .map(|text| vec![text.len() as f32; 384])
            .collect())
    };
    let prediction = Answers::read("p", prediction.as_bytes()).unwrap();
    let truth = Answers::read("t", truth.as_bytes()).unwrap();
    score(&prediction, &truth, &mut embed).unwrap_err()
}

#[test]
fn a_bad_submission_row_is_named_with_its_line() {
    for (by, expected) in [
        (
            "a_10,NaN",
            "p:12: image `a`, dimension 10: `NaN` is not a finite number",
        ),
        (
            "a_10,-inf",
            "p:12: image `a`, dimension 10: `-inf` is not a finite number",
        ),
        (
            "a_10,1e999",
            "p:12: image `a`, dimension 10: `1e999` is not a finite number",
        ),
        ("a_10,", "p:12: image `a`, dimension 10: `` is not a number"),
        (
            "a_10,0,5",
            "p:12: the row has 3 fields, expected 2; quote a field that holds a comma",
        ),
        (
            "a_10",
            "p:12: the row has 1 fields, expected 2; quote a field that holds a comma",
        ),
        (
            "a_10,0.5f",
            "p:12: image `a`, dimension 10: `0.5f` is not a number",
        ),
        (
            "a_9,0.5",
            "p:12: image `a`: dimension 9 is given twice; keep one of the rows",
        ),
        (
            "a_384,0.5",
            "p:12: image `a`: dimension 384 is out of range, expected 0 to 383",
        ),
        (
            "a_99999999999999999999999,0.5",
            "p:12: image `a`: dimension 99999999999999999999999 is out of range, expected 0 to 383",
        ),
        (
            "a_-1,0.5",
            "p:12: `a_-1` is not of the form `<image id>_<dimension>`",
        ),
        (
            "a_+1,0.5",
            "p:12: `a_+1` is not of the form `<image id>_<dimension>`",
        ),
        (
            "a_010,0.5",
            "p:12: `a_010` is not of the form `<image id>_<dimension>`",
        ),
        (
            "a_,0.5",
            "p:12: `a_` is not of the form `<image id>_<dimension>`",
        ),
        (
            "_10,0.5",
            "p:12: `_10` is not of the form `<image id>_<dimension>`",
        ),
        (
            "a,0.5",
            "p:12: `a` is not of the form `<image id>_<dimension>`",
        ),
        (
            "\u{1b}[31ma,0.5",
            "p:12: `\\u{1b}[31ma` is not of the form `<image id>_<dimension>`",
        ),
        (
            "other_10,0.5",
            "p:2: image `a` has 383 of 384 dimensions; dimension 10 is the first one missing",
        ),
    ] {
        assert_eq!(read_error(replaced(12, by)), expected);
    }
    let invalid = replaced(12, "a_10,0.5")
        .replace("a_10", "a?_10")
        .replace('?', "\u{80}");
    let invalid: Vec<u8> = invalid.bytes().filter(|&byte| byte != 0xC2).collect();
    assert_eq!(
        read_error(invalid),
        "p:12: `imgId_eId` is not UTF-8 text; save the file as UTF-8"
    );
}

#[test]
fn a_missing_dimension_is_named_with_the_first_line_of_its_image() {
    let text = submission(&["a", "b"], |line, old| (line != 387).then_some(old));
    assert_eq!(
        read_error(text),
        "p:386: image `b` has 383 of 384 dimensions; dimension 1 is the first one missing"
    );
}

#[test]
fn lines_are_counted_with_blank_lines_and_windows_line_ends() {
    let text = "\u{feff}\r\n\r\nimgId_eId,val\r\na_0,0.5\r\n\r\na_1,x\r\n";
    assert_eq!(
        read_error(text),
        "p:6: image `a`, dimension 1: `x` is not a number"
    );
    let open = "imgId,prompt\na,x\nb,\"y\nc,z\n";
    assert_eq!(
        read_error(open),
        "p:3: a quoted field of this row is never closed; expected `\"` before the end of the file"
    );
    let table = "imgId,prompt\na,\"two\nlines\"\nb,x,y\n";
    assert_eq!(
        read_error(table),
        "p:4: the row has 3 fields, expected 2; quote a field that holds a comma"
    );
}

#[test]
fn an_empty_or_foreign_file_is_named() {
    let empty = "p: holds no answers; expected a header and at least one row, or JSON records";
    for text in [
        "",
        "\u{feff}",
        " \r\n\n",
        "imgId_eId,val\n",
        "imgId,prompt\r\n",
        "[]",
        "[ ]\n",
    ] {
        assert_eq!(read_error(text), empty, "{text:?}");
    }
    let columns = "expected `imgId_eId,val`, or columns `prompt` and one of `imgId`, `id`, \
                   `file`, `path`, `image` or `filename`";
    assert_eq!(
        read_error("id,val\na_0,1\n"),
        format!("p:1: the header is `id,val`; {columns}")
    );
    assert_eq!(
        read_error("\na_0,1\n"),
        format!("p:2: the header is `a_0,1`; {columns}")
    );
    let long = "x".repeat(500);
    assert_eq!(
        read_error(&long),
        format!("p:1: the header is `{}...`; {columns}", &long[..60])
    );
    let missing = Answers::open(std::path::Path::new("no-such-file.csv")).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("no-such-file.csv: cannot be read or written: ")
    );
}

#[test]
fn a_bad_table_row_is_named_with_its_line() {
    for (text, expected) in [
        (
            "imgId,prompt\na,x\nb,y\na,z\n",
            "p:4: image `a` is given twice, first on line 2; keep one (an id is a file name \
             without folder and extension)",
        ),
        (
            "path,prompt\none/a.png,x\ntwo/a.jpg,y\n",
            "p:3: image `a` is given twice, first on line 2; keep one (an id is a file name \
             without folder and extension)",
        ),
        ("imgId,prompt\n,x\n", "p:2: the image id is empty"),
        ("path,prompt\n..,x\n", "p:2: the image id is empty"),
    ] {
        assert_eq!(read_error(text), expected);
    }
    assert_eq!(
        read_error(b"imgId,prompt\na,\xff\n"),
        "p:2: `prompt` is not UTF-8 text; save the file as UTF-8"
    );
}

#[test]
fn a_bad_record_is_named_with_its_line() {
    let embedding = |length: usize, at_five: &str| {
        let numbers = (0..length).map(|d| if d == 5 { at_five } else { "0.5" });
        numbers.collect::<Vec<_>>().join(",")
    };
    let good = r#"{"path":"good.png","prompt":"x"}"#;
    for (bad, expected) in [
        (
            r#"{"path":"in/bad.png","error":"not an image"}"#.to_owned(),
            "image `bad` failed when it was predicted (not an image); predict it again or remove it",
        ),
        (
            r#"{"path":"bad.png","error":{"kind":"decode"}}"#.to_owned(),
            "image `bad` failed when it was predicted ({\"kind\":\"decode\"}); predict it again or \
             remove it",
        ),
        (
            r#"{"prompt":"x"}"#.to_owned(),
            "the record has no `path`, `id` or `imgId`",
        ),
        (
            r#"{"id":"a"}"#.to_owned(),
            "the record has no `embedding` or `prompt`",
        ),
        (
            r#"{"id":"","prompt":"x"}"#.to_owned(),
            "the image id is empty",
        ),
        (
            format!(r#"{{"id":"a","embedding":[{}]}}"#, embedding(383, "1")),
            "image `a`: the embedding has 383 numbers, expected 384",
        ),
        (
            format!(r#"{{"id":"a","embedding":[{}]}}"#, embedding(384, "null")),
            "image `a`, dimension 5: `null` is not a finite number",
        ),
        (
            r#"{"id":"good","prompt":"y"}"#.to_owned(),
            "image `good` is given twice, first on line 2; keep one (an id is a file name without \
             folder and extension)",
        ),
    ] {
        let lines = format!("\n{good}\n{bad}\n");
        assert_eq!(read_error(lines), format!("p:3: {expected}"));
        let array = format!("[\n{good},\n{bad}\n]");
        assert_eq!(read_error(array), format!("p:3: {expected}"));
    }
    for (bad, reason) in [
        (
            format!(r#"{{"id":"a","embedding":[{}]}}"#, embedding(384, "NaN")),
            "expected value",
        ),
        (
            format!(r#"{{"id":"a","embedding":[{}]}}"#, embedding(384, "1e999")),
            "number out of range",
        ),
        (
            format!(r#"{{"id":"a","embedding":[{}]}}"#, embedding(384, "\"1\"")),
            "invalid type",
        ),
        (r#"{"id":7,"prompt":"x"}"#.to_owned(), "invalid type"),
        (
            r#"{"id":"a","prompt":"x""#.to_owned(),
            "EOF while parsing an object",
        ),
        (
            r#"["id"]"#.to_owned(),
            "invalid length 1, expected a JSON object",
        ),
        ("\u{fffd}".to_owned(), "expected value"),
    ] {
        let message = read_error(format!("{good}\n{bad}\n"));
        assert!(
            message.starts_with(&format!("p:2: not a usable record: {reason}")),
            "{message}"
        );
    }
    let message = read_error(format!("[{good},\n{good}"));
    assert!(message.starts_with("p:2: "), "{message}");
    let message = read_error(format!("[{good}]\nmore"));
    assert!(
        message.starts_with("p:2: not a usable record: trailing characters"),
        "{message}"
    );
}

#[test]
fn files_that_do_not_match_are_named_with_the_line() {
    let truth = "imgId,prompt\na,one\nb,two words\n";
    let unknown = score_error("imgId,prompt\na,one\nb,x\nc,x\n", truth);
    assert_eq!(
        unknown.to_string(),
        "p:4: image `c` is not in the truth (t); remove it or correct its id"
    );
    assert_eq!((unknown.file(), unknown.line()), ("p", Some(4)));
    let missing = score_error("imgId,prompt\na,one\n", truth);
    assert_eq!(
        missing.to_string(),
        "t:3: image `b` has no prediction in p; predict it"
    );
    let zero = score_error("imgId,prompt\na,one\nb,\n", truth);
    assert_eq!(
        zero.to_string(),
        "p:3: image `b`: every number of the embedding is zero, so it has no cosine"
    );
    let zero = score_error(truth, "imgId,prompt\na,\nb,x\n");
    assert_eq!(
        zero.to_string(),
        "t:2: image `a`: every number of the embedding is zero, so it has no cosine"
    );
}

#[test]
fn a_record_without_an_end_does_not_fill_the_memory() {
    // 40 MiB without a line end: refused at 16 MiB.
    let endless = vec![b'a'; 40 << 20];
    let message = "longer than 16 MiB, which no answer is";
    for start in [
        "imgId,prompt\nx,",
        "imgId_eId,val\nx_0,\"",
        "{\"id\":\"",
        "[\n{\"id\":\"",
    ] {
        let text = [start.as_bytes(), &endless].concat();
        let found = read_error(text);
        assert!(found.ends_with(message), "{found}");
        assert!(
            found.starts_with(if start.starts_with('{') {
                "p:1: "
            } else {
                "p:2: "
            }),
            "{found}"
        );
    }
}

#[test]
fn a_file_of_first_rows_does_not_fill_the_memory() {
    let rows: String = (0..100_001).map(|image| format!("{image}_0,1\n")).collect();
    assert_eq!(
        read_error(format!("imgId_eId,val\n{rows}")),
        "p:100002: more than 100000 images are incomplete up to here; sort the rows by image"
    );
}

#[test]
fn a_submission_refuses_what_it_could_not_read_back() {
    let mut writer = SubmissionWriter::new("out.csv", Vec::new()).unwrap();
    let good = vec![0.5; 384];
    writer.write("a", &good).unwrap();
    let mut refused =
        |id: &str, embedding: &[f32]| writer.write(id, embedding).unwrap_err().to_string();
    assert_eq!(
        refused("a", &good),
        "out.csv: image id `a` was written before: a submission tells images apart by file name \
         without folder and extension; rename one of the files"
    );
    assert_eq!(refused("", &good), "out.csv: the image id is empty");
    assert_eq!(
        refused("b", &good[1..]),
        "out.csv: image `b`: the embedding has 383 numbers, expected 384"
    );
    let mut broken = good.clone();
    broken[3] = f32::INFINITY;
    assert_eq!(
        refused("b", &broken),
        "out.csv: image `b`, dimension 3: `inf` is not a finite number"
    );
    writer.write("b", &good).unwrap();
    let text = writer.finish().unwrap();
    assert_eq!(
        Answers::read("out.csv", text.as_slice())
            .unwrap()
            .entries()
            .len(),
        2
    );
}
