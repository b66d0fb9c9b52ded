//! One seed from its beginning to its end: trouble, healing, and a full and tidy pool.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use pool_domain::Policy;
use pool_simulator::{Options as SimulatorOptions, Simulator};
use tokio::runtime;
use tokio::time::{Instant, sleep};

use crate::bad_day;
use crate::day::BadDay;
use crate::oracle::Oracle;
use crate::postgres::{Database, Gate};
use crate::scenario::{Scenario, seconds};
use crate::stage::Stage;
use crate::time::SimulatedClock;
use crate::trace::{Counts, Kind, Line, Trace, Violation};
use crate::{log, nemesis, server, workload};

/// How many tick intervals of trouble a seed has, unless said otherwise.
pub const TROUBLE_TICKS: u32 = 16;

/// For how many intervals the pool must stay as it should be.
const STAYS_FOR: u32 = 3;

/// How often in an interval it is looked at what must hold at every moment.
const LOOKS: u32 = 2;

/// How often silent sessions are ended, and what stood still goes on.
const LOOKED_AFTER_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked at what must be prompt, where anything goes wrong; else as often.
const PROGRESS_LOOKED_AT: u32 = 6;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Tick intervals of trouble.
    pub trouble_ticks: u32,
    /// Whether to keep the story.
    pub is_told: bool,
    /// The one thing that goes wrong, whatever the seed says.
    pub day: Option<BadDay>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trouble_ticks: TROUBLE_TICKS,
            is_told: false,
            day: None,
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
    pub scenario: String,
    /// Tick intervals from the end of the trouble until all was as it should be.
    pub settled_after: Option<u32>,
    /// The same for the same run, to the last statement.
    pub fingerprint: u64,
    /// How long it took, in real time.
    pub took: Duration,
}

/// Runs one seed. The same seed is the same run.
pub(crate) fn run(seed: u64, options: Options, database: &Arc<Database>) -> Result<Outcome> {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a seed takes is what is asked"
    )]
    let began = std::time::Instant::now();
    database.empty()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let scenario = Scenario::of(seed);
    let scenario = match options.day {
        Some(day) => scenario.on(day),
        None => scenario,
    };
    let described = scenario.to_string();
    let gate = Gate::new(seed, Arc::clone(&database.backends));
    let (trace, settled_after) = runtime.block_on(async {
        let clock = Arc::new(SimulatedClock::starting_now());
        let trace = Trace::new(Arc::clone(&clock), options.is_told);
        let _logs = options.is_told.then(|| log::into_trace(&trace));
        let (simulator, service) = Simulator::in_process(SimulatorOptions {
            seed,
            settings: scenario.world.clone(),
            clock: Arc::clone(&clock) as _,
            ..SimulatorOptions::default()
        });
        let simulator = Arc::new(simulator);
        let oracle = Arc::new(Oracle::new(
            Arc::clone(database),
            Arc::clone(&trace),
            Arc::clone(&simulator),
            scenario.clone(),
            Arc::clone(&clock),
        ));
        let stage = Stage::new(
            seed,
            scenario,
            clock,
            Arc::clone(&trace),
            (simulator, service),
            oracle,
            Arc::clone(&gate),
            database.nowhere,
            database.url.expose().to_owned(),
        );
        let settled = play(&stage, options).await?;
        anyhow::Ok((trace, settled))
    })?;
    let counts = trace.counts();
    // Ends what is left of the servers before the database is emptied for the next.
    runtime.shutdown_background();
    gate.end_all();
    let (story, violations, fingerprint) = trace.take();
    Ok(Outcome {
        seed,
        violations,
        counts,
        story,
        scenario: described,
        settled_after,
        fingerprint,
        took: began.elapsed(),
    })
}

