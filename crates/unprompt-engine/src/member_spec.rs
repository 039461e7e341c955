//! One member of a preset: its name, its weight, and the fields of its kind.

use crate::{CaptionOptions, Views};
use serde::Deserialize;
use unprompt_interrogate::Mode;

/// The most prompts that a regression averages: each comes with its embeddings.
const MOST_NEIGHBOURS: usize = 10_000;

/// One member of a preset.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct MemberSpec {
    /// Its name, as records show it and other members refer to it.
    pub name: String,
    /// Its weight in the blend, not negative. With 0 it is still computed: its text may become the
    /// prompt, and others may build upon it.
    pub weight: f64,
    /// What it does.
    pub kind: MemberKind,
}

/// What a member does with a picture.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MemberKind {
    /// The classifier's top labels joined by ", ", and that text's embedding.
    LabelText {
        /// The classifier: a name, a hub id or a path.
        model: String,
        /// How many labels.
        top: usize,
    },
    /// The mean of the labels' embeddings, weighted by their probabilities (ConSE).
    LabelMean {
        /// The classifier.
        model: String,
        /// How many labels, the most probable ones; without it all of them.
        #[serde(default)]
        top: Option<usize>,
        /// What the logits are divided by before the soft-max over these labels.
        #[serde(default = "one")]
        temperature: f64,
        /// Whether the mean embedding of all labels is subtracted.
        #[serde(default)]
        centred: bool,
    },
    /// A Vision Transformer whose outputs are the embedding.
    Regressor {
        /// The network.
        model: String,
        /// Which views of the picture are averaged.
        #[serde(default)]
        tta: Views,
    },
    /// What a captioner writes, and that text's embedding.
    Captioner {
        /// The captioner: a hub id or a path.
        model: String,
        /// What is put behind every caption.
        #[serde(default)]
        suffix: String,
        /// Beams; without it the model's own number, as for the next two.
        #[serde(default)]
        beams: Option<usize>,
        /// No run of this many tokens comes twice.
        #[serde(default)]
        no_repeat_ngram: Option<usize>,
        /// Tokens generated at most.
        #[serde(default)]
        max_new_tokens: Option<usize>,
    },
    /// The prompt that CLIP Interrogator makes, and that text's embedding.
    Interrogator {
        /// The CLIP: a name such as `ViT-H-14/laion2b_s32b_b79k`, a hub id or a path.
        clip: String,
        /// The captioner whose words the prompt begins with; without one it is labels only.
        #[serde(default)]
        captioner: Option<String>,
        /// Which prompt is made.
        mode: InterrogatorMode,
        /// A folder of label files; without it clip-interrogator's lists.
        #[serde(default)]
        labels: Option<String>,
    },
    /// The mean embedding of a list of prompts, whatever the picture.
    Prior {
        /// A shipped list (`parti`) or a text file with one prompt a line.
        prompts: String,
    },
    /// The mean of a list's embeddings, weighted by how near they are to another member's.
    Retrieval {
        /// The name of that member, which stands before this one.
        query: String,
        /// A shipped list (`parti`) or a text file with one prompt a line.
        prompts: String,
        /// What the cosines are divided by before the soft-max over all prompts.
        temperature: f64,
        /// Whether the mean embedding of the list is subtracted from each before it is compared.
        #[serde(default)]
        centred: bool,
        /// How many of the nearest prompts are shown.
        #[serde(default = "five")]
        evidence: usize,
    },
    /// The regression on the nearest prompts of an index, see [`unprompt_index::Regression`].
    Knn {
        /// The folder of the index. Either this or `prompts` is there.
        #[serde(default)]
        index: Option<String>,
        /// A shipped list (`parti`) or a text file with one prompt a line; its index is made when it
        /// is first needed, and kept.
        #[serde(default)]
        prompts: Option<String>,
        /// The CLIP of the index; without it the one that the index names.
        #[serde(default)]
        clip: Option<String>,
        /// The member whose embedding is looked up among the prompts' sentence embeddings, and which
        /// stands before this one; without it the picture is, among their CLIP embeddings.
        #[serde(default)]
        from: Option<String>,
        /// How many prompts are averaged.
        #[serde(default = "hundred")]
        neighbours: usize,
        /// Whether a distance that rounding brings below zero has the smallest weight, as in the
        /// public notebook, and not the largest.
        #[serde(default)]
        as_published: bool,
        /// How many of the nearest prompts are shown.
        #[serde(default = "five")]
        evidence: usize,
    },
}

/// The modes of CLIP Interrogator that make a prompt of what is in a picture.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum InterrogatorMode {
    /// Caption, the first medium, artist, site and movement, three flavors.
    Classic,
    /// Caption, then the first labels of all tables.
    Fast,
    /// Caption, then labels one by one, each the one that helps most.
    Best,
    /// Caption, the first medium and movement, three flavors: the paper's variant.
    Competition,
}

impl From<InterrogatorMode> for Mode {
    fn from(mode: InterrogatorMode) -> Self {
        match mode {
            InterrogatorMode::Classic => Self::Classic,
            InterrogatorMode::Fast => Self::Fast,
            InterrogatorMode::Best => Self::Best,
            InterrogatorMode::Competition => Self::Competition,
        }
    }
}

fn one() -> f64 {
    1.0
}

fn five() -> usize {
    5
}

fn hundred() -> usize {
    100
}

