//! The names that open_clip gives the SigLIPs, as `ViT-SO400M-14-SigLIP-384/webli`.

use serde::Deserialize;

/// A named SigLIP; its repository says how its network is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSiglip {
    /// Name of the architecture, as `ViT-B-16-SigLIP2`.
    pub architecture: String,
    /// Name of the weights: `webli` in all published ones.
    pub tag: String,
    /// The repository on the hub that has them, in open_clip's layout.
    pub repository: String,
}

#[derive(Deserialize)]
struct Table {
    siglip: Vec<(String, String, String)>,
}

/// All named SigLIPs.
pub fn known_siglips() -> Vec<KnownSiglip> {
    let table = serde_json::from_str(include_str!("../../data/open_clip.json"));
    let named = |(architecture, tag, repository)| KnownSiglip {
        architecture,
        tag,
        repository,
    };
    let table = table.map_or(Vec::new(), |table: Table| table.siglip);
    table.into_iter().map(named).collect()
}

/// The SigLIP of a name such as `ViT-B-16-SigLIP/webli`, or `None` if there is none of it.
pub fn known_siglip(name: &str) -> Option<KnownSiglip> {
    let (architecture, tag) = name.split_once('/')?;
    known_siglips()
        .into_iter()
        .find(|known| known.architecture == architecture && known.tag == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_the_one_of_its_repository() {
        let all = known_siglips();
        assert!(all.len() > 20, "{}", all.len());
        for known in &all {
            let name = format!("{}/{}", known.architecture, known.tag);
            assert_eq!(known_siglip(&name).as_ref(), Some(known), "{name}");
            assert_eq!(known.repository, format!("timm/{}", known.architecture));
        }
        assert_eq!(known_siglip("ViT-B-16-SigLIP"), None);
        assert_eq!(known_siglip("ViT-H-14/laion2b_s32b_b79k"), None);
    }
}
