//! The names of open_clip: an architecture and the tag of its weights, as `ViT-H-14/laion2b_s32b_b79k`.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A named CLIP: where its weights are, and how its network is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownClip {
    /// Name of the architecture, as `ViT-H-14`.
    pub architecture: String,
    /// Name of the weights, as `laion2b_s32b_b79k`.
    pub tag: String,
    /// The repository on the hub that has them, in open_clip's layout.
    pub repository: String,
    /// Whether the weights were trained with quick GELU.
    pub quick_gelu: bool,
}

#[derive(Deserialize)]
struct Table {
    architectures: BTreeMap<String, Map<String, Value>>,
    weights: Vec<(String, String, String, bool)>,
}

fn table() -> Result<Table, String> {
    serde_json::from_str(include_str!("../../data/open_clip.json"))
        .map_err(|error| error.to_string())
}

/// All named CLIPs that are built here, by architecture and tag.
pub fn known_clips() -> Vec<KnownClip> {
    let Ok(table) = table() else {
        return Vec::new();
    };
    let named = |(architecture, tag, repository, quick_gelu)| KnownClip {
        architecture,
        tag,
        repository,
        quick_gelu,
    };
    table.weights.into_iter().map(named).collect()
}

/// The CLIP of a name such as `ViT-H-14/laion2b_s32b_b79k`, or `None` if there is none of it.
/// `ViT-B-32-quickgelu` is `ViT-B-32`: what the weights were trained with decides.
pub fn known_clip(name: &str) -> Option<KnownClip> {
    let (architecture, tag) = name.split_once('/')?;
    let architecture = architecture
        .strip_suffix("-quickgelu")
        .unwrap_or(architecture);
    known_clips()
        .into_iter()
        .find(|known| known.architecture == architecture && known.tag == tag)
}

impl KnownClip {
    /// The `model_cfg` of the architecture, with the activation of these weights.
    pub(super) fn config(&self) -> Result<Map<String, Value>, String> {
        let mut table = table()?;
        let mut config = table
            .architectures
            .remove(&self.architecture)
            .ok_or_else(|| format!("no architecture `{}`", self.architecture))?;
        config.insert("quick_gelu".into(), self.quick_gelu.into());
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::open_clip;

    #[test]
    fn every_name_has_a_network_that_is_built() {
        let all = known_clips();
        assert!(all.len() > 50, "{}", all.len());
        for known in &all {
            let name = format!("{}/{}", known.architecture, known.tag);
            let config = open_clip::parse(&known.config().unwrap()).unwrap();
            let (image, text) = (config.image.unwrap(), config.text.unwrap());
            assert_eq!(image.embedding_width, text.embedding_width, "{name}");
            assert_eq!(known_clip(&name).as_ref(), Some(known), "{name}");
            assert_eq!(known.repository.split('/').count(), 2, "{name}");
        }
    }

    #[test]
    fn the_pipelines_clip_is_the_one_of_laion() {
        let known = known_clip("ViT-H-14/laion2b_s32b_b79k").unwrap();
        assert_eq!(known.repository, "laion/CLIP-ViT-H-14-laion2B-s32B-b79K");
        let config = open_clip::parse(&known.config().unwrap()).unwrap();
        let image = config.image.unwrap();
        assert_eq!(
            (image.shape.width, image.shape.heads, image.layers),
            (1280, 16, 32)
        );
        assert_eq!(image.shape.inner, 5120);
        let known = known_clip("ViT-bigG-14/laion2b_s39b_b160k").unwrap();
        let config = open_clip::parse(&known.config().unwrap()).unwrap();
        assert_eq!(config.image.unwrap().shape.inner, 8192);
        let known = known_clip("ViT-g-14/laion2b_s12b_b42k").unwrap();
        let config = open_clip::parse(&known.config().unwrap()).unwrap();
        assert_eq!(config.image.unwrap().shape.inner, 6144);
        assert!(known_clip("ViT-L-14-quickgelu/openai").unwrap().quick_gelu);
        assert_eq!(known_clip("ViT-H-14"), None);
        assert_eq!(known_clip("MobileCLIP-B/datacompdr"), None);
    }
}
