//! What clients of other servers send, and what they expect to get.

use crate::running::{Fake, Running};
use serde_json::{Value, json};
use unprompt_server::{Limits, ServeOptions};

/// `x` in base64.
const PICTURE: &str = "data:image/png;base64,eA==";
/// `broken`.
const BROKEN: &str = "YnJva2Vu";

fn server(has_models: bool) -> Running {
    Running::start(&Fake::new(has_models), ServeOptions::default())
}

#[test]
fn records_are_those_of_the_command_line() {
    let server = server(true);
    let post = |path: &str, body: Value| server.json(path, &body).of(200);
    let answer = post(
        "/v1/predict",
        json!({ "images": ["eA==", { "name": "b.png", "data": PICTURE }], "metadata": false }),
    );
    let first = &answer["records"][0];
    assert_eq!(
        (&first["path"], &first["source"]),
        (&json!("0"), &json!("predicted"))
    );
    assert_eq!(answer["records"][1]["path"], "b.png");
    // The digits of a number of 32 bits, and not those of its 64-bit neighbour.
    let raw = server.json("/v1/predict", &json!({ "image": "eA==" }));
    assert!(
        raw.text().contains("\"embedding\":[0.1,-0.2]"),
        "{}",
        raw.text()
    );
    let answer = post(
        "/v1/metadata",
        json!({ "image": { "name": "none", "data": "eA==" } }),
    );
    assert_eq!(
        answer["records"][0],
        json!({ "path": "none", "found": false })
    );
    let answer = post(
        "/v1/metadata",
        json!({ "image": { "name": "a cat", "data": "eA==" } }),
    );
    let expected = json!({
        "path": "a cat", "found": true, "generator": "a1111", "prompt": "a cat", "negative_prompt": "ugly",
        "settings": { "Steps": 20, "Size": "512x512" },
    });
    assert_eq!(answer["records"][0], expected);
    let answer = server
        .files("/v1/classify", &[("a", b"x")], &[("top", "2")])
        .of(200);
    assert_eq!(answer["records"][0]["labels"].as_array().unwrap().len(), 2);
    let answer = server
        .files("/v1/caption", &[("a", b"x")], &[("beams", "3")])
        .of(200);
    let expected = json!({ "path": "a", "caption": "caption of a Some(3)", "token_ids": [1, 2], "score": -0.1f64 });
    assert_eq!(answer["records"][0]["caption"], expected["caption"]);
    let answer = post(
        "/v1/interrogate",
        json!({ "image": "eA==", "mode": "fast", "caption": "a cat" }),
    );
    let first = &answer["records"][0];
    assert_eq!(
        (&first["prompt"], &first["mode"], &first["caption"]),
        (&json!("Fast of 0"), &json!("fast"), &json!("a cat"))
    );
    let answer = post(
        "/v1/interrogate",
        json!({ "image": "eA==", "mode": "analyze" }),
    );
    assert_eq!(answer["records"][0]["tables"]["flavors"][0]["label"], "z");
    assert_eq!(
        server
            .json(
                "/v1/interrogate",
                &json!({ "image": "eA==", "mode": "slow" })
            )
            .status,
        422
    );
    let answer = server.json(
        "/v1/embed/image",
        &json!({ "image": "eA==", "tta": "flip", "raw": true }),
    );
    assert!(answer.text().contains("\"embedding\":[0.6,0.8]"));
    let answer = server.json("/v1/embed/text", &json!({ "text": "a", "texts": ["bcd"] }));
    assert!(
        answer
            .text()
            .contains("{\"text\":\"bcd\",\"embedding\":[3.0,0.1]}"),
        "{}",
        answer.text()
    );
    // One picture as it is.
    let png = [("Content-Type", "image/png")];
    let answer = crate::http_client::ask(server.address, "POST", "/v1/predict", &png, b"x");
    assert_eq!(answer.of(200)["records"][0]["path"], "-");
}

