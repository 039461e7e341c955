//! Symmetric positive definite systems of equations.

use rayon::prelude::*;

/// Solves `A X = B` for a symmetric positive definite `A` of `n` rows, given by its rows (the lower
/// triangle is read), and the columns of `B`, each replaced by its solution. `None` if `A` is not
/// positive definite.
///
/// Each element is one sum in the order of the inner index, whatever the number of threads.
pub(crate) fn solve(mut a: Vec<Vec<f64>>, columns: &mut [Vec<f64>]) -> Option<()> {
    decompose(&mut a)?;
    columns.par_iter_mut().for_each(|column| {
        // L y = b, then the transpose of L times x = y.
        for row in 0..a.len() {
            let known = product(&a[row][..row], &column[..row]);
            column[row] = (column[row] - known) / a[row][row];
        }
        for row in (0..a.len()).rev() {
            let solved = column[row] / a[row][row];
            column[row] = solved;
            for (left, value) in a[row][..row].iter().zip(column.iter_mut()) {
                *value -= left * solved;
            }
        }
    });
    Some(())
}

/// Replaces the lower triangle of `A` by `L`, with `L` times its transpose equal to `A`.
fn decompose(a: &mut [Vec<f64>]) -> Option<()> {
    for pivot in 0..a.len() {
        let (above, below) = a.split_at_mut(pivot + 1);
        let row = &mut above[pivot];
        let left = row[pivot] - product(&row[..pivot], &row[..pivot]);
        if !(left > 0.0 && left.is_finite()) {
            return None;
        }
        row[pivot] = left.sqrt();
        let row = &*row;
        below.par_iter_mut().for_each(|other| {
            let known = product(&other[..pivot], &row[..pivot]);
            other[pivot] = (other[pivot] - known) / row[pivot];
        });
    }
    Some(())
}

/// The inner product in eight fixed chains, which the compiler turns into vectors.
pub(crate) fn product(left: &[f64], right: &[f64]) -> f64 {
    const CHAINS: usize = 8;
    let mut sums = [0.0; CHAINS];
    let (left, left_rest) = left.as_chunks::<CHAINS>();
    let (right, right_rest) = right.as_chunks::<CHAINS>();
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f64 = left_rest
        .iter()
        .zip(right_rest)
        .map(|(left, right)| left * right)
        .sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_solves_the_system() {
        const N: usize = 37;
        let mut state = 1u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
        };
        let rows: Vec<Vec<f64>> = (0..N).map(|_| (0..N).map(|_| random()).collect()).collect();
        let a: Vec<Vec<f64>> = (0..N)
            .map(|row| {
                let entry = |column: usize| {
                    let ridge = if row == column { 0.1 } else { 0.0 };
                    product(&rows[row], &rows[column]) + ridge
                };
                (0..N).map(entry).collect()
            })
            .collect();
        let b: Vec<Vec<f64>> = (0..3).map(|_| (0..N).map(|_| random()).collect()).collect();
        let mut x = b.clone();
        solve(a.clone(), &mut x).unwrap();
        for (x, b) in x.iter().zip(&b) {
            for (row, b) in a.iter().zip(b) {
                assert!((product(row, x) - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_solution() {
        for a in [
            [[1.0, 0.0], [2.0, 1.0]],
            [[0.0, 0.0], [0.0, 1.0]],
            [[f64::NAN, 0.0], [0.0, 1.0]],
        ] {
            let rows = a.iter().map(|row| row.to_vec()).collect();
            assert!(solve(rows, &mut [vec![1.0, 1.0]]).is_none(), "{a:?}");
        }
    }
}
