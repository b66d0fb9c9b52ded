//! The program in a service, as its callers see it: pure answers to requests. Every call to
//! provision is kept, so that a test can tell whether an agent was handed out twice.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::AgentFault;

/// How many calls to provision are kept per agent: more than a run makes, and a bound.
const PROVISIONS_KEPT: usize = 100;

/// One agent. What it was provisioned with stays on its volume over restarts and redeploys.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// What it does to its callers now.
    pub fault: Option<AgentFault>,
    /// Each call to provision that reached it, with what became of it.
    pub provisions: Vec<Provision>,
    /// The conversation that it is in.
    pub conversation: Option<AgentConversation>,
}

/// One call to provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    pub at: DateTime<Utc>,
    pub agent_name: String,
    pub join_url: Option<String>,
    pub outcome: Outcome,
}

/// What became of a call to provision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The agent joined a conversation.
    Done,
    /// It was in one already: somebody handed it out twice.
    Twice,
    /// It refused, and nothing was done.
    Refused,
}

/// The conversation that an agent is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConversation {
    pub id: String,
    /// Who the agent is in it.
    pub agent_name: String,
    /// How others join it; none when the agent joined one of theirs.
    pub invite_url: Option<String>,
}

/// What an agent knows of the container that it runs in.
#[derive(Debug, Clone)]
pub(super) struct Liveness {
    /// Whether it booted long enough.
    pub(super) booted: bool,
    /// The key that it accepts.
    pub(super) key: Option<String>,
}

/// A request to an agent.
#[derive(Debug, Clone, Copy)]
pub struct AgentCall<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// The bearer key that came with it.
    pub bearer: Option<&'a str>,
    pub body: &'a [u8],
}