#[test]
fn scores_are_cosines_of_prompts_and_vectors() {
    let server = server(true);
    let pairs = json!({ "pairs": [
        { "id": "a", "prediction": [1, 0], "truth": [0, 2] },
        { "prediction": "abc", "truth": "abc" },
        { "prediction": [3, 4], "truth": [3, 4.0] },
    ] });
    let answer = server.json("/v1/score", &pairs).of(200);
    assert_eq!(answer["n"], 3);
    assert_eq!(answer["per_image"][0], json!({ "id": "a", "cosine": 0.0 }));
    assert_eq!(answer["per_image"][1]["id"], "1");
    assert!((answer["mean_cosine"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12);
    for pairs in [
        json!([]),
        json!([{ "prediction": [1], "truth": [1, 2] }]),
        json!([{ "prediction": [0, 0], "truth": [1, 2] }]),
        json!([{ "prediction": [] , "truth": [] }]),
        json!([{ "prediction": 1, "truth": "a" }]),
    ] {
        assert_eq!(
            server.json("/v1/score", &json!({ "pairs": pairs })).status,
            422,
            "{pairs}"
        );
    }
}

#[test]
fn a1111_clients_get_captions_and_infotexts() {
    let server = server(true);
    let answer = server
        .json("/sdapi/v1/interrogate", &json!({ "image": PICTURE }))
        .of(200);
    assert_eq!(answer, json!({ "caption": "Classic of image" }));
    let without = self::server(false);
    let body = json!({ "image": "eA==", "model": "clip" });
    assert_eq!(
        without.json("/sdapi/v1/interrogate", &body).of(200)["caption"],
        "prompt of image"
    );
    let answer = server
        .json("/sdapi/v1/png-info", &json!({ "image": PICTURE }))
        .of(200);
    let info = "image\nNegative prompt: ugly\nSteps: 20, Size: 512x512";
    let parameters =
        json!({ "Prompt": "image", "Negative prompt": "ugly", "Steps": "20", "Size": "512x512" });
    assert_eq!(
        answer,
        json!({ "info": info, "items": { "parameters": info }, "parameters": parameters })
    );
    let answer = server
        .json("/sdapi/v1/png-info", &json!({ "image": " " }))
        .of(200);
    assert_eq!(answer, json!({ "info": "", "items": {}, "parameters": {} }));
    assert_eq!(server.get("/sdapi/v1/progress").of(200)["progress"], 0.0);
    for (body, status, detail) in [
        (json!({ "image": BROKEN }), 500, "Invalid encoded image"),
        (json!({ "image": "*" }), 500, "Invalid encoded image"),
        (json!({}), 404, "Image not found"),
        (
            json!({ "image": PICTURE, "model": "deepdanbooru" }),
            404,
            "Model not found",
        ),
    ] {
        let answer = server.json("/sdapi/v1/interrogate", &body).of(status);
        if detail == "Invalid encoded image" && body["image"] == BROKEN {
            // The model of a picture that cannot be read.
            assert_eq!(answer["error"], "HTTPException");
        }
        assert_eq!(answer["detail"], detail, "{body}");
        assert_eq!(answer["body"], "");
    }
}

#[test]
fn clip_interrogator_clients_get_prompts_and_tables() {
    let server = server(true);
    assert_eq!(
        server.get("/interrogator/models").of(200),
        json!(["clip/labels"])
    );
    let prompt = |body: Value| server.json("/interrogator/prompt", &body);
    assert_eq!(
        prompt(json!({ "image": PICTURE })).of(200),
        json!({ "prompt": "Fast of image" })
    );
    let body = json!({ "image": PICTURE, "clip_model_name": "clip/labels", "mode": "negative" });
    assert_eq!(prompt(body).of(200)["prompt"], "Negative of image");
    let body = json!({ "image": PICTURE, "clip_model_name": "ViT-L-14/openai", "mode": "caption" });
    assert_eq!(prompt(body).of(200)["prompt"], "caption of image None");
    assert_eq!(
        prompt(json!({ "image": PICTURE, "clip_model_name": "other" })).status,
        404
    );
    assert_eq!(
        prompt(json!({ "image": PICTURE, "mode": "analyze" })).status,
        422
    );
    let broken = prompt(json!({ "image": "*" })).of(500);
    assert!(broken["detail"].as_str().unwrap().contains("base64"));
    let answer = server.json("/interrogator/analyze", &json!({ "image": PICTURE }));
    // The most similar first.
    assert!(
        answer.text().contains("\"flavor\":{\"z\":0.3,\"a\":0.1}"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.of(200).as_object().unwrap().len(), 5);
    let without = self::server(false);
    assert_eq!(without.get("/interrogator/models").of(200), json!(["lite"]));
    let answer = without
        .json("/interrogator/prompt", &json!({ "image": PICTURE }))
        .of(200);
    assert_eq!(answer["prompt"], "prompt of image");
    assert_eq!(
        without
            .json("/interrogator/analyze", &json!({ "image": PICTURE }))
            .status,
        501
    );
}

#[test]
fn tei_clients_get_vectors() {
    let server = server(true);
    let one = server.json("/embed", &json!({ "inputs": "abc" }));
    assert_eq!(one.text(), "[[3.0,0.1]]");
    let two = server
        .json("/", &json!({ "inputs": ["a", "bc"], "normalize": false }))
        .of(200);
    assert_eq!(two, json!([[1e10], [1e10]]));
    assert_eq!(server.get("/info").of(200)["model_id"], "sentences");
    assert_eq!(
        server.json("/embed", &json!({ "inputs": [] })).of(400)["error_type"],
        "validation"
    );
    let without = self::server(false);
    assert_eq!(
        without.json("/embed", &json!({ "inputs": "a" })).of(424)["error_type"],
        "backend"
    );
    let few = Limits {
        texts: 1,
        ..Limits::default()
    };
    let few = Running::start(
        &Fake::new(true),
        ServeOptions {
            limits: few,
            ..ServeOptions::default()
        },
    );
    assert_eq!(
        few.json("/embed", &json!({ "inputs": ["a", "b"] })).status,
        413
    );
}

#[test]
fn openai_clients_get_models_vectors_and_chats() {
    let server = server(true);
    let models = server.get("/v1/models").of(200);
    let ids: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "unprompt",
            "lite",
            "captions",
            "clip/labels",
            "sentences",
            "towers"
        ]
    );
    let answer = server
        .json(
            "/v1/embeddings",
            &json!({ "model": "sentences", "input": ["a", "bc"] }),
        )
        .of(200);
    assert_eq!(
        (&answer["object"], &answer["model"]),
        (&json!("list"), &json!("sentences"))
    );
    assert_eq!(answer["data"][1]["index"], 1);
    let body = json!({ "input": "abc", "encoding_format": "base64" });
    // 3 and 0.1 as little-endian numbers of 32 bits.
    assert_eq!(
        server.json("/v1/embeddings", &body).of(200)["data"][0]["embedding"],
        "AABAQM3MzD0="
    );
    let answer = server
        .json("/v1/embeddings", &json!({ "input": [PICTURE] }))
        .of(200);
    assert_eq!(answer["model"], "towers");
    assert_eq!(
        server
            .json("/v1/embeddings", &json!({ "input": [PICTURE, "a"] }))
            .status,
        422
    );
    let answer = server
        .json("/v1/embeddings", &json!({ "model": "other", "input": "a" }))
        .of(404);
    assert_eq!(answer["error"]["code"], "model_not_found");

    let chat = |model: &str, stream: bool, images: &[&str]| {
        let mut content = vec![json!({ "type": "text", "text": "Describe it." })];
        let part = |url: &&str| json!({ "type": "image_url", "image_url": { "url": url } });
        content.extend(images.iter().map(part));
        let body = json!({ "model": model, "stream": stream, "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": content },
            { "role": "user", "content": "Well?" },
        ] });
        server.json("/v1/chat/completions", &body)
    };
    let answer = chat("unprompt", false, &[PICTURE]).of(200);
    assert_eq!(answer["choices"][0]["message"]["content"], "prompt of 0");
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("stop"))
    );
    let answer = chat("captions", false, &[PICTURE, PICTURE]).of(200);
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "caption of 0 None\ncaption of 1 None"
    );
    assert_eq!(
        chat("clip/labels", false, &[PICTURE]).of(200)["choices"][0]["message"]["content"],
        "Fast of 0"
    );
    let streamed = chat("lite", true, &[PICTURE]);
    assert_eq!(streamed.header("content-type"), Some("text/event-stream"));
    let events: Vec<&str> = streamed.text().split("\n\n").collect();
    assert!(
        events[0].starts_with("data: {") && events[0].contains("prompt of 0"),
        "{events:?}"
    );
    assert_eq!(events[2..], ["data: [DONE]", ""]);
    assert_eq!(
        chat("gpt-4o", false, &[PICTURE]).of(404)["error"]["code"],
        "model_not_found"
    );
    assert_eq!(chat("unprompt", false, &[]).status, 422);
    assert_eq!(
        chat("unprompt", false, &["https://127.0.0.1/a.png"]).status,
        422
    );
    assert_eq!(
        chat("unprompt", false, &[BROKEN]).of(400)["error"]["message"],
        "not a picture"
    );
}