async fn play(stage: &Arc<Stage>, options: Options) -> Result<Option<u32>> {
    nemesis::seed_adoptees(stage).context("services to adopt")?;
    for number in 0..stage.scenario.servers {
        tokio::spawn(server::run(Arc::clone(stage), number));
    }
    tokio::spawn(workload::callers(Arc::clone(stage)));
    tokio::spawn(nemesis::strikes(Arc::clone(stage)));
    tokio::spawn(bad_day::goes_by(Arc::clone(stage)));
    tokio::spawn(workload::look_after_fuse(Arc::clone(stage)));
    for _ in 0..options.trouble_ticks {
        if !pass(stage).await? {
            return Ok(None);
        }
    }
    nemesis::end(stage);
    let limit = settles_within(&stage.scenario);
    let Some(settled) = until(stage, limit, "settled", leftovers).await? else {
        return Ok(None);
    };
    workload::take_surplus(stage)?;
    let exact = |stage: &Stage| stage.oracle.exact();
    let limit = refills_within(&stage.scenario);
    if until(stage, limit, "full", exact).await?.is_none() {
        return Ok(None);
    }
    for _ in 0..STAYS_FOR {
        if !pass(stage).await? {
            return Ok(None);
        }
        let wrong = stage.oracle.exact()?;
        if !wrong.is_empty() {
            stage.trace.violated("stays", wrong.join("; "));
            return Ok(None);
        }
    }
    Ok(Some(settled))
}

/// One interval passes. False when something is wrong.
async fn pass(stage: &Stage) -> Result<bool> {
    let interval = stage.scenario.tick_interval;
    let every = if stage.scenario.is_calm() {
        1
    } else {
        PROGRESS_LOOKED_AT
    };
    for _ in 0..LOOKS {
        let until = Instant::now() + interval / LOOKS;
        for turn in 1.. {
            if Instant::now() >= until {
                break;
            }
            sleep(LOOKED_AFTER_EVERY).await;
            stage.look_after();
            if turn % every == 0 {
                stage.oracle.look_at_progress()?;
            }
        }
        stage.oracle.look()?;
        if !stage.trace.is_clean() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How long after the trouble the last of it is gone: what is stuck is given up after the stuck
/// timeout; what failed is tried again after five minutes at the latest, and once more; what was
/// begun or deleted shows only after the grace, for each of the steps that may have been lost; what
/// the fuse holds back waits for its window; and a budget that is spent waits for its hour.
fn settles_within(scenario: &Scenario) -> Duration {
    let budget = scenario.world.limits.per_hour.map_or(0, |_| 3_600);
    scenario.stuck_timeout
        + 2 * Policy::FUSE_WINDOW
        + 2 * Policy::RETRY_AFTER_MAX
        + 6 * seconds(120)
        + seconds(budget)
        + fills_within(scenario)
}

/// Twenty a round at the most, and slowly at first.
fn fills_within(scenario: &Scenario) -> Duration {
    let rounds = u32::try_from(scenario.target / 10).unwrap_or(u32::MAX);
    rounds * scenario.tick_interval
}

/// A start takes up to two minutes here, and creating begins slowly.
fn refills_within(scenario: &Scenario) -> Duration {
    let world = &scenario.world;
    let start = world.deploy_max + world.boot;
    start + world.read_lag + 10 * scenario.tick_interval + seconds(120)
}

/// Everything but the size of the stock.
fn leftovers(stage: &Stage) -> Result<Vec<String>> {
    let idle = stage.oracle.count(&["idle"])?;
    let moving = stage.oracle.count(&["starting", "claiming", "dead"])?;
    let mut wrong = stage.oracle.exact()?;
    if idle > stage.scenario.target && moving == 0 {
        // More than the target by what people asked for, or by starts that took too long.
        wrong.retain(|it| !it.contains("and the target is"));
    }
    Ok(wrong)
}

async fn until(
    stage: &Stage,
    limit: Duration,
    what: &str,
    wrong: impl Fn(&Stage) -> Result<Vec<String>>,
) -> Result<Option<u32>> {
    let until = Instant::now() + limit;
    let mut passed = 0;
    while Instant::now() < until {
        if !pass(stage).await? {
            return Ok(None);
        }
        passed += 1;
        if wrong(stage)?.is_empty() {
            return Ok(Some(passed));
        }
    }
    let sentence = wrong(stage)?.join("; ");
    let report = stage.oracle.last_report()?;
    stage.tell(Kind::Outside, || {
        format!("the last round's report: {report}")
    });
    stage.trace.violated(
        what,
        format!("not {what} within {passed} ticks: {sentence}"),
    );
    Ok(None)
}
