//! Lists of prompts: their texts, their embeddings, and indexes of them.

pub(crate) mod carried;
pub(crate) mod list_index;
pub(crate) mod phrase_table;
pub(crate) mod prompt_index;
pub(crate) mod prompt_list;
pub(crate) mod store;
