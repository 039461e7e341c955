//! Chooses the numbers of the preset `lite` by cross-validation split by prompt.
//!
//! Every setting of a grid is measured as the program computes it: members' embeddings come out of
//! the program, at each temperature, and are blended here. What counts is the sum of both scores,
//! that of the embedding and that of the text, each the mean of the sets' means. From what
//! ships one coordinate after the other goes to its best value, until none moves.

use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    fmt::Write as _,
    path::{Path, PathBuf},
};
use unprompt::{
    Calibration, Compute, ConfidenceFeature, Hub, HubOptions, NoProgress, Outcome, PredictOptions,
    Predictor, Preset,
    eval::{Answer, Answers, calibrate, image_id},
    interrogate::NoTableProgress,
    sources,
};
use unprompt_eye::TextList;

/// Folds of the cross-validation.
const FOLDS: usize = 5;
/// Pictures that go through the tower together.
const BATCH: usize = 32;

/// What is chosen, weights by the names of their members; the first value of each is the one that
/// ships.
const GRID: [(&str, &[f64]); COORDINATES] = [
    ("head", &[0.3, 0.1, 0.2, 0.4]),
    ("retrieval", &[1.3, 0.9, 1.1, 1.5, 1.8]),
    ("labels", &[0.3, 0.0, 0.15, 0.5]),
    ("named", &[0.8, 0.0, 0.4, 0.6, 1.0, 1.2]),
    ("temperature of retrieval", &[0.05, 0.06, 0.07]),
    ("temperature of named", &[0.06, 0.04, 0.05]),
    ("support", &[0.6, 0.3, 0.4, 0.5, 0.7, 0.8]),
];
const COORDINATES: usize = 7;
const HEAD: usize = 0;
const RETRIEVAL: usize = 1;
const LABELS: usize = 2;
const NAMED: usize = 3;
const HEAD_TEMPERATURE: usize = 4;
const LABEL_TEMPERATURE: usize = 5;
const SUPPORT: usize = 6;
/// Places in the grid.
type Setting = [usize; COORDINATES];

/// One picture, with all that a setting needs.
struct Picture {
    set: usize,
    fold: usize,
    /// Members of the preset of [`preset_text`], in its order.
    rows: Vec<Vec<f64>>,
    truth: Vec<f64>,
    /// For each member its products with the prompts that may be shown.
    products: Vec<Vec<f32>>,
}

/// Writes to standard output what each fold chooses and what that is worth on prompts that it has not
/// seen. `sets` are folders of pictures with their `pairs.csv`.
pub(crate) fn run(sets: &[String]) -> Result<(), Box<dyn Error>> {
    let list = unprompt_eye::prompts()?;
    let shown: Vec<usize> = (0..list.len())
        .filter(|index| list.is_printable(*index))
        .collect();
    let hub = Hub::from_env(HubOptions::default())?;
    let preset = Preset::parse("of every temperature", &preset_text())?;
    let predictor = Predictor::load(
        &hub,
        preset,
        &Compute::default(),
        &NoProgress,
        &NoTableProgress,
    )?;
    let mut pictures = Vec::new();
    for (set, folder) in sets.iter().enumerate() {
        pictures.extend(read_set(&predictor, set, Path::new(folder), &shown)?);
    }
    let mut scores = Scores {
        pictures,
        list,
        shown,
        known: HashMap::new(),
    };
    println!("{}", report(&mut scores, sets)?);
    println!("{}", expected_scores(&mut scores, sets)?);
    Ok(())
}

