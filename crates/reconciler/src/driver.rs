//! Leads where nobody else does, and ticks: wait, tick, record. A server without the leader's lock
//! never ticks; one that loses the lock, or cannot tell, stops at once.

use std::sync::Arc;

use pool_db::leadership::Candidate;
use pool_db::{DbSettings, ticks};
use pool_domain::{Term, chain};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{Error, Outside, Reconciler, budget};

/// How often a standby tries to take the lead, and a leader asks whether it still has it.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before a lost connection is made anew.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// How long a tick may go on once the server is to stop. What it leaves is recorded, and finished
/// by the next leader.
const LAST_TICK: Duration = Duration::from_secs(20);
/// After a failed tick, not the whole interval is waited.
const RETRY_TICK_AFTER: Duration = Duration::from_secs(2);

/// What the driver needs beside the clients.
#[derive(Debug, Clone)]
pub struct DriverSettings {
    /// The database, for the connection that holds the lock.
    pub database: DbSettings,
    /// Who we are, for people who read `leader_terms`.
    pub holder: String,
    /// How long the event log is kept.
    pub keep_events: Duration,
}

/// Runs the reconciler wherever this server may lead.
#[derive(Debug)]
pub struct Driver {
    outside: Arc<Outside>,
    settings: DriverSettings,
    wake: Arc<Notify>,
}

impl Driver {
    /// A driver that is also woken through `wake`, by this server's own API.
    #[must_use]
    pub fn new(outside: Arc<Outside>, settings: DriverSettings, wake: Arc<Notify>) -> Self {
        Self {
            outside,
            settings,
            wake,
        }
    }

    /// Runs until `shutdown`. Whatever goes wrong is logged and tried again.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(why) = self.lead_once(&shutdown).await {
                warn!(error = %chain(&why), "not leading; trying again");
            }
            stopped_or_after(&shutdown, RECONNECT_AFTER).await;
        }
    }

    /// Stands by until the lead is free, takes it, and leads until it is lost.
    async fn lead_once(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut candidate =
            Candidate::connect(&self.settings.database, &self.settings.holder).await?;
        let term = loop {
            if let Some(term) = candidate.try_lead().await? {
                break term;
            }
            if stopped_or_after(shutdown, PING_EVERY).await {
                return Ok(());
            }
        };
        info!(leader.term = term.0, "leading");
        // Whichever ends first ends the other: without the lock nothing may be done.
        let led = tokio::select! {
            biased;
            lost = self.hold(&mut candidate) => lost,
            ended = self.lead(term, shutdown) => ended,
        };
        if let Err(error) = candidate.resign().await {
            // The database frees the lock when it notices that the connection is gone.
            warn!(error = %chain(&error), "the lead was not given back");
        }
        info!(leader.term = term.0, "leading no more");
        led
    }

    /// What a leader does: takes over what earlier generations left, and ticks.
    async fn lead(&self, term: Term, shutdown: &CancellationToken) -> Result<(), Error> {
        pool_legacy_schema::contract(&self.settings.database).await?;
        budget::learn(&self.outside.db, &self.outside.railway).await?;
        let last_complete_at = ticks::last_complete_at(&self.outside.db).await?;
        let last_tick = ticks::last(&self.outside.db).await?;
        let report = last_tick.and_then(|tick| tick.report).unwrap_or_default();
        let keep_events = self.settings.keep_events;
        let outside = Arc::clone(&self.outside);
        let pace = report.replenish.pace;
        let mut reconciler = Reconciler::new(outside, term, last_complete_at, pace, keep_events)
            .last_swept(report.sweep);
        self.tick_on(&mut reconciler, shutdown).await
    }

    /// Holds the lock: asks for it every two seconds, however often it is woken meanwhile, since the
    /// database ends the session of a silent leader; and passes on what wakes it.
    async fn hold(&self, candidate: &mut Candidate) -> Result<(), Error> {
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = pings.tick() => candidate.ping().await?,
                woken = candidate.woken() => {
                    woken?;
                    self.wake.notify_one();
                }
            }
        }
    }

    /// Wait, tick, record; until the server stops or another leads.
    async fn tick_on(
        &self,
        reconciler: &mut Reconciler,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        loop {
            let regular = Instant::now() + self.interval();
            let next = match self.tick_unless_stopped(reconciler, shutdown).await {
                None => return Ok(()),
                Some(Ok(ticked)) => ticked
                    .again_in
                    .map_or(regular, |soon| regular.min(Instant::now() + soon)),
                Some(Err(error)) if error.is_stale_term() => return Err(error),
                Some(Err(error)) => {
                    error!(error = %chain(&error), "the tick failed; the next one is the retry");
                    Instant::now() + RETRY_TICK_AFTER
                }
            };
            tokio::select! {
                // First: after a tick that took longer than the interval, the next one is due too.
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// None when the server is to stop.
    async fn tick_unless_stopped(
        &self,
        reconciler: &mut Reconciler,
        shutdown: &CancellationToken,
    ) -> Option<Result<crate::Ticked, Error>> {
        let last = async {
            shutdown.cancelled().await;
            sleep(LAST_TICK).await;
        };
        tokio::select! {
            biased;
            ticked = reconciler.tick() => Some(ticked),
            () = last => None,
        }
    }

    /// The interval, up to a tenth shorter or longer, so that servers of many pools do not call
    /// Railway in step.
    fn interval(&self) -> Duration {
        let mut byte = [0];
        self.outside.entropy.fill(&mut byte);
        let factor = 0.9 + f64::from(byte[0]) / 255.0 * 0.2;
        self.outside.policy.tick_interval.mul_f64(factor)
    }
}

/// True when the server is to stop, false when the time has passed.
async fn stopped_or_after(shutdown: &CancellationToken, pause: Duration) -> bool {
    timeout(pause, shutdown.cancelled()).await.is_ok()
}
