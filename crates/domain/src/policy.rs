//! Every limit that decisions and their execution keep, in one place, each with its unit and with
//! where its number comes from.

use std::time::Duration;

/// What the operator may set, and the limits that follow from the outside world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many idle instances to keep (`POOL_MIN_IDLE`).
    pub min_idle: usize,
    /// How many instances there may be in all (`POOL_MAX_TOTAL`).
    pub max_total: usize,
    /// From the start of one tick to the start of the next (`TICK_INTERVAL_MS`).
    pub tick_interval: Duration,
    /// How long an instance that is deployed may be starting (`POOL_STUCK_TIMEOUT_MS`).
    pub stuck_timeout: Duration,
    /// How long Railway may take until a deployment is up (`POOL_IN_PROGRESS_TIMEOUT_MS`): in its
    /// incidents queues and builds stood for tens of minutes, and whoever gives its place up only waits
    /// again at their end.
    pub in_progress_timeout: Duration,
    /// How many probes in a row must fail before an idle instance is idle no more
    /// (`POOL_UNHEALTHY_AFTER`).
    pub unhealthy_after: u32,
    /// How old a status must be before absence from a listing counts (`POOL_MISSING_GRACE_MS`).
    /// Railway's reads lag its writes by up to 90 s, as third parties measured.
    pub missing_grace: Duration,
    /// How long a claim may hold its lease (`POOL_CLAIM_LEASE_MS`).
    pub claim_lease: Duration,
    /// How long an agent may take to be provisioned (`POOL_PROVISION_TIMEOUT_MS`).
    pub provision_timeout: Duration,
    /// Whether instances get a volume (`POOL_VOLUME_MOUNT_PATH` is not `none`).
    pub has_volume: bool,
}

