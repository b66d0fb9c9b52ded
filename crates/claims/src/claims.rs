//! Takes claims, runs each in a task of its own, and ends with them.

use std::sync::Arc;
use std::time::Duration;

use pool_agent::AgentClient;
use pool_db::Db;
use pool_domain::{AgentsReport, Entropy};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::DropGuard;

use crate::admission::{Admission, Queued};
use crate::claim::Claim;
use crate::idempotency;
use crate::shared::Shared;
use crate::{ClaimError, ClaimRequest, ClaimSettings, Claimed};

/// Ending run-out leases is one statement over a handful of rows; one that takes longer waits for a
/// lock and is better repeated.
const EXPIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Hands out agents. Cheap to clone; clones share their state. With the last of them every claim that
/// is still under way ends where it stands, as if the process had ended.
#[derive(Debug, Clone)]
pub struct Claims {
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    _ends_its_tasks: Arc<DropGuard>,
}

impl Claims {
    /// Takes claims until [`drain`](Self::drain) is called.
    #[must_use]
    pub fn new(
        db: Db,
        agent: AgentClient,
        entropy: Arc<dyn Entropy>,
        settings: ClaimSettings,
    ) -> Self {
        let shared = Shared::new(db, agent, entropy, settings);
        Self {
            admission: Arc::new(Admission::new(
                ClaimSettings::IN_FLIGHT_MAX,
                ClaimSettings::WAITING_MAX,
                ClaimSettings::WAIT_MAX,
            )),
            _ends_its_tasks: Arc::new(shared.tasks.abort_on_drop()),
            shared: Arc::new(shared),
        }
    }

    /// Claims one agent. Dropping the future changes nothing: the claim goes on to its end.
    ///
    /// # Errors
    /// [`ClaimError`] says why there is no agent. The outcome is known in every case but
    /// [`ClaimError::Indeterminate`], and nothing was done but in that one and in
    /// [`ClaimError::AllFailed`]. Most pass: `NoIdle`, `Crowded`, `BreakerOpen`, `NotContracted`,
    /// `ShuttingDown`, `AllFailed`, `KeyInProgress`, and `Lease` where its cause does.
    pub async fn claim(&self, request: ClaimRequest) -> Result<Claimed, ClaimError> {
        // Taken before the look, so that a server that stops at this moment waits for this claim.
        let tasks = &self.shared.tasks;
        let token = tasks.enter().ok_or(ClaimError::ShuttingDown)?;
        let queued = self.admission.queue().ok_or(ClaimError::Crowded)?;
        let task = tasks.spawn(run(Arc::clone(&self.shared), queued, request));
        drop(token);
        match timeout(self.answers_within(), task).await {
            Ok(Ok(Some(result))) => result,
            Ok(Ok(None)) => Err(unknown(false, "the server was aborted")),
            Ok(Err(died)) => {
                tracing::error!(error = %died, "a claim's task died; its lease will run out");
                Err(unknown(false, "the claim's task died"))
            }
            // The task goes on: only the confirm can take that long, while the database is away.
            Err(_elapsed) => Err(unknown(true, "the database did not confirm in time")),
        }
    }

    /// When a caller of [`claim`](Self::claim) has an answer at the latest.
    #[must_use]
    pub fn answers_within(&self) -> Duration {
        self.shared.settings.answers_within()
    }

    /// Whether [`Self::drain`] was called: this server is stopping.
    #[must_use]
    pub fn takes_no_more(&self) -> bool {
        self.shared.tasks.is_ending()
    }

    /// Refuses new claims from now on and waits for those in flight. Says how many are left after
    /// `limit`; their leases will run out.
    pub async fn drain(&self, limit: Duration) -> usize {
        let tasks = &self.shared.tasks;
        if timeout(limit, tasks.end()).await.is_err() {
            tracing::error!(
                claims = tasks.len(),
                "stopping with claims in flight: their leases will run out"
            );
        }
        tasks.len()
    }

