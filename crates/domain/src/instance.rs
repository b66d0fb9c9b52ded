//! An instance as our records know it: the intent side of every decision.

use chrono::{DateTime, Utc};

use crate::{
    DeploymentStatus, Epoch, InboxId, InstanceId, KeyHash, Secret, ServiceId, State, Status,
};

/// One row of `instances`, without its instructions and its lease token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Twelve random characters: the primary key, and part of the name of its service.
    pub id: InstanceId,
    /// Its service on Railway; unique.
    pub service_id: ServiceId,
    /// The prefix and the id, unless it was made by an older build.
    pub name: String,
    /// Where its agent answers, with the scheme. A known one is never replaced by none.
    pub url: Option<String>,
    /// Where it stands in the state machine.
    pub status: Status,
    /// What Railway last said of its latest deployment.
    pub deploy_status: Option<DeploymentStatus>,
    /// The name that its claimer gave it.
    pub agent_name: Option<String>,
    /// The conversation it is in.
    pub conversation_id: Option<String>,
    /// How others join that conversation.
    pub invite_url: Option<String>,
    /// When its row, or its service before that, was made.
    pub created_at: DateTime<Utc>,
    /// When it was claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// The branch that the server which claimed it was built from.
    pub source_branch: Option<String>,
    /// The hash by which OpenRouter deletes its key.
    pub openrouter_key_hash: Option<KeyHash>,
    /// The address of its inbox, which is also its id.
    pub agentmail_inbox_id: Option<InboxId>,
    /// The token of its gateway, which the claimer is given.
    pub gateway_token: Option<Secret>,
    /// The image it runs.
    pub runtime_image: Option<String>,
    /// Counts its changes of status.
    pub epoch: Epoch,
    /// Since when it has its status.
    pub status_changed_at: DateTime<Utc>,
    /// Claims that surely failed on it, in a row.
    pub failed_claims: u8,
    /// Start of the first complete listing that lacked its service.
    pub missing_since: Option<DateTime<Utc>>,
    /// When a person asked for its destruction.
    pub delete_requested_at: Option<DateTime<Utc>>,
    /// Adopted, and its agent was not yet asked whether it holds a conversation.
    pub unasked: bool,
}

impl Instance {
    /// What decides where it may go.
    #[must_use]
    pub const fn state(&self) -> State {
        State {
            status: self.status,
            delete_requested: self.delete_requested_at.is_some(),
            unasked: self.unasked,
            failed_claims: self.failed_claims,
        }
    }

    /// Dead, or a person asked for its destruction.
    #[must_use]
    pub const fn is_to_be_destroyed(&self) -> bool {
        self.state().is_to_be_destroyed()
    }
}

/// What the event log last said of a service, as far as adoption asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastEvent {
    /// Its row was removed: the service is never adopted, but destroyed again.
    Removed,
    /// It became claimed or crashed: it comes back as crashed.
    ClaimedOrCrashed,
    /// Any other event, which says neither.
    Other,
}
