//! Settles a lease: confirm, release or abandon.

use std::time::Duration;

use pool_agent::Provisioned;
use pool_db::claims::{self, Confirmation, Confirmed};
use pool_db::storable;
use tokio::time::sleep;

use crate::attempts::{Attempts, Held};
use crate::{ClaimError, Claimed};

/// The first pause between two tries to confirm, doubled up to the second: the caller waits, and a
/// database that comes back is found within a second.
const CONFIRM_AGAIN_AFTER: Duration = Duration::from_millis(50);
const CONFIRM_AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// How often a confirm is tried that the database itself refuses, as opposed to not answering: the
/// next answer will be the same, save for deadlocks and the like.
const REFUSALS_MAX: u32 = 5;

impl Attempts<'_> {
    /// Makes the instance the caller's. Repeated until the database answers: the agent is in its
    /// conversation already, and only the row can say so. If it takes longer than the lease,
    /// whoever ended the lease has decided, and the database says so.
    pub(crate) async fn confirm(
        &self,
        held: Held,
        provisioned: Provisioned,
    ) -> Result<Claimed, ClaimError> {
        let provisioned = as_stored(provisioned);
        let confirmation = self.confirmation(&held, &provisioned);
        let mut pause = CONFIRM_AGAIN_AFTER;
        let mut refusals = 0;
        loop {
            let db = &self.shared.db;
            let confirmed = claims::confirm(db, held.token, &confirmation).await;
            self.shared.changed();
            match confirmed {
                Ok(Confirmed::Done) => return Ok(self.claimed(held, provisioned)),
                Ok(Confirmed::Overtaken) => {
                    return Err(lost(&held, "the lease was decided otherwise meanwhile"));
                }
                Err(error) => {
                    tracing::warn!(instance.id = %held.lease.id, %error, "cannot confirm yet");
                    refusals += u32::from(!error.is_unavailable());
                    if refusals >= REFUSALS_MAX {
                        return Err(lost(&held, "the database refuses to confirm"));
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(CONFIRM_AGAIN_AFTER_MAX);
        }
    }

    /// Gives back an instance that surely was not provisioned. `counts` blames it. If this fails,
    /// the lease runs out.
    pub(crate) async fn release(&self, held: &Held, reason: &str, counts: bool) {
        let id = &held.lease.id;
        fail::fail_point!("claim.before_release");
        let released = claims::release(&self.shared.db, held.token, reason, counts).await;
        fail::fail_point!("claim.after_release");
        self.shared.changed();
        match released {
            Ok(Some(status)) => tracing::warn!(
                instance.id = %id, instance.status = %status, claim.blamed = counts, reason,
                "an instance was not provisioned, and is released"
            ),
            Ok(None) => tracing::warn!(
                instance.id = %id, reason,
                "an instance was not provisioned; its lease was decided otherwise meanwhile"
            ),
            Err(error) => tracing::warn!(
                instance.id = %id, reason, %error,
                "cannot release an instance; its lease will run out"
            ),
        }
    }

    /// Gives up an instance of which nobody can know whether it was provisioned. If this fails, the
    /// lease runs out, which means the same.
    pub(crate) async fn abandon(&self, held: &Held, reason: &str, timed_out: bool) {
        let id = &held.lease.id;
        fail::fail_point!("claim.before_abandon");
        let abandoned = claims::abandon(&self.shared.db, held.token, reason, timed_out).await;
        fail::fail_point!("claim.after_abandon");
        self.shared.changed();
        match abandoned {
            Ok(_) => tracing::warn!(
                instance.id = %id, reason, duration_ms = self.duration_ms(),
                "an instance is given up: nobody can know whether it was provisioned"
            ),
            Err(error) => tracing::warn!(
                instance.id = %id, reason, %error,
                "cannot give up an instance; its lease will run out"
            ),
        }
    }

    fn confirmation(&self, held: &Held, provisioned: &Provisioned) -> Confirmation {
        let request = &self.request;
        let invite_url = provisioned.invite_url.as_ref();
        Confirmation {
            instance: held.lease.id.clone(),
            agent_name: request.agent_name.clone(),
            conversation_id: provisioned.conversation_id.clone(),
            invite_url: invite_url.or(request.join_url.as_ref()).cloned(),
            instructions: request.instructions.clone(),
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
        }
    }
}

/// What the agent said as the row will hold it, so that a repeated claim is told the same.
fn as_stored(provisioned: Provisioned) -> Provisioned {
    let stored = |text: Option<String>| text.as_deref().map(storable);
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
    ClaimError::UnknownOutcome {
        timed_out: false,
        reason: why.to_owned(),
    }
}
