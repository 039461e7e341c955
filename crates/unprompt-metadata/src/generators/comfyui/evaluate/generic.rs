//! Rules for classes that are not in the table. Most classes are somebody's extension; they are told
//! by the names of their inputs.

use std::sync::LazyLock;

use regex::Regex;

use super::language_model::instructs;
use super::strings::shows;
use super::{Evaluator, Side, Text, Want};
use crate::generators::comfyui::graph::{Input, Node};
use crate::generators::comfyui::words::{any_of, contains};

impl Side {
    fn other(self) -> Self {
        match self {
            Side::Positive => Side::Negative,
            Side::Negative => Side::Positive,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Side::Positive => "positive",
            Side::Negative => "negative",
        }
    }

    /// Whether an input holds, or leads to, this prompt and not the other.
    fn names(self, input: &str) -> bool {
        let short = &self.word()[..3];
        let begins = input
            .split_at_checked(short.len())
            .is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(short) && (rest.is_empty() || rest.starts_with('_'))
            });
        begins || contains(input, self.word())
    }
}

/// Inputs that carry both prompts on their way to a sampler.
const BUNDLES: [&str; 12] = [
    "guider",
    "text_embeds",
    "pipe",
    "basic_pipe",
    "detailer_pipe",
    "sdxl_pipe",
    "sdxl_tuple",
    "context",
    "base_ctx",
    "params",
    "base_sampler",
    "advanced_sampler",
];

/// Inputs of nodes that make conditioning: names that belong together are the texts for the
/// encoders of one model, and the first group that has a text is used. T5's text comes first, since
/// models with a T5 take their prompt from it.
const ENCODER_TEXTS: [&str; 10] = [
    "text",
    "text_g,text_l",
    "t5xxl,llama,clip_g,clip_l",
    "bert,mt5xl",
    "prompt",
    "populated_text",
    "wildcard_text",
    "user_prompt",
    "string",
    "value",
];

/// Inputs of nodes that pass one string on.
const STRING_VALUES: [&str; 10] = [
    "text",
    "string",
    "value",
    "prompt",
    "populated_text",
    "wildcard_text",
    "STRING",
    "Text",
    "String",
    "prompt_text",
];

/// Parts of the names of inputs that never lead to a prompt.
static NOT_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    any_of(&[
        "trigger",
        "model",
        "vae",
        "image",
        "pixels",
        "mask",
        "latent",
        "samples",
        "control_net",
        "lora",
    ])
});

/// Parts of the names of strings that are no prompts: names of things, and how things are done.
static NOT_PROSE: LazyLock<Regex> = LazyLock::new(|| {
    any_of(&[
        "file",
        "path",
        "folder",
        "dir",
        "key",
        "model",
        "ckpt",
        "lora",
        "vae",
        "font",
        "color",
        "colour",
        "device",
        "dtype",
        "scheduler",
        "sampler",
        "mode",
        "method",
        "format",
        "extension",
        "url",
        "token",
        "delimiter",
        "separator",
    ])
});

/// Ends of the names of files.
const FILE_ENDS: [&str; 18] = [
    ".txt",
    ".json",
    ".yaml",
    ".csv",
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".gif",
    ".mp4",
    ".mp3",
    ".wav",
    ".flac",
    ".safetensors",
    ".ckpt",
    ".pt",
    ".pth",
    ".gguf",
];

/// Parts of the names of classes that ask a language model.
static LANGUAGE_MODELS: LazyLock<Regex> = LazyLock::new(|| {
    any_of(&[
        "llm",
        "gpt",
        "ollama",
        "gemini",
        "claude",
        "llama",
        "mistral",
        "deepseek",
        "promptenhance",
        "promptexpan",
        "enhanceprompt",
        "prompt_enhance",
    ])
});

fn is_file_name(text: &str) -> bool {
    let name = text.trim().as_bytes();
    let ends = FILE_ENDS.iter().any(|end| ends_with(name, end));
    ends && !name.contains(&b'\n')
}

/// Whether a name ends like this, without regard to case.
fn ends_with(name: &[u8], end: &str) -> bool {
    let start = name.len().checked_sub(end.len());
    start.is_some_and(|at| name[at..].eq_ignore_ascii_case(end.as_bytes()))
}

/// Nobody writes more than this into a node.
const MAX_PROSE_BYTES: usize = 64 << 10;

/// Values that are never texts: what the editor does with a seed, and the usual choices.
const CHOICES: [&str; 14] = [
    "fixed",
    "increment",
    "decrement",
    "randomize",
    "none",
    "auto",
    "default",
    "center",
    "enable",
    "disable",
    "true",
    "false",
    "disabled",
    "enabled",
];

fn is_choice(text: &str) -> bool {
    let text = text.trim();
    CHOICES
        .iter()
        .any(|choice| choice.eq_ignore_ascii_case(text))
}

