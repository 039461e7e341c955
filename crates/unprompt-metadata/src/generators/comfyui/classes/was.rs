//! WAS Node Suite (WASasquatch).

use super::Class;
use super::Gives::{Any, Choice, Chosen, Encoded, Joined, Nothing, Replaced, Shown, Sides};

pub(super) const CLASSES: &[Class] = &[
    Class::new(&["Text Multiline", "Text Multiline (Code Compatible)"])
        .gives(&[Any("text")])
        .widgets("text"),
    Class::new(&["Text String"])
        .gives(&[Any("text"), Any("text_b"), Any("text_c"), Any("text_d")])
        .widgets("text,text_b,text_c,text_d"),
    Class::new(&["Text String Truncate"])
        .gives(&[Any("text"), Any("text_b"), Any("text_c"), Any("text_d")])
        .widgets("text,_,_,_,text_b,text_c,text_d"),
    Class::new(&["Text Concatenate"])
        .gives(&[Joined("text_*", "delimiter", "")])
        .widgets("delimiter,clean_whitespace"),
    Class::new(&["Text List Concatenate"]).gives(&[Joined("list_*", "", ", ")]),
    Class::new(&["Text List"]).gives(&[Joined("text_*", "", ", ")]),
    Class::new(&["Text List to Text"])
        .gives(&[Any("text_list")])
        .widgets("delimiter"),
    Class::new(&["Text Find and Replace"])
        .gives(&[Replaced("text", "find,replace"), Nothing])
        .widgets("find,replace"),
    Class::new(&["Text Find and Replace Input"])
        .gives(&[Replaced("text", "find,replace"), Nothing]),
    Class::new(&[
        "Text Find and Replace by Dictionary",
        "Text Random Line",
        "Text Shuffle",
        "Text Parse Noodle Soup Prompts",
    ])
    .gives(&[Chosen("", "text")]),
    Class::new(&[
        "Text to String",
        "Text Sort",
        "Text Parse A1111 Embeddings",
        "Text Parse Tokens",
        "Text Parse Embeddings By Name",
    ])
    .gives(&[Any("text")]),
    Class::new(&["String to Text"])
        .gives(&[Any("string")])
        .widgets("string"),
    Class::new(&["Text to Console"])
        .gives(&[Any("text")])
        .widgets("label"),
    Class::new(&["Text Input Switch"])
        .gives(&[Choice("boolean", "text_a", "text_b")])
        .widgets("boolean"),
    Class::new(&["Conditioning Input Switch"])
        .gives(&[Choice("boolean", "conditioning_a", "conditioning_b")])
        .widgets("boolean"),
    Class::new(&["Image Input Switch"])
        .gives(&[Choice("boolean", "image_a", "image_b")])
        .widgets("boolean"),
    Class::new(&["Latent Input Switch"])
        .gives(&[Choice("boolean", "latent_a", "latent_b")])
        .widgets("boolean"),
    Class::new(&["Text Compare"]).gives(&[Any("text_a"), Any("text_b"), Nothing]),
    Class::new(&[
        "Load Text File",
        "Text File History Loader",
        "Text Dictionary Get",
        "Text Load Line From File",
        "Text Random Prompt",
    ])
    .gives(&[Any("multiline_text")]),
    Class::new(&[
        "Text Add Tokens",
        "Text Add Token by Input",
        "Text Contains",
        "Text Find",
    ])
    .gives(&[Nothing]),
    Class::new(&["Prompt Styles Selector", "Prompt Multiple Styles Selector"]).gives(&[Nothing]),
    Class::new(&["Save Text File"]).gives(&[Nothing]),
    Class::new(&["Text to Conditioning"]).gives(&[Encoded("text")]),
    Class::new(&["CLIPTextEncode (NSP)"])
        .gives(&[Encoded("text"), Chosen("", "text"), Any("text")])
        .widgets("mode,noodle_key,seed,_,text"),
    Class::new(&["CLIPTextEncode (BlenderNeko Advanced + NSP)"])
        .gives(&[Encoded("text"), Chosen("", "text"), Any("text")])
        .widgets("mode,noodle_key,seed,_,token_normalization,weight_interpretation,text"),
    Class::new(&["KSampler (WAS)"])
        .draws(Sides("positive", "negative"), "latent_image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&["KSampler Cycle"])
        .draws(Sides("positive", "negative"), "latent_image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler"),
    Class::new(&["BLIP Analyze Image"]).gives(&[Nothing, Nothing]),
    Class::new(&["ShowText|pysssss", "ShowText"]).gives(&[Shown("text", "text*")]),
    Class::new(&["StringFunction|pysssss"])
        .gives(&[Joined("text_*", "", ", ")])
        .widgets("action,tidy_tags,text_a,text_b,text_c"),
];
