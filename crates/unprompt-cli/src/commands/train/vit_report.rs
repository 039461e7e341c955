//! The curves of a run as one page of HTML: no script, and nothing that is not in the file.

use super::vit::Line;
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 260.0;
/// Points of a curve; each is the mean of the steps that fall upon it.
const POINTS: usize = 600;

/// The page. All that is shown are numbers of ours.
pub(super) fn page(lines: &[Line], steps: u64) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Training</title>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'\">\n\
         <h1>Training</h1>\n",
    );
    if let (Some(first), Some(last)) = (lines.first(), lines.last()) {
        let _ = writeln!(
            page,
            "<p>Step {} of {steps}; the loss was {:.4} at first and is {:.4}.</p>",
            last.step, first.loss, last.loss
        );
    }
    page += &curve("Loss: one less the cosine", lines, steps, |line| line.loss);
    page += &curve("Rate", lines, steps, |line| line.rate);
    page += "</html>\n";
    page
}

fn curve(name: &str, lines: &[Line], steps: u64, value: impl Fn(&Line) -> f64) -> String {
    let highest = lines.iter().map(&value).fold(f64::MIN_POSITIVE, f64::max);
    let size = lines.len().div_ceil(POINTS).max(1);
    let mut points = String::new();
    for lines in lines.chunks(size) {
        let count = lines.len() as f64;
        let mean = lines.iter().map(&value).sum::<f64>() / count;
        let step = lines.iter().map(|line| line.step as f64).sum::<f64>() / count;
        let x = WIDTH * step / steps.max(1) as f64;
        let y = HEIGHT * (1.0 - mean / highest);
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    format!(
        "<h2>{name}</h2>\n<p>from 0 to {highest:.3e}</p>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\">\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>\
         <polyline fill=\"none\" stroke=\"#06c\" points=\"{}\"/></svg>\n",
        points.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_have_short_curves() {
        let line = |step| Line {
            step,
            stage: "all".into(),
            epoch: 0,
            loss: 1.0 / step as f64,
            rate: 0.1,
            pictures_per_second: 1.0,
        };
        let lines: Vec<Line> = (1..=5000).map(line).collect();
        let page = page(&lines, 5000);
        assert!(
            page.len() < 30_000 && page.contains("Step 5000 of 5000"),
            "{}",
            page.len()
        );
        assert!(super::page(&[], 0).contains("polyline"));
    }
}
