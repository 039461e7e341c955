//! The lines of a measurement's result.

use anyhow::Result;
use serde::Serialize;
use std::io::Write;

/// How our rows with int8 weights are named.
pub(super) const INT8: &str = "unprompt int8";

/// One line of the result.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) measurement: &'static str,
    pub(super) program: String,
    /// Milliseconds; the median of the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) median_ms: Option<f64>,
    /// Milliseconds that 99 of 100 runs stay below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99_ms: Option<f64>,
    /// Milliseconds of all processors together; the median of the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) processor_ms: Option<f64>,
    /// Pictures in a second of the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pictures_per_second: Option<f64>,
    /// Largest resident memory in MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_mb: Option<f64>,
    /// Its memory divided by what a tenth of the pictures takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_to_tenth: Option<f64>,
    /// Our median in f32 divided by this one: below 1 we are faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ours_to_this: Option<f64>,
    /// Our median with int8 weights divided by ours in f32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) int8_to_f32: Option<f64>,
    /// Largest difference of its first embedding to ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) largest_difference: Option<f32>,
    /// Smallest cosine of its embeddings to those in f32, on the example pictures or texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cosine_to_f32: Option<f64>,
    /// Which part of its neighbours are ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recall: Option<f64>,
    /// Whether its text is the peer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) same_text: Option<bool>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<String>,
}

impl Row {
    pub(super) fn measured(
        measurement: &'static str,
        program: impl Into<String>,
        median_ms: f64,
    ) -> Self {
        let program = program.into();
        Self {
            measurement,
            program,
            median_ms: Some(median_ms),
            p99_ms: None,
            processor_ms: None,
            pictures_per_second: None,
            peak_mb: None,
            memory_to_tenth: None,
            ours_to_this: None,
            int8_to_f32: None,
            largest_difference: None,
            cosine_to_f32: None,
            recall: None,
            same_text: None,
            missing: None,
        }
    }

    pub(super) fn peak(
        measurement: &'static str,
        program: impl Into<String>,
        peak_mb: f64,
    ) -> Self {
        Self {
            median_ms: None,
            peak_mb: Some(peak_mb),
            ..Self::measured(measurement, program, 0.0)
        }
    }

    pub(super) fn missing(
        measurement: &'static str,
        program: impl Into<String>,
        why: String,
    ) -> Self {
        let missing = Some(why);
        Self {
            median_ms: None,
            missing,
            ..Self::measured(measurement, program, 0.0)
        }
    }
}

/// One line for a person.
pub(super) fn write_text(output: &mut impl Write, row: &Row) -> Result<()> {
    let Row {
        measurement,
        program,
        ..
    } = row;
    write!(output, "{measurement:<36} {program:<30}")?;
    if let Some(median) = row.median_ms {
        write!(output, " {median:>10.1} ms")?;
    }
    if let Some(p99) = row.p99_ms {
        write!(output, " {p99:>10.1} ms at p99")?;
    }
    if let Some(processor) = row.processor_ms {
        write!(output, " {processor:>10.0} ms of processors")?;
    }
    if let Some(rate) = row.pictures_per_second {
        write!(output, " {rate:>8.1} pictures/s")?;
    }
    if let Some(peak) = row.peak_mb {
        write!(output, " {peak:>10.1} MB")?;
    }
    if let Some(ratio) = row.memory_to_tenth {
        write!(output, "   this / a tenth {ratio:.3}")?;
    }
    if let Some(missing) = &row.missing {
        write!(output, " not measured: {missing}")?;
    }
    if let Some(ratio) = row.ours_to_this {
        write!(output, "   ours / this {ratio:.3}")?;
    }
    if let Some(ratio) = row.int8_to_f32 {
        write!(output, "   int8 / f32 {ratio:.3}")?;
    }
    if let Some(same) = row.same_text {
        let same = if same {
            "the same text"
        } else {
            "another text"
        };
        write!(output, "   {same}")?;
    }
    if let Some(difference) = row.largest_difference {
        write!(output, "   differs by {difference:.1e}")?;
    }
    if let Some(cosine) = row.cosine_to_f32 {
        write!(output, "   cosine to f32 {cosine:.6}")?;
    }
    if let Some(recall) = row.recall {
        write!(output, "   same neighbours {:.3} %", recall * 100.0)?;
    }
    Ok(writeln!(output)?)
}
