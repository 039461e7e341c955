//! Reads the prompt that an image file itself carries.
