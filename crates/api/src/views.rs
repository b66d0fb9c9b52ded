//! What is shown of an instance: to everybody, and to those who know the key.

use chrono::{DateTime, SecondsFormat, Utc};
use pool_db::instances::InstanceView;
use pool_domain::Status;
use serde::{Serialize, Serializer};

/// How many there are of each status, every status named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    starting: u64,
    idle: u64,
    claiming: u64,
    claimed: u64,
    crashed: u64,
    dead: u64,
}

impl Counts {
    pub(crate) const fn of(&self, status: Status) -> u64 {
        match status {
            Status::Starting => self.starting,
            Status::Idle => self.idle,
            Status::Claiming => self.claiming,
            Status::Claimed => self.claimed,
            Status::Crashed => self.crashed,
            Status::Dead => self.dead,
        }
    }
}

impl From<pool_db::instances::Counts> for Counts {
    fn from(counts: pool_db::instances::Counts) -> Self {
        Self {
            starting: counts.starting,
            idle: counts.idle,
            claiming: counts.claiming,
            claimed: counts.claimed,
            crashed: counts.crashed,
            dead: counts.dead,
        }
    }
}

/// What everybody may see of an instance.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ForAll<'a> {
    id: &'a str,
    service_id: &'a str,
    name: &'a str,
    url: Option<&'a str>,
    status: &'static str,
    deploy_status: Option<&'a str>,
    agent_name: Option<&'a str>,
    #[serde(serialize_with = "as_javascript_does")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "as_javascript_does_if_any")]
    claimed_at: Option<DateTime<Utc>>,
    source_branch: Option<&'a str>,
    runtime_image: Option<&'a str>,
}

/// With what lets its reader into the conversation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WithConversation<'a> {
    #[serde(flatten)]
    for_all: ForAll<'a>,
    conversation_id: Option<&'a str>,
    invite_url: Option<&'a str>,
}

/// Everything that other services know of an instance, but for the token of its gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whole<'a> {
    #[serde(flatten)]
    with_conversation: WithConversation<'a>,
    instructions: Option<&'a str>,
    openrouter_key_hash: Option<&'a str>,
    agentmail_inbox_id: Option<&'a str>,
}

impl<'a> From<&'a InstanceView> for ForAll<'a> {
    fn from(row: &'a InstanceView) -> Self {
        Self {
            id: row.id.as_str(),
            service_id: row.service_id.as_str(),
            name: &row.name,
            url: row.url.as_deref(),
            status: row.status.as_str(),
            deploy_status: row.deploy_status.as_deref(),
            agent_name: row.agent_name.as_deref(),
            created_at: row.created_at,
            claimed_at: row.claimed_at,
            source_branch: row.source_branch.as_deref(),
            runtime_image: row.runtime_image.as_deref(),
        }
    }
}

impl<'a> From<&'a InstanceView> for WithConversation<'a> {
    fn from(row: &'a InstanceView) -> Self {
        Self {
            for_all: row.into(),
            conversation_id: row.conversation_id.as_deref(),
            invite_url: row.invite_url.as_deref(),
        }
    }
}

impl<'a> Whole<'a> {
    pub(crate) fn of(row: &'a InstanceView, instructions: Option<&'a str>) -> Self {
        Self {
            with_conversation: row.into(),
            instructions,
            openrouter_key_hash: row.openrouter_key_hash.as_deref(),
            agentmail_inbox_id: row.agentmail_inbox_id.as_deref(),
        }
    }
}

/// Milliseconds and a Z, as the clients of the previous service parse it.
fn as_javascript_does<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn as_javascript_does_if_any<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_javascript_does(time, to),
        None => to.serialize_none(),
    }
}