/// What `length`, the length of the blend, tells of the score of what ships: for each set by a map that
/// the others made, and the map of all.
fn expected_scores(scores: &mut Scores, sets: &[String]) -> Result<String, Box<dyn Error>> {
    let ships = [0; COORDINATES];
    let weights = weights(ships);
    let all: Vec<f64> = scores
        .of(ships)
        .iter()
        .map(|[embedding, _]| *embedding)
        .collect();
    let pictures = &scores.pictures;
    let features: Vec<f64> = pictures
        .iter()
        .map(|picture| {
            let blend = blend(picture, &weights);
            product(&blend, &blend).sqrt() / weights.iter().sum::<f64>()
        })
        .collect();
    let fit = |wanted: &dyn Fn(usize) -> bool| {
        let chosen = (0..pictures.len()).filter(|index| wanted(pictures[*index].set));
        let chosen: Vec<usize> = chosen.collect();
        let of = |values: &[f64]| {
            chosen
                .iter()
                .map(|index| values[*index])
                .collect::<Vec<f64>>()
        };
        let folds: Vec<usize> = chosen.iter().map(|index| pictures[*index].fold).collect();
        let (features, scores) = (of(&features), of(&all));
        let map = calibrate("pictures", &features, &scores, &folds)?;
        Ok::<_, Box<dyn Error>>((map, features, scores))
    };
    let mut out = String::new();
    writeln!(
        out,
        "| fitted without, measured on | rank correlation | off by | a constant is off by |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    for (set, name) in sets.iter().enumerate() {
        if sets.len() < 2 {
            break;
        }
        let (map, _, others) = fit(&|other| other != set)?;
        let (_, features, truth) = fit(&|other| other == set)?;
        let map = Calibration {
            feature: ConfidenceFeature::Length,
            points: map.points,
        };
        let expected: Vec<f64> = features
            .iter()
            .map(|one| map.expected_score(*one))
            .collect();
        let constant = others.iter().sum::<f64>() / others.len() as f64;
        let error = |of: &dyn Fn(usize) -> f64| {
            let errors = truth
                .iter()
                .enumerate()
                .map(|(index, score)| (of(index) - score).abs());
            errors.sum::<f64>() / truth.len() as f64
        };
        writeln!(
            out,
            "| {} | {:.3} | {:.4} | {:.4} |",
            image_id(Path::new(name)),
            rank_correlation(&expected, &truth),
            error(&|index| expected[index]),
            error(&|_| constant)
        )?;
    }
    let (map, _, _) = fit(&|_| true)?;
    writeln!(out, "\n[calibration]\nfeature = \"length\"\npoints = [")?;
    for [feature, score] in map.points {
        writeln!(out, "    [{feature}, {score}],")?;
    }
    writeln!(out, "]")?;
    Ok(out)
}

/// Spearman's: the correlation of the ranks; equal values share theirs.
fn rank_correlation(left: &[f64], right: &[f64]) -> f64 {
    let ranks = |values: &[f64]| -> Vec<f64> {
        let below = |value: f64| values.iter().filter(|other| **other < value).count() as f64;
        let equal = |value: f64| values.iter().filter(|other| **other == value).count() as f64;
        let mean = (values.len() as f64 - 1.0) / 2.0;
        let rank = |value: &f64| below(*value) + (equal(*value) - 1.0) / 2.0 - mean;
        values.iter().map(rank).collect()
    };
    let (left, right) = (ranks(left), ranks(right));
    product(&left, &right) / (product(&left, &left) * product(&right, &right)).sqrt()
}

/// All members at all temperatures. Their weights mean nothing.
fn preset_text() -> String {
    let mut text = format!(
        "name = 'all'\nencoder = '{}'\nnormalize_members = false\n\
         [text]\nprompts = 'eye'\nsupport = {{ labels = 0.5 }}\n",
        unprompt_eye::ENCODER
    );
    let mut member = |name: &str, fields: &str| {
        let _ = write!(text, "[[member]]\nname = '{name}'\nweight = 1\n{fields}\n");
    };
    member(
        "prior",
        "kind = 'prior'\nprompts = ['eye/parti', 'eye/licensed', 'eye/captions']",
    );
    member("head", "kind = 'head'\nhead = 'eye'");
    member(
        "labels",
        "kind = 'label-mean'\nmodel = 'eye'\ncentred = true",
    );
    for (query, unit, values) in [
        ("head", true, GRID[HEAD_TEMPERATURE].1),
        ("labels", false, GRID[LABEL_TEMPERATURE].1),
    ] {
        for temperature in values {
            let fields = format!(
                "kind = 'retrieval'\nprompts = 'eye'\ncentred = true\nresidual = true\n\
                 unit_query = {unit}\nquery = '{query}'\ntemperature = {temperature}"
            );
            member(&format!("{query} at {temperature}"), &fields);
        }
    }
    text
}

/// A setting's weights of the members of [`preset_text`].
fn weights(setting: Setting) -> Vec<f64> {
    let value = |place: usize| GRID[place].1[setting[place]];
    let mut weights = vec![1.0, value(HEAD), value(LABELS)];
    for (place, temperature) in [(RETRIEVAL, HEAD_TEMPERATURE), (NAMED, LABEL_TEMPERATURE)] {
        let chosen = |index| {
            if index == setting[temperature] {
                value(place)
            } else {
                0.0
            }
        };
        weights.extend((0..GRID[temperature].1.len()).map(chosen));
    }
    weights
}

