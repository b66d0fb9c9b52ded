//! An instance in the making.

use std::sync::Arc;

use pool_db::provisions::NewProvision;
use pool_domain::{
    CreateStep, Entropy, InboxId, InstanceId, KeyHash, ResourceRecord, Secret, ServiceId, VolumeId,
};
use pool_planner::Resume;

use super::blueprint::new_gateway_token;
use crate::leading::{Leading, Place, Work};

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) id: InstanceId,
    pub(super) name: String,
    pub(super) step: CreateStep,
    /// Intended by the very order that it is in: nothing of it can be outside yet.
    pub(super) is_fresh: bool,
    /// How often the present step failed in a row.
    pub(super) attempts: u32,
    pub(super) service_id: Option<ServiceId>,
    pub(super) volume_id: Option<VolumeId>,
    pub(super) has_domain: bool,
    pub(super) gateway_token: Secret,
    pub(super) key_hash: Option<KeyHash>,
    /// Known only to the leader that made it.
    pub(super) key: Option<Secret>,
    pub(super) inbox_id: Option<InboxId>,
    /// In flight for as long as it is worked on.
    _place: Place,
}

impl Draft {
    pub(crate) fn fresh(intent: NewProvision, leading: &Arc<Leading>) -> Self {
        Self {
            _place: Place::take(leading, Work::Making, &intent.id),
            id: intent.id,
            name: intent.name,
            step: CreateStep::Key,
            is_fresh: true,
            attempts: 0,
            service_id: None,
            volume_id: None,
            has_domain: false,
            gateway_token: intent.gateway_token,
            key_hash: None,
            key: None,
            inbox_id: None,
        }
    }

    pub(crate) fn resumed(resume: Resume, leading: &Arc<Leading>, entropy: &dyn Entropy) -> Self {
        let ResourceRecord {
            id,
            name,
            gateway_token,
            openrouter_key_hash,
            agentmail_inbox_id,
            ..
        } = resume.provision;
        Self {
            _place: Place::take(leading, Work::Making, &id),
            id,
            name,
            step: resume.step,
            is_fresh: false,
            attempts: resume.provision.attempts,
            service_id: resume.service_id,
            volume_id: resume.volume_id,
            has_domain: resume.has_domain,
            gateway_token: gateway_token.unwrap_or_else(|| new_gateway_token(entropy)),
            key_hash: openrouter_key_hash,
            key: None,
            inbox_id: agentmail_inbox_id,
        }
    }
}
