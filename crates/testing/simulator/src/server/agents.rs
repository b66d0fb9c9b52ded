//! An agent as a peer: whatever asks at its domain gets what the world says the agent, or the edge in
//! its place, answers.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, StatusCode, header};

use super::answers::{broken_off, huge, never, stalled};
use super::connection::{Handler, bearer, unanswered};
use crate::faults::AgentFault;
use crate::world::{AgentBody, AgentCall, AgentReply, Ending};

/// How large a body an agent takes: instructions may have 1 MiB in the pool's own API.
const BODY_MAX_BYTES: usize = 2 * 1024 * 1024;

/// What answers for all agents, each by its domain.
pub(super) trait Agents: std::fmt::Debug + Send + Sync {
    fn call(&self, domain: &str, call: AgentCall<'_>) -> AgentReply;

    fn fault_at(&self, domain: &str) -> Option<AgentFault>;
}

/// Whoever listens at one domain.
#[derive(Debug)]
pub(super) struct Agent {
    agents: Arc<dyn Agents>,
    domain: String,
}

impl Agent {
    pub(super) fn at(agents: Arc<dyn Agents>, domain: &str) -> Self {
        Self {
            agents,
            domain: domain.to_owned(),
        }
    }
}

impl Handler for Agent {
    async fn handle(&self, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, BODY_MAX_BYTES).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let call = AgentCall {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            bearer: bearer(&parts.headers),
            body: &body,
        };
        let reply = self.agents.call(&self.domain, call);
        send(reply, parts.uri.path()).await
    }

    fn is_mute(&self) -> bool {
        self.agents.fault_at(&self.domain) == Some(AgentFault::Mute)
    }
}

async fn send(reply: AgentReply, path: &str) -> Response {
    // The shortest sleep takes a millisecond.
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
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
        Ending::MidAnswer => broken_off(response).await,
        Ending::Nothing => unanswered(),
        Ending::Never => never().await,
        Ending::Stalled => stalled(response).await,
        Ending::Huge => huge(),
    }
}
