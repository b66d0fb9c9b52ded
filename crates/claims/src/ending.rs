//! How an attempt at one instance ends, and what its caller is told.

use std::sync::Arc;

use pool_agent::Provisioned;
use pool_db::claims::Confirmation;
use pool_db::storable;
use pool_domain::write::FoundConversation;
use pool_failpoints::fail_point;

use crate::claim::{Claim, Held};
use crate::settle::{Decision, Settled};
use crate::{ClaimError, Claimed};

impl Claim {
    /// Makes the instance the caller's.
    pub(crate) async fn confirm(
        &self,
        held: Held,
        provisioned: Provisioned,
    ) -> Result<Claimed, ClaimError> {
        let provisioned = as_stored(provisioned);
        let settlement = held.settlement(Decision::Confirm(self.confirmation(&held, &provisioned)));
        match settlement.settle(&self.shared).await {
            Settled::Done => Ok(self.claimed(held, provisioned)),
            Settled::Overtaken => Err(lost(&held, "the lease was decided otherwise meanwhile")),
            Settled::Unheard => Err(lost(&held, "the database refuses to confirm")),
        }
    }

    /// Keeps for somebody an instance that is his already.
    pub(crate) async fn bind(&self, held: &Held, conversation: Option<FoundConversation>) {
        fail_point!("claim.before_bind");
        let settlement = held.settlement(Decision::Bind(conversation));
        settlement.settle_aside(&self.shared).await;
        fail_point!("claim.after_bind");
    }

    /// Gives back an instance that definitely was not provisioned. `counts` blames it.
    pub(crate) async fn release(&self, held: &Held, reason: &str, counts: bool) {
        fail_point!("claim.before_release");
        let reason = reason.to_owned();
        let settlement = held.settlement(Decision::Release { reason, counts });
        settlement.settle_aside(&self.shared).await;
        fail_point!("claim.after_release");
    }

    /// Gives up an instance of which nobody can know whether it was provisioned.
    pub(crate) async fn abandon(&self, held: &Held, reason: &str, timed_out: bool) {
        fail_point!("claim.before_abandon");
        let reason = reason.to_owned();
        let settlement = held.settlement(Decision::Abandon { reason, timed_out });
        settlement.settle_aside(&self.shared).await;
        fail_point!("claim.after_abandon");
    }

    fn confirmation(&self, held: &Held, provisioned: &Provisioned) -> Confirmation {
        let request = &self.request;
        let invite_url = provisioned.invite_url.as_ref();
        Confirmation {
            instance: held.lease.id.clone(),
            agent_name: request.agent_name.clone(),
            conversation_id: provisioned.conversation_id.clone(),
            invite_url: invite_url.or(request.join_url.as_ref()).cloned(),
            instructions: Arc::clone(&request.instructions),
            source_branch: self.shared.settings.source_branch.clone(),
            joined: provisioned.joined,
            invited: invite_url.is_some(),
        }
    }

    fn claimed(&self, held: Held, provisioned: Provisioned) -> Claimed {
        tracing::info!(
            instance.id = %held.lease.id, instance.service_id = %held.lease.service_id,
            claim.tried = self.tried.len(), claim.joined = provisioned.joined,
            duration_ms = self.duration_ms(),
            "claimed"
        );
        Claimed {
            instance_id: held.lease.id,
            invite_url: provisioned.invite_url,
            conversation_id: provisioned.conversation_id,
            joined: provisioned.joined,
            gateway_token: held.lease.gateway_token,
            gateway_url: held.lease.url,
            is_replayed: false,
        }
    }
}

/// What the agent said as the row will hold it, so that a repeated claim is told the same.
fn as_stored(provisioned: Provisioned) -> Provisioned {
    let stored = |text: Option<String>| text.map(|text| storable(&text).into_owned());
    Provisioned {
        invite_url: stored(provisioned.invite_url),
        conversation_id: stored(provisioned.conversation_id),
        joined: provisioned.joined,
    }
}

/// The agent is in a conversation, and no row says so: the instance is destroyed.
fn lost(held: &Held, why: &str) -> ClaimError {
    tracing::error!(
        instance.id = %held.lease.id, instance.service_id = %held.lease.service_id,
        reason = why,
        "an agent was provisioned and is lost"
    );
    ClaimError::Indeterminate {
        timed_out: false,
        reason: why.to_owned(),
        is_replayed: false,
    }
}
