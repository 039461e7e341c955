//! Names, fetches, verifies and caches model files.
