//! Captioners on other servers: asked where somebody said so, and never otherwise.

use crate::harness::{Place, json, json_lines, workspace};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, TryRecvError, channel},
};

const KEY: &str = "canary-3f9c1d77-sings";
const CAPTION: &str = r#"{"choices": [{"message": {"content": "a quiet place"}}]}"#;

/// A server that has `body` for every chat, with this status, and hands over heads and bodies of all requests.
fn server(status: &'static str, body: &'static str) -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (head, request) = request(&mut stream);
            let (status, body) = match head.starts_with("GET") {
                true => ("200 OK", "{}"),
                false => (status, body),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes());
            if asked.send((head, request)).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end])
                .to_ascii_lowercase()
                .replacen("get", "GET", 1)
                .replacen("post", "POST", 1);
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return (head, bytes[end + 4..].to_vec());
            }
        }
        match stream.read(&mut chunk).unwrap() {
            0 => return (String::new(), bytes),
            count => bytes.extend(&chunk[..count]),
        }
    }
}

fn name(address: SocketAddr) -> String {
    format!("openai:seer@http://{address}")
}

/// A preset of one member that asks elsewhere.
fn preset(model: &str) -> String {
    let encoder = workspace("fixtures/models/tiny-sbert");
    format!(
        "name = 'far'\nencoder = '{}'\n[[member]]\nname = 'seer'\nkind = 'remote'\nmodel = '{model}'\nsuffix = ', oil'\n\
         weight = 1.0\n",
        encoder.display()
    )
}

fn place() -> Place {
    let place = Place::new();
    place.copy(&workspace("examples/pictures/cat.png"), "in/a.png");
    place.write("in/b.png", "no picture");
    place.copy(&workspace("examples/pictures/coffee.webp"), "in/c.webp");
    place
}

#[test]
fn a_captioner_elsewhere_writes_records_that_say_so() {
    let (address, requests) = server("200 OK", CAPTION);
    let place = place();
    let model = name(address);
    let arguments = [
        "caption",
        "in",
        "--model",
        &model,
        "--prompt",
        "What?",
        "--max-new-tokens",
        "9",
        "--format",
        "jsonl",
    ];
    let mut command = place.command(&arguments);
    let run = place.finish(command.env("UNPROMPT_REMOTE_API_KEY", KEY));
    let (output, failures) = run.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    let records = json_lines(output);
    assert_eq!(records[0]["caption"], "a quiet place");
    assert_eq!(records[0]["remote"], model.as_str());
    assert!(records[0].get("score").is_none(), "{}", records[0]);
    assert!(records[1]["error"].is_string() && records[2]["caption"].is_string());
    assert!(!format!("{run:?}").contains("canary"));

    let (head, _) = requests.recv().unwrap();
    assert!(head.starts_with("GET /v1/models "), "{head}");
    for _ in 0..2 {
        let (head, body) = requests.recv().unwrap();
        assert!(
            head.contains(&format!("authorization: bearer {KEY}")),
            "{head}"
        );
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["model"], &body["max_tokens"]),
            (&"seer".into(), &9.into())
        );
        assert_eq!(body["messages"][0]["content"][0]["text"], "What?");
    }
    assert_eq!(
        requests.try_recv().unwrap_err(),
        TryRecvError::Empty,
        "a broken picture leaves nobody"
    );
}

#[test]
fn a_prompt_of_labels_begins_with_the_words_of_a_captioner_elsewhere() {
    let (address, _requests) = server("200 OK", CAPTION);
    let place = place();
    let model = name(address);
    for table in ["flavors", "mediums", "artists", "movements"] {
        place.write(&format!("labels/{table}.txt"), "red\nblue\n");
    }
    let clip = workspace("fixtures/models/tiny-clip");
    let arguments = [
        "interrogate",
        "in/a.png",
        "--clip",
        clip.to_str().unwrap(),
        "--labels",
        "labels",
        "--mode",
        "fast",
        "--format",
        "json",
    ];
    let run = place.run(&[&arguments[..], &["--captioner", &model, "--quiet"]].concat());
    let record = &json(run.output())[0];
    assert_eq!(record["caption"], "a quiet place");
    assert!(
        record["prompt"]
            .as_str()
            .unwrap()
            .starts_with("a quiet place"),
        "{record}"
    );
}

#[test]
fn offline_and_wrong_names_are_refused_before_anybody_is_asked() {
    let (address, requests) = server("200 OK", CAPTION);
    let place = place();
    let model = name(address);
    let offline = place.run(&["caption", "in", "--model", &model, "--offline"]);
    assert!(offline.refusal().contains("--offline"), "{offline:?}");
    let mut command = place.command(&["caption", "in", "--model", &model]);
    let offline = place.finish(command.env("HF_HUB_OFFLINE", "1"));
    assert!(offline.refusal().contains("HF_HUB_OFFLINE"), "{offline:?}");
    let beams = place.run(&["caption", "in", "--model", &model, "--beams", "3"]);
    assert!(beams.refusal().contains("--beams"), "{beams:?}");
    let secret = format!("openai:seer@http://me:{KEY}@{address}");
    let named = place.run(&["caption", "in", "--model", &secret]);
    assert!(!named.refusal().contains("canary"), "{named:?}");
    assert_eq!(requests.try_recv().unwrap_err(), TryRecvError::Empty);
    // Nobody is there: one error for all pictures.
    let gone = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let run = place.run(&["caption", "in", "--model", &name(gone)]);
    assert_eq!(run.refusal().lines().count(), 1, "{run:?}");
    assert!(run.refusal().contains("cannot be reached"), "{run:?}");
}

#[test]
fn a_preset_asks_elsewhere_only_where_that_is_allowed() {
    let (address, requests) = server("200 OK", CAPTION);
    let place = place();
    let model = name(address);
    place.write("far.toml", preset(&model));
    let predict = [
        "predict", "in/a.png", "--preset", "far.toml", "--format", "json",
    ];
    let refused = place.run(&predict);
    assert!(refused.refusal().contains("--allow-remote"), "{refused:?}");
    let offline = place.run(&[&predict[..], &["--allow-remote", "--offline"]].concat());
    assert!(offline.refusal().contains("--offline"), "{offline:?}");
    assert_eq!(requests.try_recv().unwrap_err(), TryRecvError::Empty);
    let run = place.run(&[&predict[..], &["--allow-remote"]].concat());
    let record = &json(run.output())[0];
    assert_eq!(record["members"][0]["text"], "a quiet place, oil");
    let receipt = &record["receipt"]["models"][1];
    assert_eq!(
        (&receipt["name"], &receipt["revision"], &receipt["sha256"]),
        (&model.as_str().into(), &"remote".into(), &"".into())
    );
}

#[test]
fn a_server_that_refuses_in_between_fails_the_rest_at_once() {
    let (address, requests) = server("401 Unauthorized", r#"{"error": "who are you"}"#);
    let place = place();
    let model = name(address);
    let run = place.run(&["caption", "in", "--model", &model, "--batch-size", "1"]);
    let (_, failures) = run.failures();
    assert_eq!(failures.len(), 3, "{failures:?}");
    for failure in failures {
        assert!(failure.contains("UNPROMPT_REMOTE_API_KEY"), "{failure}");
    }
    assert_eq!(requests.try_iter().count(), 2, "a check, and one picture");
    // A prediction without one of its members is none.
    place.write("far.toml", preset(&model));
    let run = place.run(&[
        "predict",
        "in/a.png",
        "--preset",
        "far.toml",
        "--allow-remote",
    ]);
    assert!(run.refusal().contains("who are you"), "{run:?}");
}
