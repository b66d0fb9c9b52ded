//! The same world without sockets: what listens at ports elsewhere answers here to whoever calls it,
//! by the host that a request names. Time is the options' clock and tokio's, so that both may be
//! virtual.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Bytes;
use tokio_util::sync::CancellationToken;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use super::agents::Agent;
use super::connection::{Handler, NEVER, Routes, Unanswered};
use super::shared::Shared;

/// The host of all but the agents.
pub(super) const API_HOST: &str = "api.simulated";

/// Answers requests as the network would bring them: an error of the kind `ConnectionRefused` means
/// that nobody listens at the host, any other that the connection was closed without an answer.
pub type InProcess = BoxCloneSyncService<Request<Bytes>, Response<Body>, io::Error>;

pub(super) fn service(
    shared: &Arc<Shared>,
    routes: axum::Router,
    stop: CancellationToken,
) -> InProcess {
    let shared = Arc::clone(shared);
    let routes = Arc::new(Routes(routes));
    InProcess::new(service_fn(move |request: Request<Bytes>| {
        let (shared, routes, stop) = (Arc::clone(&shared), Arc::clone(&routes), stop.clone());
        async move {
            let host = request.uri().authority().map_or("", |host| host.as_str());
            if host == API_HOST {
                return answer(&*routes, request, stop).await;
            }
            let stop = shared.domains.stop_of(host).ok_or_else(refused)?;
            let agent = Agent::at(shared, host);
            answer(&agent, request, stop).await
        }
    }))
}

/// The handler's answer, unless it closes the connection instead or is stopped before.
async fn answer(
    handler: &impl Handler,
    request: Request<Bytes>,
    stop: CancellationToken,
) -> io::Result<Response<Body>> {
    if stop.is_cancelled() {
        return Err(refused());
    }
    let answering = async {
        if handler.is_mute() {
            tokio::time::sleep(NEVER).await;
            return Err(closed());
        }
        let response = handler.handle(request.map(Body::from)).await;
        match response.extensions().get::<Unanswered>() {
            Some(Unanswered) => Err(closed()),
            None => Ok(response),
        }
    };
    tokio::select! {
        // In this order, so that the same run is the same.
        biased;
        () = stop.cancelled() => Err(closed()),
        answer = answering => answer,
    }
}

fn refused() -> io::Error {
    rustix::io::Errno::CONNREFUSED.into()
}

/// In the words of a client.
fn closed() -> io::Error {
    let words = "connection closed before message completed";
    io::Error::new(io::ErrorKind::ConnectionReset, words)
}
