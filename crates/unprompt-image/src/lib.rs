//! Decodes untrusted images under limits, resizes as Pillow does and normalises as each model asks.
