//! A model that is not on this machine, and how it is had.

use std::fmt;
use unprompt_hub::megabytes;

/// A model that a preset needs and that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingModel {
    /// The model as the preset names it.
    pub name: String,
    /// What a fetch transfers, in bytes, where that is known beforehand; of a hub's repository about
    /// as much.
    pub download_bytes: Option<u64>,
    /// How it is had.
    pub next_step: NextStep,
}

/// How a missing model is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// From its registry, or from a bundle.
    Fetch,
    /// It is a path of this machine, which nobody can fetch.
    PutThere,
    /// It is a prompt index, which this command makes of a list of prompts.
    BuildIndex(String),
}

impl fmt::Display for MissingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let size = match self.download_bytes {
            Some(bytes) => megabytes(bytes),
            None => "size not known here".to_owned(),
        };
        match &self.next_step {
            NextStep::PutThere => {
                write!(f, "{name}: no such file or folder; put the model there")
            }
            NextStep::BuildIndex(command) => write!(
                f,
                "{name}: no prompt index here; make one of a list of prompts: `{command}`"
            ),
            NextStep::Fetch => write!(
                f,
                "{name} ({size}): `unprompt models pull {name}`, or by hand `unprompt models \
                 import` of its files or of a bundle that `unprompt models export {name}` wrote \
                 elsewhere"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(name: &str, download_bytes: Option<u64>, next_step: NextStep) -> MissingModel {
        MissingModel {
            name: name.into(),
            download_bytes,
            next_step,
        }
    }

    #[test]
    fn each_model_is_told_with_its_size_and_the_next_step() {
        let known = missing("all-MiniLM-L6-v2", Some(90_900_000), NextStep::Fetch).to_string();
        assert!(known.starts_with("all-MiniLM-L6-v2 (90.9 MB): `unprompt models pull all-"));
        assert!(known.contains("`unprompt models import`"), "{known}");
        let unknown = missing("org/model", None, NextStep::Fetch).to_string();
        assert!(unknown.contains("(size not known here)"), "{unknown}");
        let large = missing("org/model", Some(3_944_000_000), NextStep::Fetch).to_string();
        assert!(large.starts_with("org/model (3.94 GB)"), "{large}");
        let path = missing("./vit.pth", None, NextStep::PutThere).to_string();
        assert!(path.contains("put the model there") && !path.contains("pull"));
        let step = NextStep::BuildIndex("unprompt index build".into());
        let index = missing("prompts-index", None, step).to_string();
        assert!(index.contains("`unprompt index build`") && !index.contains("pull"));
    }
}
