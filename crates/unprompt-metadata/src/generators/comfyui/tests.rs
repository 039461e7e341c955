use serde_json::json;

use super::*;

/// Reads an executed graph.
fn executed(graph: Value) -> Metadata {
    from_graphs(graph.as_object(), None).unwrap()
}

fn encode(text: &str) -> Value {
    json!({"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["4", 1]}})
}

/// A graph with a sampler at `3` and a saver, into which other nodes go.
fn sampled(positive: &str, negative: &str, others: Value) -> Value {
    let mut graph = json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 2, "positive": [positive, 0],
            "negative": [negative, 0], "latent_image": ["5", 0]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
    });
    for (id, node) in others.as_object().unwrap() {
        graph[id] = node.clone();
    }
    graph
}

fn prompts(graph: Value) -> (String, Option<String>) {
    let found = executed(graph);
    (found.prompt, found.negative_prompt)
}

#[test]
fn conditioning_is_followed_through_the_nodes_that_change_it() {
    let others = json!({
        "10": encode("a cat"), "11": encode("a hat"), "12": encode("text"), "13": encode("a cat"),
        "20": {"class_type": "ConditioningConcat",
            "inputs": {"conditioning_to": ["10", 0], "conditioning_from": ["11", 0]}},
        "21": {"class_type": "ConditioningSetArea", "inputs": {"conditioning": ["20", 0], "x": 0}},
        "22": {"class_type": "ConditioningCombine",
            "inputs": {"conditioning_1": ["21", 0], "conditioning_2": ["13", 0]}},
        "23": {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["22", 0],
            "negative": ["12", 0], "control_net": ["99", 0], "image": ["98", 0], "strength": 1}},
        "24": {"class_type": "Reroute (extension)", "inputs": {"": ["23", 1]}},
    });
    // The texts of both sides in the order of the inputs.
    assert_eq!(
        prompts(sampled("23", "24", others)),
        ("a cat, a hat, a cat".into(), Some("text".into()))
    );
}

#[test]
fn encoders_with_several_texts() {
    let others = json!({
        "10": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"width": 1, "text_g": "a cat", "text_l": "photo"}},
        "11": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"text_g": "ugly", "text_l": "ugly"}},
    });
    assert_eq!(
        prompts(sampled("10", "11", others)),
        ("a cat, photo".into(), Some("ugly".into()))
    );
    let others = json!({
        "10": {"class_type": "CLIPTextEncodeFlux",
            "inputs": {"clip_l": "cat", "t5xxl": "A cat sits.", "guidance": 3.5}},
        "11": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["10", 0]}},
    });
    assert_eq!(
        prompts(sampled("10", "11", others)),
        ("A cat sits., cat".into(), None)
    );
}

#[test]
fn strings_are_followed_to_where_they_were_typed() {
    let others = json!({
        "10": {"class_type": "CLIPTextEncode", "inputs": {"text": ["20", 0]}},
        "11": {"class_type": "CLIPTextEncode", "inputs": {"text": ["20", 1]}},
        "20": {"class_type": "SDXLPromptStyler", "inputs": {"text_positive": ["21", 0],
            "text_negative": "blurry", "style": "base"}},
        "21": {"class_type": "Text Concatenate", "inputs": {"delimiter": "\\n", "clean": "true",
            "text_a": ["22", 0], "text_b": ["23", 0], "text_c": ""}},
        "22": {"class_type": "SomeStringHolder", "inputs": {"whatever": "a cat"}},
        "23": {"class_type": "ImpactSwitch", "inputs": {"select": 2, "input1": "no", "input2": "yes"}},
    });
    assert_eq!(
        prompts(sampled("10", "11", others)),
        ("a cat\nyes".into(), Some("blurry".into()))
    );
}

#[test]
fn loaders_that_hold_the_prompts_themselves() {
    let others = json!({
        "3": {"class_type": "KSampler (Efficient)", "inputs": {"seed": ["30", 0], "steps": 20,
            "positive": ["10", 1], "negative": ["10", 2]}},
        "10": {"class_type": "Efficient Loader", "inputs": {"ckpt_name": "a", "positive": "a cat",
            "negative": "dog"}},
        "30": {"class_type": "Seed Generator", "inputs": {"seed": 77}},
    });
    let found = executed(sampled("10", "10", others));
    assert_eq!(found.prompt, "a cat");
    assert_eq!(found.negative_prompt.as_deref(), Some("dog"));
    assert_eq!(json!(found.settings), json!({"seed": 77, "steps": 20}));
}

#[test]
fn a_pipe_carries_both_prompts() {
    let found = executed(json!({
        "1": {"class_type": "easy fullLoader", "inputs": {"positive": "a cat", "negative": "dog", "ckpt_name": "m"}},
        "2": {"class_type": "easy kSampler", "inputs": {"pipe": ["1", 0], "steps": 20}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 1]}},
    }));
    assert_eq!(
        (found.prompt.as_str(), found.negative_prompt.as_deref()),
        ("a cat", Some("dog"))
    );
}

