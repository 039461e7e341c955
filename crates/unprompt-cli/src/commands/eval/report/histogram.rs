//! How the scores are spread: a bar chart in the units of its SVG.

/// Bins of 1 unit of cosine.
const BINS_PER_UNIT: f64 = 20.0;
/// The chart's width and the height of its highest bar.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 190.0;
/// Room above the bars for the names of the lines.
const TOP: f64 = 40.0;
/// Room that a name may need.
const LABEL_ROOM: f64 = 240.0;

pub(super) struct Histogram {
    pub(super) bars: Vec<Bar>,
    pub(super) ticks: Vec<Tick>,
    /// The mean of the scores, and a baseline.
    pub(super) lines: Vec<Line>,
    /// What somebody hears who cannot see it.
    pub(super) summary: String,
}

pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) range: String,
    pub(super) count: usize,
}

pub(super) struct Tick {
    pub(super) x: String,
    pub(super) label: String,
}

pub(super) struct Line {
    pub(super) x: String,
    pub(super) label: String,
    /// Where its name stands, and on which side of the line.
    pub(super) label_x: String,
    pub(super) label_y: u32,
    pub(super) anchor: &'static str,
    pub(super) class: &'static str,
}

impl Histogram {
    /// Of scores from -1 to 1, at least one.
    pub(super) fn new(scores: &[f64], mean: f64, baseline: f64) -> Self {
        let bin = |score: f64| (score.clamp(-1.0, 1.0) * BINS_PER_UNIT).floor() as i32;
        let last = BINS_PER_UNIT as i32 - 1;
        let first = scores
            .iter()
            .map(|score| bin(*score))
            .min()
            .unwrap_or(0)
            .min(0);
        let mut counts = vec![0usize; (last - first + 1) as usize];
        for score in scores {
            counts[(bin(*score).min(last) - first) as usize] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let step = WIDTH / counts.len() as f64;
        let left = f64::from(first) / BINS_PER_UNIT;
        let x = |score: f64| (score - left) * BINS_PER_UNIT * step;
        let edge = |bin: i32| f64::from(bin) / BINS_PER_UNIT;
        let bars = counts.iter().enumerate().map(|(index, count)| {
            let number = first + index as i32;
            let height = HEIGHT * *count as f64 / most as f64;
            Bar {
                x: format!("{:.2}", index as f64 * step + 1.0),
                y: format!("{:.2}", TOP + HEIGHT - height),
                width: format!("{:.2}", step - 2.0),
                height: format!("{height:.2}"),
                range: format!("{:.2} to {:.2}", edge(number), edge(number + 1)),
                count: *count,
            }
        });
        let ticks = (first..=last + 1)
            .filter(|bin| bin % 4 == 0)
            .map(|bin| Tick {
                x: format!("{:.2}", x(edge(bin))),
                label: format!("{:.1}", edge(bin)).replace('-', "−"),
            });
        // Names stand outside of the two lines, where there is room, so that neither crosses a name.
        let line = |score: f64, other: f64, name: &str, class, label_y| {
            let x = x(score.clamp(-1.0, 1.0));
            let is_left = (score < other && x > LABEL_ROOM) || x > WIDTH - LABEL_ROOM;
            Line {
                x: format!("{x:.2}"),
                label: format!("{name} {score:.3}").replace('-', "−"),
                label_x: format!("{:.2}", if is_left { x - 6.0 } else { x + 6.0 }),
                label_y,
                anchor: if is_left { "end" } else { "start" },
                class,
            }
        };
        let (low, high) = scores
            .iter()
            .fold((1.0, -1.0), |(low, high): (f64, f64), s| {
                (low.min(*s), high.max(*s))
            });
        Self {
            bars: bars.collect(),
            ticks: ticks.collect(),
            lines: vec![
                line(mean, baseline, "mean", "mean", 16),
                line(baseline, mean, "mean embedding", "base", 35),
            ],
            summary: format!(
                "Histogram of {} cosines from {low:.3} to {high:.3}, their mean {mean:.3}",
                scores.len()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_is_in_one_bar_and_the_edges_too() {
        let scores = [-1.0, -0.31, 0.0, 0.049, 0.05, 0.999, 1.0, 1.0];
        let found = Histogram::new(&scores, 0.4, 0.3);
        assert_eq!(found.bars.len(), 40);
        let counts: usize = found.bars.iter().map(|bar| bar.count).sum();
        assert_eq!(counts, scores.len());
        assert_eq!(found.bars[39].count, 3);
        assert_eq!(found.bars[20].count, 2);
        assert_eq!(found.bars[20].range, "0.00 to 0.05");
        assert_eq!(found.ticks.len(), 11);
    }

    #[test]
    fn scores_above_zero_begin_at_zero() {
        let found = Histogram::new(&[0.42], 0.42, 0.3);
        assert_eq!((found.bars.len(), found.bars[8].count), (20, 1));
        assert_eq!(found.bars[8].height, "190.00");
    }
}
