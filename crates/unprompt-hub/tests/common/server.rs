//! A small HTTP/1.1 server that speaks a hub's protocol and can misbehave.

use super::{COMMIT, REPOSITORY, hex, sha256};
use sha1::{Digest, Sha1};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

/// How the body goes out.
#[derive(Clone, Copy)]
pub enum Delivery {
    Whole,
    /// The connection is closed after so many bytes.
    CutAfter(usize),
    /// Nothing more comes after so many bytes, and the connection stays open.
    StallAfter(usize),
    /// So many bytes at a time, with a pause between.
    Slow(usize, Duration),
    /// Not even a status line.
    Silent,
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub delivery: Delivery,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            delivery: Delivery::Whole,
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

pub struct Server {
    pub address: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
    pub connections: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let handler: Arc<Handler> = Arc::new(handler);
        std::thread::spawn({
            let (requests, connections) = (requests.clone(), connections.clone());
            move || {
                for stream in listener.incoming().flatten() {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (requests, handler) = (requests.clone(), handler.clone());
                    std::thread::spawn(move || serve(stream, &requests, &*handler));
                }
            }
        });
        Self {
            address,
            requests,
            connections,
        }
    }

    /// How many bodies of this file were asked for.
    pub fn downloads(&self, file: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .filter(|r| r.method == "GET" && r.path.ends_with(file))
            .count()
    }

    pub fn connection_count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, requests: &Mutex<Vec<Request>>, handler: &Handler) {
    let Ok(clone) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(clone).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut headers = BTreeMap::new();
    for line in lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
    };
    requests.lock().unwrap().push(request.clone());
    let reply = handler(&request);
    // A client that was killed is no failure of the server.
    let _ = send(&mut stream, &request, &reply);
    let _ = stream.shutdown(Shutdown::Both);
}

fn send(stream: &mut TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    if matches!(reply.delivery, Delivery::Silent) {
        std::thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} Reason\r\nconnection: close\r\n", reply.status);
    if !reply
        .headers
        .iter()
        .any(|(name, _)| name == "content-length")
    {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    match reply.delivery {
        Delivery::Whole | Delivery::Silent => stream.write_all(&reply.body),
        Delivery::CutAfter(n) => stream.write_all(&reply.body[..n.min(reply.body.len())]),
        Delivery::StallAfter(n) => {
            stream.write_all(&reply.body[..n.min(reply.body.len())])?;
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Delivery::Slow(n, pause) => reply.body.chunks(n).try_for_each(|chunk| {
            std::thread::sleep(pause);
            stream.write_all(chunk)
        }),
    }
}

/// The name a hub gives a file: SHA-256 for a large one, git's for a small one.
pub fn etag(content: &[u8]) -> String {
    if content.len() > 100_000 {
        return sha256(content);
    }
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", content.len()));
    hasher.update(content);
    hex(&hasher.finalize())
}

/// Answers as a well-behaved hub with one repository.
pub fn hub_reply(files: &BTreeMap<String, Vec<u8>>, request: &Request) -> Reply {
    let api = format!("/api/models/{REPOSITORY}/revision/");
    if let Some(revision) = request.path.strip_prefix(&api) {
        if revision != "main" && revision != COMMIT {
            return Reply::new(404, "");
        }
        let siblings: Vec<String> = files
            .keys()
            .map(|name| format!("{{\"rfilename\": {name:?}}}"))
            .collect();
        let body = format!(
            "{{\"sha\": \"{COMMIT}\", \"siblings\": [{}]}}",
            siblings.join(",")
        );
        return Reply::new(200, body);
    }
    let name = ["main", COMMIT].iter().find_map(|revision| {
        request
            .path
            .strip_prefix(&format!("/{REPOSITORY}/resolve/{revision}/"))
    });
    match name.and_then(|name| files.get(name)) {
        None => Reply::new(404, ""),
        Some(content) => file_reply(content, request),
    }
}

/// Answers with a file or the rest of it.
pub fn file_reply(content: &[u8], request: &Request) -> Reply {
    let from = request.headers.get("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    let reply = match from {
        None => Reply::new(200, content),
        Some(from) if from >= content.len() => Reply::new(416, ""),
        Some(from) => Reply::new(206, &content[from..]).header(
            "content-range",
            format!("bytes {from}-{}/{}", content.len() - 1, content.len()),
        ),
    };
    reply
        .header("x-repo-commit", COMMIT)
        .header("etag", format!("\"{}\"", etag(content)))
        .header("x-linked-size", content.len().to_string())
}
