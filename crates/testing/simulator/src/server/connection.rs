//! One loop that takes connections and serves HTTP/1 on them. Unlike a web framework's it can close
//! a connection without an answer, which is half of what a simulator is for.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many connections are served at once by the API, and as many by all agents together: four
/// times what a manager opens with 64 probes in flight.
pub(super) const CONNECTIONS_MAX: usize = 256;

/// How long a request that is never answered is held: longer than any client waits.
pub(super) const NEVER: Duration = Duration::from_mins(10);

/// How long a client may take to send its headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when the machine refuses to take a connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a connection on which nothing is read is looked at, to be given up with its client.
const MUTE_PAUSE: Duration = Duration::from_millis(100);

/// Marks an answer that is not to be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unanswered;

/// The connection was closed on purpose. Whoever reads the body in process is told so in the words
/// that a client has for it.
#[derive(Debug)]
pub(super) struct ClosedOnPurpose;

impl fmt::Display for ClosedOnPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("end of file before message length reached")
    }
}

impl std::error::Error for ClosedOnPurpose {}

/// Answers one request.
pub(super) trait Handler: Send + Sync + 'static {
    /// The answer. One that carries [`Unanswered`] closes the connection instead.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response> + Send;

    /// Whether it reads nothing and says nothing on a connection that it takes now.
    fn is_mute(&self) -> bool {
        false
    }
}

/// Takes connections until it is told to stop.
pub(super) async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    connections: Arc<Semaphore>,
    keep_alive: bool,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let permit = tokio::select! {
            () = stop.cancelled() => return,
            permit = Arc::clone(&connections).acquire_owned() => permit,
        };
        let (handler, stop) = (Arc::clone(&handler), stop.clone());
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = stop.cancelled() => {}
                () = converse(stream, handler, keep_alive) => {}
            }
        });
    }
}

async fn converse<H: Handler>(stream: TcpStream, handler: Arc<H>, keep_alive: bool) {
    // Without this the last bytes of small answers wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    if handler.is_mute() {
        let _ = tokio::time::timeout(NEVER, until_closed(&stream)).await;
        return;
    }
    let service = service_fn(|request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let response = handler.handle(request.map(Body::new)).await;
            if response.extensions().get::<Unanswered>().is_some() {
                return Err(ClosedOnPurpose);
            }
            Ok(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .keep_alive(keep_alive)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended early");
    }
}

/// Waits until the client closes its side, and takes nothing of what it sent.
async fn until_closed(stream: &TcpStream) {
    loop {
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(MUTE_PAUSE).await,
            _ => return,
        }
    }
}

/// An answer that is not sent.
pub(super) fn unanswered() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Unanswered);
    response
}

/// The key that a request shows.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}

/// A web framework's router as a handler.
#[derive(Debug)]
pub(super) struct Routes(pub(super) axum::Router);

impl Handler for Routes {
    async fn handle(&self, request: Request<Body>) -> Response {
        let answer = tower::ServiceExt::oneshot(self.0.clone(), request).await;
        answer.unwrap_or_else(|never: Infallible| match never {})
    }
}
