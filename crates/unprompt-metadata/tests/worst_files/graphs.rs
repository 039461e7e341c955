//! Graphs of ComfyUI that are as wide, as deep or as entangled as 5 MB allow.

use super::{SIZE, filled, png, text};

const SMALL: usize = SIZE - 10_000;

fn executed(nodes: &str) -> Vec<u8> {
    png(&[text("prompt", format!("{{{nodes}}}"))])
}

fn edited(members: &str) -> Vec<u8> {
    png(&[text("workflow", format!("{{{members}}}"))])
}

/// `make` of 0, 1, 2, ... with commas between, up to about this length.
fn many(length: usize, make: impl Fn(usize) -> String) -> String {
    let mut out = String::new();
    for n in 0.. {
        let one = make(n);
        if out.len() + one.len() + 1 > length {
            break;
        }
        if n > 0 {
            out.push(',');
        }
        out.push_str(&one);
    }
    out
}

/// A sampler at `s` whose prompt comes from node 1, which asks node 2 at many outputs.
fn asked_often(asking: &str, links: usize, asked: &str) -> Vec<u8> {
    let links = many(links, |n| format!("\"text_{n}\":[\"2\",{n}]"));
    executed(&format!(
        "\"s\":{{\"class_type\":\"KSampler\",\"inputs\":{{\"positive\":[\"1\",0]}}}},\
         \"1\":{{\"class_type\":\"{asking}\",\"inputs\":{{{links}}}}},\"2\":{asked}"
    ))
}

