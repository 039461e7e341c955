//! `unprompt mcp`: what an agent sees, line by line.

use crate::harness::{Place, workspace};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

/// A session with the program.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    requests: u64,
}

impl Session {
    #[track_caller]
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.command(&[&["mcp"], arguments].concat());
        let log = File::create(place.path("mcp.log")).unwrap();
        let mut child = command
            .env_remove("UNPROMPT_PRESET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut session = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            requests: 0,
        };
        let client = json!({ "name": "test", "version": "0" });
        let hello =
            json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        let answer = session.ask("initialize", hello);
        assert_eq!(
            answer["result"]["serverInfo"]["name"], "unprompt",
            "{answer}"
        );
        session.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        session
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    #[track_caller]
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let id = self.requests;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// A tool's structured result.
    #[track_caller]
    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        );
        let result = &answer["result"];
        assert_eq!(result["isError"], false, "{answer}");
        // Clients that know no structured results read the same as text.
        let text: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        result["structuredContent"].clone()
    }

    /// What a tool says that failed.
    #[track_caller]
    fn refusal(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        );
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Closes standard input and waits for the end.
    fn end(mut self) -> i32 {
        drop(self.input.take());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place() -> Place {
    let place = Place::new();
    for name in ["cat.png", "coffee.webp"] {
        place.copy(
            &workspace("examples/pictures").join(name),
            &format!("in/{name}"),
        );
    }
    place.write("secret.txt", "a secret");
    place.copy(&workspace("examples/pictures/rocket.jpg"), "rocket.jpg");
    place
}

#[test]
fn a_new_machine_tells_prompts_of_pictures_below_the_root_and_no_other() {
    let place = place();
    let mut session = Session::start(&place, &["--root", "in"]);
    let tools = session.ask("tools/list", json!({}));
    assert_eq!(
        tools["result"]["tools"].as_array().unwrap().len(),
        5,
        "{tools}"
    );

    let found = session.call("picture_prompt", json!({ "path": "cat.png" }));
    let whole = place.path("in/cat.png");
    let again = session.call("picture_prompt", json!({ "path": whole.to_str().unwrap() }));
    assert_eq!(found["prompt"], again["prompt"]);
    let run = place.finish(
        place
            .command(&["predict", "in/cat.png", "--offline", "--quiet"])
            .env_remove("UNPROMPT_PRESET"),
    );
    assert_eq!(
        found["prompt"],
        run.output().trim_end(),
        "the command line's"
    );
    assert_eq!(
        (&found["source"], &found["preset"]),
        (&json!("predicted"), &json!("lite"))
    );
    assert!(
        !found.to_string().contains("embedding"),
        "numbers are of no use to an agent"
    );

    let similar = session.call("similar_prompts", json!({ "path": "cat.png", "top": 3 }));
    assert_eq!(similar["prompts"].as_array().unwrap().len(), 3, "{similar}");
    assert_eq!(
        session.call("picture_metadata", json!({ "path": "cat.png" }))["found"],
        false
    );

    let nowhere = session.refusal("picture_prompt", json!({ "path": "none.png" }));
    assert!(nowhere.contains("there is no such file"), "{nowhere}");
    let outside = place.path("rocket.jpg");
    for path in [
        outside.to_str().unwrap(),
        "../rocket.jpg",
        "../secret.txt",
        "/etc/passwd",
        "",
    ] {
        for tool in ["picture_prompt", "picture_metadata"] {
            assert_eq!(
                session.refusal(tool, json!({ "path": path })),
                nowhere,
                "{path}"
            );
        }
    }
    let caption = session.refusal("picture_caption", json!({ "path": "cat.png" }));
    assert!(caption.contains("--captioner"), "{caption}");
    let text = session.refusal("similar_prompts", json!({ "text": "a cat" }));
    assert!(text.contains("models pull all-MiniLM-L6-v2"), "{text}");
    for (tool, arguments, expected) in [
        ("picture_prompt", json!({}), "missing field `path`"),
        ("picture_prompt", json!({ "path": 1 }), "invalid type"),
        (
            "picture_prompt",
            json!({ "path": "cat.png", "colour": 1 }),
            "unknown field `colour`",
        ),
        ("similar_prompts", json!({}), "one of `text` and `path`"),
        (
            "similar_prompts",
            json!({ "text": "a", "top": 0 }),
            "from 1 to 100",
        ),
        (
            "score_prompt",
            json!({ "prompt": "a" }),
            "one of `path` and `truth`",
        ),
    ] {
        let refusal = session.refusal(tool, arguments);
        assert!(refusal.contains(expected), "{tool}: {refusal}");
    }
    let unknown = session.ask(
        "tools/call",
        json!({ "name": "delete_picture", "arguments": {} }),
    );
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert_eq!(session.end(), 0);
}

#[test]
fn a_preset_with_an_encoder_scores_prompts_and_a_captioner_captions() {
    let place = place();
    let fixture = |name: &str| {
        workspace("fixtures/models")
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let (encoder, blip) = (fixture("tiny-sbert"), fixture("tiny-blip"));
    let preset = format!(
        "name = 'tiny'\nencoder = '{encoder}'\n[[member]]\nname = 'words'\nkind = 'captioner'\nmodel = '{blip}'\nweight = 1.0\n"
    );
    place.write("tiny.toml", preset);
    let mut session = Session::start(
        &place,
        &[
            "--root",
            "in",
            "--preset",
            "tiny.toml",
            "--captioner",
            &blip,
            "--quiet",
        ],
    );
    let caption = session.call("picture_caption", json!({ "path": "coffee.webp" }));
    let prompt = session.call("picture_prompt", json!({ "path": "coffee.webp" }))["prompt"].clone();
    assert_eq!(caption["caption"], prompt);
    let scored = session.call(
        "score_prompt",
        json!({ "prompt": prompt, "path": "coffee.webp" }),
    );
    let similarity = scored["similarity"].as_f64().unwrap();
    assert!((similarity - 1.0).abs() < 1e-5, "{scored}");
    assert_eq!(
        (&scored["source"], &scored["compared_with"]),
        (&json!("predicted"), &prompt)
    );
    let scored = session.call(
        "score_prompt",
        json!({ "prompt": "a cat", "truth": "a dog" }),
    );
    assert!(scored["similarity"].as_f64().unwrap() < 0.9999, "{scored}");
    // The carried prompts are in another encoder's space.
    let similar = session.refusal("similar_prompts", json!({ "text": "a cat" }));
    assert!(similar.contains("all-MiniLM-L6-v2"), "{similar}");
    assert_eq!(session.end(), 0);
}

#[test]
fn without_a_root_no_picture_is_looked_at() {
    let place = place();
    let mut session = Session::start(&place, &[]);
    let refusal = session.refusal(
        "picture_prompt",
        json!({ "path": place.path("in/cat.png").to_str().unwrap() }),
    );
    assert!(refusal.contains("--root"), "{refusal}");
    assert_eq!(session.end(), 0);
    assert!(place.read("mcp.log").contains("--root"));
    let run = place.run(&["mcp", "--root", "missing"]);
    assert!(run.refusal().contains("--root missing"), "{run:?}");
}
