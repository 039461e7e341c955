//! `unprompt index`.
