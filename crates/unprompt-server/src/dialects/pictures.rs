//! One picture of a request, and what becomes of it.

use crate::{
    error::{ErrorKind, ServeError},
    input::picture_of_text,
    service::Service,
    task::{Answer, Input, InputFailure, Task},
};
use std::time::Instant;

/// A picture in a dialect whose servers do not tell a text that is no base64 from a picture that cannot be
/// decoded.
///
/// # Errors
/// When it is no base64, or an address.
pub(super) fn picture_of(text: &str) -> Result<Input, ServeError> {
    picture_of_text("image", text).map_err(|error| match error.kind() {
        ErrorKind::Malformed => ServeError::new(ErrorKind::Picture, error.to_string()),
        _ => error,
    })
}

/// What becomes of one picture.
///
/// # Errors
/// When it has no answer.
pub(super) async fn answer_of(
    service: &Service,
    task: Task,
    picture: Input,
    deadline: Instant,
) -> Result<Answer, ServeError> {
    let answers = service.submit(task, vec![picture], deadline).await?;
    match answers.into_iter().next() {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(failure)) => Err(picture_error(failure)),
        None => Err(something_else()),
    }
}

/// A picture's failure where it is that of the whole request.
pub(super) fn picture_error(failure: InputFailure) -> ServeError {
    ServeError::new(ErrorKind::Picture, failure.0)
}

/// For an answer that belongs to another task.
pub(super) fn something_else() -> ServeError {
    ServeError::bug("the models answered something else")
}
