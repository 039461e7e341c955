//! What a request goes through on its way to a handler and back.

use super::{body, guard};
use crate::{
    dialects,
    error::{ErrorKind, ServeError},
    openapi, page,
    route::{Call, Route, own_error},
    service::Service,
    work::busy,
};
use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
    routing::{MethodFilter, on},
};
use serde_json::json;
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// All places.
fn routes() -> Vec<Route> {
    let mut routes = dialects::routes();
    routes.extend(page::routes());
    routes.push(openapi::route(&routes));
    routes
}

/// All places of a service.
pub(super) fn router(service: &Arc<Service>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let filter = match route.method {
            Method::GET => MethodFilter::GET,
            _ => MethodFilter::POST,
        };
        let path = route.path;
        let (service, route) = (Arc::clone(service), Arc::new(route));
        let handler = move |request: Request| {
            let (service, route) = (Arc::clone(&service), Arc::clone(&route));
            async move { answer(&service, Some(&route), ErrorKind::Bug, request).await }
        };
        router = router.route(path, on(filter, handler));
    }
    let nowhere = |kind| {
        let service = Arc::clone(service);
        move |request: Request| {
            let service = Arc::clone(&service);
            async move { answer(&service, None, kind, request).await }
        }
    };
    router
        .fallback(nowhere(ErrorKind::NotFound))
        .method_not_allowed_fallback(nowhere(ErrorKind::Method))
}

/// Answers a request, `kind` being what is wrong with one that has no route, and tells of it.
async fn answer(
    service: &Arc<Service>,
    route: Option<&Route>,
    kind: ErrorKind,
    request: Request,
) -> Response {
    let started = Instant::now();
    let id = next_id();
    let method = request.method().clone();
    let outcome = match route {
        Some(route) => handled(service, route, request, started).await,
        None => refused(service, kind, request).await,
    };
    let (mut response, error) = match outcome {
        Ok(response) => (response, None),
        Err(error) => {
            let response = route.map_or_else(|| own_error(&error), |route| (route.errors)(&error));
            (response, Some(error))
        }
    };
    finish(&mut response, error.as_ref(), &id);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    let path = route.map_or("none", |route| route.path);
    service.metrics().request(path, status, took);
    tell(service, &id, &method, path, status, took, error.as_ref());
    response
}

async fn refused(
    service: &Service,
    kind: ErrorKind,
    request: Request,
) -> Result<Response, ServeError> {
    let (parts, body) = request.into_parts();
    body::discard(service, &parts.headers, body).await;
    guard::check(service.options(), false, &parts.headers)?;
    Err(ServeError::new(
        kind,
        match kind {
            ErrorKind::Method => "this place takes another method; see /docs",
            _ => "there is no such place; see /docs",
        },
    ))
}

async fn handled(
    service: &Arc<Service>,
    route: &Route,
    request: Request,
    started: Instant,
) -> Result<Response, ServeError> {
    let (parts, body) = request.into_parts();
    let is_welcome = guard::check(service.options(), route.is_open, &parts.headers);
    let has_body = route.body.is_some();
    let is_welcome = is_welcome.and_then(|()| match has_body && !service.has_room() {
        true => Err(busy()),
        false => Ok(()),
    });
    if let Err(error) = is_welcome {
        body::discard(service, &parts.headers, body).await;
        return Err(error);
    }
    let deadline = started + service.options().timeouts.request;
    let (body, _held) = body::gather(service, &parts.headers, body, deadline).await?;
    let call = Call {
        headers: parts.headers,
        body,
        deadline,
    };
    // A bug in a handler costs its own request.
    let mut answering = (route.handler)(Arc::clone(service), call);
    poll_fn(|context| {
        let poll = || answering.as_mut().poll(context);
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|_| {
            let message = "the server failed on this request, which is a bug";
            Poll::Ready(Err(ServeError::bug(message)))
        })
    })
    .await
}

/// Headers of every answer.
fn finish(response: &mut Response, error: Option<&ServeError>, id: &str) {
    const SECONDS: HeaderValue = HeaderValue::from_static("1");
    const SCHEMES: HeaderValue =
        HeaderValue::from_static("Basic realm=\"unprompt\", charset=\"UTF-8\", Bearer");
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if let Ok(id) = id.parse() {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    match error.map(ServeError::kind) {
        Some(ErrorKind::Busy | ErrorKind::Unavailable) => {
            headers.insert(header::RETRY_AFTER, SECONDS);
        }
        Some(ErrorKind::Unauthorized) => {
            headers.insert(header::WWW_AUTHENTICATE, SCHEMES);
        }
        _ => {}
    }
}

/// One line of a log. There is nothing in it that a client has written.
fn tell(
    service: &Service,
    id: &str,
    method: &Method,
    route: &str,
    status: u16,
    took: Duration,
    error: Option<&ServeError>,
) {
    let Some(log) = &service.options().log else {
        return;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let method = match *method {
        Method::GET | Method::POST | Method::HEAD | Method::OPTIONS => method.as_str(),
        _ => "other",
    };
    let mut line = json!({
        "time": now.as_millis() as u64,
        "request": id,
        "method": method,
        "route": route,
        "status": status,
        "ms": (took.as_secs_f64() * 1e4).round() / 10.0,
    });
    if let Some(error) = error {
        line["error"] = error.kind().name().into();
    }
    log(&line.to_string());
}

/// Distinct within this process, and very likely among processes.
fn next_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{number:x}", std::process::id())
}
