//! Bodies taken apart where that keeps nobody waiting.

use crate::error::ServeError;

/// Shorter bodies are taken apart at once.
const LONG: usize = 64 << 10;

/// Takes a body of this length apart.
pub(crate) async fn parsed<T: Send + 'static>(
    length: usize,
    parse: impl FnOnce() -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    if length < LONG {
        return parse();
    }
    let parsed = tokio::task::spawn_blocking(parse).await;
    parsed.unwrap_or_else(|_| Err(ServeError::bug("the request could not be taken apart")))
}
