//! Leads where nobody else does, and keeps the loops going. A server without the leader's lock does
//! nothing of it; one that loses the lock, or cannot tell, stops at once.

use std::sync::Arc;

use futures_util::future;
use pool_db::leadership::Candidate;
use pool_db::{DbSettings, managers, ticks};
use pool_domain::{ManagerId, Term, chain};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::leading::{Leading, Loops};
use crate::reconciling::Reconciler;
use crate::{Context, Error, budget, promoting, reconciling, sweeping, working};

/// How often a standby tries to take the lead, and a leader asks whether it still has it.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before a lost connection is made anew.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// How long the loops may go on once the server is to stop. What they leave is recorded, and finished
/// by the next leader.
const LAST_ROUND: Duration = Duration::from_secs(20);

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
    context: Arc<Context>,
    settings: DriverSettings,
    wake: Arc<Notify>,
    loops: Arc<Loops>,
}

impl Driver {
    /// A driver that is also woken through `wake`, by this server's own API, and that says in `loops`
    /// how it gets on.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        settings: DriverSettings,
        wake: Arc<Notify>,
        loops: Arc<Loops>,
    ) -> Self {
        Self {
            context,
            settings,
            wake,
            loops,
        }
    }

    /// Runs until `shutdown`. Whatever goes wrong is logged and tried again.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(why) = Box::pin(self.lead_once(&shutdown)).await {
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
        self.loops.begin();
        let led = tokio::select! {
            biased;
            lost = self.hold(&mut candidate) => lost,
            ended = self.lead(term, shutdown) => ended,
        };
        self.loops.end();
        if let Err(error) = candidate.resign().await {
            // The database frees the lock when it notices that the connection is gone.
            warn!(error = %chain(&error), "the lead was not given back");
        }
        info!(leader.term = term.0, "leading no more");
        led
    }

    /// What a leader does: takes over what earlier generations left, and keeps its loops going. Whichever
    /// of them meets another leader ends all of them.
    async fn lead(&self, term: Term, shutdown: &CancellationToken) -> Result<(), Error> {
        pool_legacy_schema::contract(&self.settings.database).await?;
        budget::learn(&self.context.db, &self.context.railway).await?;
        let last_complete_at = ticks::last_complete_at(&self.context.db).await?;
        let last_tick = ticks::last(&self.context.db).await?;
        let report = last_tick.and_then(|tick| tick.report).unwrap_or_default();
        let new = ManagerId::generate(self.context.entropy.as_ref());
        let manager = managers::own(&self.context.db, &new).await?;
        let leading = Arc::new(Leading::new(
            Arc::clone(&self.context),
            term,
            manager,
            Arc::clone(&self.wake),
            Arc::clone(&self.loops),
            report.sweep,
        ));
        let (orders, to_build) = mpsc::unbounded_channel();
        let (sweeps, to_sweep) = mpsc::unbounded_channel();
        let reconciler = Reconciler::new(
            Arc::clone(&leading),
            last_complete_at,
            report.replenish.pace,
            orders,
            sweeps,
            self.settings.keep_events,
        );
        let loops = future::try_join4(
            promoting::run(Arc::clone(&leading), shutdown.clone()),
            reconciling::run(Arc::clone(&leading), reconciler, shutdown.clone()),
            working::run(Arc::clone(&leading), to_build, shutdown.clone()),
            sweeping::run(leading, to_sweep, shutdown.clone()),
        );
        let last = async {
            shutdown.cancelled().await;
            sleep(LAST_ROUND).await;
        };
        tokio::select! {
            biased;
            ended = loops => ended.map(drop),
            () = last => Ok(()),
        }
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
}

/// True when the server is to stop, false when the time has passed.
async fn stopped_or_after(shutdown: &CancellationToken, pause: Duration) -> bool {
    timeout(pause, shutdown.cancelled()).await.is_ok()
}
