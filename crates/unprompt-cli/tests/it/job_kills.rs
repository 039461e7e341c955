//! Jobs that are ended at random moments, with a captioner elsewhere that counts what it is asked: how often a
//! picture is computed is seen from outside of the program.

use crate::{
    harness::{Place, json, workspace},
    job::{bmp, children, signal, wait_for},
};
use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{sleep, spawn},
    time::Duration,
};

const BATCH: u64 = 4;
const PART: u64 = 25;
/// One picture of so many is broken.
const BROKEN: usize = 100;

/// A line as it is, but for the number that is another one each time.
fn without_time(line: &str) -> String {
    let Some((before, after)) = line.split_once("\"elapsed_ms\":") else {
        return line.to_owned();
    };
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E' | ' ');
    format!("{before}{}", after.trim_start_matches(number))
}

/// A server whose captions depend on the picture. It takes one request after the other.
struct Captioner {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Captioner {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&asked);
        spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(&mut stream.unwrap(), &counter);
            }
        });
        Self { address, asked }
    }

    /// How many captions were asked for, of whoever has ended.
    fn asked(&self) -> u64 {
        // What they sent stands before this in the queue.
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        self.asked.load(Ordering::SeqCst)
    }

    fn model(&self) -> String {
        format!("openai:seer@http://{}", self.address)
    }
}

/// Answers one request; one that was cut off, for its sender died, asks for nothing.
fn answer(stream: &mut TcpStream, asked: &AtomicU64) -> std::io::Result<()> {
    let (mut request, mut chunk) = (Vec::new(), [0; 65536]);
    let (head, body) = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.unwrap_or(0);
            if request.len() >= end + 4 + length {
                break (head, &request[end + 4..]);
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            count => request.extend(&chunk[..count]),
        }
    };
    let mut answer = "{}".to_owned();
    if head.starts_with("post") {
        asked.fetch_add(1, Ordering::SeqCst);
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let text = format!("a place of {} stones", hasher.finish());
        answer = format!(r#"{{"choices": [{{"message": {{"content": "{text}"}}}}]}}"#);
    }
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
    )
}

/// Pictures in `in`, no two alike, of which some are broken.
fn place(pictures: usize) -> Place {
    let place = Place::new();
    for index in 0..pictures {
        let pixels = (0..64).map(|pixel| [index as u8, (index >> 8) as u8 * 50, pixel * 4]);
        let bytes = match index % BROKEN == BROKEN / 2 {
            true => b"BM, but no picture".to_vec(),
            false => bmp(8, &pixels.collect::<Vec<_>>()),
        };
        place.write(&format!("in/{index:04}.bmp"), bytes);
    }
    place
}

/// Records of a job in jsonl, cheaply.
fn records_in(parts: &Path) -> u64 {
    let mut records = 0;
    for entry in fs::read_dir(parts).into_iter().flatten().flatten() {
        let path = entry.path();
        records += match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => PART,
            _ => {
                let bytes = fs::read(&path).unwrap_or_default();
                bytes.iter().filter(|byte| **byte == b'\n').count() as u64
            }
        };
    }
    records
}

/// Records that something was computed for.
fn computed(place: &Place, folder: &str) -> u64 {
    if !place.path(folder).join("job.json").exists() {
        return 0;
    }
    let status = json(place.run(&["job", "status", folder, "--json"]).output());
    status["done"].as_u64().unwrap() - status["failed"].as_u64().unwrap()
}

/// How a job is ended.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The process that its user sees is killed.
    Killed,
    /// That, and its worker.
    BothKilled,
    /// SIGTERM.
    Asked,
}

#[test]
fn a_prediction_job_that_is_ended_again_and_again_makes_the_same_bytes() {
    let captioner = Captioner::start();
    let encoder = workspace("fixtures/models/tiny-sbert");
    let preset = format!(
        "name = 'far'\nencoder = '{}'\n[[member]]\nname = 'seer'\nkind = 'remote'\nmodel = '{}'\n\
         weight = 1.0\n",
        encoder.display(),
        captioner.model()
    );
    let arguments = ["predict", "in", "--preset", "far.toml", "--allow-remote"];
    end_again_and_again(&captioner, &preset, &arguments);
}

