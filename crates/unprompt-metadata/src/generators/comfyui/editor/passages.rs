//! Follows what only passes something on.

use std::collections::HashMap;

use crate::generators::comfyui::graph::{Output, Source};

/// The passages among the entries of a graph, with what was found behind each output.
pub(super) struct Passages<'a> {
    entries: Vec<Option<Vec<Source<'a>>>>,
    found: HashMap<Output, Source<'a>>,
}

impl<'a> Passages<'a> {
    pub fn new(entries: Vec<Option<Vec<Source<'a>>>>) -> Self {
        Self {
            entries,
            found: HashMap::new(),
        }
    }

    /// What lies behind a source: the output of a node, a value or nothing. A chain of passages that
    /// bites its tail is cut.
    pub fn behind(&mut self, source: Source<'a>) -> Source<'a> {
        let mut way = Vec::new();
        let mut now = source;
        let end = loop {
            let Source::Link(output) = now else {
                break now;
            };
            let Some(Some(outputs)) = self.entries.get(output.node) else {
                break now; // a node
            };
            if let Some(&found) = self.found.get(&output) {
                break found;
            }
            // Until its end is known a passage leads nowhere, which ends cycles.
            self.found.insert(output, Source::Cut);
            way.push(output);
            now = outputs.get(output.slot).copied().unwrap_or(Source::Cut);
        };
        for output in way {
            self.found.insert(output, end);
        }
        end
    }
}
