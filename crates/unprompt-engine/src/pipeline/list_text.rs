//! The text of a prediction out of a list that the program carries.
//!
//! The embedding alone knows the kind of a picture better than the thing in it, so that members which
//! know the thing have a say of their own: the text is the prompt whose embedding has the largest
//! product with the blend and these members' embeddings, each times its support.

use crate::{
    pipeline::text_search::FoundText,
    vectors::{narrowed, product, widened},
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use unprompt_eye::{Damaged, TextList};

/// The text rule of a preset.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextRule {
    /// The list: `eye`.
    prompts: String,
    /// How much members count beside the blend, by their names; not negative.
    #[serde(default)]
    support: BTreeMap<String, f64>,
}

impl TextRule {
    /// What is wrong with it in a preset with this encoder and members of these names.
    pub(crate) fn check(&self, encoder: &str, members: &[&str]) -> Result<(), String> {
        let Self { prompts, support } = self;
        if prompts != unprompt_eye::NAME {
            let name = unprompt_eye::NAME;
            return Err(format!(
                "prompts `{prompts}`; only `{name}` can be chosen from"
            ));
        }
        for (member, support) in support {
            if !members.contains(&member.as_str()) {
                return Err(format!("support `{member}`; no member has this name"));
            }
            if !(*support >= 0.0 && support.is_finite()) {
                return Err(format!(
                    "support {support} of `{member}`, which must be 0 or more"
                ));
            }
        }
        if encoder != unprompt_eye::ENCODER {
            let needed = unprompt_eye::ENCODER;
            return Err(format!("`{prompts}` needs the encoder `{needed}`"));
        }
        Ok(())
    }

    /// How much a member counts beside the blend.
    pub(crate) fn support(&self, member: &str) -> f64 {
        self.support.get(member).copied().unwrap_or(0.0)
    }
}

/// What a text is chosen for.
pub(crate) struct Wanted<'a> {
    /// The blend, of unit length.
    pub(crate) blend: &'a [f64],
    /// Members' embeddings, as long as they are, with how much they count.
    pub(crate) supports: Vec<(f64, &'a [f64])>,
}

/// The texts for pictures, out of the list that the program carries, which is read once for all. Ties go to
/// the first of the list.
pub(crate) fn choose(wanted: &[Wanted<'_>]) -> Vec<Result<FoundText, Damaged>> {
    match unprompt_eye::prompts() {
        Ok(prompts) => choose_from(prompts, wanted),
        Err(error) => wanted.iter().map(|_| Err(error.clone())).collect(),
    }
}

fn choose_from(prompts: &TextList, wanted: &[Wanted<'_>]) -> Vec<Result<FoundText, Damaged>> {
    let target = |wanted: &Wanted<'_>| {
        let mut target = wanted.blend.to_vec();
        for (support, row) in &wanted.supports {
            let values = target.iter_mut().zip(*row);
            values.for_each(|(sum, value)| *sum += support * value);
        }
        narrowed(&target)
    };
    let targets: Vec<Vec<f32>> = wanted.iter().map(target).collect();
    let nearest = |(wanted, products): (&Wanted<'_>, Vec<f32>)| {
        let mut best: Option<usize> = None;
        for (index, product) in products.iter().enumerate() {
            if prompts.is_printable(index) && best.is_none_or(|best| *product > products[best]) {
                best = Some(index);
            }
        }
        match best {
            Some(index) => Ok(FoundText {
                text: prompts.text(index)?,
                similarity: product(&widened(&prompts.embedding(index)), wanted.blend),
            }),
            None => Ok(FoundText::default()),
        }
    };
    let products = prompts.products_of_all(&targets);
    let wanted = wanted.par_iter().zip(products);
    wanted.map(nearest).collect()
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

    #[test]
    fn members_have_their_say_and_some_prompts_are_never_shown() {
        let prompts = list(&[
            ("a cat by monet", [1.0, 0.0, 0.0]),
            ("a cat", [0.9, 0.4, 0.0]),
            ("a dog", [0.4, 0.9, 0.0]),
            ("a dog again", [0.4, 0.9, 0.0]),
        ]);
        let blend = [1.0, 0.0, 0.0];
        let dog = [0.0, 0.9, 0.0];
        let wanted = |support: f64| Wanted {
            blend: &blend,
            supports: vec![(support, &dog[..])],
        };
        let alone = Wanted {
            blend: &blend,
            supports: Vec::new(),
        };
        let found = choose_from(&prompts, &[wanted(0.0), wanted(5.0), alone]);
        let found: Vec<FoundText> = found.into_iter().map(Result::unwrap).collect();
        assert_eq!(found[0].text, "a cat");
        assert_eq!(found[1].text, "a dog", "the first of two");
        assert_eq!(found[2].text, "a cat");
        assert!((found[2].similarity - 0.9).abs() < 0.01);
    }

    #[test]
    fn a_rule_that_cannot_be_followed_is_refused() {
        let check = |prompts: &str, member: &str, support, encoder| {
            let prompts = prompts.to_owned();
            let support = BTreeMap::from([(member.to_owned(), support)]);
            TextRule { prompts, support }.check(encoder, &["head", "labels"])
        };
        let encoder = unprompt_eye::ENCODER;
        assert!(check("eye", "labels", 0.5, encoder).is_ok());
        assert!(check("eye", "label", 0.5, encoder).is_err());
        assert!(check("parti", "labels", 0.5, encoder).is_err());
        assert!(check("eye", "labels", -0.5, encoder).is_err());
        assert!(check("eye", "labels", f64::NAN, encoder).is_err());
        assert!(check("eye", "labels", 0.5, "another").is_err());
    }
}