/// Whether a text may be what somebody wrote: not a choice, a number, the name of a thing, a
/// program, or orders for a language model.
fn is_prose(text: &str) -> bool {
    if text.len() > MAX_PROSE_BYTES {
        return false;
    }
    let text = text.trim();
    let words = text.split_whitespace().take(3).count();
    let name = text.len() < 60 && text.ends_with(')');
    let named = words == 2 && text.contains(|c: char| c.is_ascii_digit());
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let program = text.starts_with('#')
        || text.contains(");")
        || text.contains("://")
        || text.contains(":\\")
        || letters * 2 < text.chars().count();
    let long_enough = words > 1 || (words == 1 && !text.is_ascii());
    long_enough && !name && !named && !program && !is_file_name(text) && !instructs(text)
}

fn may_be_prompt(input: &Input<'_>) -> bool {
    let text = input.string().unwrap_or_default();
    !text.trim().is_empty() && !NOT_PROSE.is_match(&input.name) && !is_file_name(text)
}

/// Whether an input may lead to a text.
fn may_lead_to_text(name: &str) -> bool {
    let clip =
        matches!(name, "clip" | "clip_vision" | "clip_vision_output") || name.ends_with("_clip");
    !clip && !NOT_TEXT.is_match(name)
}

impl<'g, 'a> Evaluator<'g, 'a> {
    /// The text that a node of any class draws from.
    pub(super) fn drawn_from(&mut self, node: &'g Node<'a>, side: Side) -> Option<Text> {
        if let Some(text) = self.by_name(node, side, Want::Conditioning) {
            return text;
        }
        if side == Side::Positive {
            // Without a side of its own. Of several conditionings the first is the prompt.
            let conditionings = node.inputs().filter(|input| input.name.starts_with("cond"));
            let conditionings = conditionings
                .filter(|input| input.link().is_some())
                .collect();
            let text = self.first_of(conditionings, side, Want::Conditioning);
            if text.is_some() {
                return text;
            }
        }
        let bundles = BUNDLES.iter().filter_map(|name| node.input(name)).collect();
        let text = self.first_of(bundles, side, Want::Conditioning);
        match side {
            Side::Positive => text.or_else(|| self.encoder_text(node, side)),
            Side::Negative => text,
        }
    }

    pub(super) fn text_of_any(&mut self, node: &'g Node<'a>, side: Side) -> Option<Text> {
        match self.by_name(node, side, Want::String) {
            Some(text) => text,
            None => self
                .encoder_text(node, side)
                .or_else(|| self.only_string(node)),
        }
    }

    /// What comes out of an output of a class that is not in the table.
    pub(super) fn give_of_any(
        &mut self,
        node: &'g Node<'a>,
        slot: usize,
        side: Side,
        want: Want,
    ) -> Option<Text> {
        if node.lower.contains("zeroout") {
            return None;
        }
        let name = node.outputs.get(slot).map_or("", |(name, _)| *name);
        let side = match (Side::Positive.names(name), Side::Negative.names(name)) {
            (true, false) => Side::Positive,
            (false, true) => Side::Negative,
            _ => side,
        };
        if let Some(chosen) = self.branches(node) {
            return self.first_of(chosen, side, want);
        }
        if let Some(text) = self.by_name(node, side, want) {
            return text;
        }
        if let Some(kept) = shows(node) {
            let text = self.other_links(node, side, want);
            if text.as_ref().is_some_and(|text| text.exact) {
                return text;
            }
            return self.kept(node, kept).or(text);
        }
        match want {
            Want::Conditioning => self.conditioning(node, side),
            Want::String if LANGUAGE_MODELS.is_match(&node.lower) => {
                let answer =
                    self.first(node, "response,answer,generated_text,generated", side, want);
                answer.or_else(|| {
                    let asked =
                        "prompt,user_prompt,user_input,query,text,input_text,question,string";
                    self.asked(node, asked, side)
                })
            }
            Want::String => self.string(node, side),
        }
    }

    /// What comes from the inputs named for a side; `None` if there is no such input. Where there
    /// is one its answer is final: a negative side that leads nowhere must not fall back to the
    /// positive one.
    fn by_name(&mut self, node: &'g Node<'a>, side: Side, want: Want) -> Option<Option<Text>> {
        let mut named = node.inputs().filter(|input| side.names(&input.name));
        named.find_map(|input| match input.link() {
            Some(_) => Some(self.input(input, side, want)),
            None => {
                let text = input.string().filter(|text| !text.is_empty())?;
                may_be_prompt(input).then(|| self.copy(text))
            }
        })
    }

    /// The text behind a conditioning, to which a node may add its own.
    fn conditioning(&mut self, node: &'g Node<'a>, side: Side) -> Option<Text> {
        let conditionings = node.inputs().filter(|input| input.name.starts_with("cond"));
        let conditionings: Vec<&Input<'a>> = conditionings.filter(|i| i.link().is_some()).collect();
        let behind = self.merge(conditionings, side, Want::Conditioning);
        let own = self.encoder_text(node, side);
        match (behind, own) {
            (Some(behind), Some(own)) if behind.text != own.text => {
                let text = format!("{}, {}", behind.text, own.text);
                self.new_text(text, behind.exact && own.exact)
            }
            (None, None) => {
                let text = self.other_links(node, side, Want::Conditioning);
                text.or_else(|| self.only_string(node))
                    .or_else(|| self.loose(node))
                    .or_else(|| self.told_here(node, side))
            }
            (behind, own) => behind.or(own),
        }
    }