impl Policy {
    /// A start takes one to two minutes; one that takes longer than this no longer counts towards
    /// the target, so that stuck ones do not leave the pool empty. What Railway has not deployed yet
    /// counts on: another one would only wait behind it.
    pub const STARTING_COUNTS_FOR: Duration = Duration::from_secs(300);
    /// How long a service that may be ours counts towards the target before it is known to be.
    pub const UNDECIDED_COUNTS_FOR: Duration = Duration::from_secs(300);
    /// How long an instance that is whole but for its deployment waits for the others of its order,
    /// with which it is deployed in one request: 20 of three requests each at the 10 a second that
    /// Railway's smallest paid plan allows take 6 s. More than that is another's trouble.
    pub const COMMIT_WAITS_FOR: Duration = Duration::from_secs(10);
    /// How many instances may be in the making at once: three requests each and a commit for all, so
    /// that they are made within 10 s at the 10 requests a second that Railway's smallest paid plan allows.
    pub const CREATES_PER_TICK_MAX: usize = 20;
    /// How many are made at first, before it is known that they get ready: enough to tell a bad image
    /// from a bad start, and few enough to throw away.
    pub const SLOW_START: usize = 4;
    /// How many may be made and not proven ready yet, once an image is proven: what Railway's budget
    /// lets be made (7 requests a second, three each) in the two minutes that a start takes, so that
    /// the budget is what a refill waits for. No more than that is thrown away where an image that
    /// was good turns out to be broken.
    pub const UNPROVEN_MAX: usize = 280;
    /// For how long an image counts as proven after the last instance of it got ready: a tag may
    /// point to another image by tomorrow.
    pub const PROVEN_FOR: Duration = Duration::from_hours(24);
    /// While one that was begun lately is not proven yet, Railway is listed this often, as far as its
    /// budget allows, since only a listing tells that a deployment failed: what takes its place is
    /// asked for while the others are still being made.
    pub const WATCHED_EVERY: Duration = Duration::from_secs(10);
    /// Where nothing moves, Railway is listed with each so many-th tick and no oftener: 30 times an
    /// hour, so that four pools of one page each take 120 of Railway's requests an hour. That a
    /// service is gone or a claimed one's deployment died is seen two minutes late at most then, which
    /// is what Railway's own reads may lag.
    pub const QUIET_TICKS: u32 = 4;
    /// How many may fail in a row, be it steps of making or instances that never got ready, before no
    /// more are begun: more than are made at first, so that these do not stop it by failing together.
    pub const CREATE_FAILURES_MAX: usize = 5;
    /// Over how many of the last ones it is judged whether a failure is one among many: where one in
    /// ten fails at random, a third of 30 do so once in 2,000 times,
    pub const RECENT_CREATIONS: usize = 30;
    /// and where there are fewer than these, the others count as if they had gone well.
    pub const JUDGED_BY_MIN: usize = 10;
    /// For how long making waits at most where somebody says when to come again: it may have meant
    /// another unit, and a person who has seen to it should not have to wait for longer.
    pub const LIMIT_HOLDS_MAX: Duration = Duration::from_secs(3_600);
    /// While none are begun, a single one is tried so often, and a creation that failed is taken up
    /// again after this at the latest: with a listing and a creation of 5 s each on top, making
    /// goes on within 30 s once the cause is gone.
    pub const TRY_CREATING_EVERY: Duration = Duration::from_secs(20);
    /// How many instances one tick may destroy: two requests each, as above.
    pub const DESTROYS_PER_TICK_MAX: usize = 40;
    /// How many services one tick may adopt; the next ticks take the rest.
    pub const ADOPTIONS_PER_TICK_MAX: usize = 2_000;
    /// How often whoever is to be probed is looked for: a starting one is idle within seconds of
    /// being ready, and a pool that has none starting reads a few dozen rows for it.
    pub const PROBE_EVERY: Duration = Duration::from_secs(2);
    /// How many starting agents are probed at once: of those that answered the last time, and beside
    /// them of those that were never asked. One that answers takes a place for milliseconds, so that
    /// thousands have their turn within `PROBE_EVERY`;
    pub const STARTING_PROBES_IN_FLIGHT_MAX: usize = 32;
    /// and one that does not, for this long: 300 new ones that are silent have had their turn after
    /// 10 to 15 s,
    pub const STARTING_PROBE_TIMEOUT: Duration = Duration::from_secs(1);
    /// since while any waits for a place, whoever is to be probed is looked for this often.
    pub const PROBE_AGAIN_AFTER: Duration = Duration::from_millis(500);
    /// Beside these, how many of those that left the last probe without an answer, each of which
    /// takes a place for all of `PROBE_TIMEOUT`,
    pub const HANGING_PROBES_IN_FLIGHT_MAX: usize = 32;
    /// and is probed only so often: with 32 places of 5 s, 96 have their turn in time.
    pub const HANGING_PROBED_EVERY: Duration = Duration::from_secs(15);
    /// How many idle agents are probed at once. With its repetitions one that hangs takes 17 s.
    pub const IDLE_PROBES_IN_FLIGHT_MAX: usize = 32;
    /// How many claimed and crashed ones are probed at once.
    pub const CONFIRMING_PROBES_IN_FLIGHT_MAX: usize = 16;
    /// Of the idle ones, so many that claims take next are checked often: those of a burst of claims,
    pub const NEXT_CHECKED: usize = 16;
    /// within the 10 s for which a good probe spares a claim its own health check.
    pub const NEXT_CHECKED_EVERY: Duration = Duration::from_secs(8);
    /// Of the others, at most so many at each look, one after another: 240 a minute. With the next
    /// ones' 120 a minute, checking idle agents takes 360 probes a minute at most, whether there are
    /// 100 or 10,000 of them, of which the last then has its turn after 42 minutes.
    pub const STOCK_CHECKED_AT_ONCE: usize = 8;
    /// And none of them more often than this: a small pool needs no more.
    pub const STOCK_CHECKED_EVERY: Duration = Duration::from_secs(30);
    /// How often a claimed one whose deployment died, or a crashed one that is up, is asked.
    pub const CONFIRMED_EVERY: Duration = Duration::from_secs(10);
    /// How long an agent may take to answer a probe.
    pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
    /// How often a first failed probe of an idle instance is repeated.
    pub const PROBE_REPEATS: u32 = 2;
    /// How long after a failed probe it is repeated.
    pub const PROBE_REPEAT_AFTER: Duration = Duration::from_secs(1);
    /// How much longer than a provision a lease must be, where that may take 40 s and more.
    pub const LEASE_ROOM_MAX: Duration = Duration::from_secs(10);
    /// How many rows one transaction of the leader may change, so that claims never find the whole
    /// stock locked.
    pub const ROWS_PER_TRANSACTION_MAX: usize = 100;
    /// After a failed step an instance is tried again after this, doubled each time,
    pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(5);
    /// and never later than this.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
    /// How many may be drained by one request, and created by one.
    pub const PERSON_COUNT_MAX: usize = 20;
    /// Over how long the fuse counts what is lost: long enough that a lie which is repeated tick by
    /// tick adds up, and short enough that yesterday's bad hour does not count.
    pub const FUSE_WINDOW: Duration = Duration::from_secs(600);
    /// How many instances may be lost within that window, in per cent of the rows at its start.
    pub const FUSE_LIMIT_PERCENT: usize = 20;
    /// And never fewer than this: a small pool loses a few of its instances together by chance.
    pub const FUSE_LIMIT_MIN: usize = 5;
    /// How many losses a tripped fuse lists, and so how many can be confirmed at once: as many as a
    /// report's lists hold.
    pub const FUSE_LISTED_MAX: usize = 200;
    /// How long a service with another's key is left alone before its key is read again.
    pub const FOREIGN_REREAD_AFTER: Duration = Duration::from_secs(600);
    /// From one sweep to the next. It lists every key and inbox of accounts that other environments
    /// share, up to some hundred requests, and what it finds has waited for no one but the bill.
    pub const SWEEP_EVERY: Duration = Duration::from_secs(600);
    /// How many things one sweep removes: in a budget that keeps 100 requests an hour for destroying
    /// on the smallest paid plan, it leaves room for what people destroy.
    pub const SWEEP_REMOVALS_MAX: usize = 50;
    /// For how long what belonged to an instance is known after the instance is gone: what a request
    /// made late shows within hours, and an account that was switched off may be back in a quarter.
    pub const BELONGINGS_KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

