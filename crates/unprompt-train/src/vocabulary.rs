//! The words that a hidden layer has to tell besides the embedding.

use std::collections::HashMap;

/// Words that say nothing of a picture.
const STOP: [&str; 44] = [
    "about", "above", "after", "also", "and", "are", "been", "before", "being", "between", "but",
    "can", "does", "during", "each", "for", "from", "had", "has", "have", "into", "its", "more",
    "not", "other", "over", "she", "some", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "was", "were", "which", "while", "will", "with",
];

/// Counts the words of captions; a word is a number, in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    numbers: HashMap<String, u32>,
    /// In how many pictures' captions each is.
    counts: Vec<u32>,
}

impl Vocabulary {
    /// The words of a picture's captions, each once: runs of letters, at least three, in lower case.
    pub fn take<S: AsRef<str>>(&mut self, captions: &[S]) -> Vec<u32> {
        let mut found = Vec::new();
        for caption in captions {
            for word in caption
                .as_ref()
                .split(|letter: char| !letter.is_alphabetic())
            {
                let word = word.to_lowercase();
                if word.chars().count() < 3 || STOP.contains(&word.as_str()) {
                    continue;
                }
                let next = self.counts.len() as u32;
                let number = *self.numbers.entry(word).or_insert(next);
                if number == next {
                    self.counts.push(0);
                }
                found.push(number);
            }
        }
        found.sort_unstable();
        found.dedup();
        for number in &found {
            self.counts[*number as usize] += 1;
        }
        found
    }

    /// The `most` most frequent words, and for each number its place among them. Of words that are
    /// as frequent the one that came first is taken.
    pub fn choose(&self, most: usize) -> Chosen {
        let mut numbers: Vec<u32> = (0..self.counts.len() as u32).collect();
        numbers.sort_by_key(|number| std::cmp::Reverse(self.counts[*number as usize]));
        numbers.truncate(most);
        let places = numbers
            .iter()
            .zip(0..)
            .map(|(number, place)| (*number, place));
        Chosen {
            places: places.collect(),
        }
    }
}

/// The words that were chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    places: HashMap<u32, u32>,
}

impl Chosen {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The places of those that were chosen.
    pub fn of(&self, numbers: &[u32]) -> Vec<u32> {
        let places = numbers.iter().filter_map(|number| self.places.get(number));
        places.copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_words_are_chosen() {
        let mut vocabulary = Vocabulary::default();
        let first = vocabulary.take(&["A cat, a CAT and the dog", "of a cat"]);
        let second = vocabulary.take(&["dogs; the dog's Größe"]);
        assert_eq!((first.len(), second.len()), (2, 3));
        let chosen = vocabulary.choose(2);
        assert_eq!(chosen.count(), 2);
        assert_eq!(
            (chosen.of(&first), chosen.of(&second)),
            (vec![1, 0], vec![0])
        );
        assert_eq!(vocabulary.choose(99).count(), 4);
    }
}
