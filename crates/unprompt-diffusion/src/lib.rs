//! Stable Diffusion: a text to the picture that was drawn from it.
//!
//! ```no_run
//! use unprompt_diffusion::{Drawing, Pipeline, Settings};
//!
//! let pipeline = Pipeline::open("stable-diffusion-v1-5".as_ref(), &Default::default(), &mut |note| eprintln!("{note}"))?;
//! let settings = Settings::of(&pipeline);
//! let drawn = pipeline.draw(&[Drawing::new("a cat", 1)], &settings, &mut |_, _| {})?;
//! std::fs::write("cat.png", drawn[0].png()?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A pipeline is a folder in the layout of diffusers: `model_index.json`, and a folder each for the
//! scheduler, the tokenizers, CLIP's text encoders, the UNet and the VAE. Every shape and switch comes
//! from their configuration files; a switch that is not built is an error that names it.
//!
//! Invariant: in f32 on the processor a picture is the same bits alone, in a batch and on any number of
//! threads. On a graphics card, in f32, f16 or bf16, the same layers are candle's operations; the scheduler
//! computes in f32 on the processor in any case.
//!
//! Invariant: the starting noise of a seed is the same on every machine; see [`Noise`].
//!
//! Invariant: this crate fetches nothing and writes no file.

mod attention;
mod configuration;
mod drawing;
mod error;
mod layers;
mod noise;
mod picture;
mod pipeline;
mod residual_block;
mod schedule;
mod settings;
mod text;
mod unet;
mod vae;

pub use error::{DiffusionError, Result};
pub use noise::Noise;
pub use picture::{Drawn, Infotext};
pub use pipeline::Pipeline;
pub use schedule::SchedulerKind;
pub use settings::{Drawing, Settings};