    /// What to wait before the next attempt, after this many failures in a row.
    #[must_use]
    pub fn retry_after(attempts: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
        Self::RETRY_AFTER_MIN
            .saturating_mul(doubled)
            .min(Self::RETRY_AFTER_MAX)
    }

    /// When to try the next single one, after so many that tried were given up: each is a service, a
    /// volume, a key and an inbox that are thrown away.
    #[must_use]
    pub fn try_creating_after(tries: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(tries.min(16));
        Self::TRY_CREATING_EVERY
            .saturating_mul(doubled)
            .min(Self::RETRY_AFTER_MAX)
    }

    /// What to wait before an interrupted creation is taken up again. That the trouble is Railway's
    /// and not this instance's is the pace's business, so that one alone never waits for long.
    #[must_use]
    pub fn retry_creating_after(attempts: u32) -> Duration {
        Self::retry_after(attempts).min(Self::TRY_CREATING_EVERY)
    }

    /// What to wait before a failed step of a creation is taken again, after this many failures in a
    /// row. Where it may have happened all the same, not before a listing could show it, which
    /// `shows_after` says.
    #[must_use]
    pub fn after_failed_step(attempts: u32, shows_after: Option<Duration>) -> Duration {
        Self::retry_creating_after(attempts).max(shows_after.unwrap_or_default())
    }

    /// How long the last listing is good for at most, where nothing moves.
    #[must_use]
    pub fn quiet_listing_every(&self) -> Duration {
        self.tick_interval * Self::QUIET_TICKS
    }

    /// How often Railway is listed while one that was begun lately is not proven yet.
    #[must_use]
    pub fn watched_every(&self) -> Duration {
        Self::WATCHED_EVERY.min(self.tick_interval)
    }

    /// How often to look for whom to probe. Never less often than the ticks are.
    #[must_use]
    pub fn probe_every(&self) -> Duration {
        Self::PROBE_EVERY.min(self.tick_interval)
    }

    /// How soon to look again while somebody waits for a place.
    #[must_use]
    pub fn probe_again_after(&self) -> Duration {
        Self::PROBE_AGAIN_AFTER.min(self.tick_interval)
    }

