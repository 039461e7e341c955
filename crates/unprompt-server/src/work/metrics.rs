//! What is counted, in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper bounds of times, in seconds.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of how many inputs a batch has.
const INPUTS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Counts since the start.
#[derive(Default)]
pub(crate) struct Metrics {
    /// By route and status.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    request_seconds: Histogram<{ SECONDS.len() }>,
    batch_seconds: Histogram<{ SECONDS.len() }>,
    batch_inputs: Histogram<{ INPUTS.len() }>,
    panics: AtomicU64,
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn request(&self, route: &'static str, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
        drop(requests);
        self.request_seconds.add(&SECONDS, took.as_secs_f64());
    }

    /// A batch was worked on.
    pub(crate) fn batch(&self, inputs: usize, took: Duration) {
        self.batch_inputs.add(&INPUTS, inputs as f64);
        self.batch_seconds.add(&SECONDS, took.as_secs_f64());
    }

    pub(crate) fn panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it, with the queue's present load, and whether the models are in memory.
    pub(crate) fn text(&self, (requests, pixels): (usize, u64), is_loaded: bool) -> String {
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        let name = "unprompt_requests_total";
        head(&mut text, name, "counter", "Requests by route and status.");
        let counts = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, status), count) in counts.iter() {
            let _ = writeln!(
                text,
                "{name}{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        drop(counts);
        for (name, value, help) in [
            (
                "unprompt_queue_requests",
                requests as u64,
                "Requests that wait or are worked on.",
            ),
            (
                "unprompt_queue_pixels",
                pixels,
                "Pixels of pictures that wait or are worked on.",
            ),
            (
                "unprompt_models_loaded",
                u64::from(is_loaded),
                "Whether the models are in memory.",
            ),
        ] {
            head(&mut text, name, "gauge", help);
            let _ = writeln!(text, "{name} {value}");
        }
        let name = "unprompt_panics_total";
        head(&mut text, name, "counter", "Batches that failed by a bug.");
        let _ = writeln!(text, "{name} {}", self.panics.load(Ordering::Relaxed));
        let name = "unprompt_request_seconds";
        head(&mut text, name, "histogram", "Time from headers to answer.");
        self.request_seconds.write(&mut text, name, &SECONDS);
        let name = "unprompt_batch_seconds";
        head(&mut text, name, "histogram", "Time that a batch took.");
        self.batch_seconds.write(&mut text, name, &SECONDS);
        let name = "unprompt_batch_inputs";
        head(
            &mut text,
            name,
            "histogram",
            "Pictures or texts of a batch.",
        );
        self.batch_inputs.write(&mut text, name, &INPUTS);
        text
    }
}

/// Counts by upper bound; what is above the last is in `count` only.
struct Histogram<const N: usize> {
    buckets: [AtomicU64; N],
    count: AtomicU64,
    /// In millionths.
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn add(&self, bounds: &[f64; N], value: f64) {
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            if value <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, bounds: &[f64; N]) {
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            let count = bucket.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(
            text,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.request("/v1/predict", 200, Duration::from_millis(20));
        metrics.request("/v1/predict", 200, Duration::from_secs(40));
        metrics.request("/v1/predict", 429, Duration::ZERO);
        metrics.batch(3, Duration::from_millis(1));
        metrics.panic();
        let text = metrics.text((2, 99), true);
        for line in [
            "unprompt_requests_total{route=\"/v1/predict\",status=\"200\"} 2",
            "unprompt_requests_total{route=\"/v1/predict\",status=\"429\"} 1",
            "unprompt_queue_pixels 99",
            "unprompt_panics_total 1",
            "unprompt_request_seconds_bucket{le=\"0.01\"} 1",
            "unprompt_request_seconds_bucket{le=\"0.025\"} 2",
            "unprompt_request_seconds_bucket{le=\"+Inf\"} 3",
            "unprompt_request_seconds_sum 40.02",
            "unprompt_batch_inputs_bucket{le=\"2\"} 0",
            "unprompt_batch_inputs_bucket{le=\"4\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
