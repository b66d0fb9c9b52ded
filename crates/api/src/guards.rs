//! What surrounds every request: an id, a log line, a time limit, a bound on how many run at once,
//! headers that keep browsers careful, and JSON where a handler panics.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, Span};

use crate::auth::carries_key;
use crate::error::ApiError;
use crate::state::Shared;

/// By which a request is found in the logs of all that it passed.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A UUID has 36; longer ids are not taken over from a stranger into the logs.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// How many may be served at once of each kind, until their answers are taken: none of them can take
/// the places of another.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) claims: Arc<Semaphore>,
    /// What else changes something.
    pub(crate) changes: Arc<Semaphore>,
    /// Readers who know the key.
    pub(crate) signed_in: Arc<Semaphore>,
    /// Readers who do not.
    pub(crate) strangers: Arc<Semaphore>,
}

impl Places {
    /// As many as may run or wait for their turn.
    const CLAIMS: usize = 1_024;
    /// Each may wait a minute for the leader; people and scripts ask for a handful.
    const CHANGES: usize = 64;
    /// As many as the cache serves in passing.
    const READERS: usize = 256;

    pub(crate) fn new() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            claims: places(Self::CLAIMS),
            changes: places(Self::CHANGES),
            signed_in: places(Self::READERS),
            strangers: places(Self::READERS),
        }
    }
}

/// Replaces an id that could say more in a log, or in the answer's header, than which request it was
/// by one of our own, which the next layer makes.
pub(crate) async fn distrust_request_id(mut request: Request, next: Next) -> Response {
    let mut ids = request.headers().get_all(REQUEST_ID).iter();
    let (first, second) = (ids.next(), ids.next());
    if second.is_some() || first.is_some_and(|id| !is_plain(id.as_bytes())) {
        request.headers_mut().remove(REQUEST_ID);
    }
    next.run(request).await
}

/// What UUIDs, ULIDs and the ids of traces and proxies are made of.
fn is_plain(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(fits)
}

/// Ends a request that takes longer than any should. What it set in motion goes on.
pub(crate) async fn within(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    timeout(limit, next.run(request))
        .await
        .map_err(|_elapsed| ApiError::TooSlow)
}

/// Refuses what comes on top of the bound, at once: a queue would only hold it longer.
pub(crate) async fn bounded(
    State(places): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    in_place(&places, request, next).await
}

/// The same for what everybody may read: who knows the key has other places than strangers.
pub(crate) async fn bounded_by_key(
    State((shared, places)): State<(Shared, Places)>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let places = if carries_key(request.headers(), &shared.app.key) {
        places.signed_in
    } else {
        places.strangers
    };
    in_place(&places, request, next).await
}

async fn in_place(
    places: &Arc<Semaphore>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let place = Arc::clone(places).try_acquire_owned();
    let place = place.map_err(|_full| ApiError::Crowded)?;
    let response = next.run(request).await;
    let held = |body| Held {
        body,
        _place: place,
    };
    Ok(response.map(|body| Body::new(held(body))))
}

/// An answer that has its place until it is taken.
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Headers that keep browsers careful. Answers are not kept: they age within a second.
pub(crate) async fn careful(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, PAGE_MAY_LOAD),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The page loads its own script and style, asks its own server, and nothing else.
const PAGE_MAY_LOAD: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// One log line for each request, without its query, headers and body. Those that only read are told
/// at debug level: a page asks every other second.
pub(crate) async fn logged(request: Request, next: Next) -> Response {
    let reads_only = request.method().is_safe();
    let span = span(&request);
    let began = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let _entered = span.enter();
    if reads_only {
        tracing::debug!(http.status = status, duration_ms, "answered");
    } else {
        tracing::info!(http.status = status, duration_ms, "answered");
    }
    response
}

fn span(request: &Request) -> Span {
    let id = request.headers().get(REQUEST_ID);
    tracing::info_span!(
        "request",
        http.method = %request.method(),
        http.path = request.uri().path(),
        request.id = id.and_then(|id| id.to_str().ok()).unwrap_or_default(),
    )
}

/// The answer where a handler panicked.
pub(crate) fn panicked(_payload: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::Internal("a handler panicked").into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::to_bytes;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http::StatusCode;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn ask(router: Router) -> (StatusCode, Option<String>, String) {
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        (status, retry_after, String::from_utf8_lossy(&body).into())
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_an_error_in_json_that_tells_nothing() {
        async fn panics() -> &'static str {
            panic!("an internal detail")
        }
        let router = Router::new()
            .route("/", get(panics))
            .layer(CatchPanicLayer::custom(panicked));
        let (status, _, body) = ask(router).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body, r#"{"error":"Internal server error"}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_ended() {
        let limit = Duration::from_secs(5);
        let router = Router::new()
            .route("/", get(std::future::pending::<()>))
            .layer(from_fn_with_state(limit, within));
        let (status, _, body) = ask(router).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(body, r#"{"error":"The request took too long"}"#);
    }

    #[tokio::test]
    async fn what_comes_on_top_of_the_bound_is_told_to_come_again() {
        let places = Arc::new(Semaphore::new(1));
        let router = Router::new()
            .route("/", get(async || "fine"))
            .layer(from_fn_with_state(Arc::clone(&places), bounded));
        assert_eq!(ask(router.clone()).await.0, StatusCode::OK);
        let _taken = places.try_acquire().unwrap();
        let (status, retry_after, body) = ask(router).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(retry_after.as_deref(), Some("2"));
        assert!(body.starts_with(r#"{"error":"Too many requests at once."#));
    }
}
