//! Calls over HTTP, whose failures are part of the game.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

/// The longest claim takes 24 s with the settings of the servers, on top of which one may be frozen
/// for 12 s. Whoever waits longer is never answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A client; each thread has its own.
pub(super) struct Http {
    agent: Agent,
    key: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) has_retry_after: bool,
    /// Null where the body is no JSON.
    pub(super) body: Value,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoReply {
    /// Nobody listens.
    Refused,
    /// The connection broke.
    Broken,
    /// Nothing came for a minute.
    Silent,
}

impl Http {
    pub(super) fn new(key: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(ANSWER_LIMIT))
            .http_status_as_error(false)
            // A connection that is kept may be one to a server that is dead by now.
            .max_idle_connections(0)
            .build();
        let key = format!("Bearer {key}");
        Self {
            agent: config.into(),
            key,
        }
    }

    pub(super) fn get(&self, url: &str) -> Result<Reply, NoReply> {
        let request = self.agent.get(url).header("Authorization", &self.key);
        reply(request.call())
    }

    pub(super) fn delete(&self, url: &str) -> Result<Reply, NoReply> {
        let request = self.agent.delete(url).header("Authorization", &self.key);
        reply(request.call())
    }

    /// With an `Idempotency-Key`.
    pub(super) fn post_keyed(&self, url: &str, key: &str, body: &Value) -> Result<Reply, NoReply> {
        let request = self.agent.post(url).header("Authorization", &self.key);
        reply(request.header("Idempotency-Key", key).send_json(body))
    }

    pub(super) fn post(&self, url: &str, body: &Value) -> Result<Reply, NoReply> {
        let request = self.agent.post(url).header("Authorization", &self.key);
        reply(request.send_json(body))
    }
}

fn reply(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Reply, NoReply> {
    let mut answer = answer.map_err(|error| why(&error))?;
    let text = answer.body_mut().read_to_string();
    let text = text.map_err(|error| why(&error))?;
    Ok(Reply {
        status: answer.status().as_u16(),
        has_retry_after: answer.headers().contains_key("retry-after"),
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    })
}

fn why(error: &ureq::Error) -> NoReply {
    match error {
        ureq::Error::Timeout(_) => NoReply::Silent,
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            NoReply::Refused
        }
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => NoReply::Silent,
        ureq::Error::ConnectionFailed => NoReply::Refused,
        _ => NoReply::Broken,
    }
}
