use super::*;
use crate::output::written;
use crate::testing::uniform;

/// Nothing.
struct Leave;

impl Epilogue for Leave {
    fn finish<S: Simd>(&self, _: S, _: usize, _: usize, _: &mut [f32; PANEL]) {}
}

fn product(kernel: Kernel, x: &[f32], w: &[f32], (m, n, k): (usize, usize, usize)) -> Vec<f32> {
    let weight = QuantisedPanels::for_kernel(w, n, k, kernel).unwrap();
    written(m * n, |out| multiply(x, m, &weight, out, &Leave)).unwrap()
}

/// The definition, row by row and output by output.
fn naive(x: &[f32], w: &[f32], (n, k): (usize, usize)) -> Vec<f32> {
    let mut out = Vec::new();
    for x in x.chunks_exact(k) {
        for w in w.chunks_exact(k).take(n) {
            let mut total = 0.0f32;
            for (x, w) in x.chunks(GROUP).zip(w.chunks(GROUP)) {
                let (range, bytes) = quantise_inputs(&whole_group(x));
                let (scale, integers) = quantise_weights(&whole_group(w));
                let products = bytes.iter().zip(&integers);
                let sum: i32 = products
                    .map(|(u, q)| (i32::from(*u) - range.zero as i32) * i32::from(*q))
                    .sum();
                total = (sum as f32 * scale).mul_add(range.scale, total);
            }
            out.push(total);
        }
    }
    out
}

#[test]
fn every_kernel_equals_the_definition_bit_for_bit() {
    for (m, n, k) in [
        (1, 1, 1),
        (3, 31, 7),
        (5, 33, 64),
        (12, 32, 48),
        (31, 100, 130),
        (64, 40, 9),
        (260, 70, 257),
    ] {
        let (x, w) = (uniform(m * k, 1), uniform(n * k, 2));
        let expected = naive(&x, &w, (n, k));
        for kernel in Kernel::all() {
            let found = product(kernel, &x, &w, (m, n, k));
            assert_eq!(found, expected, "{m} x {n} x {k}, {kernel:?}");
        }
    }
}

#[test]
fn the_largest_bytes_do_not_saturate() {
    let k = 4096;
    let x = vec![255.0; k];
    for size in [-127.0f32, 127.0] {
        let w = vec![size; k];
        for kernel in Kernel::all() {
            let found = product(kernel, &x, &w, (1, 1, k));
            let expected = size * 255.0 * k as f32;
            assert!(
                (found[0] / expected - 1.0).abs() < 1e-5,
                "{size}, {kernel:?}: {found:?}"
            );
        }
    }
}

#[test]
fn the_error_is_a_few_thousandths() {
    let (m, n, k) = (20, 50, 768);
    let (x, w) = (uniform(m * k, 5), uniform(n * k, 6));
    let found = product(Kernel::best(), &x, &w, (m, n, k));
    let (mut error, mut size) = (0.0, 0.0);
    for (row, x) in x.chunks_exact(k).enumerate() {
        for (column, w) in w.chunks_exact(k).enumerate() {
            let exact: f64 = x.iter().zip(w).map(|(x, w)| f64::from(x * w)).sum();
            error += (f64::from(found[row * n + column]) - exact).powi(2);
            size += exact.powi(2);
        }
    }
    assert!(error / size < 1e-4, "{}", error / size);
}

#[test]
fn rows_of_zeros_and_values_that_are_not_finite_stay_themselves() {
    let (m, n, k) = (4, 3, 70);
    let mut x = uniform(m * k, 7);
    x[..k].fill(0.0);
    x[k + 3] = f32::NAN;
    x[2 * k + 5] = f32::INFINITY;
    let out = product(Kernel::best(), &x, &uniform(n * k, 8), (m, n, k));
    assert_eq!(out[..n], [0.0; 3]);
    assert!(out[n..3 * n].iter().all(|value| value.is_nan()));
    assert!(out[3 * n..].iter().all(|value| value.is_finite()));
    for wrong in [f32::NAN, f32::NEG_INFINITY] {
        let mut weights = uniform(n * k, 9);
        weights[k] = wrong;
        assert!(QuantisedPanels::new(&weights, n, k).is_err());
    }
    assert!(QuantisedPanels::new(&[0.0; 3], 3, 1).is_ok());
}
