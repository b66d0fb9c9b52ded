//! A server's way to Railway, to the accounts and to the agents: every request is two steps, before
//! it is carried out and before its answer is heard.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use http::{Request, Response};
use pool_simulator::InProcess;
use tokio::time::sleep;
use tower::{Service, ServiceExt};

use crate::node::Node;
use crate::oracle::Oracle;
use crate::trace::{Kind, Trace};

/// How long the way there and back takes at least and at most.
const WAY_MS: std::ops::Range<u64> = 5..80;

#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) service: InProcess,
    pub(crate) node: Arc<Node>,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) trace: Arc<Trace>,
}

impl Wire {
    async fn carry(self, request: Request<Bytes>) -> io::Result<Response<Body>> {
        poll_fn(|cx| self.node.poll_step(cx, "before a request")).await;
        sleep(Duration::from_millis(self.node.draw(WAY_MS))).await;
        poll_fn(|cx| self.node.poll_alive(cx)).await;
        let shown = shown(&request);
        self.node.fingerprint(shown.as_bytes());
        self.oracle.sees_removal(&request);
        let making = self.oracle.sees_making(&request, self.node.number);
        let answered = self.service.clone().oneshot(request).await;
        let is_done = matches!(&answered, Ok(answer) if answer.status().is_success());
        self.trace.count(|counts| {
            counts.requests += 1;
            counts.failed_requests += u64::from(!is_done);
        });
        if let Some(making) = making.filter(|_| !is_done) {
            self.oracle.sees_failure(&making);
        }
        self.node.tell(Kind::Call, || match &answered {
            Ok(answer) => format!("{shown}: {}", answer.status()),
            Err(error) => format!("{shown}: {error}"),
        });
        poll_fn(|cx| self.node.poll_step(cx, "after a request")).await;
        answered
    }
}

/// What is asked, on one line and without secrets.
fn shown(request: &Request<Bytes>) -> String {
    let path = request.uri().path();
    let host = request.uri().host().unwrap_or_default();
    if !path.starts_with("/graphql") {
        return format!("{} {host}{path}", request.method());
    }
    let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let operation = body["operationName"].as_str().unwrap_or("?").to_owned();
    let variables = &body["variables"];
    let named = ["name", "id", "serviceId", "volumeId"]
        .iter()
        .find_map(|field| {
            variables[field]
                .as_str()
                .or_else(|| variables["input"][field].as_str())
        });
    format!("{operation} {}", named.unwrap_or_default())
}

impl Service<Request<Bytes>> for Wire {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        self.clone().carry(request).boxed()
    }
}
