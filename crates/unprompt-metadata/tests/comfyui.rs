//! Every graph of `fixtures/comfyui` gives exactly the prompts beside it, and hostile graphs end.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use unprompt_metadata::{Metadata, read};

/// A PNG file without pixels that carries these texts.
fn png(texts: &[(&str, String)]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length, &kind[..], data, &crc.sum().to_be_bytes()].concat()
    };
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (key, text) in texts {
        let data = [key.as_bytes(), b"\0\0\0\0\0", text.as_bytes()].concat();
        file.extend(chunk(b"iTXt", &data));
    }
    file.extend(chunk(b"IEND", b""));
    file
}

/// A JPEG file without pixels whose comment is this text.
fn jpeg(comment: &str) -> Vec<u8> {
    let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    [
        b"\xff\xd8\xff\xfe",
        &length[..],
        comment.as_bytes(),
        b"\xff\xd9",
    ]
    .concat()
}

fn picture(texts: &Map<String, Value>) -> Vec<u8> {
    if let Some(comment) = texts.get("comment") {
        return jpeg(&comment.to_string());
    }
    let texts: Vec<(&str, String)> = texts
        .iter()
        .map(|(key, graph)| (key.as_str(), graph.to_string()))
        .collect();
    png(&texts)
}

fn executed(graph: &Value) -> Option<Metadata> {
    read(&png(&[("prompt", graph.to_string())])).unwrap()
}

fn edited(graph: &Value) -> Option<Metadata> {
    read(&png(&[("workflow", graph.to_string())])).unwrap()
}

#[test]
fn every_graph_gives_its_prompts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/comfyui");
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 130, "only {} graphs found", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let case: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let found = read(&picture(case["texts"].as_object().unwrap())).unwrap();
        let found = found.map(|found| json!([found.prompt, found.negative_prompt]));
        let expected = json!([case["prompt"], case["negative_prompt"]]);
        if found.as_ref() != Some(&expected) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            wrong.push(format!("{name}: found {found:?}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a hostile graph may take here; tests run unoptimised and beside others.
const PATIENCE: Duration = Duration::from_secs(5);

fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    done
}

#[test]
fn a_graph_in_which_everything_meets_again_is_read() {
    // 2^40 ways lead to one text, which is the same on each.
    let mut graph = json!({
        "0": {"class_type": "CLIPTextEncode", "inputs": {"text": "a kite"}},
        "100": {"class_type": "KSampler", "inputs": {"steps": 1, "positive": ["40", 0]}},
    });
    for id in 1..=40 {
        let before = (id - 1).to_string();
        graph[id.to_string()] = json!({"class_type": "ConditioningCombine",
            "inputs": {"conditioning_1": [before, 0], "conditioning_2": [before, 0]}});
    }
    let found = in_time(|| executed(&graph)).unwrap();
    assert_eq!(found.prompt, "a kite");
}

#[test]
fn subgraphs_that_multiply_end() {
    // Each contains the next sixteen times, twelve deep; the last has the text.
    let id = |level: usize| format!("00000000-0000-4000-8000-{level:012}");
    let definitions: Vec<Value> = (0..12)
        .map(|level| {
            let parts: Vec<Value> = (0..16)
                .map(|part| match level {
                    11 => json!({"id": part, "type": "CLIPTextEncode", "widgets_values": ["x"]}),
                    _ => json!({"id": part, "type": id(level + 1), "inputs": []}),
                })
                .collect();
            json!({"id": id(level), "nodes": parts, "links": [[1, 0, 0, -20, 0, "*"]],
                "outputs": [{"name": "out"}]})
        })
        .collect();
    let graph = json!({
        "nodes": [
            {"id": 1, "type": "KSampler", "inputs": [{"name": "positive", "link": 1},
                {"name": "negative", "link": 2}]},
            {"id": 2, "type": id(0), "outputs": [{"name": "out"}]},
            {"id": 3, "type": "CLIPTextEncode", "widgets_values": ["a kite"]},
        ],
        "links": [[1, 3, 0, 1, 0, "*"], [2, 2, 0, 1, 1, "*"]],
        "definitions": {"subgraphs": definitions},
    });
    let found = in_time(|| edited(&graph)).unwrap();
    assert_eq!(found.prompt, "a kite");
}

#[test]
fn long_chains_of_passages_are_followed_and_loops_cut() {
    let count = 8_000;
    let mut nodes = vec![
        json!({"id": 0, "type": "CLIPTextEncode", "widgets_values": ["a kite"]}),
        json!({"id": count + 1, "type": "KSampler", "inputs": [{"name": "positive", "link": count},
            {"name": "negative", "link": count + 2}]}),
        json!({"id": count + 2, "type": "Reroute", "inputs": [{"name": "", "link": count + 3}]}),
        json!({"id": count + 3, "type": "Reroute", "inputs": [{"name": "", "link": count + 4}]}),
    ];
    let mut links = vec![
        json!([count, count, 0, 0, 0, "*"]),
        json!([count + 2, count + 2, 0, 0, 0, "*"]),
        json!([count + 3, count + 3, 0, 0, 0, "*"]),
        json!([count + 4, count + 2, 0, 0, 0, "*"]),
    ];
    for id in 1..=count {
        nodes.push(json!({"id": id, "type": "Reroute", "inputs": [{"name": "", "link": id - 1}]}));
        links.push(json!([id - 1, id - 1, 0, id, 0, "*"]));
    }
    let graph = json!({"nodes": nodes, "links": links});
    let found = in_time(|| edited(&graph)).unwrap();
    assert_eq!(
        (found.prompt.as_str(), found.negative_prompt),
        ("a kite", None)
    );
}

#[test]
fn pictures_inside_a_graph_are_left_out() {
    let graph = |length: usize| {
        json!({
            "1": {"class_type": "KSampler", "inputs": {"steps": 1, "positive": ["2", 0]}},
            "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a kite"}},
            "3": {"class_type": "ETN_LoadImageBase64", "inputs": {"image": "A".repeat(length)}},
        })
    };
    let found = in_time(|| executed(&graph(5 << 20))).unwrap();
    assert_eq!(found.prompt, "a kite");
}

#[test]
fn graphs_of_nothing_but_values_are_refused_early() {
    let huge = [
        format!(
            "{{\"1\": {{\"class_type\": \"A\", \"x\": [{}0]}}}}",
            "0,".repeat(2_500_000)
        ),
        format!(
            "{{\"1\": {{\"class_type\": \"A\", \"x\": [{}0]}}}}",
            "{\"a\":0},".repeat(600_000)
        ),
        format!(
            "{{\"1\": {{\"class_type\": \"A\", \"x\": [{}0]}}}}",
            "[0],".repeat(1_250_000)
        ),
    ];
    for text in huge {
        let file = png(&[("prompt", text)]);
        in_time(|| read(&file).ok());
    }
}
