//! Asking a server that answers whatever a test wants.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use unprompt_remote::{Address, Question, Remote, RemoteError, Timeouts, png_of};

/// A server that answers one request after the other with `answers`, and hands over what it was asked. One
/// that has no answer left lets its clients wait.
fn server(answers: Vec<String>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = asked.send(request(&mut stream));
            match answers.next() {
                Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                None => kept.push(stream),
            }
        }
    });
    (address, requests)
}

/// A whole request, by the length that it says.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut chunk).unwrap() {
            0 => return text,
            count => bytes.extend(&chunk[..count]),
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn remote(address: SocketAddr, key: Option<&str>) -> Remote {
    patient(address, key, Duration::from_secs(30))
}

fn patient(address: SocketAddr, key: Option<&str>, answer: Duration) -> Remote {
    let address = Address::parse(&format!("openai:a-model@http://{address}")).unwrap();
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        answer,
    };
    Remote::new(address, key, timeouts).unwrap()
}

const CAT: &str = r#"{"choices": [{"message": {"content": "a cat"}}]}"#;

#[test]
fn a_picture_and_a_question_become_a_caption() {
    let (address, requests) = server(vec![answer("200 OK", CAT)]);
    let png = png_of(2, 1, &[1, 2, 3, 4, 5, 6]).unwrap();
    let question = Question {
        text: "What \"is\" it?".into(),
        max_tokens: 7,
    };
    let found = remote(address, Some("canary-key"))
        .describe(&png, &question)
        .unwrap();
    assert_eq!(found, "a cat");
    let request = requests.recv().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v1/chat/completions HTTP/1.1"),
        "{head}"
    );
    assert!(
        head.to_ascii_lowercase()
            .contains("authorization: bearer canary-key"),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&"a-model".into(), &7.into())
    );
    let content = &body["messages"][0]["content"];
    assert_eq!(content[0]["text"], "What \"is\" it?");
    let picture = content[1]["image_url"]["url"].as_str().unwrap();
    assert!(
        picture.starts_with("data:image/png;base64,iVBORw0KGgo"),
        "{picture}"
    );
}

#[test]
fn what_goes_wrong_is_one_line_with_the_next_step_and_without_the_key() {
    let elsewhere =
        answer("302 Found", "").replace("Connection", "Location: http://192.0.2.1/\r\nConnection");
    let endless = answer("200 OK", &"x".repeat((1 << 20) + 1));
    for (said, expected, of_every) in [
        (
            answer(
                "401 Unauthorized",
                r#"{"error": {"message": "canary-key is wrong"}}"#,
            ),
            "401: [the key] is wrong; the key",
            true,
        ),
        (
            answer("404 Not Found", r#"{"error": "no such model"}"#),
            "404: no such model; check the model",
            true,
        ),
        (
            answer("429 Too Many Requests", ""),
            "429; it has too much to do",
            false,
        ),
        (
            answer("500 Internal Server Error", "<h1>oh\nno</h1>"),
            "500: <h1>oh no</h1>",
            false,
        ),
        (elsewhere, "302; redirects are not followed", false),
        (answer("200 OK", "{}"), "no chat completion", false),
        (endless, "longer than 1048576 bytes", false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab".into(),
            "cannot be reached",
            true,
        ),
        ("SSH-2.0-OpenSSH\r\n".into(), "cannot be reached", true),
    ] {
        let (address, _requests) = server(vec![said]);
        let remote = remote(address, Some("canary-key"));
        let error = remote.describe(b"png", &Question::default()).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(expected), "{shown}");
        assert!(shown.contains("openai:a-model@http://127.0.0.1"), "{shown}");
        assert!(
            !shown.contains("canary") && !shown.contains('\n'),
            "{shown}"
        );
        assert!(!format!("{error:?} {remote:?}").contains("canary"));
        assert_eq!(error.is_of_every_picture(), of_every, "{shown}");
    }
}

#[test]
fn nobody_is_waited_for_longer_than_was_said() {
    let (address, _requests) = server(Vec::new());
    let start = Instant::now();
    let silent = patient(address, None, Duration::from_millis(300))
        .describe(b"png", &Question::default())
        .unwrap_err();
    assert!(silent.to_string().contains("no answer in time"), "{silent}");
    assert!(start.elapsed() < Duration::from_secs(10));
    let gone = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let error = remote(gone, None).check().unwrap_err();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");
}

#[test]
fn a_check_asks_who_is_there_and_whether_the_key_is_right() {
    let (address, requests) = server(vec![
        answer("200 OK", "{}"),
        answer("404 Not Found", ""),
        answer("401 Unauthorized", ""),
    ]);
    let remote = remote(address, None);
    remote.check().unwrap();
    assert!(requests.recv().unwrap().starts_with("GET /v1/models "));
    remote.check().unwrap();
    let error = remote.check().unwrap_err().to_string();
    assert!(
        error.contains("401; set its key in UNPROMPT_REMOTE_API_KEY"),
        "{error}"
    );
    let address = Address::parse("openai:m@http://127.0.0.1").unwrap();
    for key in ["a b", "a\r\nX: y", "ä"] {
        let error = Remote::new(address.clone(), Some(key), Timeouts::default()).unwrap_err();
        assert_eq!(error, RemoteError::Key);
    }
}
