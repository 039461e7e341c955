//! What a graphics card computes, candle's operations on whole tensors, computed here on the processor.

use super::cases::{cases, draw_case, fixture};
use unprompt_diffusion::{DiffusionError, Pipeline};
use unprompt_models::{Compute, DeviceChoice, Dtype, LoadOptions};

/// The cases of a folder by name.
fn check(folder: &str, names: &[&str], dtype: Dtype, fits: impl Fn(f32, f32) -> bool) {
    let folder = fixture(folder);
    let cases = cases(&folder).cases;
    for name in names {
        let case = cases.iter().find(|case| case.name == *name).unwrap();
        let apart = draw_case(&folder, case, &Compute::composed(dtype));
        let (difference, share) = (apart.latents.0, apart.share);
        let levels = apart.levels;
        println!(
            "{dtype}, {}, {name}: {difference}, {share} of the largest, {levels:?} levels",
            folder.display()
        );
        assert!(
            fits(difference, share),
            "{dtype}, {name}: {difference}, {share} of the largest"
        );
        if dtype == Dtype::F32 {
            assert!(levels.unwrap_or(0) <= 2, "{name}: {levels:?} levels");
        }
    }
}

#[test]
fn in_double_precision_it_is_the_reference() {
    let exact = |difference: f32, _: f32| difference < 1e-3;
    check(
        "sd1",
        &["ddim 7.5", "odd", "euler-a 7.5"],
        Dtype::F32,
        exact,
    );
    check("sd2", &["dpm++-2m 7.5"], Dtype::F32, exact);
    check(
        "sdxl",
        &["euler 5", "no negative", "turbo"],
        Dtype::F32,
        exact,
    );
}

/// Nothing on the way needs f32; guidance would multiply what is rounded. bf16 has eight bits of each number
/// where f16 has eleven.
#[test]
fn in_half_precision_it_is_near() {
    for (dtype, most) in [(Dtype::F16, 0.005), (Dtype::Bf16, 0.02)] {
        let near = |_: f32, share: f32| share < most && share > 1e-5;
        check("sd1", &["ddim 1", "dpm++-2m 1", "pndm 1"], dtype, near);
        check("sd2", &["euler zero snr"], dtype, near);
        check("sdxl", &["turbo"], dtype, near);
    }
}

#[test]
fn what_no_device_draws_in_is_refused() {
    let compute = Compute::new(DeviceChoice::Cpu, Some(Dtype::Int8)).unwrap();
    let options = LoadOptions {
        compute,
        ..LoadOptions::default()
    };
    let error = Pipeline::open(&fixture("sd1"), &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DiffusionError::Request(_)), "{error}");
    assert!(error.to_string().contains("leave out int8"), "{error}");
}