impl TryFrom<toml::Table> for MemberSpec {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let name = match table.remove("name") {
            Some(toml::Value::String(name)) => name,
            _ => return Err("a member has no `name`".into()),
        };
        let weight = match table.remove("weight") {
            Some(toml::Value::Float(weight)) => weight,
            Some(toml::Value::Integer(weight)) => weight as f64,
            _ => return Err(format!("member `{name}`: `weight` is not a number")),
        };
        let kind = MemberKind::deserialize(table);
        let kind = kind.map_err(|error| format!("member `{name}`: {}", error.message()))?;
        Ok(Self { name, weight, kind })
    }
}

impl MemberSpec {
    /// What is wrong with it, given the members that stand before it.
    pub(crate) fn check(&self, before: &[Self]) -> Result<(), String> {
        if !(self.weight >= 0.0 && self.weight.is_finite()) {
            return Err(format!("weight {}", self.weight));
        }
        let usable = |temperature: f64| {
            if temperature > 0.0 && temperature.is_finite() {
                Ok(())
            } else {
                Err(format!("temperature {temperature}, which must be above 0"))
            }
        };
        match &self.kind {
            MemberKind::LabelText { top: 0, .. } | MemberKind::LabelMean { top: Some(0), .. } => {
                Err("top must be at least 1".into())
            }
            MemberKind::LabelMean { temperature, .. } => usable(*temperature),
            MemberKind::Retrieval {
                query,
                temperature,
                evidence,
                ..
            } => {
                usable(*temperature)?;
                if *evidence == 0 {
                    return Err("evidence must be at least 1".into());
                }
                let queries = before.iter().filter(|member| {
                    matches!(
                        member.kind,
                        MemberKind::LabelMean { .. } | MemberKind::Regressor { .. }
                    )
                });
                match queries.into_iter().find(|member| member.name == *query) {
                    Some(_) => Ok(()),
                    None => Err(format!(
                        "query `{query}`: no member of kind `label-mean` or `regressor` of this \
                         name stands before"
                    )),
                }
            }
            MemberKind::Knn { .. } => self.kind.check_knn(before),
            _ => Ok(()),
        }
    }
}

impl MemberKind {
    fn check_knn(&self, before: &[MemberSpec]) -> Result<(), String> {
        let Self::Knn {
            index,
            prompts,
            clip,
            from,
            neighbours,
            evidence,
            ..
        } = self
        else {
            return Ok(());
        };
        match (index, prompts) {
            (Some(_), None) => {}
            (None, Some(_)) if clip.is_some() => {}
            (None, Some(_)) => {
                return Err("`prompts` needs `clip`: the CLIP that its index is made with".into());
            }
            _ => {
                let message = "either `index`, a folder made by `unprompt index build`, or \
                               `prompts`, a list, must be there";
                return Err(message.into());
            }
        }
        for (name, count) in [("neighbours", *neighbours), ("evidence", *evidence)] {
            if count == 0 || count > MOST_NEIGHBOURS {
                return Err(format!(
                    "{name} {count}, which must be from 1 to {MOST_NEIGHBOURS}"
                ));
            }
        }
        match from {
            Some(from) if !before.iter().any(|member| member.name == *from) => Err(format!(
                "from `{from}`: no member of this name stands before"
            )),
            _ => Ok(()),
        }
    }

    /// The models it runs.
    pub fn models(&self) -> Vec<&str> {
        match self {
            Self::LabelText { model, .. }
            | Self::LabelMean { model, .. }
            | Self::Captioner { model, .. }
            | Self::Regressor { model, .. } => vec![model],
            Self::Interrogator {
                clip,
                captioner,
                labels,
                ..
            } => {
                let mut models = clip_models(clip);
                models.extend(captioner.as_deref());
                if labels.is_none() {
                    models.push(crate::interrogator::LABELS);
                }
                models
            }
            // An index of its own says what it was built with, once it is open.
            Self::Knn { clip, .. } => clip.as_deref().map(clip_models).unwrap_or_default(),
            Self::Prior { .. } | Self::Retrieval { .. } => Vec::new(),
        }
    }

    /// What a captioner is asked for; the defaults where it is none.
    pub(crate) fn caption_options(&self) -> CaptionOptions {
        match self {
            Self::Captioner {
                beams,
                no_repeat_ngram,
                max_new_tokens,
                ..
            } => CaptionOptions {
                beams: *beams,
                no_repeat_ngram: *no_repeat_ngram,
                max_new_tokens: *max_new_tokens,
                ..CaptionOptions::default()
            },
            _ => CaptionOptions::default(),
        }
    }

    /// The folder of the prompt index that it searches, if it names one.
    pub fn index(&self) -> Option<&str> {
        match self {
            Self::Knn { index, .. } => index.as_deref(),
            _ => None,
        }
    }

    /// The list of prompts whose sentence embeddings it needs, if any.
    pub fn prompts(&self) -> Option<&str> {
        match self {
            Self::Prior { prompts } | Self::Retrieval { prompts, .. } => Some(prompts),
            _ => None,
        }
    }

    /// Whether it gives texts.
    pub fn has_text(&self) -> bool {
        !matches!(
            self,
            Self::LabelMean { .. } | Self::Regressor { .. } | Self::Prior { .. }
        )
    }
}

/// A CLIP, and the vocabulary that goes with one of open_clip's names.
fn clip_models(clip: &str) -> Vec<&str> {
    let mut models = vec![clip];
    if unprompt_models::known_clip(clip).is_some() {
        models.push(crate::text_encoder::VOCABULARY);
    }
    models
}
