//! Where a task of a server runs: every step of it passes here, and may be struck.

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use pool_domain::Secret;

use crate::database::{Database, DbError};
use crate::scheduler::{OUTSIDE, Owner};
use crate::sim::{Blow, Sim};
use crate::story::Kind;

/// Where a task runs: a life of a server.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) sim: Rc<Sim>,
    pub(crate) owner: Owner,
    /// Which of the servers.
    pub(crate) server: usize,
}

/// The notice of the database that a host vanished: keepalive 5 s, then twice 2 s.
const VANISHED_AFTER: Duration = Duration::from_secs(9);

impl Place {
    /// Every step passes here, before and after it: the server may be struck.
    pub(crate) async fn step(&self) {
        match self.sim.blow_now(self.owner) {
            None => {}
            Some(Blow::Kill { noticed_after }) => {
                self.die(noticed_after);
                pending::<()>().await;
            }
            Some(Blow::Freeze { lasts }) => self.freeze(lasts).await,
        }
    }

    pub(crate) fn die(&self, noticed_after: Duration) {
        let sim = &self.sim;
        sim.tell(Kind::Outside, || {
            format!("server {} is killed", self.server + 1)
        });
        sim.count(|counts| counts.kills += 1);
        sim.scheduler.kill(self.owner);
        sim.database(|db| db.lose_lock(self.owner, noticed_after));
        sim.lives.borrow_mut()[self.server] = None;
        let wait = Duration::from_millis(sim.random(|rng| rng.u64(500..60_000)));
        let (sim, server) = (Rc::clone(sim), self.server);
        let again = Rc::clone(&sim);
        sim.scheduler.spawn(OUTSIDE, async move {
            again.scheduler.sleep(wait).await;
            crate::server::start(&again, server);
        });
    }

    async fn freeze(&self, lasts: Duration) {
        let sim = &self.sim;
        sim.tell(Kind::Outside, || {
            format!("server {} stands still for {lasts:?}", self.server + 1)
        });
        sim.count(|counts| counts.freezes += 1);
        if lasts > VANISHED_AFTER {
            sim.database(|db| db.lose_lock(self.owner, VANISHED_AFTER));
        }
        sim.scheduler.freeze(self.owner);
        let (thawing, owner) = (Rc::clone(sim), self.owner);
        sim.scheduler.spawn(OUTSIDE, async move {
            thawing.scheduler.sleep(lasts).await;
            thawing.scheduler.thaw(owner);
        });
        sim.scheduler.sleep(Duration::from_millis(1)).await;
    }

    /// One statement over a connection that may break before it or after it.
    pub(crate) async fn statement<T>(
        &self,
        name: &'static str,
        run: impl FnOnce(&mut Database) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let sim = &self.sim;
        self.step().await;
        self.pause(1, 8).await;
        let breaks = !sim.is_healed() && sim.is_likely(sim.character.rates.database);
        let is_done = !breaks || sim.random(fastrand::Rng::bool);
        let outcome = if is_done {
            sim.database(run)
        } else {
            Err(DbError::Unavailable)
        };
        sim.tell(Kind::Statement, || {
            let end = match (&outcome, breaks) {
                (Err(why), _) => format!(": {why}"),
                (Ok(_), true) => ", and its answer is lost".to_owned(),
                (Ok(_), false) => String::new(),
            };
            format!("server {}: {name}{end}", self.server + 1)
        });
        if matches!(outcome, Err(DbError::StaleTerm)) {
            sim.count(|counts| counts.stale += 1);
        }
        self.pause(1, 8).await;
        self.step().await;
        if breaks {
            return Err(DbError::Unavailable);
        }
        outcome
    }

    /// So many milliseconds pass.
    pub(crate) async fn pause(&self, min: u64, max: u64) {
        let millis = self.sim.random(|rng| rng.u64(min..max));
        self.sim
            .scheduler
            .sleep(Duration::from_millis(millis))
            .await;
    }

    pub(crate) fn new_token(&self) -> Secret {
        Secret::new(self.sim.random(|rng| format!("{:032x}", rng.u128(..))))
    }
}
