//! Answers as server-sent events.

use crate::{
    http_client::{Answer, connect, multipart, request},
    running::{Fake, Running, wait_until},
};
use serde_json::Value;
use std::{io::Write, time::Duration};
use unprompt_server::{Limits, ServeOptions, Timeouts};

/// A request for events with pictures of these names.
fn asking(server: &Running, path: &str, names: &[&str], fields: &[(&str, &str)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &b"bytes"[..])).collect();
    let (content_type, body) = multipart(&files, fields);
    let headers = [
        ("Content-Type", content_type.as_str()),
        ("Accept", "text/event-stream"),
    ];
    request(server.address, "POST", path, &headers, &body)
}

fn events(server: &Running, path: &str, names: &[&str], fields: &[(&str, &str)]) -> Answer {
    let mut stream = connect(server.address);
    stream
        .write_all(&asking(server, path, names, fields))
        .unwrap();
    Answer::read(stream)
}

/// Names and data of the events of an answer, in which chunks have lines of their own.
fn parsed(answer: &Answer) -> Vec<(String, Value)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let mut events = Vec::new();
    let mut name = String::new();
    for line in answer.text().lines() {
        if let Some(found) = line.strip_prefix("event: ") {
            name = found.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            events.push((name.clone(), serde_json::from_str(data).unwrap()));
        }
    }
    events
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn each_record_comes_as_soon_as_it_is_there_and_is_the_same() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    let found = parsed(&events(
        &server,
        "/v1/interrogate",
        &["a", "b", "c"],
        &[("mode", "fast")],
    ));
    assert_eq!(
        names(&found),
        ["queued", "begun", "record", "record", "record", "done"]
    );
    assert_eq!(
        fake.batches(),
        [["a"], ["b"], ["c"]],
        "slow modes go one by one"
    );
    let whole = server.files(
        "/v1/interrogate",
        &[("a", b"bytes"), ("b", b"bytes"), ("c", b"bytes")],
        &[("mode", "fast")],
    );
    let whole = whole.of(200);
    for (place, (_, data)) in found[2..5].iter().enumerate() {
        assert_eq!(
            (&data["done"], &data["total"]),
            (&(place + 1).into(), &3.into())
        );
        assert_eq!(data["record"], whole["records"][place]);
    }
    let quick = parsed(&events(
        &server,
        "/v1/predict",
        &["a", "b", "c", "d", "e"],
        &[],
    ));
    assert_eq!(quick.len(), 8);
    assert_eq!(fake.batches()[4..], [vec!["a", "b", "c", "d"], vec!["e"]]);
}

#[test]
fn a_failure_ends_the_events_and_what_is_wrong_with_the_request_is_told_as_ever() {
    let fake = Fake::new(true);
    let options = ServeOptions {
        limits: Limits {
            requests: 1,
            ..Limits::default()
        },
        ..ServeOptions::default()
    };
    let server = Running::start(&fake, options);
    let found = parsed(&events(&server, "/v1/caption", &["a", "panic", "c"], &[]));
    assert_eq!(names(&found), ["queued", "begun", "record", "failed"]);
    assert_eq!(found[3].1["kind"], "bug");
    assert_eq!(fake.batches(), [["a"], ["panic"]]);
    assert_eq!(
        events(&server, "/v1/caption", &["a"], &[("beams", "many")]).status,
        422
    );
    wait_until(|| server.metric("unprompt_queue_requests") == 0.0);
    fake.close();
    let busy = server.files_later("/v1/predict", &["first"]);
    fake.wait_for_batches(3);
    assert_eq!(events(&server, "/v1/caption", &["a"], &[]).status, 429);
    fake.open();
    assert_eq!(busy.join().unwrap().status, 200);
}

#[test]
fn nobody_works_for_a_client_that_left_or_beyond_the_deadline() {
    let fake = Fake::new(true);
    let options = ServeOptions {
        timeouts: Timeouts {
            request: Duration::from_millis(300),
            ..Timeouts::default()
        },
        ..ServeOptions::default()
    };
    let server = Running::start(&fake, options);
    fake.close();
    let late = parsed(&events(&server, "/v1/caption", &["a", "b"], &[]));
    assert_eq!(names(&late), ["queued", "begun", "failed"]);
    assert_eq!(late[2].1["kind"], "unavailable");
    fake.open();
    wait_until(|| server.metric("unprompt_queue_requests") == 0.0);
    assert_eq!(fake.batches(), [["a"]]);

    let server = Running::start(&fake, ServeOptions::default());
    fake.close();
    let mut stream = connect(server.address);
    stream
        .write_all(&asking(&server, "/v1/caption", &["c", "d", "e"], &[]))
        .unwrap();
    fake.wait_for_batches(2);
    drop(stream);
    // The server notices when it next has something to say, at the latest.
    std::thread::sleep(Duration::from_millis(200));
    fake.open();
    wait_until(|| server.metric("unprompt_queue_requests") == 0.0);
    assert!(fake.batches().len() < 4, "{:?}", fake.batches());
}
