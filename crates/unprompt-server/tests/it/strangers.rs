//! Keys, foreign pages, and what a log tells.

use crate::{
    http_client::{ask, multipart},
    running::{Fake, Running, kept_log},
};
use std::path::Path;
use unprompt_server::{ApiKey, ServeOptions};

const CANARY: &str = "canary-3f9c1d77-sings";

#[test]
fn the_key_is_asked_for_everywhere_but_at_the_door() {
    let fake = Fake::new(true);
    let api_key = Some(ApiKey::new(CANARY).unwrap());
    let server = Running::start(
        &fake,
        ServeOptions {
            api_key,
            ..ServeOptions::default()
        },
    );
    for path in [
        "/page/server.json",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/v1/models",
        "/api/tags",
        "/info",
        "/sdapi/v1/progress",
        "/interrogator/models",
    ] {
        assert_eq!(server.get(path).status, 401, "{path}");
        let bearer = format!("Bearer {CANARY}");
        let with_key = ask(
            server.address,
            "GET",
            path,
            &[("Authorization", &bearer)],
            b"",
        );
        assert_eq!(with_key.status, 200, "{path}");
    }
    for path in ["/health", "/ready", "/", "/page/app.js"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.get("/nowhere").status, 401);
    assert_eq!(server.files("/v1/predict", &[("a", b"x")], &[]).status, 401);
    assert!(fake.batches().is_empty());
}

#[test]
fn nothing_that_clients_send_is_in_the_log_or_in_an_answer_to_a_stranger() {
    let fake = Fake::new(true);
    let (log, kept) = kept_log();
    let api_key = Some(ApiKey::new(CANARY).unwrap());
    let options = ServeOptions {
        api_key,
        log: Some(log),
        ..ServeOptions::default()
    };
    assert!(!format!("{options:?}").contains(CANARY));
    let server = Running::start(&fake, options);
    let at = server.address;
    let wrong = format!("Bearer {CANARY}x");
    let right = format!("Bearer {CANARY}");
    let secret_path = format!("/{CANARY}?key={CANARY}");
    let (content_type, body) = multipart(&[(CANARY, b"broken")], &[(CANARY, CANARY)]);
    let mut answers = vec![
        ask(at, "GET", &secret_path, &[("Authorization", &wrong)], b""),
        ask(
            at,
            "POST",
            "/v1/predict",
            &[("X-Api-Key", &wrong)],
            CANARY.as_bytes(),
        ),
        ask(at, CANARY, "/v1/predict", &[("Authorization", &right)], b""),
        ask(at, "GET", &secret_path, &[("Authorization", &right)], b""),
        ask(
            at,
            "GET",
            "/v1/models",
            &[("Authorization", &right), ("X-Request-Id", CANARY)],
            b"",
        ),
        ask(
            at,
            "POST",
            "/v1/chat/completions",
            &[("Authorization", &right)],
            format!("{{\"model\":\"{CANARY}\",\"messages\":[]}}").as_bytes(),
        ),
    ];
    for answer in &answers {
        let shown = format!(
            "{:?}{}",
            answer.headers,
            String::from_utf8_lossy(&answer.body)
        );
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(answer.header("x-request-id").is_some());
    }
    let headers = [
        ("Authorization", right.as_str()),
        ("Content-Type", content_type.as_str()),
    ];
    answers.push(ask(at, "POST", "/v1/predict", &headers, &body));
    drop(server);
    let lines = kept.lock().unwrap();
    assert_eq!(lines.len(), answers.len(), "{lines:?}");
    for line in lines.iter() {
        assert!(!line.contains("canary"), "{line}");
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["time", "request", "method", "route", "status", "ms"] {
            assert!(line.get(key).is_some(), "{line}");
        }
    }
}

#[test]
fn foreign_pages_and_rebound_names_are_refused() {
    let fake = Fake::new(true);
    let server = Running::start(
        &fake,
        ServeOptions {
            only_local_names: true,
            ..ServeOptions::default()
        },
    );
    let at = server.address;
    let post = |headers: &[(&str, &str)]| {
        let (content_type, body) = multipart(&[("a", b"x")], &[]);
        let headers = [headers, &[("Content-Type", content_type.as_str())]].concat();
        ask(at, "POST", "/v1/predict", &headers, &body).status
    };
    let own = format!("http://{at}");
    assert_eq!(post(&[("Origin", &own)]), 200);
    assert_eq!(post(&[("Origin", "https://evil.example")]), 403);
    assert_eq!(post(&[("Origin", "null")]), 403);
    assert_eq!(post(&[("Host", "rebound.example")]), 403);
    assert_eq!(fake.batches().len(), 1);
}

#[test]
fn the_page_asks_nobody_else() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    for entry in folder.read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = match name.as_str() {
            "index.html" => "/".to_owned(),
            "docs.html" => "/docs".to_owned(),
            name => format!("/page/{name}"),
        };
        let answer = server.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        let file = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(answer.text() == file, "{path} is another file");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(
            !answer.text().contains("http://") && !answer.text().contains("https://"),
            "{path}"
        );
        assert!(
            !answer.text().contains(" style=\"") && !answer.text().contains(" onclick="),
            "{path}"
        );
    }
    let description = server.get("/openapi.json").of(200);
    assert!(description["paths"]["/v1/predict"]["post"]["requestBody"].is_object());
    assert!(description["paths"]["/openapi.json"]["get"].is_object());
}
