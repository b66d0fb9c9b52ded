//! The client of a running agent: what it makes of each way to answer, as pool-agent does.

use std::time::Duration;

use pool_domain::{Conversation, Probe};
use pool_simulator::world::{AgentBody, AgentCall, AgentReply, Ending};
use serde_json::{Value, json};

use crate::place::Place;
use crate::sim::POOL_API_KEY;

/// What an agent became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provisioned {
    pub(crate) invite_url: Option<String>,
    pub(crate) conversation_id: Option<String>,
}

/// Why an agent was not provisioned, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProvisionFailure {
    Sure { reason: String, status: Option<u16> },
    Unknown { reason: String },
}

/// What became of a call to an agent.
enum Heard {
    Answer { status: u16, body: Body },
    Silence,
    Broken,
}

enum Body {
    Json(Value),
    Text,
    Broken,
    TooLong,
    Never,
}

impl Place {
    /// `GET /pool/health`: why it is not ready, if it is not.
    pub(crate) async fn health(&self, url: &str, limit: Duration) -> Result<(), String> {
        match self.call_agent(url, "GET", "/pool/health", "", limit).await {
            Heard::Answer {
                status: 200,
                body: Body::Json(body),
            } if body["ready"] == json!(true) => Ok(()),
            Heard::Answer { status: 200, .. } => Err("not ready".to_owned()),
            Heard::Answer { status, .. } => Err(format!("HTTP {status}")),
            Heard::Silence => Err("no answer in time".to_owned()),
            Heard::Broken => Err("connection closed".to_owned()),
        }
    }

    /// A probe of one tick; a first failure is repeated twice where the planner wants it.
    pub(crate) async fn probe(&self, url: &str, repeats: u32, policy: ProbePolicy) -> Probe {
        let mut times = 0;
        loop {
            match self.health(url, policy.timeout).await {
                Ok(()) => return Probe::Ready,
                Err(reason) if times >= repeats => {
                    return Probe::Failed {
                        times: times + 1,
                        reason,
                    };
                }
                Err(_repeated) => times += 1,
            }
            self.sim.scheduler.sleep(policy.repeat_after).await;
        }
    }

    /// `GET /convos/status`.
    pub(crate) async fn conversation(&self, url: &str, limit: Duration) -> Conversation {
        let answer = self.call_agent(url, "GET", "/convos/status", "", limit);
        match answer.await {
            Heard::Answer {
                status: 200,
                body: Body::Json(body),
            } => match body["conversation"]["id"].as_str() {
                Some(id) => Conversation::In {
                    conversation_id: id.to_owned(),
                    invite_url: None,
                },
                None => Conversation::None,
            },
            Heard::Answer {
                status: 200,
                body: Body::Broken | Body::Never,
            }
            | Heard::Answer {
                status: 502..=504, ..
            }
            | Heard::Silence
            | Heard::Broken => Conversation::NoAnswer,
            Heard::Answer { .. } => Conversation::None,
        }
    }

    /// `POST /pool/provision`. Never repeated by itself.
    pub(crate) async fn provision(
        &self,
        url: &str,
        agent_name: &str,
        limit: Duration,
    ) -> Result<Provisioned, ProvisionFailure> {
        let body = json!({"agentName": agent_name, "instructions": "Answer in one sentence."});
        let heard = self
            .call_agent(url, "POST", "/pool/provision", &body.to_string(), limit)
            .await;
        let unknown = |reason: &str| {
            let reason = reason.to_owned();
            Err(ProvisionFailure::Unknown { reason })
        };
        match heard {
            Heard::Answer {
                status: 200,
                body: Body::Json(body),
            } if body["ok"] == json!(true) => {
                let text = |name: &str| body[name].as_str().map(str::to_owned);
                Ok(Provisioned {
                    invite_url: text("inviteUrl"),
                    conversation_id: text("conversationId"),
                })
            }
            Heard::Answer { status: 200, .. } => unknown("200, and not what was agreed"),
            Heard::Answer {
                status: status @ (400 | 401 | 403 | 404 | 413 | 503),
                ..
            } => Err(ProvisionFailure::Sure {
                reason: format!("HTTP {status}"),
                status: Some(status),
            }),
            Heard::Answer { status, .. } => unknown(&format!("HTTP {status}")),
            Heard::Silence => unknown("no answer in time"),
            Heard::Broken => unknown("connection closed"),
        }
    }

    async fn call_agent(
        &self,
        url: &str,
        method: &str,
        path: &str,
        body: &str,
        limit: Duration,
    ) -> Heard {
        let domain = url.trim_start_matches("https://").to_owned();
        self.step().await;
        self.pause(5, 100).await;
        let call = AgentCall {
            method,
            path,
            bearer: Some(POOL_API_KEY),
            body: body.as_bytes(),
        };
        let reply = self.sim.world(|world| world.agent_call(&domain, call));
        let (wait, heard) = hear(reply, limit);
        self.sim.scheduler.sleep(wait).await;
        self.pause(5, 100).await;
        self.step().await;
        heard
    }
}

/// How agents are probed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProbePolicy {
    pub(crate) timeout: Duration,
    pub(crate) repeat_after: Duration,
}

fn hear(reply: AgentReply, limit: Duration) -> (Duration, Heard) {
    if reply.delay >= limit {
        return (limit, Heard::Silence);
    }
    let status = reply.status;
    let (wait, body) = match reply.ending {
        Ending::Nothing => return (reply.delay, Heard::Broken),
        Ending::Never => return (limit, Heard::Silence),
        Ending::MidAnswer => (reply.delay, Body::Broken),
        Ending::Stalled => (limit, Body::Never),
        Ending::Huge => (reply.delay, Body::TooLong),
        Ending::Whole => match reply.body {
            AgentBody::Json(value) => (reply.delay, Body::Json(value)),
            AgentBody::Text(_) => (reply.delay, Body::Text),
        },
    };
    (wait, Heard::Answer { status, body })
}