#[test]
fn a_caption_job_that_is_ended_again_and_again_makes_the_same_bytes() {
    let captioner = Captioner::start();
    let model = captioner.model();
    end_again_and_again(&captioner, "", &["caption", "in", "--model", &model]);
}

/// Ends a job at random moments until it is done, and begins another one where these were not enough.
/// `UNPROMPT_KILLS` and `UNPROMPT_KILL_PICTURES` ask for more of both.
#[allow(clippy::print_stdout, reason = "for --nocapture")]
fn end_again_and_again(captioner: &Captioner, preset: &str, arguments: &[&str]) {
    let number = |name: &str, usual: usize| {
        let asked = std::env::var(name).ok();
        asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let kills = number("UNPROMPT_KILLS", 6);
    let pictures = number("UNPROMPT_KILL_PICTURES", 150);
    let place = place(pictures);
    place.write("far.toml", preset);
    let command = |folder: &str| -> Command {
        let mut command = place.command(arguments);
        let (part, batch) = (PART.to_string(), BATCH.to_string());
        command.args(["--quiet", "--format", "jsonl", "--job", folder]);
        command.args(["--part-size", &part, "--batch-size", &batch]);
        command
    };
    let merged = |folder: &str| -> Vec<String> {
        place.run(&["merge", folder, "--quiet"]).output();
        let text = place.read(&format!("{folder}/merged.jsonl"));
        text.lines().map(without_time).collect()
    };
    place.finish(&mut command("whole")).failures();
    let good = computed(&place, "whole");
    assert_eq!(captioner.asked(), good, "nothing is computed twice");
    let expected = merged("whole");
    assert_eq!(expected.len(), pictures);

    // A multiplicative generator: the moments differ, and are the same in every run of the test.
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let (mut ended, mut redone) = (0, Vec::new());
    for job in 0.. {
        if ended >= kills {
            break;
        }
        let folder = format!("broken-{job}");
        let parts = place.path(&folder).join("parts");
        let (mut before, mut asked_before) = (0, captioner.asked());
        while ended < kills {
            let mut child = command(&folder).stderr(Stdio::null()).spawn().unwrap();
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let share = (state >> 40) as f64 / (1_u64 << 24) as f64;
            let ending = match ended % 4 {
                1 => Ending::BothKilled,
                3 => Ending::Asked,
                _ => Ending::Killed,
            };
            // Some while it starts, the others once more records are there, at no particular moment of a batch.
            let further = match (ending, ended % 6) {
                (Ending::Killed, 2) => 0,
                _ => 1 + (share * pictures as f64 / kills as f64) as u64,
            };
            let enough = records_in(&parts) + further;
            while child.try_wait().unwrap().is_none() && records_in(&parts) < enough {
                sleep(Duration::from_millis(1));
            }
            sleep(Duration::from_micros((state >> 20) % 20_000));
            let workers = children(child.id());
            let has_ended = child.try_wait().unwrap().is_some();
            if !has_ended {
                ended += 1;
                match ending {
                    Ending::Asked => signal("-TERM", child.id()),
                    Ending::BothKilled => {
                        workers.iter().for_each(|id| signal("-9", *id));
                        child.kill().unwrap();
                    }
                    Ending::Killed => child.kill().unwrap(),
                }
            }
            let status = child.wait().unwrap();
            wait_for("the worker's end", || {
                let is_gone = |id: &u32| !Path::new(&format!("/proc/{id}")).exists();
                workers.iter().all(is_gone)
            });
            let (now, asked) = (computed(&place, &folder), captioner.asked());
            let lost = (asked - asked_before).checked_sub(now - before);
            let lost = lost.expect("a record that nobody computed");
            assert!(lost <= BATCH, "{ending:?}: {lost} are computed again");
            if matches!(ending, Ending::Asked) && !has_ended {
                // It may have been done just before.
                assert!(matches!(status.code(), Some(0 | 2 | 3)), "{status}");
                assert_eq!(lost, 0, "a batch is finished");
            }
            redone.push(lost);
            (before, asked_before) = (now, asked);
            if has_ended {
                break;
            }
        }
        place.finish(&mut command(&folder)).failures();
        assert!(merged(&folder) == expected, "the bytes differ");
    }
    println!(
        "{ended} endings of a job of {pictures}: {} pictures computed again, {} at most by one of them",
        redone.iter().sum::<u64>(),
        redone.iter().max().unwrap()
    );
}
