//! What is known of node classes, as data: which inputs lead to the prompt, what comes out of each
//! output, and what the values mean that the editor keeps without names.
//!
//! A class that is not here is read by the rules of `generic.rs`, which go by the names of inputs;
//! a row is needed where those are misleading, where outputs differ, or where the editor's values
//! need names. To add a node pack, add its rows to the file of its pack, and a graph to
//! `tests/fixtures/comfyui.py`.
//!
//! Lists of inputs are written as one string, names between commas; a name that ends in `*` stands
//! for all inputs that begin so, in the order of their numbers. Names are those of the packs' own
//! sources.

mod comfyroll;
mod core;
mod easy_use;
mod efficiency;
mod impact;
mod others;
mod services;
mod was;

use std::collections::HashMap;
use std::sync::LazyLock;

/// What comes out of one output of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gives {
    /// No text: a model, a picture, a zeroed conditioning.
    Nothing,
    /// What the first of these inputs gives that gives anything.
    Any(&'static str),
    /// As `Any`, and what comes out is the prompt, whichever is asked for.
    Positive(&'static str),
    /// As `Any`, and what comes out is the negative prompt.
    Negative(&'static str),
    /// Both prompts: the inputs of one, and of the other. Of several inputs of the negative prompt
    /// one that repeats the prompt is passed over.
    Sides(&'static str, &'static str),
    /// The texts of all these inputs, each once.
    Merged(&'static str),
    /// As `Merged`, of the first of these lists (between semicolons) that has a text: the encoders
    /// of one model.
    Encoded(&'static str),
    /// A string of parts: the parts, the input that holds what stands between them, and what does
    /// otherwise.
    Joined(&'static str, &'static str, &'static str),
    /// The input, with the pairs of inputs (what, by what) replaced in it.
    Replaced(&'static str, &'static str),
    /// A template and what is put into it.
    Filled(&'static str, &'static str),
    /// One of many inputs: what selects, the inputs, and what is added to the selected number to get
    /// the number in the input's name.
    Switch(&'static str, &'static str, i64),
    /// One of two: the condition, the inputs if it holds, the inputs if not.
    Choice(&'static str, &'static str, &'static str),
    /// A text that passes through and is kept in the node after a run: the input, and what is kept.
    Shown(&'static str, &'static str),
    /// What a language model answered to these inputs.
    Answered(&'static str),
    /// A template of which something was chosen by chance: what was chosen, and the template.
    Chosen(&'static str, &'static str),
    /// Both prompts written in one text, in blocks `positive:` and `negative:`; the text, and the
    /// number of the block.
    Written(&'static str, &'static str),
}

/// What a node does with pictures.
#[derive(Debug, Clone, Copy)]
pub(super) enum Picture {
    /// Unknown, or nothing that matters: what reaches it may come out of it.
    Passes,
    /// Makes a picture from prompts; the inputs through which an earlier picture may come.
    Draws(Gives, &'static str),
    /// Redraws or enlarges a picture that comes through these inputs, with prompts of its own.
    Redraws(Gives, &'static str),
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Class {
    names: &'static [&'static str],
    gives: &'static [Gives],
    pub picture: Picture,
    /// Names of the editor's values in their order, `_` for one of no use.
    pub widgets: &'static str,
}

impl Class {
    /// A row for these classes. A name that ends in `*` stands for all that begin so.
    const fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            gives: &[],
            picture: Picture::Passes,
            widgets: "",
        }
    }

    /// What comes out, output by output; the last is that of all further outputs.
    const fn gives(mut self, gives: &'static [Gives]) -> Self {
        self.gives = gives;
        self
    }

    /// Makes pictures.
    const fn draws(mut self, prompts: Gives, earlier: &'static str) -> Self {
        self.picture = Picture::Draws(prompts, earlier);
        self
    }

    /// Redraws pictures.
    const fn redraws(mut self, prompts: Gives, picture: &'static str) -> Self {
        self.picture = Picture::Redraws(prompts, picture);
        self
    }

    const fn widgets(mut self, names: &'static str) -> Self {
        self.widgets = names;
        self
    }

    /// What comes out of an output; `None` where the row does not say.
    pub fn output(&self, slot: usize) -> Option<Gives> {
        self.gives.get(slot).or(self.gives.last()).copied()
    }

    /// The prompts that a node draws from.
    pub fn prompts(&self) -> Option<Gives> {
        match self.picture {
            Picture::Draws(prompts, _) | Picture::Redraws(prompts, _) => Some(prompts),
            Picture::Passes => None,
        }
    }
}

const TABLES: [&[Class]; 8] = [
    core::CLASSES,
    services::CLASSES,
    impact::CLASSES,
    efficiency::CLASSES,
    easy_use::CLASSES,
    was::CLASSES,
    comfyroll::CLASSES,
    others::CLASSES,
];

/// Rows by the whole name, and by how it begins under its first byte.
type Table = (
    HashMap<&'static str, &'static Class>,
    HashMap<u8, Vec<(&'static str, &'static Class)>>,
);

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut exact = HashMap::new();
    let mut prefixes: HashMap<u8, Vec<(&str, &Class)>> = HashMap::new();
    for class in TABLES.into_iter().flatten() {
        for name in class.names {
            match name.strip_suffix('*') {
                Some(prefix) => {
                    let first = prefix.bytes().next().unwrap_or_default();
                    prefixes.entry(first).or_default().push((prefix, class));
                }
                None => {
                    exact.entry(*name).or_insert(class);
                }
            }
        }
    }
    (exact, prefixes)
});

/// The row of a class: by its whole name, else the first by how it begins.
pub(super) fn find(class: &str) -> Option<&'static Class> {
    let (exact, prefixes) = &*TABLE;
    exact.get(class).copied().or_else(|| {
        let mut begins = prefixes.get(class.as_bytes().first()?)?.iter();
        let found = begins.find(|(prefix, _)| class.starts_with(prefix));
        found.map(|(_, class)| *class)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_row_and_every_list_is_well_formed() {
        let mut seen = std::collections::HashSet::new();
        for class in TABLES.into_iter().flatten() {
            assert!(!class.names.is_empty());
            for name in class.names {
                assert!(seen.insert(*name), "`{name}` has two rows");
                assert!(!name.trim_end_matches('*').is_empty() && !name.contains(','));
                assert!(!name.trim_end_matches('*').contains('*'), "{name}");
            }
            for widget in class
                .widgets
                .split(',')
                .filter(|_| !class.widgets.is_empty())
            {
                assert!(
                    !widget.is_empty() && widget.trim() == widget,
                    "{:?}",
                    class.names
                );
            }
        }
        assert!(seen.len() > 500, "{} names", seen.len());
    }
}
