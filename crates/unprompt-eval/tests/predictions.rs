//! Files of predictions with what each member gave.

use serde_json::{Value, json};
use unprompt_eval::{Answer, Predictions, Problem};

fn row(first: f64) -> Vec<f64> {
    let mut row = vec![0.5; 384];
    row[0] = first;
    row
}

fn record(id: &str, members: &Value) -> Value {
    json!({"path": format!("in/{id}.png"), "prompt": format!("the {id}"), "embedding": row(1.0),
           "members": members})
}

fn lines(records: &[Value]) -> String {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    lines.join("\n")
}

fn two() -> Vec<Value> {
    let members = |first: f64| {
        json!([
            {"name": "seen", "weight": 0.5, "embedding": row(first), "text": "not used"},
            {"name": "said", "weight": 0.5, "text": "a cat"},
            {"name": "mute", "weight": 0.0},
        ])
    };
    vec![record("a", &members(2.0)), record("b", &members(3.0))]
}

#[test]
fn members_with_an_embedding_or_a_text_are_read_from_lines_and_from_an_array() {
    for text in [lines(&two()), Value::from(two()).to_string()] {
        let found = Predictions::read("p.jsonl", text.as_bytes()).unwrap();
        let names: Vec<&str> = found.members.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, ["seen", "said"]);
        let seen = found.members[0].1.get("b").unwrap();
        assert_eq!(seen.answer, Answer::Embedding(row(3.0)));
        let said = found.members[1].1.get("a").unwrap();
        assert_eq!(said.answer, Answer::Prompt("a cat".into()));
        let whole = found.answers.get("a").unwrap();
        assert_eq!(whole.answer, Answer::Embedding(row(1.0)));
        let prompt = found.prompts.as_ref().unwrap().get("b").unwrap();
        assert_eq!(prompt.answer, Answer::Prompt("the b".into()));
    }
}

#[test]
fn files_without_members_are_what_they_always_were() {
    for text in [
        "\n\nfile,prompt\na.png,a cat\n".to_owned(),
        lines(&[json!({"id": "a", "prompt": "a cat"})]),
        lines(&[json!({"id": "a", "embedding": row(1.0), "members": []})]),
    ] {
        let found = Predictions::read("p", text.as_bytes()).unwrap();
        assert!(found.members.is_empty() && found.prompts.is_none());
        assert!(found.answers.get("a").is_some());
    }
    let error = Predictions::read("p", &b"\n\nfile,prompt\na.png\n"[..]).unwrap_err();
    assert!(error.to_string().contains("p:4:"), "{error}");
}

#[test]
fn records_of_other_members_are_refused_with_their_line() {
    let mut records = two();
    records[1]["members"] = json!([]);
    let error = Predictions::read("p.jsonl", lines(&records).as_bytes()).unwrap_err();
    assert!(matches!(error.problem(), Problem::OtherMembers { .. }));
    let message = error.to_string();
    assert!(
        message.contains("p.jsonl:2:") && message.contains("`seen`"),
        "{message}"
    );
    records[0]["members"] = json!([{"name": "m", "text": "x"}, {"name": "m", "text": "y"}]);
    let error = Predictions::read("p.jsonl", lines(&records).as_bytes()).unwrap_err();
    assert!(matches!(error.problem(), Problem::SameMember { .. }));
    records[0]["members"] = json!([{"name": "m", "embedding": [1.0]}]);
    let error = Predictions::read("p.jsonl", lines(&records).as_bytes()).unwrap_err();
    assert!(matches!(error.problem(), Problem::Width { found: 1, .. }));
    records[0]["members"] = json!(7);
    let error = Predictions::read("p.jsonl", lines(&records).as_bytes()).unwrap_err();
    assert!(matches!(error.problem(), Problem::BadRecord { .. }));
}

#[test]
fn a_member_is_as_long_as_it_was_before_it_was_brought_to_unit_length() {
    let members = json!([
        {"name": "seen", "embedding": row(2.0), "length": 0.5},
        {"name": "said", "embedding": row(2.0)},
    ]);
    let found = Predictions::read("p", lines(&[record("a", &members)]).as_bytes()).unwrap();
    let of = |member: usize| &found.members[member].1.get("a").unwrap().answer;
    let half: Vec<f64> = row(2.0).iter().map(|value| value * 0.5).collect();
    assert_eq!(of(0), &Answer::Embedding(half));
    assert_eq!(of(1), &Answer::Embedding(row(2.0)));
}