#[test]
fn ollama_clients_get_models_and_answers() {
    let server = server(true);
    let models = server.get("/api/tags").of(200);
    assert_eq!(models["models"][0]["name"], "unprompt:latest");
    assert_eq!(models["models"].as_array().unwrap().len(), 4);
    let body = json!({ "model": "unprompt", "prompt": "Describe it.", "images": ["eA=="], "stream": false });
    let answer = server.json("/api/generate", &body).of(200);
    assert_eq!(
        (&answer["response"], &answer["done"]),
        (&json!("prompt of 0"), &json!(true))
    );
    let body = json!({ "model": "captions:latest", "images": ["eA=="] });
    let answer = server.json("/api/generate", &body);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["response"], &lines[0]["done"]),
        (&json!("caption of 0 None"), &json!(false))
    );
    assert_eq!(
        (&lines[1]["done"], &lines[1]["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    let messages = json!([{ "role": "user", "content": "?", "images": ["eA=="] }, { "role": "user", "content": "Well?" }]);
    let answer = server
        .json(
            "/api/chat",
            &json!({ "model": "lite", "messages": messages, "stream": false }),
        )
        .of(200);
    assert_eq!(
        answer["message"],
        json!({ "role": "assistant", "content": "prompt of 0" })
    );
    let answer = server
        .json(
            "/api/generate",
            &json!({ "model": "llava", "images": ["eA=="] }),
        )
        .of(404);
    assert!(answer["error"].as_str().unwrap().contains("no such model"));
    assert_eq!(
        server
            .json("/api/generate", &json!({ "model": "unprompt" }))
            .status,
        400
    );
    let answer = server.json(
        "/api/embed",
        &json!({ "model": "sentences", "input": "abc" }),
    );
    assert!(answer.text().contains("[[3.0,0.1]]"));
}
