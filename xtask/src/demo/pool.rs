//! The pool and the simulated Railway as their callers see them: over HTTP, as JSON.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

/// A claim may take as long as its agent; every other answer comes at once. The whole check has a
/// minute.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// An error is one sentence; a page of HTML would hide it.
const QUOTE_CHARS_MAX: usize = 300;

/// The pool manager under demonstration.
pub(super) struct Pool {
    http: Agent,
    url: String,
    key: String,
}

/// What a claim answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claimed {
    pub(super) instance_id: String,
    pub(super) conversation_id: Option<String>,
}

/// One line of `GET /api/pool/status`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) service_id: String,
    pub(super) status: String,
}

#[derive(Deserialize)]
struct Status {
    instances: Vec<Instance>,
}

impl Pool {
    pub(super) fn new(url: String, key: String) -> Self {
        Self {
            http: http(),
            url,
            key,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether the server answers, and is the one that has our key: another may have the port.
    pub(super) fn is_up(&self) -> bool {
        let healthy = self.http.get(format!("{}/healthz", self.url)).call();
        healthy.is_ok_and(|answer| answer.status() == 200) && self.instances().is_ok()
    }

    /// How many instances are in this status.
    pub(super) fn count(&self, status: &str) -> Result<u64> {
        let counts: Value = self.read("/api/pool/counts")?;
        let count = counts.get(status).and_then(Value::as_u64);
        count.with_context(|| format!("GET /api/pool/counts names no {status}: {counts}"))
    }

    pub(super) fn instances(&self) -> Result<Vec<Instance>> {
        Ok(self.read::<Status>("/api/pool/status")?.instances)
    }

    pub(super) fn claim(&self, agent_name: &str) -> Result<Claimed> {
        let body = serde_json::json!({
            "agentName": agent_name,
            "instructions": "Answer in one sentence.",
        });
        let url = format!("{}/api/pool/claim", self.url);
        let request = self
            .http
            .post(url)
            .header("Authorization", self.authorization());
        parse("POST /api/pool/claim", request.send_json(body))
    }

    pub(super) fn destroy(&self, id: &str) -> Result<()> {
        let path = format!("/api/pool/instances/{id}");
        let request = self.http.delete(format!("{}{path}", self.url));
        let answer = request.header("Authorization", self.authorization()).call();
        parse::<Value>(&format!("DELETE {path}"), answer).map(drop)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T> {
        let request = self.http.get(format!("{}{path}", self.url));
        let answer = request.header("Authorization", self.authorization()).call();
        parse(&format!("GET {path}"), answer)
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.key)
    }
}

/// The simulated Railway.
pub(super) struct World {
    http: Agent,
    url: String,
}

#[derive(Deserialize)]
struct WorldView {
    services: Vec<Service>,
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    id: String,
    deleted_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    service_id: Option<String>,
    pending_deletion: bool,
}

/// What there is on Railway for one service.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct Outside {
    pub(super) service: bool,
    pub(super) volumes: usize,
}

impl World {
    pub(super) fn new(url: String) -> Self {
        Self { http: http(), url }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn of_service(&self, id: &str) -> Result<Outside> {
        let answer = self.http.get(format!("{}/world", self.url)).call();
        let world: WorldView = parse("GET /control/world", answer)?;
        let is_it = |service: &Service| service.id == id && service.deleted_at.is_none();
        let has_it =
            |volume: &&Volume| volume.service_id.as_deref() == Some(id) && !volume.pending_deletion;
        Ok(Outside {
            service: world.services.iter().any(is_it),
            volumes: world.volumes.iter().filter(has_it).count(),
        })
    }
}

fn http() -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(ANSWER_LIMIT))
        // The body of an error says what is wrong; we want to read it.
        .http_status_as_error(false)
        .build();
    config.into()
}

fn parse<T: for<'de> Deserialize<'de>>(
    call: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<T> {
    let mut answer = answer.with_context(|| format!("{call} was not answered"))?;
    let status = answer.status();
    let text = answer.body_mut().read_to_string();
    let text = text.with_context(|| format!("the answer to {call} broke off"))?;
    if !status.is_success() {
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        bail!(
            "{call} was answered {status}: {}",
            line.chars().take(QUOTE_CHARS_MAX).collect::<String>()
        );
    }
    serde_json::from_str(&text).with_context(|| format!("{call} was answered with {text}"))
}