    /// Ends every claim where it stands, as if the process had been killed, and refuses new ones.
    /// What they leave is a lease that runs out.
    pub fn abort(&self) {
        self.shared.tasks.abort();
    }

    /// How many claims are in flight, and leases that are to be settled yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.tasks.len()
    }

    /// Told when a claim of this server takes an instance from the stock; several at once are one.
    #[must_use]
    pub fn taken(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.taken)
    }

    /// How many times a claim of this server has changed a row. Whoever keeps what it read knows by
    /// it that it is old.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.changes()
    }

    /// Ends the leases that ran out, and forgets the keys that did, each `period`, for ever. Every
    /// server does this, outside the tick, so that no trouble of Railway or of the leader delays it.
    pub async fn expire_leases_every(&self, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.expire_leases().await;
            self.forget_keys().await;
        }
    }

    /// Looks again and again, for ever, for agents that answer, where this server has heard of none
    /// lately.
    pub async fn keep_looking_for_agents(&self) {
        let mut ticks = interval(ClaimSettings::LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.shared.look_for_agents().await;
        }
    }

    /// What agents answer, where that is why claims are refused.
    #[must_use]
    pub fn agents(&self) -> Option<AgentsReport> {
        self.shared.breaker.report()
    }

    /// The same, for whoever must not keep the claims alive by asking.
    pub fn ask_of_agents(&self) -> impl Fn() -> Option<AgentsReport> + Send + Sync + use<> {
        let breaker = self.shared.breaker.clone();
        move || breaker.report()
    }

    /// Ends the leases that ran out now, by records that are not older than the world.
    pub async fn expire_leases(&self) {
        let expire = async {
            self.shared.verify().await?;
            pool_db::claims::expire(&self.shared.db, self.shared.settings.lease).await
        };
        match timeout(EXPIRE_TIMEOUT, expire).await {
            Ok(Ok(ids)) => {
                if !ids.is_empty() {
                    self.shared.changed();
                }
                for id in ids {
                    tracing::warn!(instance.id = %id, "a lease ran out: the instance is given up");
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot end run-out leases; repeated soon"),
            Err(_elapsed) => tracing::warn!("ending run-out leases took too long; repeated soon"),
        }
    }

    /// Forgets the keys whose answers are kept no longer.
    pub async fn forget_keys(&self) {
        for _ in 0..ClaimSettings::KEYS_FORGOTTEN_TIMES {
            let at_once = ClaimSettings::KEYS_FORGOTTEN_AT_ONCE;
            let forget = pool_db::claims::prune(&self.shared.db, at_once);
            match timeout(EXPIRE_TIMEOUT, forget).await {
                Ok(Ok(forgotten)) if forgotten == at_once => {}
                Ok(Ok(_)) => return,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot forget old keys of claims; repeated soon");
                    return;
                }
                Err(_elapsed) => {
                    tracing::warn!("forgetting old keys of claims took too long; repeated soon");
                    return;
                }
            }
        }
    }
}

async fn run(
    shared: Arc<Shared>,
    queued: Queued,
    request: ClaimRequest,
) -> Result<Claimed, ClaimError> {
    let _admitted = queued.admitted().await.ok_or(ClaimError::Crowded)?;
    let contracted = shared.db.is_contracted().await;
    if !contracted.map_err(ClaimError::Lease)? {
        return Err(ClaimError::NotContracted);
    }
    let keyed = idempotency::keyed(&request);
    if let Some(keyed) = &keyed
        && let Some(claimed) = idempotency::told_before(&shared.db, keyed).await?
    {
        return Ok(claimed);
    }
    let pass = shared
        .breaker
        .admit()
        .map_err(|retry_after| ClaimError::BreakerOpen { retry_after })?;
    Claim::new(shared, request, keyed, pass).run().await
}

fn unknown(timed_out: bool, reason: &str) -> ClaimError {
    ClaimError::Indeterminate {
        timed_out,
        reason: reason.to_owned(),
        is_replayed: false,
    }
}
