//! Tokenizers whose files name tokens that are not in them: their library panics, some when it reads the file and
//! some at a text.

const BEGIN: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
    "normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"decoder":null,"#;

fn file(processor: &str, model: &str) -> String {
    format!(r#"{BEGIN}"post_processor":{processor},"model":{model}}}"#)
}

const WORDS: &str = r#"{"type":"WordLevel","vocab":{"a":0,"[UNK]":1},"unk_token":"[UNK]"}"#;

/// One with nothing wrong: `a` is 0, all else 1.
pub fn good() -> String {
    file("null", WORDS)
}

/// A template without its special token, unknown tokens that are not there, in three kinds, and no JSON.
pub fn bad() -> [String; 5] {
    let template = r#"{"type":"TemplateProcessing",
        "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
        "pair":[],"special_tokens":{}}"#;
    let unknown = r#"{"type":"WordLevel","vocab":{"a":0},"unk_token":"[UNK]"}"#;
    let pieces = r###"{"type":"WordPiece","vocab":{"a":0},"unk_token":"[UNK]",
        "continuing_subword_prefix":"##","max_input_chars_per_word":100}"###;
    let unigram = r#"{"type":"Unigram","unk_id":7,"vocab":[["a",-1.0]]}"#;
    [
        file(template, WORDS),
        file("null", unknown),
        file("null", pieces),
        file("null", unigram),
        "{".to_owned(),
    ]
}