/// An agent's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentReply {
    pub status: u16,
    pub body: AgentBody,
    /// How long it takes before the first byte.
    pub delay: Duration,
    pub ending: Ending,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentBody {
    Json(Value),
    /// Plain text, of a broken agent.
    Text(&'static str),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// After the whole answer.
    Whole,
    /// Half way through the answer.
    MidAnswer,
    /// Without an answer.
    Nothing,
    /// Never: it is held open and silent.
    Never,
    /// Never, after half of the answer.
    Stalled,
    /// After 2 GiB.
    Huge,
}

impl AgentReply {
    fn json(status: u16, body: Value) -> Self {
        let body = AgentBody::Json(body);
        Self {
            status,
            body,
            delay: Duration::ZERO,
            ending: Ending::Whole,
        }
    }

    /// What Railway's edge says in an agent's place.
    pub(super) fn edge(status: u16, message: &str) -> Self {
        let body = json!({"status": "error", "code": status, "message": message});
        Self::json(status, body)
    }

    const fn text(status: u16, text: &'static str) -> Self {
        let body = AgentBody::Text(text);
        Self {
            status,
            body,
            delay: Duration::ZERO,
            ending: Ending::Whole,
        }
    }

    const fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProvisionBody {
    agent_name: Option<String>,
    instructions: Option<String>,
    join_url: Option<String>,
}

impl Agent {
    /// How many calls handed it to somebody, the second and later ones too.
    pub(crate) fn times_handed_out(&self) -> usize {
        self.provisions
            .iter()
            .filter(|call| call.outcome != Outcome::Refused)
            .count()
    }

    pub(super) fn answer(
        &mut self,
        now: DateTime<Utc>,
        rng: &mut fastrand::Rng,
        liveness: &Liveness,
        call: AgentCall<'_>,
    ) -> AgentReply {
        match self.fault {
            Some(AgentFault::Hang | AgentFault::Mute) => {
                return AgentReply::text(200, "").ending(Ending::Never);
            }
            Some(AgentFault::Error) => {
                return AgentReply::json(500, json!({"error": "something broke"}));
            }
            Some(AgentFault::Garbage) => return AgentReply::text(200, "<!doctype html><p>hm"),
            Some(AgentFault::Stall) => {
                let begun = json!({"ready": true, "ok": true});
                return AgentReply::json(200, begun).ending(Ending::Stalled);
            }
            Some(AgentFault::Redirect) => return AgentReply::text(307, "Temporary Redirect"),
            Some(AgentFault::EdgeHidesStatus) if call.path == "/convos/status" => {
                return AgentReply::edge(404, "Application not found");
            }
            Some(AgentFault::Huge) => return AgentReply::text(200, "").ending(Ending::Huge),
            Some(AgentFault::Close) => return AgentReply::text(200, "").ending(Ending::Nothing),
            _ => {}
        }
        let mut reply = self.answer_in_earnest(now, rng, liveness, call);
        match self.fault {
            Some(AgentFault::Slow { ms }) => reply.delay = Duration::from_millis(ms),
            Some(AgentFault::CloseMidAnswer) => reply.ending = Ending::MidAnswer,
            _ => {}
        }
        reply
    }

    fn answer_in_earnest(
        &mut self,
        now: DateTime<Utc>,
        rng: &mut fastrand::Rng,
        liveness: &Liveness,
        call: AgentCall<'_>,
    ) -> AgentReply {
        let knows_another = self.fault == Some(AgentFault::OtherKey);
        let key = liveness.key.as_deref().filter(|_| !knows_another);
        if key.is_none_or(|key| call.bearer != Some(key)) {
            return AgentReply::json(401, json!({"error": "Unauthorized"}));
        }
        match (call.method, call.path) {
            ("GET", "/pool/health") => AgentReply::json(200, self.health(liveness)),
            ("GET", "/convos/status") => AgentReply::json(200, self.status(liveness)),
            ("POST", "/pool/provision") => self.provision(now, rng, liveness, call.body),
            _ => AgentReply::json(404, json!({"error": "Not Found"})),
        }
    }

    fn is_ready(&self, liveness: &Liveness) -> bool {
        liveness.booted && self.fault != Some(AgentFault::Unready)
    }

    fn health(&self, liveness: &Liveness) -> Value {
        json!({"ready": self.is_ready(liveness), "version": "1.0.0", "runtime": "simulated"})
    }

    fn status(&self, liveness: &Liveness) -> Value {
        let conversation = self.conversation.as_ref();
        json!({
            "ready": self.is_ready(liveness),
            "conversation": conversation.map(|c| json!({"id": c.id})),
            "streaming": conversation.is_some(),
        })
    }

    fn provision(
        &mut self,
        now: DateTime<Utc>,
        rng: &mut fastrand::Rng,
        liveness: &Liveness,
        body: &[u8],
    ) -> AgentReply {
        let Ok(ProvisionBody {
            agent_name: Some(agent_name),
            instructions: Some(_),
            join_url,
        }) = serde_json::from_slice(body)
        else {
            let error = "agentName and instructions (strings) are required";
            return AgentReply::json(400, json!({ "error": error }));
        };
        let refused = match self.fault {
            Some(AgentFault::RefuseProvision { status }) => Some(status),
            _ if !self.is_ready(liveness) => Some(503),
            _ => None,
        };
        let outcome = match (refused, &self.conversation) {
            (Some(_), _) => Outcome::Refused,
            (None, Some(_)) => Outcome::Twice,
            (None, None) => Outcome::Done,
        };
        let join_url = join_url.filter(|url| !url.is_empty());
        let joined = join_url.is_some();
        if self.provisions.len() < PROVISIONS_KEPT {
            let agent_name = agent_name.clone();
            self.provisions.push(Provision {
                at: now,
                agent_name,
                join_url,
                outcome,
            });
        }
        if let Some(status) = refused {
            return AgentReply::json(status, json!({"error": "provisioning is refused"}));
        }
        if outcome == Outcome::Twice && self.fault != Some(AgentFault::TakesAnother) {
            return AgentReply::json(409, json!({"error": "already in a conversation"}));
        }
        let id = format!("{:032x}", rng.u128(..));
        let invite_url = (!joined).then(|| format!("https://dev.convos.org/v2?i={id}"));
        let mut reply = json!({"ok": true, "conversationId": id, "joined": joined});
        if let Some(url) = &invite_url {
            reply["inviteUrl"] = json!(url);
        }
        self.conversation = Some(AgentConversation {
            id,
            agent_name,
            invite_url,
        });
        match self.fault {
            Some(AgentFault::ErrorAfterProvision) => {
                AgentReply::json(500, json!({"error": "something broke afterwards"}))
            }
            Some(AgentFault::LoseProvision) => AgentReply::text(200, "").ending(Ending::Nothing),
            Some(AgentFault::HangAfterProvision) => AgentReply::text(200, "").ending(Ending::Never),
            _ => AgentReply::json(200, reply),
        }
    }
}
