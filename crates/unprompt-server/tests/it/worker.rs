//! One worker: order, batches, panics, and clients that leave.

use crate::{
    http_client::{connect, multipart, request},
    running::{Fake, Running, wait_until},
};
use serde_json::json;
use std::{io::Write, num::NonZeroUsize, time::Duration};
use unprompt_server::{Limits, ServeOptions, Timeouts};

#[test]
fn requests_are_batched_in_their_order_and_each_gets_its_own() {
    let fake = Fake::new(true);
    let limits = Limits {
        batch: NonZeroUsize::new(4).unwrap(),
        ..Limits::default()
    };
    let server = Running::start(
        &fake,
        ServeOptions {
            limits,
            ..ServeOptions::default()
        },
    );
    fake.close();
    let mut requests = vec![server.files_later("/v1/predict", &["a"])];
    fake.wait_for_batches(1);
    for (place, (path, names)) in [
        ("/v1/predict", vec!["b", "c"]),
        ("/v1/predict", vec!["d", "e"]),
        ("/v1/predict", vec!["f"]),
        ("/v1/metadata", vec!["g"]),
        ("/v1/predict", vec!["h", "i", "j", "k", "l"]),
    ]
    .iter()
    .enumerate()
    {
        requests.push(server.files_later(path, names));
        wait_until(|| server.metric("unprompt_queue_requests") == place as f64 + 2.0);
    }
    // The last request begins within two batches of what is worked on.
    fake.wait_for_prepared(11);
    // They are ready a moment later.
    std::thread::sleep(Duration::from_millis(200));
    fake.open();
    let names: Vec<Vec<String>> = requests
        .into_iter()
        .map(|request| {
            let answer = request.join().unwrap().of(200);
            let records = answer["records"].as_array().unwrap();
            records
                .iter()
                .map(|record| record["path"].as_str().unwrap().to_owned())
                .collect()
        })
        .collect();
    assert_eq!(
        names,
        [
            vec!["a"],
            vec!["b", "c"],
            vec!["d", "e"],
            vec!["f"],
            vec!["g"],
            vec!["h", "i", "j", "k", "l"]
        ]
    );
    let batches = fake.batches();
    assert_eq!(
        batches,
        [
            vec!["a"],
            vec!["b", "c", "d", "e"],
            vec!["f"],
            vec!["g"],
            vec!["h", "i", "j", "k"],
            vec!["l"]
        ]
    );
}

#[test]
fn a_broken_picture_costs_its_own_record() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    let answer = server.files(
        "/v1/predict",
        &[("a", b"x"), ("b", b"broken"), ("c", b"x")],
        &[],
    );
    let answer = answer.of(200);
    assert_eq!(answer["records"][0]["prompt"], "prompt of a");
    assert_eq!(
        answer["records"][1],
        json!({ "path": "b", "error": "not a picture" })
    );
    assert_eq!(answer["records"][2]["prompt"], "prompt of c");
    assert!(answer.get("error").is_none());
    let answer = server
        .files("/v1/predict", &[("a", b"broken"), ("b", b"broken")], &[])
        .of(400);
    assert_eq!(
        (
            &answer["error"],
            answer["records"].as_array().unwrap().len()
        ),
        (&json!("not a picture"), 2)
    );
}

#[test]
fn a_panic_costs_its_batch_and_three_are_told_of() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    fake.close();
    let first = server.files_later("/v1/predict", &["a"]);
    fake.wait_for_batches(1);
    let panicking = server.files_later("/v1/predict", &["panic"]);
    wait_until(|| server.metric("unprompt_queue_requests") == 2.0);
    let other = server.files_later("/v1/metadata", &["b"]);
    wait_until(|| server.metric("unprompt_queue_requests") == 3.0);
    fake.open();
    let statuses = [first, panicking, other].map(|request| request.join().unwrap().status);
    assert_eq!(statuses, [200, 500, 200]);
    assert_eq!(server.get("/health").status, 200);
    for _ in 0..2 {
        assert_eq!(
            server.files("/v1/predict", &[("panic", b"x")], &[]).status,
            500
        );
    }
    let ill = server.get("/health");
    assert!(
        ill.of(503)["error"]
            .as_str()
            .unwrap()
            .contains("failed 3 times")
    );
    assert_eq!(server.metric("unprompt_panics_total"), 3.0);
    assert_eq!(server.metric("unprompt_queue_requests"), 0.0);
    // It goes on all the same.
    assert_eq!(server.files("/v1/predict", &[("a", b"x")], &[]).status, 200);
}

#[test]
fn a_panic_before_the_batch_costs_its_request() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    fake.close();
    let first = server.files_later("/v1/predict", &["a"]);
    fake.wait_for_batches(1);
    let panicking = server.files_later("/v1/predict", &["b", "panic early"]);
    assert_eq!(panicking.join().unwrap().status, 500, "at once");
    let other = server.files_later("/v1/predict", &["c"]);
    wait_until(|| server.metric("unprompt_queue_requests") == 2.0);
    fake.open();
    let statuses = [first, other].map(|request| request.join().unwrap().status);
    assert_eq!(statuses, [200, 200]);
    assert_eq!(fake.batches(), [["a"], ["c"]]);
    assert_eq!(server.metric("unprompt_panics_total"), 1.0);
    assert_eq!(server.metric("unprompt_queue_requests"), 0.0);
}

#[test]
fn work_of_a_client_that_left_is_not_begun() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    fake.close();
    let first = server.files_later("/v1/predict", &["a"]);
    fake.wait_for_batches(1);
    let (content_type, body) = multipart(&[("gone", b"x")], &[]);
    let headers = [("Content-Type", content_type.as_str())];
    let mut stream = connect(server.address);
    stream
        .write_all(&request(
            server.address,
            "POST",
            "/v1/metadata",
            &headers,
            &body,
        ))
        .unwrap();
    wait_until(|| server.metric("unprompt_queue_requests") == 2.0);
    drop(stream);
    let last = server.files_later("/v1/predict", &["b"]);
    wait_until(|| server.metric("unprompt_queue_requests") >= 2.0);
    // The server sees the end of a connection when it looks at it, which may be after the worker has
    // gone on; so it is given the time.
    std::thread::sleep(Duration::from_millis(200));
    fake.open();
    assert_eq!(
        [first, last].map(|request| request.join().unwrap().status),
        [200, 200]
    );
    assert_eq!(fake.batches().concat(), ["a", "b"]);
}

#[test]
fn what_is_not_done_in_time_is_given_up() {
    let fake = Fake::new(true);
    let timeouts = Timeouts {
        request: Duration::from_millis(200),
        ..Timeouts::default()
    };
    let server = Running::start(
        &fake,
        ServeOptions {
            timeouts,
            ..ServeOptions::default()
        },
    );
    fake.close();
    let late = server.files("/v1/predict", &[("a", b"x")], &[]);
    assert_eq!((late.status, late.header("retry-after")), (503, Some("1")));
    assert_eq!(late.of(503)["kind"], "unavailable");
    assert_eq!(
        server.files("/v1/metadata", &[("b", b"x")], &[]).status,
        503
    );
    fake.open();
    wait_until(|| server.metric("unprompt_queue_requests") == 0.0);
    assert_eq!(
        fake.batches().concat(),
        ["a"],
        "nobody waits for the second any longer"
    );
    assert_eq!(server.files("/v1/predict", &[("c", b"x")], &[]).status, 200);
}
