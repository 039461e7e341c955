use super::*;
use crate::testing::Draws;

fn channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}

fn worst(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.max_all()?.to_scalar()
}

#[test]
fn equals_candle_stretched_or_not() -> Result<()> {
    let mut draws = Draws::new(1);
    // The last is large enough to be gathered in place.
    for (height, width, kernel, stride, stretched) in [
        (1, 1, 3, 1, None),
        (7, 10, 3, 2, None),
        (6, 5, 1, 1, None),
        (4, 3, 3, 1, Some((8, 6))),
        (4, 5, 3, 1, Some((7, 10))),
        (65, 70, 3, 1, None),
    ] {
        let x = draws.normal(0.0, 1.0, (2, height, width, 20))?;
        let weight = draws.normal(0.0, 0.2, (40, 20, kernel, kernel))?;
        let bias = draws.normal(0.0, 1.0, 40)?;
        let pad = kernel / 2;
        let layer = SpatialConv2d::new(&weight, &bias, stride, pad)?;
        let mut first = channels_first(&x)?;
        if let Some((rows, columns)) = stretched {
            first = first.upsample_nearest2d(rows, columns)?;
        }
        let expected = first.conv2d(&weight, pad, stride, 1, 1)?;
        let expected = expected.permute((0, 2, 3, 1))?.broadcast_add(&bias)?;
        let around = Around {
            stretched_to: stretched,
            ..Around::default()
        };
        let found = layer.forward(&x, &around)?;
        assert_eq!(found.dims(), expected.dims());
        let difference = worst(&found, &expected)?;
        assert!(difference < 1e-4, "{height} x {width}: {difference}");

        let residual = draws.normal(0.0, 1.0, found.dims())?;
        let added = draws.normal(0.0, 1.0, (2, 40))?;
        let around = Around {
            bias: Some(&added),
            residual: Some(&residual),
            ..around
        };
        let whole = layer.forward(&x, &around)?;
        let each = added.reshape((2, 1, 1, 40))?;
        let expected = (expected.broadcast_add(&each)? + &residual)?;
        assert!(worst(&whole, &expected)? < 1e-4);

        let double = |tensor: &Tensor| tensor.to_dtype(DType::F64);
        let stored = SpatialConv2d::new(&double(&weight)?, &double(&bias)?, stride, pad)?;
        let (added, residual) = (double(&added)?, double(&residual)?);
        let composed = Around {
            bias: Some(&added),
            residual: Some(&residual),
            ..around
        };
        let composed = stored.forward(&stored.beside_weights(&x)?, &composed)?;
        assert!(worst(&whole, &composed.to_dtype(DType::F32)?)? < 1e-4);

        let alone = layer.forward(
            &x.narrow(0, 1, 1)?,
            &Around {
                bias: None,
                residual: None,
                ..around
            },
        )?;
        assert_eq!(
            alone.flatten_all()?.to_vec1::<f32>()?,
            found.narrow(0, 1, 1)?.flatten_all()?.to_vec1::<f32>()?
        );
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_errors() -> Result<()> {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu);
    let weight = zeros(&[4, 2, 3, 3])?;
    assert!(SpatialConv2d::new(&weight, &zeros(&[4])?, 0, 1).is_err());
    assert!(SpatialConv2d::new(&weight, &zeros(&[3])?, 1, 1).is_err());
    let layer = SpatialConv2d::new(&weight, &zeros(&[4])?, 1, 1)?;
    let x = zeros(&[1, 5, 5, 2])?;
    assert!(
        layer
            .forward(&zeros(&[1, 5, 5, 3])?, &Around::default())
            .is_err()
    );
    let two = zeros(&[2, 4])?;
    let around = |bias, residual| Around {
        bias,
        residual,
        stretched_to: None,
    };
    assert!(layer.forward(&x, &around(Some(&two), None)).is_err());
    assert!(layer.forward(&x, &around(None, Some(&x))).is_err());
    Ok(())
}
