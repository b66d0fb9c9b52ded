//! Takes clients' connections and serves the API on them, so that no client, however slow, silent
//! or numerous, keeps the others out: a bound on connections, on each head's size and time, on idle
//! time, and on answers that nobody takes. A request's own time and size are the API's business.

mod connection_state;
mod limits;
mod watched;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, error, warn};

use connection_state::{ConnectionState, Verdict};
use limits::{BUFFER_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};
pub(crate) use limits::{Limits, raise_files};
use watched::Watched;

/// How long to wait when the machine refuses to take a connection (too many open files).
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Those on top of the bound that are told so at once; further ones are closed without a word.
const REFUSALS_AT_ONCE_MAX: usize = 64;
/// How long telling may take.
const REFUSAL_WITHIN: Duration = Duration::from_secs(1);
/// What they are told, as every error of the API is.
const REFUSAL: &str = r#"{"error":"Too many connections at once. Try again in a few seconds."}"#;

/// Serves until `stop`; then no new connection is taken, requests that are being served are
/// answered, with those that were sent behind them, and it ends with the last connection. Dropped, it cuts off every one.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let mut open = Open::new(router, limits, stop.clone());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = open.tasks.join_next_with_id() => open.forget(ended),
            Some(_) = open.refusals.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => open.take(stream),
                Err(refused) if is_of_client(&refused) => {}
                Err(refused) => {
                    warn!(error = %refused, "cannot take a connection; trying again");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = open.tasks.join_next_with_id().await {
        open.forget(ended);
    }
}

/// Whether it went wrong for this one connection alone.
fn is_of_client(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// The connections that are open.
struct Open {
    router: Router,
    limits: Arc<Limits>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    states: HashMap<Id, Arc<ConnectionState>>,
    refusals: JoinSet<()>,
}

impl Open {
    fn new(router: Router, limits: Limits, stop: CancellationToken) -> Self {
        Self {
            router,
            limits: Arc::new(limits),
            stop,
            tasks: JoinSet::new(),
            states: HashMap::new(),
            refusals: JoinSet::new(),
        }
    }

    /// Serves a new connection, or refuses it.
    fn take(&mut self, stream: TcpStream) {
        if self.states.len() >= self.limits.crowded_from {
            self.make_room();
        }
        if self.states.len() >= self.limits.connections {
            if self.refusals.len() < REFUSALS_AT_ONCE_MAX {
                self.refusals.spawn(async move {
                    let _ = timeout(REFUSAL_WITHIN, refuse(stream)).await;
                });
            }
            return;
        }
        let state = Arc::new(ConnectionState::new());
        let connection = Connection {
            router: self.router.clone(),
            limits: Arc::clone(&self.limits),
            state: Arc::clone(&state),
        };
        let task = self
            .tasks
            .spawn(connection.serve(stream, self.stop.clone()));
        self.states.insert(task.id(), state);
    }

    /// Asks the one to go that has been of no use for the longest time.
    fn make_room(&self) {
        let useless = self.states.values().filter_map(|state| {
            let since = state.useless_since()?;
            Some((since, state))
        });
        if let Some((_, state)) = useless.min_by_key(|(since, _)| *since) {
            state.ask_to_go();
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(died) => {
                error!(error = %died, "a connection's task died");
                died.id()
            }
        };
        self.states.remove(&id);
    }
}

struct Connection {
    router: Router,
    limits: Arc<Limits>,
    state: Arc<ConnectionState>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, stop: CancellationToken) {
        // Answers are small, and their readers wait.
        let _ = stream.set_nodelay(true);
        let state = self.state;
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let (router, state) = (self.router.clone(), Arc::clone(&state));
            async move {
                state.begins_to_serve();
                let response = router.oneshot(request.map(Body::new)).await;
                state.has_served();
                response
            }
        });
        let socket = Watched {
            stream,
            state: Arc::clone(&state),
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // This also counts the time between requests, which may be longer; `state` tells them
            // apart.
            .header_read_timeout(None)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX);
        let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
        // A client may have sent more behind what is being served: that is answered, too.
        let mut ends = pin!(async {
            stop.cancelled().await;
            state.queue_ends().await;
        });
        let (mut leaves_by, mut stopping) = (None, false);
        loop {
            let (at, verdict) = match (leaves_by, state.useless_since()) {
                // What is being served is served to its end, and its answer given time.
                (Some(by), Some(since)) => (
                    Instant::max(by, since + self.limits.leaving),
                    Verdict::Cut("it was asked to go"),
                ),
                _ => state.due(&self.limits),
            };
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(why) = ended {
                        debug!(error = %pool_domain::chain(&why), "a connection ended early");
                    }
                    return;
                }
                () = ends.as_mut(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = state.due_sooner() => {
                    if state.is_unwanted() && leaves_by.is_none() {
                        leaves_by = Some(Instant::now() + self.limits.leaving);
                        connection.as_mut().graceful_shutdown();
                    }
                }
                () = sleep_until(at) => match verdict {
                    Verdict::LookAgain => {}
                    // An answer that is still being taken, however slowly, is given that time.
                    Verdict::Close => {
                        leaves_by = Some(Instant::now() + self.limits.stall);
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Cut(why) => {
                        debug!(why, "a connection is cut off");
                        return;
                    }
                },
            }
        }
    }
}

/// Says that there is no room. What the client has sent meanwhile is read, since closing a socket
/// with unread bytes takes back what was written.
async fn refuse(mut stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nretry-after: 2\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n{REFUSAL}",
        REFUSAL.len()
    );
    let mut sent = [0; 4_096];
    if stream.write_all(answer.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        while matches!(stream.read(&mut sent).await, Ok(1..)) {}
    }
}
