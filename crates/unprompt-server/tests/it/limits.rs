//! What is beyond the limits, row by row of the table of statuses.

use crate::{
    http_client::{Answer, ask, connect, multipart, request},
    running::{Fake, Running, png_header},
};
use serde_json::json;
use std::{io::Write, time::Duration};
use unprompt_server::{ApiKey, Limits, ServeOptions, Timeouts};

fn with(limits: Limits) -> ServeOptions {
    ServeOptions {
        limits,
        ..ServeOptions::default()
    }
}

#[test]
fn every_status_of_the_table_can_be_had() {
    let fake = Fake::new(false);
    let options = ServeOptions {
        timeouts: Timeouts {
            idle: Duration::from_millis(300),
            ..Timeouts::default()
        },
        ..with(Limits {
            body: 5000,
            pictures: 2,
            ..Limits::default()
        })
    };
    let server = Running::start(&fake, options.clone());
    let at = server.address;
    let typed = |content_type: &str, body: &[u8]| {
        ask(
            at,
            "POST",
            "/v1/predict",
            &[("Content-Type", content_type)],
            body,
        )
    };
    let kind = |answer: Answer, status: u16| -> String {
        let body = answer.of(status);
        assert!(!body["error"].as_str().unwrap().is_empty());
        body["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(server.files("/v1/predict", &[("a", b"x")], &[]).status, 200);
    assert_eq!(
        kind(server.files("/v1/predict", &[("a", b"broken")], &[]), 400),
        "picture"
    );
    for malformed in ["", "{", "{\"image\":", "\u{feff}{}"] {
        assert_eq!(
            kind(typed("application/json", malformed.as_bytes()), 400),
            "malformed",
            "{malformed}"
        );
    }
    assert_eq!(
        kind(server.json("/v1/predict", &json!({ "image": "a*b" })), 400),
        "malformed"
    );
    let cut = multipart(&[("a", b"x")], &[]).1;
    let cut = &cut[..cut.len() - 12];
    assert_eq!(
        kind(typed("multipart/form-data; boundary=edge", cut), 400),
        "malformed"
    );
    assert_eq!(kind(typed("multipart/form-data", cut), 400), "malformed");
    assert_eq!(kind(server.get("/nowhere"), 404), "not_found");
    assert_eq!(kind(server.get("/v1/predict"), 405), "method");
    assert_eq!(
        kind(server.files("/v1/predict", &[("a", &[0; 6000])], &[]), 413),
        "too_large"
    );
    let three: [(&str, &[u8]); 3] = [("a", b"x"), ("b", b"x"), ("c", b"x")];
    assert_eq!(
        kind(server.files("/v1/predict", &three, &[]), 413),
        "too_large"
    );
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "video/mp4",
    ] {
        assert_eq!(kind(typed(content_type, b"x"), 415), "media_type");
    }
    assert_eq!(
        kind(ask(at, "POST", "/v1/predict", &[], b"x"), 415),
        "media_type"
    );
    for body in [
        json!({}),
        json!([]),
        json!({ "images": [] }),
        json!({ "images": "eA==" }),
        json!({ "image": 7 }),
        json!({ "image": "eA==", "metadata": "perhaps" }),
        json!({ "image": "eA==", "top": 3 }),
        json!({ "image": "http://127.0.0.1:1/a.png" }),
    ] {
        assert_eq!(
            kind(server.json("/v1/predict", &body), 422),
            "invalid",
            "{body}"
        );
    }
    assert_eq!(
        kind(
            server.json("/v1/classify", &json!({ "image": "eA==", "top": -1 })),
            422
        ),
        "invalid"
    );
    assert_eq!(
        kind(server.files("/v1/predict", &[("panic", b"x")], &[]), 500),
        "bug"
    );
    for path in ["/v1/caption", "/v1/interrogate", "/v1/embed/image"] {
        assert_eq!(
            kind(server.json(path, &json!({ "image": "eA==" })), 501),
            "not_loaded"
        );
    }
    assert_eq!(
        kind(server.json("/v1/embed/text", &json!({ "text": "a" })), 501),
        "not_loaded"
    );

    // 408: a body that stops coming.
    let mut stream = connect(at);
    let whole = request(
        at,
        "POST",
        "/v1/predict",
        &[("Content-Type", "image/png")],
        &[0; 100],
    );
    stream.write_all(&whole[..whole.len() - 50]).unwrap();
    assert_eq!(kind(Answer::read(stream), 408), "slow");

    // 401 and 403 are those of other options.
    let keyed = ServeOptions {
        api_key: Some(ApiKey::new("open-sesame").unwrap()),
        ..options
    };
    let server = Running::start(&fake, keyed);
    let refused = server.files("/v1/predict", &[("a", b"x")], &[]);
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("Bearer")
    );
    assert_eq!(kind(refused, 401), "unauthorized");
}

