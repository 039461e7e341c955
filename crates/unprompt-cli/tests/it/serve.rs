//! The server as a program: what it loads, what it says, how it ends.

#[cfg(target_os = "linux")]
use crate::{
    bounds::{MEMORY, MOST, SIDE, peak_of, png},
    presets::model,
};
use crate::{
    harness::{Place, huge_png, json_lines, workspace},
    http_client::{self, Answer, ask, post_files},
};
use serde_json::{Value, json};
use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const CANARY: &str = "canary-3f9c1d77-sings";

/// A server that is running.
struct Serving {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Serving {
    /// Starts it and waits until it listens.
    #[track_caller]
    fn start(place: &Place, more: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_online(place, &[&["--offline"], more].concat(), environment)
    }

    /// The same, which may ask other servers.
    #[track_caller]
    fn start_online(place: &Place, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = [&["serve", "--port", "0"], more].concat();
        let log = place.path(match place.path("server.log").exists() {
            true => "second.log",
            false => "server.log",
        });
        let mut command: Command = place.command(&arguments);
        command
            .env_remove("UNPROMPT_PRESET")
            .envs(environment.iter().copied());
        let child = command
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut serving = Self {
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            log,
        };
        let start = Instant::now();
        loop {
            let said = serving.said();
            if let Some(line) = said.lines().find(|line| line.contains("listening on")) {
                let (_, address) = line.rsplit_once('/').unwrap();
                serving.address = address.parse().unwrap();
                return serving;
            }
            let ended = serving.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < http_client::PATIENCE,
                "{said}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        http_client::post_json(self.address, path, body)
    }

    #[cfg(unix)]
    fn stop(mut self) -> (i32, String) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, self.said())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pictures of the examples, in `in`.
fn place() -> (Place, Vec<(String, Vec<u8>)>) {
    let place = Place::new();
    let mut pictures = Vec::new();
    for name in [
        "astronaut.jpg",
        "cat.png",
        "coffee.webp",
        "photographer.png",
        "rocket.jpg",
    ] {
        let path = workspace("examples/pictures").join(name);
        let copied = format!("in/{name}");
        place.copy(&path, &copied);
        pictures.push((copied, std::fs::read(&path).unwrap()));
    }
    (place, pictures)
}

fn files(pictures: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    pictures
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect()
}

/// Records as text, without what differs between two runs.
fn without_times(mut record: Value) -> String {
    if let Some(object) = record.as_object_mut() {
        object.remove("elapsed_ms");
    }
    record.to_string()
}

#[track_caller]
fn records(answer: &Answer) -> Vec<String> {
    let answer = answer.of(200);
    let records = answer["records"].as_array().unwrap();
    records.iter().cloned().map(without_times).collect()
}

fn command_line(place: &Place, arguments: &[&str]) -> Vec<String> {
    let arguments = [
        arguments,
        &["in", "--offline", "--quiet", "--format", "jsonl"],
    ]
    .concat();
    let run = place.finish(place.command(&arguments).env_remove("UNPROMPT_PRESET"));
    json_lines(run.output())
        .into_iter()
        .map(without_times)
        .collect()
}

#[test]
fn a_new_machine_serves_the_records_of_the_command_line() {
    let (place, pictures) = place();
    let serving = Serving::start(&place, &[], &[]);
    let expected = command_line(&place, &["predict"]);
    let together = post_files(serving.address, "/v1/predict", &files(&pictures), &[]);
    assert_eq!(records(&together), expected);
    for (picture, expected) in pictures.iter().zip(&expected) {
        let alone = post_files(
            serving.address,
            "/v1/predict",
            &files(std::slice::from_ref(picture)),
            &[],
        );
        assert_eq!(&records(&alone)[0], expected);
    }
    // The digits too.
    let text = place.finish(
        place
            .command(&[
                "predict",
                "in/cat.png",
                "--offline",
                "--quiet",
                "--format",
                "jsonl",
            ])
            .env_remove("UNPROMPT_PRESET"),
    );
    let (_, digits) = text.output().split_once("\"embedding\":").unwrap();
    let (digits, _) = digits.split_once(']').unwrap();
    assert!(together.text().contains(digits));
    assert_eq!(http_client::get(serving.address, "/").status, 200);
    assert!(
        place
            .names()
            .iter()
            .all(|name| ["in", "server.log"].contains(&name.as_str()))
    );
}

#[test]
fn broken_pictures_and_bombs_cost_themselves() {
    let (place, pictures) = place();
    let serving = Serving::start(&place, &[], &[]);
    let bomb = post_files(
        serving.address,
        "/v1/predict",
        &[("bomb.png", &huge_png())],
        &[],
    );
    assert_eq!(bomb.of(413)["kind"], "too_large");
    let cut = &pictures[1].1[..100];
    let several = [
        ("cut.png", cut),
        ("text.png", b"hello"),
        ("empty", b""),
        ("cat.png", &pictures[1].1),
    ];
    let answer = post_files(serving.address, "/v1/predict", &several, &[]).of(200);
    let failed = |place: usize| answer["records"][place]["error"].is_string();
    assert_eq!(
        [failed(0), failed(1), failed(2), failed(3)],
        [true, true, true, false]
    );
    let answer = post_files(serving.address, "/v1/predict", &several[..1], &[]).of(400);
    assert_eq!(answer["kind"], "picture");
    let answer = serving
        .post("/sdapi/v1/interrogate", &json!({ "image": "aGVsbG8=" }))
        .of(500);
    assert_eq!(answer["detail"], "Invalid encoded image");
    assert!(!serving.said().contains("panicked"));
}

#[test]
fn a_prompt_in_the_file_comes_without_a_sentence_encoder() {
    let (place, _) = place();
    let path = place.path("in/cat.png");
    let run = place.run(&[
        "metadata",
        "--quiet",
        "--write",
        "a cat with a hat",
        path.to_str().unwrap(),
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let bytes = std::fs::read(&path).unwrap();
    let serving = Serving::start(&place, &[], &[]);
    let record = &post_files(serving.address, "/v1/predict", &[("cat.png", &bytes)], &[]).of(200)["records"]
        [0];
    assert_eq!(
        (&record["prompt"], &record["source"]),
        (&json!("a cat with a hat"), &json!("metadata"))
    );
    assert!(record["embedding"].is_null() && record["embedding_error"].is_string());
    let refused = serving
        .post("/v1/embed/text", &json!({ "text": "a cat" }))
        .of(501);
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("unprompt models pull all-MiniLM-L6-v2")
    );
}

#[test]
fn models_that_are_given_answer_as_their_commands_do() {
    let (place, pictures) = place();
    let model = |name: &str| {
        workspace("fixtures/models")
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let (blip, clip, vit) = (
        model("tiny-blip"),
        model("tiny-clip"),
        model("tiny-vit-transformers"),
    );
    let sentences = model("tiny-sbert");
    let labels = place.path("labels");
    for (name, lines) in [
        ("mediums", "a photo\na painting"),
        ("artists", "by a\nby b"),
        ("movements", "art\nnew art"),
        ("trendings", "here\nthere"),
        ("flavors", "red\nblue\ngreen\nwarm\ncold"),
        ("negative", "ugly\nblurry"),
    ] {
        place.write(&format!("labels/{name}.txt"), lines);
    }
    let labels = labels.to_str().unwrap();
    let serving = Serving::start(
        &place,
        &[
            "--captioner",
            &blip,
            "--clip",
            &clip,
            "--labels",
            labels,
            "--image-encoder",
            &vit,
            "--text-encoder",
            &sentences,
            "--classifier",
            &vit,
        ],
        &[],
    );
    let at = serving.address;
    let post = |path: &str, fields: &[(&str, &str)]| {
        records(&post_files(at, path, &files(&pictures), fields))
    };
    assert_eq!(
        post("/v1/caption", &[]),
        command_line(&place, &["caption", "--model", &blip])
    );
    let beams = command_line(&place, &["caption", "--model", &blip, "--beams", "2"]);
    assert_eq!(post("/v1/caption", &[("beams", "2")]), beams);
    assert_eq!(
        post("/v1/classify", &[("top", "3")]),
        command_line(&place, &["classify", "--model", &vit, "--top", "3"])
    );
    for raw in [&["--raw"][..], &[]] {
        let expected = command_line(
            &place,
            &[&["embed", "image", "--model", &vit], raw].concat(),
        );
        let fields: &[(&str, &str)] = if raw.is_empty() {
            &[]
        } else {
            &[("raw", "true")]
        };
        assert_eq!(post("/v1/embed/image", fields), expected);
    }
    for mode in [
        "classic",
        "fast",
        "best",
        "negative",
        "competition",
        "analyze",
    ] {
        let arguments = [
            "interrogate",
            "--clip",
            &clip,
            "--labels",
            labels,
            "--captioner",
            &blip,
            "--mode",
            mode,
        ];
        assert_eq!(
            post("/v1/interrogate", &[("mode", mode)]),
            command_line(&place, &arguments),
            "{mode}"
        );
    }
    let text = serving.post("/v1/embed/text", &json!({ "text": "a cat" }));
    let run = place.run(&[
        "embed", "text", "a cat", "--model", &sentences, "--format", "jsonl",
    ]);
    assert!(
        text.text().contains(run.output().trim_end()),
        "{}",
        text.text()
    );
}

#[test]
fn heads_of_tensors_alone_are_told_when_the_server_starts() {
    let (place, pictures) = place();
    let bare = workspace("fixtures/models/tiny-vit-bare.pth");
    let bare = bare.to_str().unwrap();
    let serving = Serving::start(
        &place,
        &[
            "--allow-pickle",
            "--image-encoder",
            bare,
            "--image-encoder-heads",
            "4",
            "--classifier",
            bare,
            "--classifier-heads",
            "2",
        ],
        &[],
    );
    let post = |path: &str| records(&post_files(serving.address, path, &files(&pictures), &[]));
    for (path, arguments) in [
        ("/v1/embed/image", &["embed", "image", "--heads", "4"][..]),
        ("/v1/classify", &["classify", "--heads", "2"]),
    ] {
        let arguments = [arguments, &["--allow-pickle", "--model", bare]].concat();
        assert_eq!(post(path), command_line(&place, &arguments), "{path}");
    }
    let run = place.run(&["serve", "--offline", "--image-encoder-heads", "4"]);
    assert!(run.refusal().contains("--image-encoder"), "{run:?}");
}

#[test]
fn models_that_are_forgotten_come_back_with_the_same_bits() {
    let (place, pictures) = place();
    let serving = Serving::start(&place, &["--idle-unload", "1s"], &[]);
    let ask = || post_files(serving.address, "/v1/predict", &files(&pictures[..1]), &[]);
    let loaded = |expected: &str| {
        let metrics = http_client::get(serving.address, "/metrics");
        let line = format!("unprompt_models_loaded {expected}");
        metrics.text().lines().any(|found| found == line)
    };
    let first = records(&ask());
    let start = Instant::now();
    while !loaded("0") {
        assert!(start.elapsed() < http_client::PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(records(&ask()), first);
    let run = place.run(&[
        "serve",
        "--offline",
        "--idle-unload",
        "10ms",
        "--preset",
        "lite",
    ]);
    assert!(run.refusal().contains("--idle-unload"), "{run:?}");
}

#[test]
fn a_server_of_ours_is_a_captioner_elsewhere() {
    let (place, pictures) = place();
    let blip = workspace("fixtures/models/tiny-blip");
    let blip = blip.to_str().unwrap();
    let serving = Serving::start(&place, &["--captioner", blip], &[]);
    let model = format!("openai:{blip}@http://{}", serving.address);
    let elsewhere = place.run(&["caption", "in/cat.png", "--model", &model]);
    let here = place.run(&["caption", "in/cat.png", "--model", blip]);
    assert_eq!(elsewhere.output(), here.output());

    // And of another server of ours, which forgets its models.
    let second = ["--captioner", &model, "--idle-unload", "1s"];
    let second = Serving::start_online(&place, &second, &[]);
    let caption = |fields: &[(&str, &str)]| {
        post_files(
            second.address,
            "/v1/caption",
            &files(&pictures[1..2]),
            fields,
        )
    };
    for pause in [0, 2] {
        std::thread::sleep(Duration::from_secs(pause));
        let record = caption(&[]).of(200)["records"][0].clone();
        assert_eq!(record["caption"], here.output().trim_end());
        assert!(record.get("score").is_none(), "{record}");
    }
    let refused = caption(&[("beams", "2")]).of(400);
    assert!(
        refused["error"].as_str().unwrap().contains("nothing else"),
        "{refused}"
    );
    let offline = place.run(&["serve", "--offline", "--port", "0", "--captioner", &model]);
    assert!(offline.refusal().contains("--offline"), "{offline:?}");
}

#[test]
fn an_address_that_others_reach_needs_a_key() {
    let place = Place::new();
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let run = place.run(&["serve", "--host", host, "--port", "0"]);
        assert!(run.refusal().contains("UNPROMPT_API_KEY"), "{run:?}");
    }
    let run = place.run(&["serve", "--host", "0.0.0.0", "--api-key", "short"]);
    assert!(run.refusal().contains("shorter than 8"), "{run:?}");
    let run = place.run(&["serve", "--host", "localhost"]);
    assert!(run.refusal().contains("--host"), "{run:?}");
    let run = place.run(&["serve", "--api-key-file", "missing"]);
    assert!(run.refusal().contains("--api-key-file missing"), "{run:?}");
    let run = place.run(&["serve", "--preset", "nosuch"]);
    assert!(run.refusal().contains("nosuch"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn it_ends_well_when_told_to_and_its_log_has_no_secrets() {
    let (place, pictures) = place();
    let serving = Serving::start(&place, &[], &[("UNPROMPT_API_KEY", CANARY)]);
    let at = serving.address;
    assert_eq!(
        post_files(at, "/v1/predict", &files(&pictures[..1]), &[]).status,
        401
    );
    let key = format!("Bearer {CANARY}");
    let wrong = format!("Bearer {CANARY}x");
    let models = |key: &str| {
        ask(
            at,
            "GET",
            &format!("/v1/models?key={CANARY}"),
            &[("Authorization", key)],
            b"",
        )
        .status
    };
    assert_eq!([models(&wrong), models(&key)], [401, 200]);
    let (code, said) = serving.stop();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(
        said.lines().filter(|line| line.starts_with('{')).count(),
        3,
        "{said}"
    );
    let help = place.finish(
        place
            .command(&["serve", "--help"])
            .env("UNPROMPT_API_KEY", CANARY),
    );
    assert!(!help.output().contains(CANARY));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = place.command(&["serve", "--offline", "--port", &port]);
    let run = place.finish(command.env_remove("UNPROMPT_PRESET"));
    assert!(
        run.refusal()
            .contains(&format!("cannot listen on 127.0.0.1 port {port}")),
        "{run:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn pictures_of_one_batch_stay_within_the_memory_of_pictures() {
    let (place, clip) = (Place::new(), model("tiny-clip"));
    let tower = model("tiny-vit-transformers");
    place.write("labels/flavors.txt", "glass\nfire\n");
    let models = [
        "--classifier",
        &tower,
        "--image-encoder",
        &clip,
        "--clip",
        &clip,
    ];
    let more = ["--labels", "labels", "--threads", "8", "--memory", MEMORY];
    let serving = Serving::start(&place, &[&models[..], &more].concat(), &[]);
    // Its models are there, and were used.
    let before = peak_of(serving.child.id());
    let picture = png::black(SIDE);
    let pictures: Vec<(&str, &[u8])> = vec![("a.png", &picture); 8];
    for (path, fields) in [
        ("/v1/predict", &[][..]),
        ("/v1/classify", &[]),
        ("/v1/embed/image", &[]),
        (
            "/v1/interrogate",
            &[("mode", "fast"), ("caption", "a square")],
        ),
    ] {
        let answer = post_files(serving.address, path, &pictures, fields);
        assert_eq!(answer.of(200)["records"].as_array().unwrap().len(), 8);
        let grown = peak_of(serving.child.id()) - before;
        assert!(grown < MOST, "{path}: {grown}");
    }
}
