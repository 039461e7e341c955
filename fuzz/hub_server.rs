//! A hub on this machine that answers whatever it is told to.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Mutex, OnceLock},
    thread,
};

/// The repository that is asked for.
pub const REPOSITORY: &str = "org/model";

/// What it answers.
#[derive(Default)]
struct Answers {
    /// To the question what is in the repository.
    listing: Vec<u8>,
    /// The name of every file's content, as far as a header can carry it.
    tag: String,
    /// Every file.
    content: Vec<u8>,
}

static ANSWERS: Mutex<Option<Answers>> = Mutex::new(None);

/// Tells the hub what to answer from now on: a listing, an entity tag and a file, with zero bytes between.
/// Gives its address.
pub fn answer(data: &[u8]) -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default().to_vec();
    let (listing, tag, content) = (part(), part(), part());
    let shown = |byte: &u8| byte.is_ascii_graphic().then_some(char::from(*byte));
    let tag = tag.iter().filter_map(shown).take(200).collect();
    let answers = Answers {
        listing,
        tag,
        content,
    };
    *ANSWERS.lock().expect("nobody panics with it") = Some(answers);
    *ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
        let address = listener.local_addr().expect("it has one");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever asked may have gone.
                let _ = serve(&stream);
            }
        });
        address
    })
}

/// Answers one request, and closes.
fn serve(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let mut words = request.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let answers = ANSWERS.lock().expect("nobody panics with it");
    let Some(answers) = answers.as_ref() else {
        return Ok(());
    };
    let mut head = "HTTP/1.1 200 OK\r\nconnection: close\r\n".to_owned();
    let body = if path.starts_with("/api/") {
        &answers.listing
    } else {
        let commit = path.split('/').nth(4).unwrap_or_default();
        head += &format!("etag: \"{}\"\r\nx-repo-commit: {commit}\r\n", answers.tag);
        &answers.content
    };
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    Ok(())
}