#[test]
fn guiders() {
    let custom = |guider: Value| {
        json!({
            "1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
            "2": {"class_type": "SamplerCustomAdvanced", "inputs": {"guider": ["3", 0], "noise": ["9", 0]}},
            "3": guider, "4": encode("a cat"), "5": encode("dog"), "6": encode("sun"),
        })
    };
    let cfg = json!({"class_type": "CFGGuider", "inputs": {"cfg": 3, "positive": ["4", 0], "negative": ["5", 0]}});
    assert_eq!(prompts(custom(cfg)), ("a cat".into(), Some("dog".into())));
    let basic = json!({"class_type": "BasicGuider", "inputs": {"conditioning": ["4", 0]}});
    assert_eq!(prompts(custom(basic)), ("a cat".into(), None));
    let dual = json!({"class_type": "DualCFGGuider",
        "inputs": {"cond1": ["4", 0], "cond2": ["6", 0], "negative": ["5", 0]}});
    assert_eq!(prompts(custom(dual)), ("a cat".into(), Some("dog".into())));
}

#[test]
fn a_zeroed_negative_does_not_become_the_positive() {
    let others = json!({
        "10": encode("a cat"),
        "11": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["10", 0]}},
        "12": {"class_type": "ControlNetApplySD3", "inputs": {"positive": ["10", 0],
            "negative": ["11", 0], "image": ["98", 0], "vae": ["97", 0]}},
    });
    assert_eq!(prompts(sampled("12", "12", others)), ("a cat".into(), None));
}

#[test]
fn a_node_may_add_its_own_text() {
    let others = json!({
        "10": encode("two animals"),
        "11": {"class_type": "GLIGENTextboxApply", "inputs": {"conditioning_to": ["10", 0],
            "text": "cat", "width": 64}},
        "12": {"class_type": "GLIGENTextboxApply", "inputs": {"conditioning_to": ["11", 0],
            "text": "dog", "width": 64}},
        "13": encode("text"),
    });
    let expected = ("two animals, cat, dog".into(), Some("text".into()));
    assert_eq!(prompts(sampled("12", "13", others)), expected);
}

#[test]
fn the_name_of_a_model_is_no_prompt() {
    let others = json!({
        "10": {"class_type": "CLIPTextEncode", "inputs": {"text": ["11", 0]}},
        "11": {"class_type": "Captioner", "inputs": {"captioner_model": ["12", 0], "image": ["13", 0]}},
        "12": {"class_type": "CaptionerLoader", "inputs": {"name": "captioner-large"}},
    });
    assert_eq!(prompts(sampled("10", "10", others)), (String::new(), None));
}

#[test]
fn the_sampler_nearest_to_the_saved_picture_counts() {
    let graph = json!({
        "1": {"class_type": "KSampler", "inputs": {"positive": ["10", 0], "negative": ["12", 0], "steps": 1}},
        "2": {"class_type": "KSampler", "inputs": {"positive": ["11", 0], "negative": ["12", 0],
            "latent_image": ["1", 0], "steps": 2}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "10": encode("first"), "11": encode("second"), "12": encode(""),
    });
    let found = executed(graph.clone());
    assert_eq!(
        (found.prompt.as_str(), &found.negative_prompt),
        ("second", &None)
    );
    assert_eq!(found.settings["steps"], 2);
    // Without a prompt of its own, the one before it is asked.
    let mut silent = graph;
    silent["11"] = encode(" ");
    assert_eq!(executed(silent).prompt, "first");
}

#[test]
fn a_service_is_a_prompt_without_a_sampler() {
    let found = executed(json!({
        "1": {"class_type": "SomeImageService", "inputs": {"prompt": "a cat", "aspect_ratio": "1:1"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    }));
    assert_eq!(found.prompt, "a cat");
}

#[test]
fn cycles_end() {
    // A negative prompt that repeats the prompt is no such thing.
    let others = json!({
        "10": {"class_type": "ConditioningCombine",
            "inputs": {"conditioning_1": ["11", 0], "conditioning_2": ["10", 0]}},
        "11": {"class_type": "ConditioningCombine",
            "inputs": {"conditioning_1": ["10", 0], "conditioning_2": ["12", 0]}},
        "12": encode("a cat"),
        "5": {"class_type": "R", "inputs": {"a": ["3", 0]}},
    });
    assert_eq!(prompts(sampled("10", "10", others)), ("a cat".into(), None));
}

#[test]
fn muted_and_bypassed_nodes_of_the_editor() {
    let workflow = json!({
        "nodes": [
            {"id": 1, "type": "KSampler", "inputs": [{"name": "positive", "link": 1},
                {"name": "negative", "link": 4}], "widgets_values": [5, "fixed", 20, 7, "euler", "normal", 1]},
            {"id": 2, "type": "SomeConditioningChange", "mode": 4, "inputs": [{"name": "conditioning", "link": 2}]},
            {"id": 3, "type": "CLIPTextEncode", "inputs": [{"name": "text", "link": 3}], "widgets_values": ["stale"]},
            {"id": 4, "type": "MyPromptBox", "widgets_values": [3, "a cat"]},
            {"id": 5, "type": "CLIPTextEncode", "mode": 2, "widgets_values": ["muted"]},
        ],
        "links": [[1, 2, 0, 1, 0, "C"], {"id": 2, "origin_id": 3, "origin_slot": 0}, [3, 4, 0, 3, 0, "S"],
            [4, 5, 0, 1, 1, "C"], ["bad"], 7],
    });
    let found = from_graphs(None, workflow.as_object()).unwrap();
    assert_eq!(
        (found.prompt.as_str(), &found.negative_prompt),
        ("a cat", &None)
    );
    assert_eq!(found.settings["seed"], 5);
}

#[test]
fn what_is_no_graph_is_nothing() {
    for value in [
        json!({}),
        json!({"prompt": "a cat"}),
        json!({"1": {"class_type": 3}}),
        json!({"nodes": {}}),
    ] {
        assert_eq!(from_graphs(value.as_object(), value.as_object()), None);
    }
}
