//! The record of what was made, or set out to be made, outside for one instance.

use chrono::{DateTime, Utc};

use crate::{InboxId, InstanceId, KeyHash, Secret, ServiceId, VolumeId};

/// One row of `provisions`: from before the first call outside until nothing is left outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRecord {
    /// The instance that all of it is made for, drawn before anything is made.
    pub id: InstanceId,
    /// The name of its service, key and inbox.
    pub name: String,
    /// Its service, once Railway answered.
    pub service_id: Option<ServiceId>,
    /// Its volume, once Railway answered.
    pub volume_id: Option<VolumeId>,
    /// Its OpenRouter key, once OpenRouter answered.
    pub openrouter_key_hash: Option<KeyHash>,
    /// Its AgentMail inbox, once AgentMail answered.
    pub agentmail_inbox_id: Option<InboxId>,
    /// The token of its gateway, drawn with the intent.
    pub gateway_token: Option<Secret>,
    /// How far it came.
    pub stage: Stage,
    /// How often its present step failed in a row.
    pub attempts: u32,
    /// Not before then is it tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// When the intent was written.
    pub created_at: DateTime<Utc>,
    /// When its present step was last begun: what was asked for then may show only later.
    pub step_began_at: DateTime<Utc>,
    /// When Railway accepted the deletion of its service.
    pub service_deleted_at: Option<DateTime<Utc>>,
    /// The steps of its destruction that are done.
    pub destroyed: Vec<DestroyStep>,
}

impl ResourceRecord {
    /// Whether this step of its destruction is done.
    #[must_use]
    pub fn is_destroyed(&self, step: DestroyStep) -> bool {
        self.destroyed.contains(&step)
    }
}

/// How far a provision came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Being made; this step is the next to take, or was begun and its answer not yet recorded.
    Creating(CreateStep),
    /// Everything was made, and it was deployed.
    Created,
    /// Its belongings are being deleted, one step after another.
    Destroying,
}

/// The steps of a creation, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CreateStep {
    /// Make the OpenRouter key.
    Key,
    /// Make the AgentMail inbox.
    Inbox,
    /// `serviceCreate`, by name only.
    Service,
    /// The row is inserted: from then on it counts as an instance.
    Row,
    /// `volumeCreate`, attached to the service; skipped where agents have none.
    Volume,
    /// `serviceDomainCreate`: where its agent will answer.
    Domain,
    /// `environmentPatchCommit`: image, start command, limits, variables; the one deployment.
    Commit,
}

impl CreateStep {
    /// Every step, in order.
    pub const ALL: [Self; 7] = [
        Self::Key,
        Self::Inbox,
        Self::Service,
        Self::Row,
        Self::Volume,
        Self::Domain,
        Self::Commit,
    ];
}

/// The steps of a destruction. They do not wait for one another; only the row waits for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DestroyStep {
    /// Delete the OpenRouter key.
    Key,
    /// Delete the AgentMail inbox.
    Inbox,
    /// Delete the recorded and observed volumes.
    Volumes,
    /// Delete the service, after its volumes: none of them says afterwards whose it was.
    Service,
}

impl DestroyStep {
    /// Every step, in the order in which they are begun.
    pub const ALL: [Self; 4] = [Self::Key, Self::Inbox, Self::Volumes, Self::Service];

    /// The word that is stored for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Inbox => "inbox",
            Self::Volumes => "volumes",
            Self::Service => "service",
        }
    }

    /// The step with this name, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

impl Stage {
    /// As stored in `provisions.step`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating(CreateStep::Key) => "key",
            Self::Creating(CreateStep::Inbox) => "inbox",
            Self::Creating(CreateStep::Service) => "service",
            Self::Creating(CreateStep::Row) => "row",
            Self::Creating(CreateStep::Volume) => "volume",
            Self::Creating(CreateStep::Domain) => "domain",
            Self::Creating(CreateStep::Commit) => "commit",
            Self::Created => "created",
            Self::Destroying => "destroying",
        }
    }

    /// The stage with this name, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        CreateStep::ALL
            .map(Self::Creating)
            .into_iter()
            .chain([Self::Created, Self::Destroying])
            .find(|stage| stage.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_read_back_as_it_was_written() {
        for stage in CreateStep::ALL.map(Stage::Creating) {
            assert_eq!(Stage::parse(stage.as_str()), Some(stage));
        }
        assert_eq!(Stage::parse("created"), Some(Stage::Created));
        assert_eq!(Stage::parse("destroying"), Some(Stage::Destroying));
        assert_eq!(Stage::parse("gone"), None);
        for step in DestroyStep::ALL {
            assert_eq!(DestroyStep::parse(step.as_str()), Some(step));
        }
    }
}
