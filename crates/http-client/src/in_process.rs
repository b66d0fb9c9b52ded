//! Requests that are answered in this process, by a service that stands for everything outside. The
//! time that a request has runs on tokio's clock, so that a paused one is obeyed.

use std::error::Error;
use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyDataStream, BodyExt};
use tokio::time::{Instant, timeout_at};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use crate::SendError;

/// A service that answers in place of the network.
pub(crate) type InProcess =
    BoxCloneSyncService<http::Request<Bytes>, http::Response<reqwest::Body>, io::Error>;

/// Such a service, of one that answers with a body of any kind.
pub(crate) fn boxed<S, B>(service: S) -> InProcess
where
    S: Service<http::Request<Bytes>, Response = http::Response<B>, Error = io::Error>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    BoxCloneSyncService::new(service.map_response(|response: http::Response<B>| {
        response.map(|body| reqwest::Body::wrap_stream(BodyDataStream::new(body)))
    }))
}

/// As reqwest sends: what time a request has is for its answer and for the answer's body.
pub(crate) async fn send(
    service: InProcess,
    request: reqwest::Request,
) -> Result<reqwest::Response, SendError> {
    let deadline = request.timeout().map(|timeout| Instant::now() + *timeout);
    let (parts, body) = http::Request::<reqwest::Body>::try_from(request)?.into_parts();
    let body = body.collect().await?.to_bytes();
    let answer = service.oneshot(http::Request::from_parts(parts, body));
    let response = within(deadline, answer).await??;
    Ok(response.map(|body| ended_at(deadline, body)).into())
}

/// The same body, which breaks off when its time is over.
fn ended_at(deadline: Option<Instant>, body: reqwest::Body) -> reqwest::Body {
    let chunks = Some(BodyDataStream::new(body));
    reqwest::Body::wrap_stream(stream::unfold(chunks, move |chunks| async move {
        let mut chunks = chunks?;
        let chunk = match within(deadline, chunks.next()).await {
            Ok(chunk) => chunk?.map_err(Into::into),
            Err(late) => return Some((Err(late.into()), None)),
        };
        Some((chunk, Some(chunks))) as Option<(Result<Bytes, Box<dyn Error + Send + Sync>>, _)>
    }))
}

async fn within<T>(deadline: Option<Instant>, wait: impl Future<Output = T>) -> io::Result<T> {
    match deadline {
        Some(deadline) => Ok(timeout_at(deadline, wait).await?),
        None => Ok(wait.await),
    }
}
