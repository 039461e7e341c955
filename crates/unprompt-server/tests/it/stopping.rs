//! Told to stop, and connections that go nowhere.

use crate::{
    http_client::{Answer, connect, multipart, request},
    running::{Fake, Running, wait_until},
};
use std::{
    io::{Read, Write},
    time::Duration,
};
use unprompt_server::{Finish, ServeOptions, Timeouts};

fn with(timeouts: Timeouts) -> ServeOptions {
    ServeOptions {
        timeouts,
        ..ServeOptions::default()
    }
}

#[test]
fn what_is_under_way_is_answered_before_the_end() {
    let fake = Fake::new(true);
    let mut server = Running::start(&fake, ServeOptions::default());
    fake.close();
    let mut requests = vec![server.files_later("/v1/predict", &["a"])];
    fake.wait_for_batches(1);
    for (place, name) in ["b", "c", "d"].iter().enumerate() {
        requests.push(server.files_later("/v1/metadata", &[name]));
        wait_until(|| server.metric("unprompt_queue_requests") == place as f64 + 2.0);
    }
    // One whose body is still on its way.
    let (content_type, body) = multipart(&[("e", b"x")], &[]);
    let headers = [("Content-Type", content_type.as_str())];
    let whole = request(server.address, "POST", "/v1/metadata", &headers, &body);
    let mut slow = connect(server.address);
    slow.write_all(&whole[..whole.len() - 10]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let address = server.address;
    server.stop();
    wait_until(|| std::net::TcpStream::connect(address).is_err());
    slow.write_all(&whole[whole.len() - 10..]).unwrap();
    fake.open();
    for request in requests {
        assert_eq!(request.join().unwrap().status, 200);
    }
    assert_eq!(Answer::read(slow).status, 200);
    assert_eq!(server.finish(), Finish::Whole);
    assert_eq!(fake.batches().concat(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn an_idle_connection_does_not_keep_the_server() {
    let fake = Fake::new(true);
    let server = Running::start(&fake, ServeOptions::default());
    let mut idle = connect(server.address);
    idle.write_all(format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).as_bytes())
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(server.finish(), Finish::Whole);
}

#[test]
fn the_time_to_drain_has_an_end() {
    let fake = Fake::new(true);
    let server = Running::start(
        &fake,
        with(Timeouts {
            drain: Duration::from_millis(50),
            ..Timeouts::default()
        }),
    );
    fake.close();
    let stuck = server.files_later("/v1/predict", &["a"]);
    fake.wait_for_batches(1);
    assert_eq!(server.finish(), Finish::CutShort);
    fake.open();
    // Its connection is closed without an answer.
    assert!(stuck.join().is_err());
}

#[test]
fn connections_that_go_nowhere_are_closed_and_keep_nobody_out() {
    let fake = Fake::new(true);
    let patience = Duration::from_millis(400);
    let server = Running::start(
        &fake,
        with(Timeouts {
            header: patience,
            idle: patience,
            ..Timeouts::default()
        }),
    );
    let half = |text: &str| {
        let mut stream = connect(server.address);
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut slow: Vec<_> = (0..200)
        .map(|index| match index % 3 {
            0 => half(""),
            1 => half("GET /health HTTP/1.1\r\nHost: 127"),
            _ => half("POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nx"),
        })
        .collect();
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.files("/v1/predict", &[("a", b"x")], &[]).status, 200);
    for stream in &mut slow {
        let mut bytes = Vec::new();
        // An end, in whatever way; not the client's own time-out.
        let ended = stream.read_to_end(&mut bytes);
        let timed_out = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.is_err_and(timed_out));
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_client_that_takes_no_answer_is_left() {
    let fake = Fake::new(true);
    let server = Running::start(
        &fake,
        with(Timeouts {
            idle: Duration::from_millis(200),
            ..Timeouts::default()
        }),
    );
    let mut stream = connect(server.address);
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let one = format!(
        "GET /openapi.json HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address
    );
    // Answers are not read, so that the server cannot write them; then it stops reading, and at last it
    // closes the connection.
    let mut sent = 0;
    while stream.write_all(one.as_bytes()).is_ok() && sent < 200_000 {
        sent += 1;
    }
    std::thread::sleep(Duration::from_millis(600));
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let timed_out = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    assert!(!ended.as_ref().is_err_and(timed_out), "{ended:?}");
    assert_eq!(server.get("/health").status, 200);
}
