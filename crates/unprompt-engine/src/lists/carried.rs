//! The prompts that the program carries, looked up by a sentence embedding.

use crate::{error::InputError, record::Evidence};
use unprompt_eye::{ENCODER, TextList};

/// The prompts of the carried list that are nearest to an embedding of unit length, the nearest first, at
/// most `top`. Ties keep the order of the list. The list is in the space of `all-MiniLM-L6-v2`; of an
/// embedding in another encoder's space, `encoder` being its name, nothing is near or far.
///
/// # Errors
/// When the embedding is of another encoder or of another width, or the program was built from a damaged
/// list.
pub fn similar_prompts(
    encoder: &str,
    embedding: &[f32],
    top: usize,
) -> Result<Vec<Evidence>, InputError> {
    let list = unprompt_eye::prompts()?;
    if encoder != ENCODER || embedding.len() != list.width() {
        return Err(InputError::Encoder(format!(
            "the prompts that the program carries are embedded by `{ENCODER}`, this embedding is of \
             `{encoder}`"
        )));
    }
    nearest(list, embedding, top)
}

fn nearest(list: &TextList, embedding: &[f32], top: usize) -> Result<Vec<Evidence>, InputError> {
    let products = list.products(embedding);
    let mut order: Vec<usize> = (0..products.len()).collect();
    // The sort is stable: of equal ones the first of the list stays before.
    order.sort_by(|one, other| products[*other].total_cmp(&products[*one]));
    let found = order.into_iter().take(top).map(|index| {
        Ok(Evidence {
            prompt: list.text(index)?,
            // Rows are kept in eight bits, and may be a little longer than one.
            similarity: f64::from(products[index]).clamp(-1.0, 1.0),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_the_nearest_to_its_own_embedding() {
        let list = unprompt_eye::prompts().unwrap();
        for index in [0, 1000, list.len() - 1] {
            let row = list.embedding(index);
            let found = similar_prompts(ENCODER, &row, 3).unwrap();
            assert_eq!(found.len(), 3);
            assert!((found[0].similarity - 1.0).abs() < 1e-2, "{found:?}");
            // Other texts may have the same place in the space, and none has a better one.
            let own = f64::from(list.products(&row)[index]);
            assert!(found[0].similarity >= own.min(1.0));
            assert!(found[0].similarity >= found[1].similarity);
        }
    }

    #[test]
    fn an_embedding_of_another_space_is_refused() {
        for (encoder, width) in [("another", 384), (ENCODER, 3)] {
            let error = similar_prompts(encoder, &vec![0.0; width], 1).unwrap_err();
            assert!(error.to_string().contains(ENCODER), "{error}");
        }
        assert!(similar_prompts(ENCODER, &[0.0; 384], 0).unwrap().is_empty());
    }
}
