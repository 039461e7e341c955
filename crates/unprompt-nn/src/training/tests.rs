//! Every gradient against finite differences, and the same bits on any number of threads.

use super::*;
use crate::Activation;

/// Numbers between -1 and 1 that look random.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A loss whose derivative by the output is `upstream`.
fn loss(output: &[f32], upstream: &[f32]) -> f64 {
    let pairs = output.iter().zip(upstream);
    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Compares a gradient with the differences of the loss over five points.
fn check(name: &str, at: &[f32], gradient: &[f32], loss: impl Fn(&[f32]) -> f64) {
    const STEP: f32 = 0.02;
    assert_eq!(at.len(), gradient.len(), "{name}");
    // All of a small input; of a larger one a few.
    for index in (0..at.len()).step_by(at.len().div_ceil(40)) {
        let beside = |steps: f32| {
            let mut moved = at.to_vec();
            moved[index] += steps * STEP;
            loss(&moved)
        };
        let difference = 8.0 * (beside(1.0) - beside(-1.0)) - beside(2.0) + beside(-2.0);
        let expected = difference / (12.0 * f64::from(STEP));
        let found = f64::from(gradient[index]);
        let error = (found - expected).abs();
        assert!(
            error < 1e-4 * expected.abs().max(1.0),
            "{name}[{index}]: {found}, by differences {expected}"
        );
    }
}

#[test]
fn the_fully_connected_layer() {
    for (rows, outputs, inputs) in [(1, 3, 5), (40, 37, 19), (70, 5, 33)] {
        let shape = LinearShape { outputs, inputs };
        let (x, weight) = (numbers(1, rows * inputs), numbers(2, outputs * inputs));
        let (bias, upstream) = (numbers(3, outputs), numbers(4, rows * outputs));
        let value = |x: &[f32], weight: &[f32], bias: &[f32]| {
            loss(&linear(x, weight, Some(bias), shape).unwrap(), &upstream)
        };
        let input = input_backward(&upstream, &weight, shape).unwrap();
        check("x", &x, &input, |x| value(x, &weight, &bias));
        let (mut by_weight, mut by_bias) = (Vec::new(), Vec::new());
        weight_backward(&x, &upstream, shape, &mut by_weight).unwrap();
        bias_backward(&upstream, outputs, &mut by_bias).unwrap();
        check("weight", &weight, &by_weight, |weight| {
            value(&x, weight, &bias)
        });
        check("bias", &bias, &by_bias, |bias| value(&x, &weight, bias));

        // What is there already is added to.
        let (once, once_bias) = (by_weight.clone(), by_bias.clone());
        weight_backward(&x, &upstream, shape, &mut by_weight).unwrap();
        bias_backward(&upstream, outputs, &mut by_bias).unwrap();
        let doubled =
            |twice: &[f32], once: &[f32]| twice.iter().zip(once).all(|(a, b)| *a == 2.0 * b);
        assert!(doubled(&by_weight, &once) && doubled(&by_bias, &once_bias));

        let residual = numbers(5, rows * outputs);
        let added = linear_residual(&x, &weight, Some(&bias), &residual, shape).unwrap();
        let plain = linear(&x, &weight, Some(&bias), shape).unwrap();
        assert!(
            added
                .iter()
                .zip(plain.iter().zip(&residual))
                .all(|(sum, (a, b))| *sum == a + b)
        );
    }
}

#[test]
fn layer_normalisation() {
    for (rows, width) in [(1, 4), (70, 24), (3, 401)] {
        let (x, weight) = (numbers(1, rows * width), numbers(2, width));
        let (bias, upstream) = (numbers(3, width), numbers(4, rows * width));
        let value = |x: &[f32], weight: &[f32], bias: &[f32]| {
            let epsilon = 0.1;
            let norm = Normalised {
                weight,
                bias,
                epsilon,
            };
            loss(&layer_norm(x, norm).unwrap(), &upstream)
        };
        let (weight_ref, bias_ref) = (weight.as_slice(), bias.as_slice());
        let norm = Normalised {
            weight: weight_ref,
            bias: bias_ref,
            epsilon: 0.1,
        };
        let (mut by_weight, mut by_bias) = (Vec::new(), Vec::new());
        let mut input = vec![0.5; x.len()];
        let gradients = [&mut by_weight, &mut by_bias];
        layer_norm_backward(&x, &upstream, norm, gradients, &mut input).unwrap();
        // It was added to what was there.
        input.iter_mut().for_each(|value| *value -= 0.5);
        check("x", &x, &input, |x| value(x, &weight, &bias));
        check("weight", &weight, &by_weight, |weight| {
            value(&x, weight, &bias)
        });
        check("bias", &bias, &by_bias, |bias| value(&x, &weight, bias));
    }
}

#[test]
fn batch_normalisation() {
    let (rows, width) = (12, 7);
    let (x, weight) = (numbers(1, rows * width), numbers(2, width));
    let (bias, upstream) = (numbers(3, width), numbers(4, rows * width));
    let value = |x: &[f32], weight: &[f32], bias: &[f32]| {
        let norm = Normalised {
            weight,
            bias,
            epsilon: 0.1,
        };
        loss(&batch_norm(x, norm).unwrap().0, &upstream)
    };
    let norm = Normalised {
        weight: &weight,
        bias: &bias,
        epsilon: 0.1,
    };
    let (_, statistics) = batch_norm(&x, norm).unwrap();
    let (mut by_weight, mut by_bias) = (Vec::new(), Vec::new());
    let gradients = [&mut by_weight, &mut by_bias];
    let input = batch_norm_backward(&x, &upstream, norm, &statistics, gradients).unwrap();
    check("x", &x, &input, |x| value(x, &weight, &bias));
    check("weight", &weight, &by_weight, |weight| {
        value(&x, weight, &bias)
    });
    check("bias", &bias, &by_bias, |bias| value(&x, &weight, bias));
    assert!(batch_norm(&x[..width], norm).is_err());
}

#[test]
fn activations() {
    // Away from the corners, where there is no derivative.
    let x: Vec<f32> = (-60..60).map(|step| step as f32 * 0.15 + 0.07).collect();
    let upstream = numbers(1, x.len());
    for activation in [
        Activation::Identity,
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
    ] {
        let mut input = upstream.clone();
        activate_backward(activation, &x, &mut input).unwrap();
        check(&format!("{activation:?}"), &x, &input, |x| {
            loss(&activate(activation, x).unwrap(), &upstream)
        });
    }
    let mut corners = [1.0; 4];
    activate_backward(Activation::Relu6, &[0.0, 6.0, 3.0, 7.0], &mut corners).unwrap();
    assert_eq!(corners, [0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn attention_to_all_tokens() {
    for (sequences, length, heads, width) in [(1, 1, 1, 4), (3, 17, 3, 24), (2, 40, 2, 72)] {
        let shape = AttentionShape {
            length,
            heads,
            width,
        };
        let tokens = sequences * length;
        let qkv: Vec<f32> = numbers(1, tokens * 3 * width)
            .iter()
            .map(|v| v * 2.0)
            .collect();
        let upstream = numbers(2, tokens * width);
        let gradient = attention_backward(&qkv, &upstream, shape).unwrap();
        check(&format!("{shape:?}"), &qkv, &gradient, |qkv| {
            loss(&attention(qkv, shape).unwrap(), &upstream)
        });
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (rows, width) = (4 * 50, 96);
    let shape = LinearShape {
        outputs: 3 * width,
        inputs: width,
    };
    let heads = AttentionShape {
        length: 50,
        heads: 3,
        width,
    };
    let (x, weight) = (numbers(1, rows * width), numbers(2, 3 * width * width));
    let (ones, upstream) = (vec![1.0; width], numbers(3, rows * width));
    let step = || {
        let norm = Normalised {
            weight: &ones,
            bias: &ones,
            epsilon: 1e-6,
        };
        let normal = layer_norm(&x, norm).unwrap();
        let qkv = linear(&normal, &weight, None, shape).unwrap();
        let by_qkv = attention_backward(&qkv, &upstream, heads).unwrap();
        let (mut by_weight, mut by_bias) = (Vec::new(), Vec::new());
        weight_backward(&normal, &by_qkv, shape, &mut by_weight).unwrap();
        bias_backward(&by_qkv, 3 * width, &mut by_bias).unwrap();
        let by_normal = input_backward(&by_qkv, &weight, shape).unwrap();
        let (mut input, mut gains, mut shifts) = (upstream.clone(), Vec::new(), Vec::new());
        let gradients = [&mut gains, &mut shifts];
        layer_norm_backward(&x, &by_normal, norm, gradients, &mut input).unwrap();
        let all = [input, by_weight, by_bias, gains, shifts].concat();
        all.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(step)
    };
    let alone = on(1);
    assert!(alone == on(2) && alone == on(5));
}

#[test]
fn attention_of_one_query_is_that_of_all_where_only_it_is_read() {
    for (length, heads, width, sequences) in [(1, 1, 4, 2), (37, 3, 57, 3), (50, 2, 64, 1)] {
        let shape = AttentionShape {
            length,
            heads,
            width,
        };
        let qkv = numbers(1, sequences * length * 3 * width);
        let upstream = numbers(2, sequences * width);
        let tokens = || qkv.chunks_exact(3 * width);
        let firsts = |rows: &[f32], width: usize| -> Vec<f32> {
            let firsts = rows.chunks_exact(width).step_by(length);
            firsts.flatten().copied().collect()
        };
        let queries = firsts(&qkv, 3 * width);
        let queries: Vec<f32> = queries
            .chunks_exact(3 * width)
            .flat_map(|token| token[..width].to_vec())
            .collect();
        let keys_values: Vec<f32> = tokens().flat_map(|token| token[width..].to_vec()).collect();

        let found = single_attention(&queries, &keys_values, shape).unwrap();
        assert_eq!(found, firsts(&attention(&qkv, shape).unwrap(), width));

        let mut all = vec![0.0; sequences * length * width];
        for (row, upstream) in all
            .chunks_exact_mut(length * width)
            .zip(upstream.chunks(width))
        {
            row[..width].copy_from_slice(upstream);
        }
        let expected = attention_backward(&qkv, &all, shape).unwrap();
        let (by_queries, by_keys_values) =
            single_attention_backward(&queries, &keys_values, &upstream, shape).unwrap();
        let mut found = Vec::new();
        for (token, rest) in by_keys_values.chunks_exact(2 * width).enumerate() {
            let sequence = token / length * width;
            match token % length {
                0 => found.extend_from_slice(&by_queries[sequence..sequence + width]),
                _ => found.resize(found.len() + width, 0.0),
            }
            found.extend_from_slice(rest);
        }
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() <= 1e-6,
                "{shape:?} {index}: {found}, of all {expected}"
            );
        }
        assert_eq!(found.len(), expected.len());
        let value = |queries: &[f32], keys_values: &[f32]| {
            loss(
                &single_attention(queries, keys_values, shape).unwrap(),
                &upstream,
            )
        };
        check("queries", &queries, &by_queries, |queries| {
            value(queries, &keys_values)
        });
        check(
            "keys and values",
            &keys_values,
            &by_keys_values,
            |keys_values| value(&queries, keys_values),
        );
    }
}

#[test]
fn rows_that_do_not_fit_are_errors() {
    let shape = LinearShape {
        outputs: 2,
        inputs: 3,
    };
    assert!(linear(&[0.0; 4], &[0.0; 6], None, shape).is_err());
    assert!(linear(&[0.0; 3], &[0.0; 5], None, shape).is_err());
    assert!(linear(&[0.0; 3], &[0.0; 6], Some(&[0.0]), shape).is_err());
    assert!(linear_residual(&[0.0; 3], &[0.0; 6], None, &[0.0], shape).is_err());
    assert!(input_backward(&[0.0; 3], &[0.0; 6], shape).is_err());
    let mut wrong = vec![0.0];
    assert!(weight_backward(&[0.0; 3], &[0.0; 2], shape, &mut wrong).is_err());
    assert!(bias_backward(&[0.0; 2], 2, &mut vec![0.0]).is_err());
    let zero = LinearShape {
        outputs: 2,
        inputs: 0,
    };
    assert!(linear(&[], &[], None, zero).is_err());
    let shape = AttentionShape {
        length: 2,
        heads: 2,
        width: 3,
    };
    assert!(attention(&[0.0; 18], shape).is_err());
    let shape = AttentionShape {
        length: 2,
        heads: 1,
        width: 3,
    };
    let error = attention_backward(&[0.0; 18], &[0.0; 5], shape).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attention: a derivative: 5 values where 6 are needed"
    );
    assert!(single_attention(&[0.0; 3], &[0.0; 11], shape).is_err());
    assert!(single_attention_backward(&[0.0; 3], &[0.0; 12], &[0.0; 2], shape).is_err());
    let none = AttentionShape { length: 0, ..shape };
    assert!(single_attention(&[], &[], none).is_err());
    let norm = Normalised {
        weight: &[1.0],
        bias: &[],
        epsilon: 1e-6,
    };
    assert!(layer_norm(&[0.0], norm).is_err());
    assert!(activate_backward(Activation::Gelu, &[0.0], &mut []).is_err());
}
