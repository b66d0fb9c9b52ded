//! What is written to the rows of `instances`: decided by the planner, executed by the database.
//! Each carries the status and epoch that it was decided from, and changes nothing if they moved on.

use chrono::{DateTime, Utc};

use crate::{
    DeploymentStatus, Epoch, InboxId, InstanceId, KeyHash, Secret, ServiceId, Status, VolumeId,
};

/// A change of status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// The instance whose row is to change.
    pub id: InstanceId,
    /// The status that it was decided from.
    pub from: Status,
    /// The epoch that it was decided from.
    pub epoch: Epoch,
    /// The status that the state machine leads to.
    pub to: Status,
    /// Why, for the event log.
    pub reason: String,
    /// The conversation that its agent named, where that is what made it claimed.
    pub conversation: Option<FoundConversation>,
    /// Whether the fuse counts it: a claimed or proven instance is lost by it, and no person asked.
    pub is_loss: bool,
}

/// A conversation that an agent named as its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundConversation {
    /// The id that the agent names; without it nothing is known of any.
    pub conversation_id: String,
    /// How others join it, where the agent says.
    pub invite_url: Option<String>,
}

/// New values for the observed columns of a row whose status stays. Every field is the whole new
/// value of its column. Never written to a row in `claiming`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The instance whose columns are to change.
    pub id: InstanceId,
    /// The epoch that it was decided from.
    pub epoch: Epoch,
    /// The service's name, which Railway may have been told to change.
    pub name: String,
    /// Where its agent answers.
    pub url: Option<String>,
    /// What Railway says of its latest deployment.
    pub deploy_status: Option<DeploymentStatus>,
    /// The image it runs.
    pub runtime_image: Option<String>,
    /// What callers prove themselves with at its gateway; told to its claimer alone.
    pub gateway_token: Option<Secret>,
    /// The inbox that its variables name.
    pub agentmail_inbox_id: Option<InboxId>,
    /// When it was claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// Start of the first complete listing that lacked its service.
    pub missing_since: Option<DateTime<Utc>>,
    /// Whether its agent is still to be asked for a conversation.
    pub unasked: bool,
}

/// A row for an instance that is being made, inserted as `starting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    /// The id in the name of the service.
    pub id: InstanceId,
    /// The service that was made for it.
    pub service_id: ServiceId,
    /// The service's name, which its key and inbox bear too.
    pub name: String,
    /// The hash by which OpenRouter deletes its key.
    pub openrouter_key_hash: Option<KeyHash>,
    /// The address of its AgentMail inbox; none where no account is configured.
    pub agentmail_inbox_id: Option<InboxId>,
    /// What callers prove themselves with at its gateway; told to its claimer alone.
    pub gateway_token: Option<Secret>,
    /// The image it is to run.
    pub runtime_image: Option<String>,
}

/// A row for a service of ours that had none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The id in the service's name.
    pub id: InstanceId,
    /// The service that has no row yet.
    pub service_id: ServiceId,
    /// The name that Railway shows, which begins with our prefix.
    pub name: String,
    /// Where its agent answers.
    pub url: Option<String>,
    /// `starting`, or `crashed` where its history says that it was somebody's.
    pub status: Status,
    /// What Railway says of its latest deployment.
    pub deploy_status: Option<DeploymentStatus>,
    /// The image it runs.
    pub runtime_image: Option<String>,
    /// The token of its gateway, from its variables.
    pub gateway_token: Option<Secret>,
    /// Its inbox, from its variables.
    pub agentmail_inbox_id: Option<InboxId>,
    /// When its service was made.
    pub created_at: DateTime<Utc>,
    /// Its creation, for one that comes back as crashed: the time of its claim is not known.
    pub claimed_at: Option<DateTime<Utc>>,
    /// Why it was adopted so, for the event log.
    pub reason: String,
}

/// Everything outside that is known to belong to one instance, for its destruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedResources {
    /// The instance that these belong to.
    pub id: InstanceId,
    /// The name of its service, key and inbox.
    pub name: String,
    /// Its service; none when it was never made, or nobody knows.
    pub service_id: Option<ServiceId>,
    /// The hash of its OpenRouter key; none where it is known by its name alone.
    pub openrouter_key_hash: Option<KeyHash>,
    /// The address of its AgentMail inbox; none where it is known by its name alone.
    pub agentmail_inbox_id: Option<InboxId>,
    /// Its volumes: the recorded one, and those observed attached to its service.
    pub volume_ids: Vec<VolumeId>,
}
