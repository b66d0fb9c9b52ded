//! One claim under way: what it is to give, what it tried, and the lease that it holds.

use std::sync::Arc;
use std::time::Duration;

use pool_agent::ProvisionRequest;
use pool_db::claims::{KeyedRequest, Lease};
use pool_domain::{ClaimToken, InstanceId};
use tokio::time::Instant;

use crate::breaker::Pass;
use crate::settle::{Decision, Settlement};
use crate::shared::Shared;
use crate::{ClaimRequest, ClaimSettings};

/// The work of one claim.
pub(crate) struct Claim {
    pub(crate) shared: Arc<Shared>,
    pub(crate) request: ProvisionRequest,
    /// Where the caller may repeat the claim.
    pub(crate) keyed: Option<KeyedRequest>,
    /// Which instances it had, and does not want again.
    pub(crate) tried: Vec<InstanceId>,
    /// How many of these are somebody's already.
    pub(crate) bound: usize,
    /// Of how many that failed nothing was sent to their agents.
    pub(crate) unsent: usize,
    pub(crate) pass: Pass,
    began: Instant,
}

/// A lease with the token that names it.
pub(crate) struct Held {
    pub(crate) lease: Lease,
    pub(crate) token: ClaimToken,
    /// When it runs out, by this server's clock.
    pub(crate) until: Instant,
}

impl Held {
    pub(crate) fn settlement(&self, decision: Decision) -> Settlement {
        Settlement {
            token: self.token,
            instance: Some(self.lease.id.clone()),
            decision,
            until: self.until,
        }
    }
}

impl Claim {
    pub(crate) fn new(
        shared: Arc<Shared>,
        request: ClaimRequest,
        keyed: Option<KeyedRequest>,
        pass: Pass,
    ) -> Self {
        Self {
            shared,
            request: ProvisionRequest {
                agent_name: request.agent_name,
                instructions: request.instructions,
                join_url: request.join_url,
            },
            keyed,
            tried: Vec::with_capacity(ClaimSettings::INSTANCES_MAX),
            bound: 0,
            unsent: 0,
            pass,
            began: Instant::now(),
        }
    }

    /// How many instances failed it.
    pub(crate) fn failures(&self) -> usize {
        self.tried.len() - self.bound
    }

    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn time_left(&self) -> Duration {
        let all = self.shared.settings.tries_within();
        all.saturating_sub(self.began.elapsed())
    }

    /// How long the agent of this lease may be called: what is left of the claim, and of the lease,
    /// which must still hold when the call has ended.
    pub(crate) fn time_for(&self, held: &Held) -> Duration {
        let lease = held.until.saturating_duration_since(Instant::now());
        let settings = &self.shared.settings;
        settings
            .provision_timeout
            .min(self.time_left())
            .min(lease.saturating_sub(settings.settles_within()))
    }

    pub(crate) fn duration_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
