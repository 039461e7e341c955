//! Reads weight files, safetensors and pickles, as untrusted data.
