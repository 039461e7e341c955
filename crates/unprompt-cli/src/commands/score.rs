//! `unprompt score`: the mean cosine similarity of predictions and truth.

use crate::{
    Finished,
    arguments::{Common, Score as Arguments},
    commands::lazy_encoder::LazyEncoder,
    output::Output,
    records::{RecordWriter, TEXT_OR_JSON},
};
use anyhow::Result;
use unprompt::eval::{Answers, score};

pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let prediction = Answers::open(&arguments.pred)?;
    let truth = Answers::open(&arguments.truth)?;
    let mut encoder = LazyEncoder::new(common, &arguments.model);
    let mut embed = |texts: &[String]| encoder.embed(texts);
    let score = score(&prediction, &truth, &mut embed)?;
    records.finish_with("score", &score, |out| {
        for image in &score.per_image {
            writeln!(out, "{:.4}\t{}", image.cosine, image.id)?;
        }
        let (mean, n) = (score.mean_cosine, score.n);
        writeln!(out, "{mean:.6}\tmean of {n}")
    })?;
    Ok(Finished::Whole)
}
