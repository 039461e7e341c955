use super::*;
use crate::testing::uniform;
use crate::{output::written, panels::PassingPanels};

/// Multiplies by a factor.
struct Scale(f32);

impl Epilogue for Scale {
    fn finish<S: Simd>(&self, _: S, _: usize, _: usize, values: &mut [f32; PANEL]) {
        values.iter_mut().for_each(|value| *value *= self.0);
    }
}

/// Every instruction set that this machine has.
fn architectures() -> Vec<Arch> {
    let mut all = vec![Arch::Scalar, Arch::new()];
    #[cfg(target_arch = "x86_64")]
    all.extend(pulp::x86::V3::try_new().map(Arch::V3));
    all
}

/// The definition: one chain of fused multiply-adds.
fn naive(x: &[f32], w: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(m * n);
    for row in 0..m {
        for column in 0..n {
            let mut sum = 0.0f32;
            for i in 0..k {
                sum = x[row * k + i].mul_add(w[column * k + i], sum);
            }
            out.push(sum);
        }
    }
    out
}

/// `rows` rows of `columns` values, columns for rows.
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let place = |place: usize| values[place % rows * columns + place / rows];
    (0..rows * columns).map(place).collect()
}

#[test]
fn equals_the_definition_bit_for_bit() {
    for (m, n, k) in [
        (1, 1, 1),
        (3, 31, 7),
        (5, 33, 64),
        (12, 32, 48),
        (29, 100, 130),
        (64, 40, 9),
        (31, 65, 600),
        (260, 33, 257),
    ] {
        let (x, w) = (uniform(m * k, 1), uniform(n * k, 2));
        let expected = naive(&x, &w, m, n, k);
        let transposed = turned(&w, n, k);
        let packed = [
            Panels::from_rows(&w, n, k, k),
            Panels::from_columns(&transposed, n, k, n),
        ];
        for panels in &packed {
            for arch in architectures() {
                let out = written(m * n, |out| multiply(arch, &x, m, panels, out, &Scale(1.0)));
                assert_eq!(out.unwrap(), expected, "{m} x {n} x {k}, {arch:?}");
            }
        }
        // In memory that holds other numbers, and from the other side turned round.
        drop(PassingPanels::from_rows(
            &vec![f32::NAN; 400 * 700],
            400,
            700,
            700,
        ));
        let columns = turned(&x, m, k);
        for arch in architectures() {
            let panels = PassingPanels::from_columns(&transposed, n, k, n);
            let out = written(m * n, |out| {
                multiply_transposed(arch, &columns, m, &panels, out, &Scale(1.0));
            });
            assert_eq!(out.unwrap(), expected, "{m} x {n} x {k}, turned, {arch:?}");
        }
    }
}

#[test]
fn threads_and_batch_change_no_bit() {
    for (m, n, k) in [
        (2, 1000, 1280),
        (197, 96, 768),
        (197, 96, 2100),
        (500, 300, 77),
        (460, 40, 2100),
    ] {
        let (x, w) = (uniform(m * k, 3), uniform(n * k, 4));
        let panels = Panels::from_rows(&w, n, k, k);
        let columns = turned(&x, m, k);
        let mut expected = naive(&x, &w, m, n, k);
        expected.iter_mut().for_each(|value| *value *= 0.5);
        for threads in [1, 2, 5, 64] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let multiply = |out: Unwritten<'_>| {
                pool.install(|| multiply(Arch::new(), &x, m, &panels, out, &Scale(0.5)));
            };
            let out = written(m * n, multiply).unwrap();
            assert_eq!(out, expected, "{m} x {n} x {k}, {threads} threads");
            let multiply = |out: Unwritten<'_>| {
                pool.install(|| {
                    multiply_transposed(Arch::new(), &columns, m, &panels, out, &Scale(0.5));
                });
            };
            let out = written(m * n, multiply).unwrap();
            assert_eq!(out, expected, "{m} x {n} x {k}, turned, {threads} threads");
        }
        let last = &x[(m - 1) * k..];
        let alone = written(n, |out| {
            multiply(Arch::new(), last, 1, &panels, out, &Scale(0.5));
        });
        assert_eq!(alone.unwrap(), expected[(m - 1) * n..]);
    }
}
