//! A port for each agent: its service's domain is `127.0.0.1:PORT`, and whatever asks there gets
//! what the world says the agent, or the edge in its place, answers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::answers::{huge, never, stalled};
use super::connection::{self, CONNECTIONS_MAX, Handler, broken_off, unanswered};
use super::files::Capacity;
use super::shared::Shared;
use crate::SimulatorError;
use crate::faults::AgentFault;
use crate::world::{AgentBody, AgentCall, AgentReply, Ending};

/// How large a body an agent takes: instructions may have 1 MiB in the pool's own API.
const BODY_MAX_BYTES: usize = 2 * 1024 * 1024;

/// The ports that are taken, and what may be.
#[derive(Debug)]
pub(super) struct Ports {
    taken: Mutex<BTreeMap<String, CancellationToken>>,
    capacity: Capacity,
    connections: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Ports {
    pub(super) fn new(capacity: Capacity, stop: CancellationToken) -> Self {
        Self {
            taken: Mutex::default(),
            capacity,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            stop,
        }
    }

    /// Serves a port of the operating system's choice until its domain, which this gives, is given
    /// up. Refused when as many agents as may be have one.
    pub(super) fn open(&self, shared: &Arc<Shared>) -> Result<String, SimulatorError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= self.capacity.agents {
            return Err(SimulatorError::TooManyAgents {
                at_most: self.capacity.agents,
                limit: self.capacity.limit,
            });
        }
        let (listener, domain) = bind().map_err(|source| SimulatorError::Listen {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            source,
        })?;
        let stop = self.stop.child_token();
        taken.insert(domain.clone(), stop.clone());
        let agent = Arc::new(AgentPort {
            shared: Arc::clone(shared),
            domain: domain.clone(),
        });
        let connections = Arc::clone(&self.connections);
        // No connection is kept open, so that a thousand agents hold a thousand files and not two.
        tokio::spawn(connection::serve(listener, agent, connections, false, stop));
        Ok(domain)
    }

    /// Gives up the ports of these domains.
    pub(super) fn close(&self, domains: &[String]) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for domain in domains {
            if let Some(stop) = taken.remove(domain) {
                stop.cancel();
            }
        }
    }
}

fn bind() -> std::io::Result<(TcpListener, String)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let domain = listener.local_addr()?.to_string();
    Ok((TcpListener::from_std(listener)?, domain))
}

#[derive(Debug)]
struct AgentPort {
    shared: Arc<Shared>,
    domain: String,
}

impl Handler for AgentPort {
    async fn handle(&self, request: Request<Incoming>) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(Body::new(body), BODY_MAX_BYTES).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let authorization = parts.headers.get(header::AUTHORIZATION);
        let bearer = authorization
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, key)| key);
        let call = AgentCall {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            bearer,
            body: &body,
        };
        let reply = self
            .shared
            .world(|world| world.agent_call(&self.domain, call));
        send(reply, parts.uri.path()).await
    }

    fn is_mute(&self) -> bool {
        let fault = self
            .shared
            .world(|world| world.agent_fault_at(&self.domain));
        fault == Some(AgentFault::Mute)
    }
}

async fn send(reply: AgentReply, path: &str) -> Response {
    tokio::time::sleep(reply.delay).await;
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match reply.body {
        AgentBody::Json(value) => (status, axum::Json(value)).into_response(),
        AgentBody::Text(text) => (status, text).into_response(),
    };
    if status.is_redirection()
        && let Ok(back) = HeaderValue::from_str(path)
    {
        response.headers_mut().insert(header::LOCATION, back);
    }
    match reply.ending {
        Ending::Whole => response,
        Ending::MidAnswer => broken_off(response, BODY_MAX_BYTES).await,
        Ending::Nothing => unanswered(),
        Ending::Never => never().await,
        Ending::Stalled => stalled(response, BODY_MAX_BYTES).await,
        Ending::Huge => huge(),
    }
}