#[test]
fn a_body_in_chunks_is_measured_as_it_comes() {
    let fake = Fake::new(false);
    let server = Running::start(
        &fake,
        with(Limits {
            body: 1000,
            ..Limits::default()
        }),
    );
    let chunked = |chunks: usize| {
        let mut stream = connect(server.address);
        let head = format!(
            "POST /v1/predict HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: image/png\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            server.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..chunks {
            let chunk = [&b"64\r\n"[..], &[7; 100], b"\r\n"].concat();
            stream.write_all(&chunk).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        Answer::read(stream).status
    };
    assert_eq!([chunked(10), chunked(11)], [200, 413]);
}

#[test]
fn bodies_share_a_place_in_memory_and_give_it_back() {
    let fake = Fake::new(false);
    let server = Running::start(
        &fake,
        with(Limits {
            bodies: 3000,
            ..Limits::default()
        }),
    );
    let post = || server.files("/v1/metadata", &[("a", &[0; 2000])], &[]);
    assert_eq!(post().status, 200);
    fake.close();
    let first = {
        let address = server.address;
        std::thread::spawn(move || {
            crate::http_client::post_files(address, "/v1/metadata", &[("a", &[0; 2000])], &[])
        })
    };
    fake.wait_for_batches(2);
    let refused = post();
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    fake.open();
    assert_eq!(first.join().unwrap().status, 200);
    assert_eq!(post().status, 200);
}

#[test]
fn a_full_queue_refuses_at_once_and_whole_requests_only() {
    let fake = Fake::new(false);
    let server = Running::start(
        &fake,
        with(Limits {
            requests: 2,
            ..Limits::default()
        }),
    );
    fake.close();
    let first = server.files_later("/v1/predict", &["a"]);
    fake.wait_for_batches(1);
    let second = server.files_later("/v1/predict", &["b", "c"]);
    crate::running::wait_until(|| server.metric("unprompt_queue_requests") == 2.0);
    let refused = server.files("/v1/predict", &[("d", b"x")], &[]);
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(refused.of(429)["kind"], "busy");
    // What waits for no model is answered all the same.
    assert_eq!(server.get("/health").status, 200);
    fake.open();
    assert_eq!(
        [first, second].map(|one| one.join().unwrap().status),
        [200, 200]
    );
    assert_eq!(fake.batches().concat(), ["a", "b", "c"]);
    assert_eq!(server.files("/v1/predict", &[("d", b"x")], &[]).status, 200);
}

#[test]
fn pixels_are_counted_by_the_headers_and_before_anything_is_decoded() {
    let fake = Fake::new(false);
    let server = Running::start(
        &fake,
        with(Limits {
            pixels: 100,
            ..Limits::default()
        }),
    );
    let picture = |width, height| png_header(width, height);
    let (small, large) = (picture(7, 10), picture(8, 10));
    let post = |files: &[(&str, &[u8])]| server.files("/v1/metadata", files, &[]);
    // Alone beyond all: it will never fit.
    let never = post(&[("bomb", &picture(100_000, 100_000))]);
    assert_eq!(never.of(413)["kind"], "too_large");
    assert_eq!(post(&[("a", &small), ("b", &large)]).status, 413);
    assert!(fake.batches().is_empty(), "none of its pictures was taken");
    fake.close();
    let address = server.address;
    let waiting = std::thread::spawn(move || {
        crate::http_client::post_files(address, "/v1/metadata", &[("a", &small)], &[])
    });
    fake.wait_for_batches(1);
    assert_eq!(post(&[("b", &large)]).status, 429);
    assert_eq!(server.metric("unprompt_queue_pixels"), 70.0);
    fake.open();
    assert_eq!(waiting.join().unwrap().status, 200);
    assert_eq!(post(&[("b", &large)]).status, 200);
}

#[test]
fn hostile_requests_leave_the_server_up() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    let at = server.address;
    let long = "x".repeat(100_000);
    let deep = "[".repeat(100_000);
    let headers = "a: b\r\n".repeat(5000);
    let raw = [
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "\0\x01\x02\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{headers}\r\n"),
        format!("POST /v1/predict HTTP/1.1\r\nHost: {at}\r\nContent-Length: -1\r\n\r\n"),
        format!(
            "POST /v1/predict HTTP/1.1\r\nHost: {at}\r\nContent-Length: 99999999999999999999\r\n\r\n"
        ),
        format!(
            "POST /v1/predict HTTP/1.1\r\nHost: {at}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        ),
    ];
    for request in raw {
        let mut stream = connect(at);
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut bytes = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
        let start = String::from_utf8_lossy(&bytes).into_owned();
        assert!(
            !start.starts_with("HTTP/1.1 2") && !start.starts_with("HTTP/1.1 5"),
            "{start:.80}"
        );
    }
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/predict/../../health",
        "//etc/passwd",
        "/docs/%00",
        "/page/index.html",
    ] {
        let status = server.get(path).status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    for path in [
        "/v1/predict",
        "/v1/embed/text",
        "/v1/score",
        "/v1/embeddings",
        "/v1/chat/completions",
        "/embed",
        "/api/generate",
        "/api/chat",
        "/api/embed",
        "/sdapi/v1/interrogate",
        "/sdapi/v1/png-info",
        "/interrogator/prompt",
        "/interrogator/analyze",
    ] {
        for body in [
            "",
            "null",
            "7",
            "\"x\"",
            "[]",
            "{}",
            "{\"a\":",
            &deep,
            "\u{0}",
            "{\"image\":{\"$ref\":1}}",
            "{\"model\":\"\\u0000\",\"image\":\"\\ud800\"}",
            "{\"input\":[[1,2]],\"inputs\":{},\"messages\":{},\"pairs\":7}",
        ] {
            let json = [("Content-Type", "application/json")];
            let status = ask(at, "POST", path, &json, body.as_bytes()).status;
            assert!((400..500).contains(&status), "{path} {body:.40}: {status}");
        }
    }
    // Names of pictures are words in records, and nothing else.
    let name = "../../../tmp/x\\u001b[2J";
    let answer = server.json(
        "/v1/metadata",
        &json!({ "image": { "name": name, "data": "eA==" } }),
    );
    assert_eq!(answer.of(200)["records"][0]["path"], name);
    assert_eq!(server.get("/health").status, 200);
}
