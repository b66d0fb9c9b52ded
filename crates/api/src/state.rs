//! What the handlers work with, and what is kept of the database for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_claims::Claims;
use pool_db::instances;
use pool_db::ticks::{self, LastTick};
use pool_db::{Db, commands, fuse};
use pool_domain::{BudgetReport, FuseReport, LoopsReport, Report, Secret};
use tokio::sync::Notify;

use crate::answer::{Answer, Space};
use crate::cache::Cached;
use crate::error::ApiError;
use crate::page::frame::Frame;
use crate::views::Counts;

/// What the API is made of.
#[derive(Debug, Clone)]
pub struct App {
    /// Where intents are written and lists are read.
    pub db: Db,
    /// Leases an agent, sets it up and confirms it.
    pub claims: Claims,
    /// The pool's key (`POOL_API_KEY`).
    pub key: Secret,
    /// The name of the environment (`POOL_ENVIRONMENT`).
    pub environment: String,
    /// The version that `GET /version` tells.
    pub version: String,
    /// From one tick to the next (`TICK_INTERVAL_MS`).
    pub tick_interval: Duration,
    /// Wakes this server's own loop where the database cannot pass the word on to the leader.
    pub wake: Arc<Notify>,
    /// How this server's loops get on, where it leads.
    pub loops: LiveLoops,
}

/// Asks this server how the loops of its leadership get on.
#[derive(Clone)]
pub struct LiveLoops {
    loops: Ask<LoopsReport>,
    hindrance: Ask<String>,
}

type Ask<T> = Arc<dyn Fn() -> Option<T> + Send + Sync>;

impl LiveLoops {
    /// `loops` gives none while this server does not lead, `hindrance` what keeps it from that beside
    /// another that does.
    pub fn new(
        loops: impl Fn() -> Option<LoopsReport> + Send + Sync + 'static,
        hindrance: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            loops: Arc::new(loops),
            hindrance: Arc::new(hindrance),
        }
    }

    /// A server that never leads.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|| None, || None)
    }

    pub(crate) fn report(&self) -> Option<LoopsReport> {
        (self.loops)()
    }

    pub(crate) fn hindrance(&self) -> Option<String> {
        (self.hindrance)()
    }
}

impl std::fmt::Debug for LiveLoops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LiveLoops").field(&self.report()).finish()
    }
}

/// The state of every handler.
pub(crate) type Shared = Arc<State>;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) app: App,
    counts: Cached<Counts>,
    last_tick: Cached<TickSeen>,
    changes: AtomicU64,
    pub(crate) answers: Answers,
    pub(crate) frame: Frame,
}

/// What is sent to many at once.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Of which anybody may have a part; strangers cannot take that of those who know the key.
    pub(crate) for_all: Space,
    pub(crate) for_signed_in: Space,
    /// For load balancers, whatever the others take.
    pub(crate) for_machines: Space,
    pub(crate) agents: Cached<Answer>,
    pub(crate) agents_with_conversations: Cached<Answer>,
    pub(crate) status: Cached<Answer>,
    pub(crate) live: Cached<Answer>,
    pub(crate) readiness: Cached<Answer>,
}

impl Answers {
    /// What is shown to everybody has 1,000 rows at most, so 4 MiB with names as long as a claim allows,
    /// twice while it is made anew.
    const FOR_ALL_KIB: u32 = 16 * 1024;
    /// A hundred agents with instructions as long as a claim allows, twice.
    const FOR_SIGNED_IN_KIB: u32 = 256 * 1024;

    /// What the fuse holds back makes a readiness long: 40 KiB at most.
    const FOR_MACHINES_KIB: u32 = 4 * 1024;

    fn new() -> Self {
        Self {
            for_machines: Space::new(Self::FOR_MACHINES_KIB),
            for_all: Space::new(Self::FOR_ALL_KIB),
            for_signed_in: Space::new(Self::FOR_SIGNED_IN_KIB),
            agents: Cached::default(),
            agents_with_conversations: Cached::while_used(),
            status: Cached::while_used(),
            live: Cached::default(),
            readiness: Cached::default(),
        }
    }
}

/// The last tick, how the fuse stands, and the database's time when they were read.
#[derive(Debug)]
pub(crate) struct TickSeen {
    pub(crate) tick: Option<LastTick>,
    pub(crate) fuse: Option<FuseReport>,
    pub(crate) now: DateTime<Utc>,
}

impl TickSeen {
    /// What that tick said.
    pub(crate) fn report(&self) -> Option<&Report> {
        self.tick.as_ref()?.report.as_ref()
    }

    /// Railway's budget as that tick left it.
    pub(crate) fn budget(&self) -> Option<&BudgetReport> {
        self.report()?.budget.as_ref()
    }
}

/// A change in progress. When it ends, in whatever way, what was read before it is old.
pub(crate) struct Change<'a>(&'a AtomicU64);

impl State {
    pub(crate) fn new(app: App) -> Shared {
        Arc::new(Self {
            frame: Frame::new(&app.environment, &app.version),
            app,
            counts: Cached::default(),
            last_tick: Cached::default(),
            changes: AtomicU64::new(0),
            answers: Answers::new(),
        })
    }

    /// How many there are of each status.
    pub(crate) async fn counts(&self) -> Result<Arc<Counts>, ApiError> {
        let read = async || instances::counts(&self.app.db).await.map(Counts::from);
        self.counts.get(|| self.generation(), read).await
    }

    /// What the last tick said.
    pub(crate) async fn last_tick(&self) -> Result<Arc<TickSeen>, ApiError> {
        let db = &self.app.db;
        let read = async || {
            let (tick, fuse) = (ticks::last(db).await?, fuse::tripped(db).await?);
            let now = db.now().await?;
            Ok::<_, pool_db::Error>(TickSeen { tick, fuse, now })
        };
        self.last_tick.get(|| self.generation(), read).await
    }

    /// Notes a change that this server makes, until the returned value is dropped.
    pub(crate) fn change(&self) -> Change<'_> {
        Change(&self.changes)
    }

    /// Wakes the leader, whichever server it is, after a change of intent. Without it the next tick
    /// would see the change anyway.
    pub(crate) async fn wake_leader(&self) {
        if let Err(error) = commands::wake(&self.app.db).await {
            tracing::debug!(%error, "cannot wake the leader; its next tick will see the change");
            self.app.wake.notify_one();
        }
    }

    /// Counts the changes made through this server.
    pub(crate) fn generation(&self) -> u64 {
        self.changes.load(Ordering::SeqCst) + self.app.claims.changes()
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
