//! Full-size random models against what timm, open_clip and transformers give for them:
//! `fixtures/models/full_size.py` makes them, gigabytes of them, and says how to run this.
#![allow(clippy::print_stdout)] // The measured errors are the result.

mod common;

use common::{TestResult, cosine, ids, relative_error, rows};
use std::path::PathBuf;
use unprompt_checkpoint::Pickle;
use unprompt_models::{
    ClipCheckpoint, Compute, DeviceChoice, Dtype, LoadOptions, SiglipCheckpoint, Vit,
};

const TOLERANCE: f32 = 1e-4;
/// What is asked of int8 weights.
const INT8_COSINE: f64 = 0.999;

#[test]
#[ignore = "needs UNPROMPT_FULL_SIZE, a folder made by full_size.py"]
fn full_size_models_equal_the_references() -> TestResult {
    let root = std::env::var_os("UNPROMPT_FULL_SIZE").ok_or("UNPROMPT_FULL_SIZE")?;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(!folders.is_empty());
    for folder in folders {
        let name = folder
            .file_name()
            .ok_or("no name")?
            .to_string_lossy()
            .into_owned();
        let expected = folder.with_file_name(format!("{name}.safetensors"));
        let check = |part: &str, found: Vec<Vec<f32>>| {
            let error = relative_error(&found.concat(), &rows(&expected, part).concat());
            println!("{name}, {part}: {error:e}");
            assert!(error < TOLERANCE, "{name}, {part}: {error}");
        };
        let pixels = rows(&expected, "pixels");
        let int8 = || -> Result<LoadOptions, unprompt_models::ModelError> {
            Ok(LoadOptions {
                compute: Compute::new(DeviceChoice::Cpu, Some(Dtype::Int8))?,
                ..LoadOptions::default()
            })
        };
        let near = |part: &str, found: Vec<Vec<f32>>| {
            let expected = rows(&expected, part);
            let cosines = expected.iter().zip(&found).map(|(a, b)| cosine(a, b));
            let least = cosines.fold(f64::INFINITY, f64::min);
            println!("{name}, {part}, int8: cosine {least}");
            assert!(least >= INT8_COSINE, "{name}, {part}, int8: {least}");
        };
        if name.starts_with("vit_") {
            check(
                "outputs",
                Vit::load(&folder, Pickle::Deny)?.forward(&pixels)?,
            );
            near("outputs", Vit::load(&folder, int8()?)?.forward(&pixels)?);
            continue;
        }
        let texts = ids(&expected);
        if name.contains("SigLIP") {
            let siglip = SiglipCheckpoint::open(&folder, Pickle::Deny)?;
            check("image", siglip.image_tower()?.forward(&pixels)?);
            check("text", siglip.text_tower()?.forward(&texts)?);
            let siglip = SiglipCheckpoint::open(&folder, int8()?)?;
            near("image", siglip.image_tower()?.forward(&pixels)?);
            near("text", siglip.text_tower()?.forward(&texts)?);
            continue;
        }
        let clip = ClipCheckpoint::open(&folder, Pickle::Deny)?;
        check("image", clip.image_tower()?.forward(&pixels)?);
        check("text", clip.text_tower()?.forward(&texts)?);
        let clip = ClipCheckpoint::open(&folder, int8()?)?;
        near("image", clip.image_tower()?.forward(&pixels)?);
        near("text", clip.text_tower()?.forward(&texts)?);
    }
    Ok(())
}
