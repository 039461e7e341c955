//! Bodies: into memory under limits, or away.

use crate::{
    error::{ErrorKind, ServeError},
    service::Service,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt as _;
use std::{sync::Arc, time::Instant};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{timeout, timeout_at},
};

/// The place that a body takes up among all; given back when this is dropped.
pub(super) type Held = Vec<OwnedSemaphorePermit>;

/// A whole body. What is refused is read to its end all the same, as far as that is not too far, for a
/// client that is still writing would not see the answer.
///
/// # Errors
/// When it is too long, there is no place for it among the others, it comes too slowly or breaks off.
pub(super) async fn gather(
    service: &Service,
    headers: &HeaderMap,
    mut body: Body,
    deadline: Instant,
) -> Result<(Bytes, Held), ServeError> {
    let limits = service.limits();
    let too_long = || {
        let message = format!("the body is longer than the {} bytes allowed", limits.body);
        ServeError::new(ErrorKind::TooLarge, message)
    };
    if announced(headers).is_some_and(|length| length > limits.body as u64) {
        discard(service, headers, body).await;
        return Err(too_long());
    }
    let (mut bytes, mut held) = (Vec::new(), Held::new());
    loop {
        let data = match next(service, &mut body, deadline).await? {
            Some(data) => data,
            None => return Ok((bytes.into(), held)),
        };
        let refusal = if bytes.len() + data.len() > limits.body {
            Some(too_long())
        } else {
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let place = Arc::clone(service.bodies()).try_acquire_many_owned(length);
            match place {
                Ok(place) => {
                    held.push(place);
                    None
                }
                Err(_) => Some(ServeError::new(
                    ErrorKind::Busy,
                    "there is no memory for another body now; try again later",
                )),
            }
        };
        if let Some(refusal) = refusal {
            drop((bytes, held));
            discard(service, headers, body).await;
            return Err(refusal);
        }
        bytes.extend_from_slice(&data);
    }
}

/// Reads on without keeping anything, at most twice as much as a body may have, and no longer than the
/// client is waited for between two pieces.
pub(super) async fn discard(service: &Service, headers: &HeaderMap, mut body: Body) {
    // Such a client has not sent its body yet, and will not when it sees the answer.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let deadline = Instant::now() + service.options().timeouts.idle;
    let mut left = service.limits().body.saturating_mul(2);
    while let Ok(Some(data)) = next(service, &mut body, deadline).await {
        left = left.saturating_sub(data.len());
        if left == 0 {
            break;
        }
    }
}

/// The next piece of data; `None` at the end.
async fn next(
    service: &Service,
    body: &mut Body,
    deadline: Instant,
) -> Result<Option<Bytes>, ServeError> {
    let slow = |_| ServeError::new(ErrorKind::Slow, "the request came too slowly");
    loop {
        let frame = timeout(service.options().timeouts.idle, body.frame());
        let frame = timeout_at(deadline.into(), frame).await.map_err(slow)?;
        match frame.map_err(slow)? {
            None => return Ok(None),
            Some(Err(_)) => return Err(ServeError::malformed("the body breaks off")),
            // Trailers have no data.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}
