//! One module for each family of generators: what its record looks like and how it is read.

pub(crate) mod a1111;
pub(crate) mod comfyui;
pub(crate) mod draw_things;
pub(crate) mod easy_diffusion;
pub(crate) mod fooocus;
pub(crate) mod invokeai;
pub(crate) mod midjourney;
pub(crate) mod mochi_diffusion;
pub(crate) mod novelai;
pub(crate) mod plain;
pub(crate) mod swarmui;
