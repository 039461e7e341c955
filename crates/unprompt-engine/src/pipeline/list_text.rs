//! The text of a prediction out of a list that the program carries.
//!
//! The embedding alone knows the kind of a picture better than the thing in it, so that what the
//! classifier sees has a say of its own: the text is the prompt whose embedding has the largest
//! product with the blend and the embeddings of the labels, each as far as it is probable.

use crate::{
    encoders::classifier::Label,
    pipeline::text_search::FoundText,
    vectors::{narrowed, product, widened},
};
use serde::Deserialize;
use unprompt_eye::{Damaged, TextList};

/// Labels below this probability have no say.
const LEAST_PROBABILITY: f32 = 0.02;

/// The text rule of a preset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextRule {
    /// The list: `eye`.
    prompts: String,
    /// How much the labels count beside the blend, not negative.
    support: f64,
}

impl TextRule {
    /// What is wrong with it in a preset with this encoder.
    pub(crate) fn check(&self, encoder: &str) -> Result<(), String> {
        let Self { prompts, support } = self;
        if prompts != unprompt_eye::NAME {
            let name = unprompt_eye::NAME;
            return Err(format!(
                "prompts `{prompts}`; only `{name}` can be chosen from"
            ));
        }
        if !(*support >= 0.0 && support.is_finite()) {
            return Err(format!("support {support}, which must be 0 or more"));
        }
        if encoder != unprompt_eye::ENCODER {
            let needed = unprompt_eye::ENCODER;
            return Err(format!("`{prompts}` needs the encoder `{needed}`"));
        }
        Ok(())
    }

    /// The text for a blend of unit length; ties go to the first of the list.
    pub(crate) fn choose(&self, blend: &[f64], seen: &[Label]) -> Result<FoundText, Damaged> {
        choose(
            unprompt_eye::prompts()?,
            unprompt_eye::labels()?,
            blend,
            seen,
            self.support,
        )
    }
}

fn choose(
    prompts: &TextList,
    labels: &TextList,
    blend: &[f64],
    seen: &[Label],
    support: f64,
) -> Result<FoundText, Damaged> {
    let mut target = blend.to_vec();
    for label in seen
        .iter()
        .filter(|label| label.probability > LEAST_PROBABILITY)
    {
        let weight = support * f64::from(label.probability);
        let row = labels.embedding(label.index);
        for ((sum, value), mean) in target.iter_mut().zip(row).zip(labels.mean()) {
            *sum += weight * f64::from(value - mean);
        }
    }
    let products = prompts.products(&narrowed(&target));
    let mut best: Option<usize> = None;
    for (index, product) in products.iter().enumerate() {
        if prompts.is_printable(index) && best.is_none_or(|best| *product > products[best]) {
            best = Some(index);
        }
    }
    match best {
        Some(index) => Ok(FoundText {
            text: prompts.text(index)?,
            similarity: product(&widened(&prompts.embedding(index)), blend),
        }),
        None => Ok(FoundText::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unprompt_eye::{NewSegment, make_list};

    fn list(texts: &[(&str, [f32; 3])]) -> TextList {
        let segment = NewSegment {
            name: "all".into(),
            texts: texts.iter().map(|(text, _)| (*text).into()).collect(),
            embeddings: texts.iter().map(|(_, row)| row.to_vec()).collect(),
        };
        let bytes = make_list(&[segment]).unwrap();
        TextList::open(Box::leak(bytes.into_boxed_slice())).unwrap()
    }

    fn label(index: usize, probability: f32) -> Label {
        Label {
            index,
            label: String::new(),
            probability,
            logit: 0.0,
        }
    }

    #[test]
    fn labels_have_their_say_and_some_prompts_are_never_shown() {
        let prompts = list(&[
            ("a cat by monet", [1.0, 0.0, 0.0]),
            ("a cat", [0.9, 0.4, 0.0]),
            ("a dog", [0.4, 0.9, 0.0]),
            ("a dog again", [0.4, 0.9, 0.0]),
        ]);
        let labels = list(&[("a cat", [1.0, 0.0, 0.0]), ("a dog", [0.0, 1.0, 0.0])]);
        let blend = [1.0, 0.0, 0.0];
        let text = |seen: &[Label], support| {
            choose(&prompts, &labels, &blend, seen, support)
                .unwrap()
                .text
        };
        assert_eq!(text(&[], 5.0), "a cat");
        assert_eq!(text(&[label(1, 0.9)], 5.0), "a dog", "the first of two");
        assert_eq!(text(&[label(1, 0.9)], 0.0), "a cat");
        assert_eq!(text(&[label(1, 0.01)], 500.0), "a cat", "hardly probable");
        let found = choose(&prompts, &labels, &blend, &[], 0.5).unwrap();
        assert!((found.similarity - 0.9).abs() < 0.01);
    }

    #[test]
    fn a_rule_that_cannot_be_followed_is_refused() {
        let check = |prompts: &str, support, encoder| {
            let prompts = prompts.to_owned();
            TextRule { prompts, support }.check(encoder)
        };
        let encoder = unprompt_eye::ENCODER;
        assert!(check("eye", 0.5, encoder).is_ok());
        assert!(check("parti", 0.5, encoder).is_err());
        assert!(check("eye", -0.5, encoder).is_err());
        assert!(check("eye", f64::NAN, encoder).is_err());
        assert!(check("eye", 0.5, "another").is_err());
    }
}
