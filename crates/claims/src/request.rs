//! What a caller asks for and what he gets.

use std::fmt;
use std::sync::Arc;

use pool_domain::{IdempotencyKey, InstanceId, Secret};

/// What an agent is to become.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// What it is to call itself.
    pub agent_name: String,
    /// What it is told to be and to do: the caller's own, and in no log.
    pub instructions: Arc<str>,
    /// The conversation that it is to join; none to open one of its own.
    pub join_url: Option<String>,
    /// The name by which the caller may repeat it.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl fmt::Debug for ClaimRequest {
    /// Without the instructions and the link: they are the caller's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimRequest")
            .field("agent_name", &self.agent_name)
            .field("idempotency_key", &self.idempotency_key)
            .finish_non_exhaustive()
    }
}

/// An agent that is the caller's now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Under which the row, the service and the API know it.
    pub instance_id: InstanceId,
    /// How others join its conversation, as the agent says.
    pub invite_url: Option<String>,
    /// Its conversation; may be none although it joined one.
    pub conversation_id: Option<String>,
    /// Whether it joined an existing conversation.
    pub joined: bool,
    /// What the caller proves itself with at the gateway; none where it has none.
    pub gateway_token: Option<Secret>,
    /// Where its gateway answers.
    pub gateway_url: Option<String>,
    /// Whether an earlier claim under the same key got it, and this one repeats its answer.
    pub is_replayed: bool,
}