/// The place of the member `labels`.
const LABELS_MEMBER: usize = 2;

fn read_set(
    predictor: &Predictor,
    set: usize,
    folder: &Path,
    shown: &[usize],
) -> Result<Vec<Picture>, Box<dyn Error>> {
    let list = unprompt_eye::prompts()?;
    let truth = Answers::open(&folder.join("pairs.csv"))?;
    let mut folds = HashMap::new();
    let mut pictures = Vec::new();
    let found = sources(&[PathBuf::from(folder)])?;
    let found: Vec<_> = found
        .into_iter()
        .filter(|source| truth.get(&image_id(source.path())).is_some())
        .filter(|source| {
            source
                .path()
                .extension()
                .is_none_or(|extension| extension != "csv")
        })
        .collect();
    let options = PredictOptions {
        metadata: false,
        ..PredictOptions::default()
    };
    for batch in found.chunks(BATCH) {
        let mut prompts = Vec::new();
        let mut batch_pictures = Vec::new();
        for outcome in predictor.predict(batch, &options)? {
            let Outcome::Prediction(record) = outcome else {
                return Err(format!("{}: a picture cannot be read", folder.display()).into());
            };
            let entry = truth.get(&image_id(Path::new(&record.path)));
            let Some(Answer::Prompt(prompt)) = entry.map(|entry| &entry.answer) else {
                return Err(format!("{}: no prompt", record.path).into());
            };
            let words = prompt.to_lowercase();
            let words: Vec<&str> = words.split_whitespace().collect();
            let next = folds.len() % FOLDS;
            let fold = *folds.entry(words.join(" ")).or_insert(next);
            let rows: Vec<Vec<f64>> = record
                .members
                .iter()
                .map(|member| {
                    let length = member.length.unwrap_or(1.0);
                    let row = member.embedding.iter();
                    row.map(|value| f64::from(*value) * length).collect()
                })
                .collect();
            prompts.push(prompt.clone());
            batch_pictures.push(Picture {
                set,
                fold,
                rows,
                truth: Vec::new(),
                products: Vec::new(),
            });
        }
        let rows = predictor.encoder()?.embed(&prompts)?;
        for (picture, row) in batch_pictures.iter_mut().zip(rows) {
            picture.truth = row.into_iter().map(f64::from).collect();
            let products = picture.rows.iter().map(|row| {
                let row: Vec<f32> = row.iter().map(|value| *value as f32).collect();
                let all = list.products(&row);
                shown.iter().map(|index| all[*index]).collect()
            });
            picture.products = products.collect();
        }
        pictures.extend(batch_pictures);
    }
    Ok(pictures)
}

/// The scores of settings, each computed once.
struct Scores {
    pictures: Vec<Picture>,
    list: &'static TextList,
    /// The prompts that may be shown.
    shown: Vec<usize>,
    /// For each picture the score of the embedding and that of the text.
    known: HashMap<Setting, Vec<[f64; 2]>>,
}

impl Scores {
    fn of(&mut self, setting: Setting) -> &[[f64; 2]] {
        let Self {
            pictures,
            list,
            shown,
            known,
        } = self;
        known.entry(setting).or_insert_with(|| {
            let weights = weights(setting);
            let support = GRID[SUPPORT].1[setting[SUPPORT]];
            let score = |picture: &Picture| score(picture, &weights, support, list, shown);
            pictures.par_iter().map(score).collect()
        })
    }

    /// The mean scores of each set over the pictures whose fold is asked for.
    fn means(&mut self, setting: Setting, folds: impl Fn(usize) -> bool) -> Vec<[f64; 2]> {
        let scores = self.of(setting).to_vec();
        let mut sums: BTreeMap<usize, ([f64; 2], f64)> = BTreeMap::new();
        for (picture, score) in self.pictures.iter().zip(scores) {
            if folds(picture.fold) {
                let (sum, count) = sums.entry(picture.set).or_default();
                sum.iter_mut()
                    .zip(score)
                    .for_each(|(sum, value)| *sum += value);
                *count += 1.0;
            }
        }
        sums.into_values()
            .map(|(sum, count)| sum.map(|sum| sum / count))
            .collect()
    }

