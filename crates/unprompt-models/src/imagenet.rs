//! The names of ImageNet-1k's classes.

/// The 1000 labels in index order, as the `config.json` of google/vit-base-patch16-224 spells them:
/// a WordNet synset's lemmas joined by ", ". `data/NOTICE.md` has the source and the licence.
pub fn imagenet_labels() -> Vec<&'static str> {
    include_str!("../data/imagenet_labels.txt")
        .lines()
        .collect()
}