    fn encoder_text(&mut self, node: &'g Node<'a>, side: Side) -> Option<Text> {
        ENCODER_TEXTS
            .iter()
            .find_map(|names| self.merged(node, names, side, Want::String))
    }

    fn other_links(&mut self, node: &'g Node<'a>, side: Side, want: Want) -> Option<Text> {
        let leads = |input: &&Input<'a>| {
            input.link().is_some()
                && may_lead_to_text(&input.name)
                && !side.other().names(&input.name)
        };
        let links = node.inputs().filter(leads).collect();
        self.first_of(links, side, want)
    }

    /// The string that a node puts out.
    fn string(&mut self, node: &'g Node<'a>, side: Side) -> Option<Text> {
        let lower = node.lower.as_str();
        let joins = [
            "concat",
            "join",
            "append",
            "stringfunction",
            "combine",
            "merge",
        ];
        if joins.iter().any(|word| lower.contains(word)) {
            let parts = [
                "text", "string", "str", "prompt", "input", "prefix", "suffix",
            ];
            let is_part = |input: &&Input<'a>| {
                input.name.len() == 1 || parts.iter().any(|part| input.name.starts_with(part))
            };
            let joined: Vec<&Input<'a>> = node.inputs().filter(is_part).collect();
            let between = ["delimiter", "separator"].iter();
            let between = between
                .filter_map(|name| node.input(name))
                .find_map(Input::string);
            let between = between.unwrap_or_default().replace("\\n", "\n");
            if !joined.is_empty() {
                return self.join(joined, &between, side);
            }
        }
        if lower.contains("replace") {
            let pairs = "find,replace,search,replace,old,new,find,replace_with,from,to,find1,replace1,\
                         find2,replace2,find3,replace3";
            let replaced = self.replaced(node, "text,string,prompt,input", pairs, side);
            if replaced.is_some() {
                return replaced;
            }
        }
        if ["template", "format"]
            .iter()
            .any(|word| lower.contains(word))
        {
            let templates = "template,format_string,f_string,fstring,format,pattern,text,string";
            let filled = self.filled(node, templates, "*", side);
            if filled.is_some() {
                return filled;
            }
        }
        let values = STRING_VALUES.iter().filter_map(|name| node.input(name));
        let values = values.filter(|input| input.link().is_some() || may_be_prompt(input));
        let values = values.collect();
        self.first_of(values, side, Want::String)
            .or_else(|| self.only_string(node))
            .or_else(|| self.other_links(node, side, Want::String))
            .or_else(|| self.loose(node))
    }

    /// The value of a node that has a single string that may be a prompt, under whatever name; of
    /// several one whose name speaks of text.
    fn only_string(&mut self, node: &'g Node<'a>) -> Option<Text> {
        let strings: Vec<&Input<'a>> = node.inputs().filter(|i| may_be_prompt(i)).collect();
        let text = match strings.as_slice() {
            [one] => one,
            several => {
                let about = ["prompt", "text", "caption", "descri", "tags"];
                let mut named = about
                    .iter()
                    .filter_map(|word| several.iter().find(|input| input.name.contains(word)));
                named.next()?
            }
        };
        text.string().and_then(|text| self.copy(text))
    }

    /// The first string without a name that somebody may have written, of a node that no text
    /// reaches; for the negative side the second, if there is one.
    fn told_here(&mut self, node: &'g Node<'a>, side: Side) -> Option<Text> {
        let reached = |input: &Input<'a>| input.link().is_some() && may_lead_to_text(&input.name);
        if node.inputs().any(reached) {
            return None;
        }
        let mut texts = node.loose.iter().copied().filter(|text| is_prose(text));
        let first = texts.next()?;
        let text = match side {
            Side::Positive => first,
            Side::Negative => texts.next().unwrap_or(first),
        };
        self.copy(text)
    }

    /// The longest string without a name that somebody may have written.
    pub(super) fn prose(&mut self, node: &'g Node<'a>) -> Option<Text> {
        let texts = node.loose.iter().copied().filter(|text| is_prose(text));
        // Of equally long ones the first.
        let longest = texts.rev().max_by_key(|text| text.len())?;
        self.copy(longest)
    }

    /// The first string without a name, if the class is about text.
    fn loose(&mut self, node: &'g Node<'a>) -> Option<Text> {
        let about = [
            "text", "prompt", "string", "positive", "negative", "wildcard", "encode",
        ];
        if !about.iter().any(|word| node.lower.contains(word)) {
            return None;
        }
        let mut strings = node.loose.iter();
        let text = strings
            .find(|text| !text.trim().is_empty() && !is_choice(text) && !is_file_name(text))?;
        self.copy(text)
    }
}