    /// The best setting for some folds.
    fn best(&mut self, folds: impl Fn(usize) -> bool + Copy) -> Setting {
        let worth = |scores: &mut Self, setting| -> f64 {
            scores.means(setting, folds).iter().flatten().sum()
        };
        let mut best = [0; COORDINATES];
        let mut most = worth(self, best);
        loop {
            let before = best;
            for (coordinate, (_, values)) in GRID.iter().enumerate() {
                for value in 0..values.len() {
                    let mut setting = best;
                    setting[coordinate] = value;
                    let found = worth(self, setting);
                    if found > most {
                        (best, most) = (setting, found);
                    }
                }
            }
            if best == before {
                return best;
            }
        }
    }
}

/// Cosines with the truth of a picture's blend and of the text for it.
fn score(
    picture: &Picture,
    weights: &[f64],
    support: f64,
    list: &TextList,
    shown: &[usize],
) -> [f64; 2] {
    let blend = blend(picture, weights);
    let length = product(&blend, &blend).sqrt();
    let mut sums = vec![0.0f32; shown.len()];
    for (member, (products, weight)) in picture.products.iter().zip(weights).enumerate() {
        let own = if member == LABELS_MEMBER {
            support
        } else {
            0.0
        };
        let weight = (weight / length + own) as f32;
        if weight != 0.0 {
            let values = sums.iter_mut().zip(products);
            values.for_each(|(sum, value)| *sum += weight * value);
        }
    }
    let mut best = 0;
    for (index, sum) in sums.iter().enumerate() {
        if *sum > sums[best] {
            best = index;
        }
    }
    let text: Vec<f64> = list
        .embedding(shown[best])
        .into_iter()
        .map(f64::from)
        .collect();
    [
        product(&blend, &picture.truth) / length,
        product(&text, &picture.truth) / product(&text, &text).sqrt(),
    ]
}

/// The weighted sum of a picture's members.
fn blend(picture: &Picture, weights: &[f64]) -> Vec<f64> {
    let mut blend = vec![0.0; picture.truth.len()];
    for (row, weight) in picture.rows.iter().zip(weights) {
        let values = blend.iter_mut().zip(row);
        values.for_each(|(sum, value)| *sum += weight * value);
    }
    blend
}

fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

/// The table in Markdown.
fn report(scores: &mut Scores, sets: &[String]) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let names: Vec<String> = sets.iter().map(|set| image_id(Path::new(set))).collect();
    let mut header = String::from("| fitted to |");
    let mut rule = String::from("|---|");
    for (name, _) in GRID {
        write!(header, " {name} |")?;
        rule += "---|";
    }
    for name in &names {
        write!(header, " {name}: embedding, text |")?;
        rule += "---|";
    }
    writeln!(out, "{header}\n{rule}")?;
    let mut row =
        |title: String, setting: Option<Setting>, found: &[[f64; 2]]| -> std::fmt::Result {
            write!(out, "| {title} |")?;
            for (place, (_, values)) in GRID.iter().enumerate() {
                match setting {
                    Some(setting) => write!(out, " {} |", values[setting[place]])?,
                    None => write!(out, " |")?,
                }
            }
            for [embedding, text] in found {
                write!(out, " {embedding:.4}, {text:.4} |")?;
            }
            writeln!(out)
        };
    let mut held_out = vec![([0.0; 2], 0.0); sets.len()];
    for fold in 0..FOLDS {
        let best = scores.best(|other| other != fold);
        let found = scores.means(best, |other| other == fold);
        row(
            format!("all but fold {}, on that fold", fold + 1),
            Some(best),
            &found,
        )?;
        for (set, (sum, count)) in held_out.iter_mut().enumerate() {
            let pictures = scores.pictures.iter();
            let size = pictures
                .filter(|one| one.set == set && one.fold == fold)
                .count() as f64;
            sum.iter_mut()
                .zip(found[set])
                .for_each(|(sum, value)| *sum += size * value);
            *count += size;
        }
    }
    let means: Vec<[f64; 2]> = held_out
        .iter()
        .map(|(sum, count)| sum.map(|sum| sum / count))
        .collect();
    row("held out, all folds".into(), None, &means)?;
    let best = scores.best(|_| true);
    let found = scores.means(best, |_| true);
    row("everything, on itself".into(), Some(best), &found)?;
    let ships = [0; COORDINATES];
    let found = scores.means(ships, |_| true);
    row("nothing: what ships".into(), Some(ships), &found)?;
    Ok(out)
}
