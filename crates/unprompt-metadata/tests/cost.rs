//! The worst files of 5 MB end in a typed result and in bounded memory, whatever their shape.
//!
//! What they take in time is measured by the example `costs`.

mod worst_files;

use unprompt_metadata::{MetadataErrorKind, read};
use worst_files::{with_memory, worst_files};

const MOST_MEMORY: usize = 64_000_000;

#[test]
fn the_worst_files_end_in_a_typed_result_and_bounded_memory() {
    for (name, bytes) in worst_files() {
        let (result, memory) = with_memory(|| read(&bytes));
        match result {
            Ok(_) => {}
            Err(error) => {
                let kind = error.kind();
                let is_refused = matches!(
                    kind,
                    MetadataErrorKind::Malformed | MetadataErrorKind::TooLarge
                );
                assert!(is_refused, "{name}: {kind:?}: {error}");
            }
        }
        if let Some(memory) = memory {
            assert!(memory < MOST_MEMORY, "{name} took {memory} bytes");
        }
    }
}
