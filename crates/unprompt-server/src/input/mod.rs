//! What a body holds: pictures, and options beside them.

mod fields;
mod parsed;
mod pictures;

pub(crate) use fields::Fields;
pub(crate) use parsed::parsed;
pub(crate) use pictures::{PictureRequest, picture_of_text, pictures_of_texts};
