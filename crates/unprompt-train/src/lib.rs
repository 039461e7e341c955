//! Weights of one's own: heads between a frozen image tower and the sentence encoder, and whole
//! Vision Transformers.
//!
//! ```text
//! pictures --tower--> features  \
//!                                SourceRows --ridge----------> HeadWeights --save--> head.safetensors
//! captions --encoder--> targets /           --head_by_gradient->                     config.json
//!
//! pictures, targets --Vit::forward, loss, Vit::backward--> Gradients --AdamW--> Vit
//! ```
//!
//! Invariant: this crate reads no model and no data set; features, embeddings and tensors come through
//! the caller, who keeps the dear ones in a [`VectorStore`].
//!
//! Invariant: the closed form is computed in f64, each sum in one fixed order; what is trained by
//! gradient in f32 by the layers of [`unprompt_nn::training`]. Both have the same bits with any number of
//! threads.
//!
//! Invariant: whatever looks random is a function of the seed and of what it is for, never of what was
//! drawn before.
//!
//! Invariant: a head's folder is written whole, its configuration last.

mod augment;
mod by_gradient;
mod cholesky;
mod device;
mod error;
mod head;
mod head_network;
mod loss;
mod mixture;
mod optimiser;
mod parameters;
mod picture_file;
mod random;
mod ridge;
mod rows;
mod schedule;
mod store;
mod strength;
mod tensor_file;
mod vit;
mod vit_options;
mod vit_state;
mod vit_training;
mod vocabulary;

pub use augment::Augment;
pub use by_gradient::{GradientOptions, HeadEpoch, head_by_gradient};
pub use device::Numbers;
pub use error::{Result, TrainError};
pub use head::{Affine, HeadConfig, HeadWeights, SourceNotice, TowerNotice, save_head};
pub use head_network::{HeadBatch, HeadNetwork, HeadShape};
pub use loss::{Loss, cosine_loss, entropy_loss};
pub use mixture::SourceItems;
pub use optimiser::{AdamW, AdamWOptions, average_weights};
pub use parameters::{Gradients, Parameter, Treatment};
pub use picture_file::{PictureFile, PictureFileWriter, Place};
pub use ridge::{Ridge, RidgeOptions, ridge};
pub use rows::SourceRows;
pub use schedule::Schedule;
pub use store::VectorStore;
pub use strength::{STRENGTHS, StrengthChoice, StrengthScore, choose_strength};
pub use vit::{Kept, Part, Vit, VitFamily, VitShape};
pub use vit_options::{Stage, VitOptions};
pub use vit_training::{Draw, Position, StepReport, VitBatch, VitTraining};
pub use vocabulary::{Chosen, Vocabulary};

// For whoever makes steps with [`Vit`] alone.
pub use unprompt_nn::training::{Workspace, recycle};
