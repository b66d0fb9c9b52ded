//! What everything in a run shares: the world, the servers, the database, chance, and the record.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pool_simulator::{InProcess, Simulator};

use crate::life::Life;
use crate::oracle::Oracle;
use crate::postgres::{Gate, Nowhere};
use crate::scenario::Scenario;
use crate::time::SimulatedClock;
use crate::trace::{Kind, Trace};

/// All that is shared.
pub(crate) struct Stage {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) trace: Arc<Trace>,
    pub(crate) simulator: Arc<Simulator>,
    /// Answers what is asked of the simulator.
    pub(crate) service: InProcess,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) nowhere: Nowhere,
    pub(crate) database_url: String,
    inner: Mutex<Inner>,
}

struct Inner {
    rng: fastrand::Rng,
    /// The present life of each server, where it has one.
    lives: Vec<Option<Life>>,
    is_healed: bool,
    lives_begun: u64,
}

impl Stage {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, with each part by its name"
    )]
    pub(crate) fn new(
        seed: u64,
        scenario: Scenario,
        clock: Arc<SimulatedClock>,
        trace: Arc<Trace>,
        (simulator, service): (Arc<Simulator>, InProcess),
        oracle: Arc<Oracle>,
        gate: Arc<Gate>,
        nowhere: Nowhere,
        database_url: String,
    ) -> Arc<Self> {
        let lives = (0..scenario.servers).map(|_| None).collect();
        Arc::new(Self {
            seed,
            scenario,
            clock,
            trace,
            simulator,
            service,
            oracle,
            gate,
            nowhere,
            database_url,
            inner: Mutex::new(Inner {
                rng: fastrand::Rng::with_seed(seed),
                lives,
                is_healed: false,
                lives_begun: 0,
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.inner().rng)
    }

    /// One of them, where there is any.
    pub(crate) fn some<T: Clone>(&self, all: &[T]) -> Option<T> {
        let index = self.random(|rng| rng.usize(..)).checked_rem(all.len())?;
        all.get(index).cloned()
    }

    pub(crate) fn tell(&self, kind: Kind, text: impl FnOnce() -> String) {
        self.trace.tell(kind, text);
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.inner().is_healed
    }

    /// Ends all trouble of servers and of the database.
    pub(crate) fn heal(&self) {
        let mut inner = self.inner();
        inner.is_healed = true;
        for life in inner.lives.iter().flatten() {
            life.node.heal();
        }
    }

    pub(crate) fn begin_life(&self, server: usize, begin: impl FnOnce(u64) -> Life) {
        let number = {
            let mut inner = self.inner();
            inner.lives_begun += 1;
            inner.lives_begun
        };
        let life = begin(self.seed.rotate_left(20) ^ number);
        self.inner().lives[server] = Some(life);
    }

    pub(crate) fn end_life(&self, server: usize) {
        self.inner().lives[server] = None;
    }

    /// One of the servers that run.
    pub(crate) fn some_server(&self) -> Option<Life> {
        let alive: Vec<_> = self.inner().lives.iter().flatten().cloned().collect();
        self.some(&alive)
    }

    /// Whether any server stands still.
    pub(crate) fn stands_still(&self) -> bool {
        let inner = self.inner();
        inner
            .lives
            .iter()
            .flatten()
            .any(|life| life.node.is_frozen())
    }

    /// Wakes servers that stand still no longer, and ends sessions that were silent for too long.
    pub(crate) fn look_after(&self) {
        let lives: Vec<_> = self.inner().lives.iter().flatten().cloned().collect();
        for life in lives {
            life.node.thaw();
        }
        self.gate.end_silent();
    }
}
