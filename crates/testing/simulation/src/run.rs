//! One seed from its beginning to its end: trouble, healing, and a full and tidy pool.

use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{Policy, Status};

use crate::character::{Character, seconds};
use crate::ledger::Violation;
use crate::scheduler::Tasks;
use crate::sim::{Counts, Sim};
use crate::story::{Kind, Line};
use crate::{check, server, weather};

/// How many tick intervals of trouble a seed has, unless said otherwise.
pub const TROUBLE_TICKS: u32 = 16;

/// For how many intervals the pool must stay as it should be.
const STAYS_FOR: u32 = 3;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Tick intervals of trouble.
    pub trouble_ticks: u32,
    /// Whether to keep the story.
    pub is_told: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trouble_ticks: TROUBLE_TICKS,
            is_told: false,
        }
    }
}

/// How a seed ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// What must not be; empty for a seed that passed.
    pub violations: Vec<Violation>,
    /// How much happened.
    pub counts: Counts,
    /// What happened, where it was to be told.
    pub story: Vec<Line>,
    /// What it was like, in words.
    pub character: String,
    /// Tick intervals from the end of the trouble until all was as it should be.
    pub settled_after: Option<u32>,
}

/// Runs one seed. The same seed is the same run.
#[must_use]
pub fn run(seed: u64, options: Options) -> Outcome {
    let character = Character::of(seed);
    let described = describe(&character);
    let sim = Sim::new(seed, character, options.is_told);
    let mut tasks = Tasks::default();
    let settled_after = play(&sim, &mut tasks, options);
    let violations = sim.database(|db| db.ledger.violations().to_vec());
    for violation in &violations {
        sim.tell(Kind::Violation, || violation.to_string());
    }
    let counts = *sim.counts.borrow();
    Outcome {
        seed,
        violations,
        counts,
        story: sim.take_story(),
        character: described,
        settled_after,
    }
}

fn play(sim: &Rc<Sim>, tasks: &mut Tasks, options: Options) -> Option<u32> {
    weather::seed_adoptees(sim);
    for number in 0..sim.character.servers {
        server::start(sim, number);
    }
    weather::begin(sim);
    for _ in 0..options.trouble_ticks {
        if !pass(sim, tasks) {
            return None;
        }
    }
    weather::end(sim);
    let settled = until(
        sim,
        tasks,
        settles_within(&sim.character.policy),
        "settled",
        leftovers,
    )?;
    take_surplus(sim);
    until(sim, tasks, refills_within(sim), "full", check::exact)?;
    stays(sim, tasks)?;
    Some(settled)
}

/// How often in an interval it is checked what must hold at every moment of the world.
const LOOKS: u32 = 2;

/// One interval passes. False when something is wrong.
fn pass(sim: &Rc<Sim>, tasks: &mut Tasks) -> bool {
    let interval = sim.character.policy.tick_interval;
    for _ in 0..LOOKS {
        let until: DateTime<Utc> = sim.now() + interval / LOOKS;
        sim.scheduler.run_until(tasks, until);
        check::moment(sim);
        if sim.database(|db| !db.ledger.violations().is_empty()) {
            return false;
        }
    }
    true
}

/// How long after the trouble the last of it is gone: what is stuck is given up after the stuck
/// timeout; what failed is tried again after five minutes at the latest, and once more; and what was
/// begun or deleted shows only after the grace, for each of the steps that may have been lost; and
/// what the fuse holds back waits for its window.
fn settles_within(policy: &Policy) -> Duration {
    policy.stuck_timeout
        + 2 * Policy::FUSE_WINDOW
        + 2 * Policy::RETRY_AFTER_MAX
        + 6 * policy.missing_grace
}

/// A start takes up to two minutes here, and creating begins slowly.
fn refills_within(sim: &Sim) -> Duration {
    let start = sim.character.world.deploy_max + sim.character.world.boot;
    start + sim.character.world.read_lag + 10 * sim.character.policy.tick_interval + seconds(120)
}

/// Everything but the size of the stock.
fn leftovers(sim: &Sim) -> Vec<String> {
    let target = sim.character.policy.min_idle;
    let (idle, moving) = sim.database(|db| {
        let moving = [Status::Starting, Status::Claiming, Status::Dead];
        let moving: usize = moving.into_iter().map(|status| db.count(status)).sum();
        (db.count(Status::Idle), moving)
    });
    let mut wrong = check::exact(sim);
    if idle > target && moving == 0 {
        // More than the target by what people asked for, or by starts that took too long.
        wrong.retain(|it| !it.contains("and the target is"));
    }
    wrong
}

/// Callers take what there is above the target, and one more: it must come back, and no more.
fn take_surplus(sim: &Rc<Sim>) {
    let idle = sim.database(|db| db.count(Status::Idle));
    let surplus = idle.saturating_sub(sim.character.policy.min_idle);
    for _ in 0..(surplus + 1).min(idle) {
        weather::call(sim);
    }
}

fn until(
    sim: &Rc<Sim>,
    tasks: &mut Tasks,
    limit: Duration,
    what: &str,
    wrong: impl Fn(&Sim) -> Vec<String>,
) -> Option<u32> {
    let until = sim.now() + limit;
    let mut passed = 0;
    while sim.now() < until {
        weather::confirm_fuse(sim);
        if !pass(sim, tasks) {
            return None;
        }
        passed += 1;
        if wrong(sim).is_empty() {
            return Some(passed);
        }
    }
    let sentence = wrong(sim).join("; ");
    sim.violated(
        what,
        format!("not {what} within {passed} ticks: {sentence}"),
    );
    None
}

fn stays(sim: &Rc<Sim>, tasks: &mut Tasks) -> Option<()> {
    for _ in 0..STAYS_FOR {
        if !pass(sim, tasks) {
            return None;
        }
        let wrong = check::exact(sim);
        if !wrong.is_empty() {
            sim.violated("stays", wrong.join("; "));
            return None;
        }
    }
    Some(())
}

fn describe(character: &Character) -> String {
    let Character {
        policy,
        world,
        servers,
        adoptees,
        has_openrouter,
        has_agentmail,
        rates,
        ..
    } = character;
    let mut text = format!(
        "{servers} server(s); target {}, cap {}, tick {:?}, stuck after {:?}, reads lag {:?}, \
         deletions {:?}",
        policy.min_idle,
        policy.max_total,
        policy.tick_interval,
        policy.stuck_timeout,
        world.read_lag,
        world.delete_lag,
    );
    for (is_so, what) in [
        (policy.has_volume, "volumes"),
        (*has_openrouter, "keys"),
        (*has_agentmail, "inboxes"),
    ] {
        if is_so {
            text.push_str(", ");
            text.push_str(what);
        }
    }
    if *adoptees > 0 {
        text = format!("{text}, {adoptees} to adopt");
    }
    format!("{text}; in an interval: {rates:?}")
}