    /// How often those are checked that claims take next.
    #[must_use]
    pub fn next_checked_every(&self) -> Duration {
        Self::NEXT_CHECKED_EVERY.min(self.tick_interval)
    }

    /// For how long claims take last what waits behind the fuse, after a round that found it so: until
    /// the next rounds say it again, and no longer than for a window where it answers again.
    #[must_use]
    pub fn held_ones_are_last_for(&self) -> Duration {
        Self::FUSE_WINDOW.max(self.tick_interval.saturating_mul(4))
    }

    /// How often each of the other idle ones is checked at most.
    #[must_use]
    pub fn stock_checked_every(&self) -> Duration {
        Self::STOCK_CHECKED_EVERY.min(self.tick_interval)
    }

    /// How often claimed and crashed ones are asked that may crash or recover.
    #[must_use]
    pub fn confirmed_every(&self) -> Duration {
        Self::CONFIRMED_EVERY.min(self.tick_interval)
    }

    /// How much longer than a provision a lease must be: half of it for the health check before, half
    /// for the confirm after, at which it may not have run out, or an agent that was just provisioned is
    /// given up. A quarter of the provision, and no more than ten seconds.
    #[must_use]
    pub fn lease_room(provision_timeout: Duration) -> Duration {
        (provision_timeout / 4).min(Self::LEASE_ROOM_MAX)
    }

    /// Refuses settings that contradict one another.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], which names the settings and what they are set to.
    pub fn check(&self) -> Result<(), PolicyError> {
        let needs = self.provision_timeout + Self::lease_room(self.provision_timeout);
        if self.claim_lease < needs {
            return Err(PolicyError::LeaseTooShort {
                lease_ms: self.claim_lease.as_millis(),
                provision_ms: self.provision_timeout.as_millis(),
                needs_ms: needs.as_millis(),
            });
        }
        if self.min_idle > self.max_total {
            return Err(PolicyError::TargetAboveCap {
                min_idle: self.min_idle,
                max_total: self.max_total,
            });
        }
        Ok(())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_idle: 3,
            max_total: 100,
            tick_interval: Duration::from_secs(30),
            stuck_timeout: Duration::from_secs(900),
            in_progress_timeout: Duration::from_secs(3_600),
            unhealthy_after: 3,
            missing_grace: Duration::from_secs(120),
            claim_lease: Duration::from_secs(90),
            provision_timeout: Duration::from_secs(60),
            has_volume: true,
        }
    }
}

/// Two settings contradict one another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A lease must outlast the calls that it covers.
    #[error(
        "POOL_CLAIM_LEASE_MS ({lease_ms}) must be {needs_ms} at least, since POOL_PROVISION_TIMEOUT_MS \
         is {provision_ms}: what comes before and after a provision needs time, too"
    )]
    LeaseTooShort {
        /// The lease, in milliseconds.
        lease_ms: u128,
        /// The provision timeout, in milliseconds.
        provision_ms: u128,
        /// The shortest lease, in milliseconds.
        needs_ms: u128,
    },
    /// The cap would keep the target from ever being met.
    #[error("POOL_MIN_IDLE ({min_idle}) must not be greater than POOL_MAX_TOTAL ({max_total})")]
    TargetAboveCap {
        /// The target.
        min_idle: usize,
        /// The cap.
        max_total: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_up_to_five_minutes() {
        let seconds: Vec<_> = (0..9).map(|n| Policy::retry_after(n).as_secs()).collect();
        assert_eq!(seconds, [5, 5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(Policy::retry_after(u32::MAX), Policy::RETRY_AFTER_MAX);
    }

    #[test]
    fn a_lease_that_ends_before_its_call_is_refused() {
        let policy = |lease_s| Policy {
            claim_lease: Duration::from_secs(lease_s),
            ..Policy::default()
        };
        assert_eq!(
            policy(61).check().unwrap_err().to_string(),
            "POOL_CLAIM_LEASE_MS (61000) must be 70000 at least, since POOL_PROVISION_TIMEOUT_MS is \
             60000: what comes before and after a provision needs time, too"
        );
        assert_eq!(policy(70).check(), Ok(()));
        assert_eq!(Policy::default().check(), Ok(()));
    }
}
