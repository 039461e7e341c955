//! Reads the weights in files of `torch.save`, without Python and without running anything.
//!
//! Both of torch's formats: the zip archive (since torch 1.6) and the stream of pickles before
//! it. Where the state dict is found in the pickle is described at `state_dict.rs`.

mod archive;
mod globals;
mod legacy;
mod machine;
mod permission;
mod state_dict;
mod tensor;
mod value;
mod zip;

pub(crate) use archive::read_layouts as read_archive;
pub(crate) use legacy::read_layouts as read_legacy;
pub use permission::Pickle;
pub(crate) use permission::pickle_denied;
