//! What every task of a simulation shares: the clock, the world, the database, chance and the
//! story.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::ServicePrefix;
use pool_planner::{Accounts, Identity};
use pool_simulator::World;

use crate::character::Character;
use crate::database::Database;
use crate::scheduler::{OUTSIDE, Owner, Scheduler};
use crate::server::Breaker;
use crate::story::{Kind, Story};

/// What proves a service ours.
pub(crate) const POOL_API_KEY: &str = "the-pools-key";
/// What the names of our services begin with.
pub(crate) const PREFIX: &str = "convos-agent-";

/// What may happen to a server at its next steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// kill -9; the database notices at once, or only when its keepalive says so.
    Kill { noticed_after: Duration },
    /// It stands still for so long, with the database's connection held open or lost.
    Freeze { lasts: Duration },
}

/// All that is shared.
pub(crate) struct Sim {
    pub(crate) scheduler: Scheduler,
    pub(crate) character: Character,
    pub(crate) identity: Identity,
    world: RefCell<World>,
    database: RefCell<Database>,
    rng: RefCell<fastrand::Rng>,
    story: RefCell<Story>,
    /// After how many more steps a server is struck.
    blows: RefCell<BTreeMap<Owner, (u32, Blow)>>,
    /// The present life of each server.
    pub(crate) lives: RefCell<Vec<Option<Owner>>>,
    owners: Cell<Owner>,
    /// No more trouble.
    healed: Cell<bool>,
    pub(crate) counts: RefCell<Counts>,
    breakers: RefCell<BTreeMap<Owner, Breaker>>,
}

/// How much happened, for the summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ticks that were carried through.
    pub ticks: u32,
    /// Servers killed.
    pub kills: u32,
    /// Servers that stood still for a while.
    pub freezes: u32,
    /// Requests that failed.
    pub failed_calls: u32,
    /// Claims that were begun.
    pub claims: u32,
    /// Of these, answered 200.
    pub claimed: u32,
    /// Instances that became whole.
    pub created: u32,
    /// Services whose deletion was accepted.
    pub destroyed: u32,
    /// Writes of a leader that was none any more.
    pub stale: u32,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.ticks += other.ticks;
        self.kills += other.kills;
        self.freezes += other.freezes;
        self.failed_calls += other.failed_calls;
        self.claims += other.claims;
        self.claimed += other.claimed;
        self.created += other.created;
        self.destroyed += other.destroyed;
        self.stale += other.stale;
    }
}

impl Sim {
    pub(crate) fn new(seed: u64, character: Character, is_told: bool) -> Rc<Self> {
        let began = DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default();
        let world = World::new(seed, character.world.clone(), began);
        let identity = Identity {
            prefix: ServicePrefix::new(PREFIX),
            agent_scheme: "https".to_owned(),
            own_service: None,
            accounts: Accounts {
                openrouter: character.has_openrouter,
                agentmail: character.has_agentmail,
            },
        };
        Rc::new(Self {
            scheduler: Scheduler::new(began),
            identity,
            world: RefCell::new(world),
            database: RefCell::new(Database::default()),
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            story: RefCell::new(Story::new(began, is_told)),
            blows: RefCell::default(),
            lives: RefCell::new(vec![None; character.servers]),
            owners: Cell::new(OUTSIDE),
            healed: Cell::new(false),
            counts: RefCell::default(),
            breakers: RefCell::default(),
            character,
        })
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.scheduler.now()
    }

    /// The world as it is now.
    pub(crate) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.borrow_mut();
        world.step(self.now());
        look(&mut world)
    }

    /// One statement, done at once. Tasks of a server go through `Place::statement`.
    pub(crate) fn database<T>(&self, run: impl FnOnce(&mut Database) -> T) -> T {
        let mut database = self.database.borrow_mut();
        database.now = self.now();
        run(&mut database)
    }

    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.rng.borrow_mut())
    }

    pub(crate) fn is_likely(&self, probability: f64) -> bool {
        self.random(|rng| rng.f64() < probability)
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.counts.borrow_mut());
    }

    pub(crate) fn tell(&self, kind: Kind, text: impl FnOnce() -> String) {
        self.story.borrow_mut().tell(self.now(), kind, text);
    }

    pub(crate) fn violated(&self, rule: &str, sentence: impl Into<String>) {
        self.database(|db| db.ledger.violated(rule, sentence));
    }

    pub(crate) fn take_story(&self) -> Vec<crate::story::Line> {
        self.story.borrow_mut().take()
    }

    pub(crate) fn new_owner(&self) -> Owner {
        self.owners.set(self.owners.get() + 1);
        self.owners.get()
    }

    /// What a server remembers of agents that failed; a killed one remembers nothing.
    pub(crate) fn breaker_of(&self, owner: Owner) -> Breaker {
        self.breakers.borrow_mut().entry(owner).or_default().clone()
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.healed.get()
    }

    /// Ends all trouble of servers and of the database.
    pub(crate) fn heal(&self) {
        self.healed.set(true);
        self.blows.borrow_mut().clear();
        self.scheduler.thaw_all();
    }

    /// The server is struck at its `steps`-th step from now.
    pub(crate) fn strike(&self, owner: Owner, steps: u32, blow: Blow) {
        self.blows.borrow_mut().insert(owner, (steps, blow));
    }

    pub(crate) fn blow_now(&self, owner: Owner) -> Option<Blow> {
        let mut blows = self.blows.borrow_mut();
        let (steps, blow) = blows.get_mut(&owner)?;
        if *steps > 0 {
            *steps -= 1;
            return None;
        }
        let blow = *blow;
        blows.remove(&owner);
        Some(blow)
    }
}
