//! What the operator may set of claiming, and the limits that follow from it.

use std::time::Duration;

use pool_domain::Policy;

/// What the operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimSettings {
    /// How long a claim may hold its lease (`POOL_CLAIM_LEASE_MS`).
    pub lease: Duration,
    /// How long one agent may take to be provisioned (`POOL_PROVISION_TIMEOUT_MS`).
    pub provision_timeout: Duration,
    /// The branch that this server was built from, noted in the rows that it claims.
    pub source_branch: Option<String>,
}

impl ClaimSettings {
    /// Instances that one claim tries,
    pub const INSTANCES_MAX: usize = 3;
    /// and so many where nothing was sent to those that failed: thirty that are not reached take
    /// milliseconds, or a second each, and as long as others are reached a caller need not hear of it.
    pub const UNSENT_MAX: usize = 30;
    /// While claims are refused, a trial tries no further after this: it walks past those to which
    /// there is no connection, and waits for no more than a few that say nothing.
    pub const TRIAL_WALKS_FOR: Duration = Duration::from_secs(3);
    /// How long an agent's last good probe vouches for it: a third of a tick.
    pub const READY_VOUCHES_FOR: Duration = Duration::from_secs(10);
    /// How long an agent that nothing vouches for may take to say that it is ready. A warm one
    /// answers in milliseconds, and a user is waiting.
    pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
    /// How long, once one failed and none was set up since: slow is not dead, and this is what the
    /// leader's probes wait.
    pub const PATIENCE: Duration = Policy::PROBE_TIMEOUT;
    /// How often it is looked whether any agent answers.
    pub const LOOK_EVERY: Duration = Duration::from_secs(5);
    /// A server that heard of no ready agent for this long asks some: as often as any idle one is probed.
    pub const HEARD_OF_LATELY: Duration = Policy::STOCK_CHECKED_EVERY;
    /// How many at once.
    pub const LOOKED_AT: usize = 3;
    /// How long an agent that is somebody's already may take to say in which conversation it is. Without
    /// an answer it is kept for him all the same.
    pub const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(2);
    /// How many instances one claim may find to be somebody's already: those whose rows are older than
    /// what became of them, as after a restore of the database. None of them counts as tried.
    pub const BOUND_MAX: usize = 20;
    /// What a claim may take on top of the time of one provision: two that fail at a health check (1 s,
    /// 5 s once one has failed) or at connecting (5 s), and the database's part. What takes longer
    /// leaves no time for another try, and the claim ends.
    pub const BESIDE_PROVISION: Duration = Duration::from_secs(15);
    /// Another instance is tried only if it gets at least this much of the time: one that is cut
    /// off early would be lost for nothing.
    pub const ATTEMPT_NEEDS: Duration = Duration::from_secs(10);
    /// Claims that run at once: more than a pool of any size hands out in the minute that its
    /// slowest agent takes, and a quarter of the usual limit of 1,024 open files.
    pub const IN_FLIGHT_MAX: usize = 256;
    /// Claims that wait for one of those to end.
    pub const WAITING_MAX: usize = 512;
    /// How long they wait.
    pub const WAIT_MAX: Duration = Duration::from_secs(5);
    /// The pauses before a lease that found nothing is repeated, while idle rows are seen. A
    /// statement that began before others gave rows back finds none of them, although the stock
    /// is not empty; one repetition settles 19 of 20 of these, four all.
    pub const LEASE_REPEATS: [Duration; 4] = [
        Duration::ZERO,
        Duration::from_millis(10),
        Duration::from_millis(50),
        Duration::from_millis(200),
    ];

    /// How long a claim under a key may be repeated, from the end of its lease.
    pub const ANSWERS_KEPT_FOR: Duration = Duration::from_hours(24);
    /// Keys that ran out are forgotten so many at once: a statement of milliseconds,
    pub const KEYS_FORGOTTEN_AT_ONCE: usize = 1_000;
    /// and so many times each time that leases are ended: 2,000 keys a second, which no pool claims.
    pub const KEYS_FORGOTTEN_TIMES: usize = 10;

    /// By how much a call to an agent must end before its lease does.
    #[must_use]
    pub fn settles_within(&self) -> Duration {
        Policy::lease_room(self.provision_timeout) / 2
    }

    /// How long one claim may go on trying.
    #[must_use]
    pub fn tries_within(&self) -> Duration {
        self.provision_timeout + Self::BESIDE_PROVISION
    }

    /// When the caller has an answer at the latest; the claim itself may go on.
    #[must_use]
    pub fn answers_within(&self) -> Duration {
        Self::WAIT_MAX + self.tries_within()
    }
}

impl Default for ClaimSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(90),
            provision_timeout: Duration::from_secs(60),
            source_branch: None,
        }
    }
}
