//! Settles a lease: confirms, binds, releases or abandons it, and repeats that until the database answers.

use std::sync::Arc;
use std::time::Duration;

use pool_db::claims::{self, Confirmation, Confirmed};
use pool_domain::write::FoundConversation;
use pool_domain::{ClaimToken, InstanceId, Status};
use tokio::time::{Instant, sleep, timeout};

use crate::shared::Shared;

/// The first pause between two tries, doubled up to the second: a caller may be waiting, and a
/// database that comes back is found within a second.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// How often a try is repeated that the database itself refuses, as opposed to not answering: the
/// next answer will be the same, save for deadlocks and the like.
const REFUSALS_MAX: u32 = 5;

/// How long a caller waits for what it learns nothing from. Usually it is done in a millisecond.
const CALLER_WAITS: Duration = Duration::from_secs(1);

/// A statement that nobody waits for any more is carried out or given up by the database within the
/// 5 s that it may take; one that was still on its way then is later than any that was measured.
const LATE_LEASE_AFTER: Duration = Duration::from_secs(6);

/// What a lease comes to.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The instance is the caller's.
    Confirm(Confirmation),
    /// It is somebody's already, in this conversation where its agent says which.
    Bind(Option<FoundConversation>),
    /// It definitely was not provisioned; `counts` blames it.
    Release {
        /// What failed, for the event log and for the next try.
        reason: String,
        counts: bool,
    },
    /// Nobody can know whether it was provisioned.
    Abandon {
        /// What is known, for the event log: an operator reads it.
        reason: String,
        timed_out: bool,
    },
}

/// A lease and what it comes to.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) token: ClaimToken,
    /// Which instance, where the lease was heard of.
    pub(crate) instance: Option<InstanceId>,
    pub(crate) decision: Decision,
    /// When the lease runs out.
    pub(crate) until: Instant,
}

/// What the database said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is as decided.
    Done,
    /// The token holds no lease: it was decided otherwise.
    Overtaken,
    /// It refused, or was away until the lease had run out.
    Unheard,
}

impl Settlement {
    /// Asks until the database answers. An abandon is given up with the lease, whose end means the same.
    /// The others are not: of a confirm and a bind the agent is in its conversation already, and as long
    /// as the database is away nobody else decides either; when it is back, it says who did. A release
    /// lets go of the caller's key, whatever became of the lease: no agent was called for it.
    pub(crate) async fn settle(&self, shared: &Shared) -> Settled {
        let mut pause = AGAIN_AFTER;
        let mut refusals = 0;
        loop {
            let asked = self.ask(shared).await;
            shared.changed();
            let error = match asked {
                Ok(settled) => return settled,
                Err(error) => error,
            };
            tracing::warn!(
                instance.id = self.instance.as_ref().map(tracing::field::display),
                claim.decision = self.decision.name(), %error,
                "cannot settle a lease yet"
            );
            refusals += u32::from(!error.is_unavailable());
            if refusals >= REFUSALS_MAX || self.runs_out_within(pause) {
                tracing::warn!(
                    instance.id = self.instance.as_ref().map(tracing::field::display),
                    claim.decision = self.decision.name(),
                    "a lease cannot be settled, and will run out"
                );
                return Settled::Unheard;
            }
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
    }

    /// As [`settle`](Self::settle), in a task of its own, since a caller waits only a moment for it:
    /// a database that is away must not keep him from hearing what his claim came to.
    pub(crate) async fn settle_aside(self, shared: &Arc<Shared>) {
        let with = Arc::clone(shared);
        let task = shared.tasks.spawn(async move {
            let settled = self.settle(&with).await;
            // Nobody heard of this lease. If its statement is still on its way, it comes within the
            // time that one may take.
            if self.instance.is_none() && settled == Settled::Overtaken {
                sleep(LATE_LEASE_AFTER).await;
                self.settle(&with).await;
            }
        });
        // It goes on in any case, and says itself what came of it.
        let _waited = timeout(CALLER_WAITS, task).await;
    }

    async fn ask(&self, shared: &Shared) -> Result<Settled, pool_db::Error> {
        let (db, token) = (&shared.db, self.token);
        let done = match &self.decision {
            Decision::Confirm(confirmation) => {
                claims::confirm(db, token, confirmation).await? == Confirmed::Done
            }
            Decision::Bind(conversation) => {
                let Some(instance) = &self.instance else {
                    return Ok(Settled::Overtaken);
                };
                let done = claims::bind(db, token, instance, conversation.as_ref()).await?;
                let reason = "its agent was in a conversation already";
                self.tell(reason, done.then_some(Status::Claimed));
                done
            }
            Decision::Release { reason, counts } => {
                let status = claims::release(db, token, reason, *counts).await?;
                self.tell(reason, status);
                status.is_some()
            }
            Decision::Abandon { reason, timed_out } => {
                let done = claims::abandon(db, token, reason, *timed_out).await?;
                self.tell(reason, done.then_some(Status::Dead));
                done
            }
        };
        Ok(if done {
            Settled::Done
        } else {
            Settled::Overtaken
        })
    }

    fn tell(&self, reason: &str, status: Option<Status>) {
        let decision = self.decision.name();
        match (&self.instance, status) {
            (Some(id), Some(status)) => tracing::warn!(
                instance.id = %id, instance.status = %status, claim.decision = decision, reason,
                "an instance was not handed out"
            ),
            (Some(id), None) => tracing::warn!(
                instance.id = %id, claim.decision = decision, reason,
                "an instance was not handed out; its lease was decided otherwise meanwhile"
            ),
            (None, Some(status)) => tracing::warn!(
                instance.status = %status, reason,
                "an instance whose lease nobody heard of is given back"
            ),
            (None, None) => {}
        }
    }

    fn runs_out_within(&self, pause: Duration) -> bool {
        let outlives_its_lease = !matches!(self.decision, Decision::Abandon { .. });
        !outlives_its_lease && Instant::now() + pause >= self.until
    }
}

impl Decision {
    const fn name(&self) -> &'static str {
        match self {
            Self::Confirm(_) => "confirm",
            Self::Bind(_) => "bind",
            Self::Release { counts: true, .. } => "release, blamed",
            Self::Release { counts: false, .. } => "release",
            Self::Abandon { .. } => "abandon",
        }
    }
}