pub fn graphs() -> Vec<(&'static str, Vec<u8>)> {
    let file_name = format!("{}.txt", "a b".repeat(350_000));
    let sampler =
        "{\"id\":1,\"type\":\"KSampler\",\"inputs\":[{\"name\":\"positive\",\"link\":1}]}";
    let subgraph = |inner: &str, uses: usize| {
        let uses = many(uses, |n| format!("{{\"id\":{},\"type\":\"g\"}}", n + 2));
        edited(&format!(
            "\"nodes\":[{sampler},{uses}],\"links\":[[1,2,0,1,0,\"A\"]],\
             \"definitions\":{{\"subgraphs\":[{{\"id\":\"g\",{inner}}}]}}"
        ))
    };
    let everywhere = many(40_000, |n| {
        format!(
            "{{\"id\":{n},\"type\":\"Anything Everywhere?\",\"inputs\":[{{\"name\":\"a\",\"type\":\"A\",\"link\":1}}],\"widgets_values\":[\"(x+x+)+y{n}\",\"[a-z]{{1,40}}{n}\"]}}"
        )
    });
    vec![
        (
            "graph inputs",
            executed(&format!(
                "\"1\":{{\"class_type\":\"KSampler\",\"inputs\":{{{}}}}}",
                many(SMALL, |n| format!("\"{n:x}\":1"))
            )),
        ),
        (
            "graph fewer inputs",
            executed(&format!(
                "\"1\":{{\"class_type\":\"A\",\"inputs\":{{{}}}}}",
                many(590_000, |n| format!("\"z{n}\":1"))
            )),
        ),
        (
            "graph wide nodes",
            executed(&many(SMALL, |n| {
                let links = many(90_000, |at| format!("\"in_{at}\":[\"{}\",{at}]", n + 1));
                format!(
                    "\"{n}\":{{\"class_type\":\"Sampler{n}\",\"inputs\":{{\"positive\":[\"{}\",1],{links}}}}}",
                    n + 1
                )
            })),
        ),
        (
            "graph nodes",
            executed(&many(SMALL, |n| {
                format!(
                    "\"{n}\":{{\"class_type\":\"Sampler\",\"inputs\":{{\"a\":[\"{}\",0]}}}}",
                    n + 1
                )
            })),
        ),
        (
            "graph fewer nodes",
            executed(&many(640_000, |n| {
                format!(
                    "\"{n}\":{{\"class_type\":\"SamplerA\",\"inputs\":{{\"positive\":[\"{}\",0]}}}}",
                    n + 1
                )
            })),
        ),
        (
            "graph settings",
            executed(&many(SMALL, |n| {
                let next = n + 1;
                let names = [
                    "seed",
                    "noise_seed",
                    "steps",
                    "cfg",
                    "denoise",
                    "width",
                    "height",
                    "scheduler",
                    "sampler_name",
                ];
                let inputs = names
                    .map(|name| format!("\"{name}\":[\"{next}\",0]"))
                    .join(",");
                format!("\"{n}\":{{\"class_type\":\"KSampler\",\"inputs\":{{{inputs}}}}}")
            })),
        ),
        (
            "graph file names",
            asked_often(
                "A",
                SMALL - 1_100_000,
                &format!("{{\"class_type\":\"B\",\"inputs\":{{\"positive\":\"{file_name}\"}}}}"),
            ),
        ),
        (
            "graph blanks",
            asked_often(
                "A",
                SMALL - 1_100_000,
                &format!(
                    "{{\"class_type\":\"B\",\"inputs\":{{\"text\":\"{}\"}}}}",
                    " ".repeat(1_000_000)
                ),
            ),
        ),
        (
            "graph blocks",
            asked_often(
                "A",
                SMALL - 1_100_000,
                &format!(
                    "{{\"class_type\":\"LoadSinglePromptFromFile //Inspire\",\"inputs\":{{\"text_data_opt\":[\"3\",0]}}}},\"3\":{{\"class_type\":\"PrimitiveString\",\"inputs\":{{\"value\":\"{}\"}}}}",
                    "POSITIVE".repeat(125_000)
                ),
            ),
        ),
        (
            "graph requests",
            asked_often(
                "A",
                SMALL - 1_100_000,
                &format!(
                    "{{\"class_type\":\"OllamaX\",\"inputs\":{{\"prompt\":[\"3\",0]}}}},\"3\":{{\"class_type\":\"PrimitiveString\",\"inputs\":{{\"value\":\"{}\"}}}}",
                    "you wil ".repeat(125_000)
                ),
            ),
        ),
        (
            "graph template",
            executed(&format!(
                "\"s\":{{\"class_type\":\"KSampler\",\"inputs\":{{\"positive\":[\"1\",0]}}}},\"1\":{{\"class_type\":\"MTB_ApplyTextTemplate\",\"inputs\":{{\"template\":\"{}\",{}}}}}",
                filled("{a}", 200_000),
                many(500_000, |n| format!("\"p{n}\":\"x\""))
            )),
        ),
        (
            "graph joins",
            executed(&format!(
                "\"s\":{{\"class_type\":\"KSampler\",\"inputs\":{{\"positive\":[\"a\",0]}}}},\"a\":{{\"class_type\":\"OllamaX\",\"inputs\":{{\"prompt\":[\"0\",0]}}}},{}",
                many(600_000, |n| {
                    let links = many(14_000, |at| format!("\"string_{at}\":[\"{}\",0]", n + 1));
                    format!("\"{n}\":{{\"class_type\":\"JoinStringMulti\",\"inputs\":{{{links}}}}}")
                })
            )),
        ),
        (
            "graph shown",
            executed(&format!(
                "\"s\":{{\"class_type\":\"KSampler\",\"inputs\":{{\"positive\":[\"a\",0]}}}},\"a\":{{\"class_type\":\"A\",\"inputs\":{{{}}}}},\"b\":{{\"class_type\":\"showit\",\"inputs\":{{{}}}}},\"2\":{{\"class_type\":\"OllamaX\",\"inputs\":{{\"prompt\":\"a cat\"}}}}",
                many(400_000, |n| format!("\"text_{n}\":[\"2\",{n}]")),
                many(400_000, |n| format!("\"z{n}\":[\"2\",{n}]"))
            )),
        ),
        (
            "graph inside an object",
            png(&[text(
                "Comment",
                format!(
                    "{{\"prompt\":{{{}}}}}",
                    many(1_400_000, |n| format!(
                        "\"{n}\":{{\"class_type\":\"A\",\"inputs\":{{\"a\":1}}}}"
                    ))
                ),
            )]),
        ),
        (
            "graph in both forms",
            png(&[
                text(
                    "prompt",
                    format!(
                        "{{{}}}",
                        many(SMALL / 2, |n| format!(
                            "\"{n}\":{{\"class_type\":\"A\",\"inputs\":{{\"a\":[\"1\",0],\"text\":\"\"}}}}"
                        ))
                    ),
                ),
                text(
                    "workflow",
                    format!(
                        "{{\"nodes\":[{}]}}",
                        many(SMALL / 2, |n| format!(
                            "{{\"id\":{n},\"type\":\"A\",\"inputs\":[],\"widgets_values\":[1]}}"
                        ))
                    ),
                ),
            ]),
        ),
        (
            "drawing of prose",
            edited(&format!(
                "\"nodes\":[{sampler},{{\"id\":2,\"type\":\"A\",\"inputs\":[{}]}},{{\"id\":3,\"type\":\"B\",\"widgets_values\":[{}]}}],\"links\":[[1,2,0,1,0,\"A\"],{}]",
                many(1_000_000, |n| format!(
                    "{{\"name\":\"text_{n}\",\"link\":{}}}",
                    n + 2
                )),
                many(1_000_000, |_| format!(
                    "\"{} (x)\"",
                    "many words".repeat(6_000)
                )),
                many(1_000_000, |n| format!("[{},3,{n},2,{n},\"A\"]", n + 2))
            )),
        ),
        (
            "drawing of links",
            edited(&format!(
                "\"nodes\":[{sampler}],\"links\":[{}]",
                many(SMALL, |n| format!("[{n},1,0,1,0]"))
            )),
        ),
        (
            "drawing of inputs",
            edited(&format!(
                "\"nodes\":[{{\"id\":1,\"type\":\"A\",\"inputs\":[{}]}}]",
                many(SMALL, |_| "{\"name\":\"\"}".to_owned())
            )),
        ),
        (
            "drawing of bypasses",
            edited(&format!(
                "\"nodes\":[{{\"id\":1,\"type\":\"A\",\"mode\":4,\"inputs\":[{}],\"outputs\":[{}]}}]",
                many(SMALL / 2, |_| "{\"type\":\"A\"}".to_owned()),
                many(SMALL / 2, |_| "{\"type\":\"B\"}".to_owned())
            )),
        ),
        (
            "drawing of subgraph inputs",
            subgraph(
                &format!(
                    "\"nodes\":[],\"inputs\":[{}]",
                    many(SMALL / 2, |_| "{\"name\":\"a\"}".to_owned())
                ),
                SMALL / 2,
            ),
        ),
        (
            "drawing of subgraph outputs",
            subgraph(
                &format!(
                    "\"nodes\":[],\"outputs\":[{}]",
                    filled("0,", SMALL / 4) + "0"
                ),
                SMALL / 2,
            ),
        ),
        (
            "drawing of subgraph values",
            subgraph(
                &format!(
                    "\"nodes\":[{{\"id\":1,\"type\":\"A\",\"widgets_values\":[{}]}}]",
                    filled("\"a\",", SMALL / 4) + "0"
                ),
                SMALL / 2,
            ),
        ),
        (
            "drawing of names",
            subgraph(
                &format!(
                    "\"nodes\":[],\"inputs\":[{}]",
                    many(1_000_000, |n| format!("{{\"name\":\"a{n}\"}}"))
                ),
                20_000,
            ),
        ),
        (
            "drawing of everywhere",
            edited(&format!(
                "\"nodes\":[{everywhere},{{\"id\":-1,\"type\":\"A\",\"inputs\":[{}]}}],\"links\":[[1,1,0,1,0,\"A\"]]",
                many(700_000, |n| format!(
                    "{{\"name\":\"xxxxxxxxxxxxxxxx{n}\",\"type\":\"A\"}}"
                ))
            )),
        ),
        (
            "drawing of everywhere in subgraphs",
            edited(&format!(
                "\"nodes\":[{sampler}],\"definitions\":{{\"subgraphs\":[{}]}}",
                many(SMALL, |n| format!(
                    "{{\"id\":\"{n}\",\"nodes\":[{everywhere}],\"links\":[[1,1,0,1,0,\"A\"]]}}"
                ))
            )),
        ),
    ]
}
