//! Pictures divided into parts, none of which has a caption that is near to one of another.

use crate::{DataError, TextGroup};

/// A picture among others with captions like its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureGroup {
    /// Its group: numbers from 0 in the order in which groups first appear.
    pub group: usize,
    /// Whether each of its captions repeats one of an earlier picture.
    pub repeats: bool,
}

/// From the groups of captions to those of their pictures. `counts` has the number of each picture's
/// captions, which follow each other in `texts`; groups whose captions describe one picture are one.
pub fn picture_groups(counts: &[usize], texts: &[TextGroup]) -> Vec<PictureGroup> {
    let groups = texts.iter().map(|text| text.group + 1).max().unwrap_or(0);
    let mut parent: Vec<usize> = (0..groups).collect();
    let mut rest = texts;
    let mut pictures = Vec::with_capacity(counts.len());
    for count in counts {
        let first = texts.len() - rest.len();
        let (own, others) = rest.split_at((*count).min(rest.len()));
        rest = others;
        let mut repeats = !own.is_empty();
        for text in own {
            repeats &= text.repeats.is_some_and(|earlier| earlier < first);
            let (one, other) = (root(&parent, own[0].group), root(&parent, text.group));
            parent[one.max(other)] = one.min(other);
        }
        pictures.push((own.first().map(|text| text.group), repeats));
    }
    // A picture without a caption is alone.
    let mut number = vec![None; groups];
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    pictures
        .into_iter()
        .map(|(group, repeats)| PictureGroup {
            group: match group {
                Some(group) => *number[root(&parent, group)].get_or_insert_with(&mut fresh),
                None => fresh(),
            },
            repeats,
        })
        .collect()
}

fn root(parent: &[usize], mut group: usize) -> usize {
    while parent[group] != group {
        group = parent[group];
    }
    group
}

/// The part of each item, counted from 0: groups stay whole, and parts have as nearly as that allows
/// the shares that `fractions` says, in relation to their sum.
///
/// The largest groups are placed first, equally large ones in an order that `seed` says, each where
/// the part is then the least full.
///
/// # Errors
/// When there are fewer than two fractions, one is not above 0, or a part has no item.
pub fn divide(groups: &[usize], fractions: &[f64], seed: u64) -> Result<Vec<usize>, DataError> {
    let failed = |message: String| Err(DataError::Split(message));
    if fractions.len() < 2 {
        return failed("it takes at least two parts".into());
    }
    if let Some(bad) = fractions.iter().find(|x| !(**x > 0.0 && x.is_finite())) {
        return failed(format!("a part of {bad}, which must be above 0"));
    }
    let mut sizes = vec![0usize; groups.iter().max().map_or(0, |last| last + 1)];
    groups.iter().for_each(|group| sizes[*group] += 1);
    let mut order: Vec<usize> = (0..sizes.len()).filter(|group| sizes[*group] > 0).collect();
    let distinct = order.len();
    order.sort_by_key(|group| (std::cmp::Reverse(sizes[*group]), shuffled(seed, *group)));
    let mut filled = vec![0usize; fractions.len()];
    let mut part_of = vec![0; sizes.len()];
    for group in order {
        let fullness = |part: &usize| (filled[*part] + sizes[group]) as f64 / fractions[*part];
        let part = (0..filled.len()).min_by(|a, b| fullness(a).total_cmp(&fullness(b)));
        part_of[group] = part.unwrap_or(0);
        filled[part_of[group]] += sizes[group];
    }
    if filled.contains(&0) {
        return failed(format!(
            "{distinct} groups of captions are not enough for parts of {fractions:?}; give more data or \
             fewer parts"
        ));
    }
    Ok(groups.iter().map(|group| part_of[*group]).collect())
}

/// A number that looks random: the finaliser of SplitMix64.
fn shuffled(seed: u64, group: usize) -> u64 {
    let step = (group as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = seed.wrapping_add(step);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(group: usize, repeats: Option<usize>) -> TextGroup {
        TextGroup { group, repeats }
    }

    #[test]
    fn a_picture_joins_the_groups_of_its_captions() {
        // Captions of four pictures: 2, 1, 2 and 1, then one without any.
        let texts = [
            text(0, None),
            text(1, None),
            text(2, None),
            text(2, Some(2)),
            text(1, Some(1)),
            text(3, None),
        ];
        let found = picture_groups(&[2, 1, 2, 1, 0], &texts);
        let found: Vec<(usize, bool)> = found
            .iter()
            .map(|picture| (picture.group, picture.repeats))
            .collect();
        // The third picture's captions join the groups of the first two.
        assert_eq!(
            found,
            [(0, false), (0, false), (0, true), (1, false), (2, false)]
        );
        assert!(picture_groups(&[], &[]).is_empty());
    }

    #[test]
    fn a_caption_that_repeats_its_own_pictures_is_none_of_another() {
        let texts = [text(0, None), text(0, Some(0)), text(0, Some(0))];
        let found = picture_groups(&[2, 1], &texts);
        assert_eq!([found[0].repeats, found[1].repeats], [false, true]);
    }

    #[test]
    fn groups_stay_whole_and_parts_have_their_shares() {
        // Ten items of one group, five of another, and 185 alone.
        let mut groups = vec![0; 10];
        groups.extend([1; 5]);
        groups.extend(2..187);
        let parts = divide(&groups, &[0.9, 0.1], 0).unwrap();
        let count = |part| parts.iter().filter(|found| **found == part).count();
        assert_eq!((count(0), count(1)), (180, 20));
        assert!(parts[..10].iter().all(|part| *part == parts[0]));
        assert!(parts[10..15].iter().all(|part| *part == parts[10]));
        assert_eq!(divide(&groups, &[0.9, 0.1], 0).unwrap(), parts);
        assert_ne!(divide(&groups, &[0.9, 0.1], 1).unwrap(), parts);
        let folds = divide(&groups, &[1.0; 4], 0).unwrap();
        for fold in 0..4 {
            assert_eq!(folds.iter().filter(|found| **found == fold).count(), 50);
        }
        // What is too large for the small part goes into the large one, wherever it stands.
        let large = [0, 0, 0, 0, 0, 0, 0, 1, 2, 3];
        assert_eq!(divide(&large, &[0.3, 0.7], 5).unwrap()[0], 1);
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        for (groups, fractions, expected) in [
            (&[0, 1, 2][..], &[1.0][..], "two parts"),
            (&[0, 1, 2], &[0.5, 0.0], "above 0"),
            (&[0, 1, 2], &[0.5, f64::NAN], "above 0"),
            (&[0, 0, 0], &[0.5, 0.5], "1 groups"),
            (&[], &[0.5, 0.5], "0 groups"),
        ] {
            let error = divide(groups, fractions, 0).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
