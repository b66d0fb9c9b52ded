//! What happened, as each of the parties tells it. Plain data: the check needs nothing else.

use serde::{Deserialize, Serialize};

/// Everything that the check looks at.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct History {
    /// What callers sent and were answered, in the order in which they got their answers.
    pub(super) asks: Vec<Ask>,
    /// Which instances people asked to be destroyed.
    pub(super) unwanted: Vec<String>,
    /// The event log, in the order of its ids.
    pub(super) events: Vec<Event>,
    /// The rows at the end.
    pub(super) rows: Vec<Row>,
    /// Every call that asked an agent to be provisioned, as the agents tell it.
    pub(super) calls: Vec<Call>,
}

/// One claim, or one repetition of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ask {
    /// Each claim has a name of its own, and its repetitions have the same.
    pub(super) agent_name: String,
    /// Whether it has an `Idempotency-Key`. Only then it is repeated.
    pub(super) is_keyed: bool,
    /// Milliseconds since the beginning.
    pub(super) sent_ms: u64,
    /// Milliseconds since the beginning; when it was given up where there was no answer.
    pub(super) answered_ms: u64,
    /// None when the connection failed or broke off.
    pub(super) answer: Option<Answer>,
}

/// What a caller saw.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) has_retry_after: bool,
    pub(super) instance_id: Option<String>,
    pub(super) conversation_id: Option<String>,
    /// The sentence of an error.
    pub(super) error: String,
}

/// A row of `instance_events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) instance_id: String,
    pub(super) service_id: String,
    pub(super) from_status: Option<String>,
    pub(super) to_status: Option<String>,
    pub(super) epoch: i64,
    pub(super) reason: Option<String>,
}

/// A row of `instances`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) service_id: String,
    pub(super) status: String,
    pub(super) epoch: i64,
    pub(super) agent_name: Option<String>,
    pub(super) conversation_id: Option<String>,
    pub(super) delete_requested: bool,
}

/// A call to provision, as the agent tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) service_id: String,
    pub(super) agent_name: String,
    pub(super) outcome: Outcome,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// The agent is in a conversation of this caller's.
    Done,
    /// It was in another's already.
    Twice,
    Refused,
}
