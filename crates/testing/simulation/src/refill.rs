//! How soon a stock is full again, in virtual time and with nothing wrong but what is asked for: the
//! servers that ship, against the simulated Railway at the speeds that it has by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::ServiceId;
use pool_simulator::{Fault, FaultRule, Options as SimulatorOptions, Settings, Simulator};
use tokio::runtime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use crate::oracle::Oracle;
use crate::postgres::{Database, Gate, PostgreSql};
use crate::scenario::{Rates, Scenario, seconds};
use crate::server;
use crate::stage::Stage;
use crate::time::SimulatedClock;
use crate::trace::Trace;

/// What is to be filled.
#[derive(Debug, Clone, Copy)]
pub struct Refill {
    /// How many are idle before, made from the same image.
    pub idle: usize,
    /// How many are missing.
    pub missing: usize,
    /// How likely a deployment fails.
    pub failing: f64,
    /// Whether a start takes one to two minutes, as it does on Railway, and not 3 to 6 s.
    pub starts_slowly: bool,
}

/// How it went. Times are virtual.
#[derive(Debug, Clone)]
pub struct Refilled {
    /// How many were missing.
    pub missing: usize,
    /// How likely a deployment failed.
    pub failing: f64,
    /// Until as many had been asked of Railway as were missing.
    pub asked_s: f64,
    /// Until all of them were idle.
    pub full_s: f64,
    /// How many services were made.
    pub made: u64,
    /// Requests to Railway, listings too, for each one that was missing.
    pub requests_per_instance: f64,
    /// Of these, the listings' pages.
    pub pages: u64,
    /// From an agent's readiness to its instance being idle.
    pub ready_to_idle_median_s: f64,
    /// The longest.
    pub ready_to_idle_worst_s: f64,
}

/// Fills a pool of some idle instances, and then what is asked for.
///
/// # Errors
///
/// When there is no PostgreSQL, or the pool is not full within an hour.
pub fn refill(of: Refill) -> Result<Refilled> {
    in_virtual_time(async |database| {
        let world = World::new(database, speeds(of.starts_slowly));
        if of.idle > 0 {
            // Its last round has recorded them.
            let server = world.filled(of.idle).await?;
            server.waits(seconds(60)).await;
            server.end().await;
        }
        if of.failing > 0.0 {
            let mut rule = FaultRule::always(Fault::DeployFails);
            rule.probability = Some(of.failing);
            world.simulator.inject(rule)?;
        }
        measure(&world, of).await
    })
}

/// How many requests to Railway a time takes in which nothing happens to so many idle instances.
///
/// # Errors
///
/// When there is no PostgreSQL, or the pool is not full within an hour.
pub fn quiet(idle: usize, time: Duration) -> Result<u64> {
    in_virtual_time(async |database| {
        let world = World::new(database, speeds(false));
        let server = world.filled(idle).await?;
        server.waits(seconds(300)).await;
        world.simulator.reset_request_counts();
        server.waits(time).await;
        let requests = world.simulator.request_counts().total;
        server.end().await;
        Ok(requests)
    })
}

fn in_virtual_time<T>(run: impl AsyncFnOnce(&Arc<Database>) -> Result<T>) -> Result<T> {
    let postgresql = PostgreSql::start()?;
    let database = Arc::new(postgresql.database(0)?);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let went = runtime.block_on(run(&database));
    runtime.shutdown_background();
    went
}

/// How often it is looked whether an instance is idle: what is measured is no finer.
const LOOKED_EVERY: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(3_600);

/// What outlives a server that is started again with another target.
struct World {
    database: Arc<Database>,
    clock: Arc<SimulatedClock>,
    trace: Arc<Trace>,
    simulator: Arc<Simulator>,
    service: pool_simulator::InProcess,
    speeds: Settings,
}

impl World {
    fn new(database: &Arc<Database>, speeds: Settings) -> Self {
        let clock = Arc::new(SimulatedClock::starting_now());
        let (simulator, service) = Simulator::in_process(SimulatorOptions {
            seed: 1,
            settings: speeds.clone(),
            clock: Arc::clone(&clock) as _,
            ..SimulatorOptions::default()
        });
        Self {
            database: Arc::clone(database),
            trace: Trace::new(Arc::clone(&clock), false),
            clock,
            simulator: Arc::new(simulator),
            service,
            speeds,
        }
    }

    /// A server that keeps so many.
    fn server(&self, target: usize) -> Serving {
        let scenario = scenario(target, self.speeds.clone());
        let oracle = Oracle::new(
            Arc::clone(&self.database),
            Arc::clone(&self.trace),
            Arc::clone(&self.simulator),
            scenario.clone(),
            Arc::clone(&self.clock),
        );
        // Another seed for each, or two would draw the same names.
        let seed = u64::try_from(target).unwrap_or_default();
        let stage = Stage::new(
            seed,
            scenario,
            Arc::clone(&self.clock),
            Arc::clone(&self.trace),
            (Arc::clone(&self.simulator), self.service.clone()),
            Arc::new(oracle),
            Gate::new(seed, Arc::clone(&self.database.backends)),
            self.database.nowhere,
            self.database.url.expose().to_owned(),
        );
        let runs = tokio::spawn(server::run(Arc::clone(&stage), 0));
        Serving { stage, runs }
    }

    /// The same, once they are idle.
    async fn filled(&self, target: usize) -> Result<Serving> {
        let server = self.server(target);
        let until = Instant::now() + LONGEST;
        while idle(self)?.len() < target {
            ensure!(Instant::now() < until, "the first {target} are not idle");
            server.waits(seconds(1)).await;
        }
        Ok(server)
    }
}

/// A server that runs.
struct Serving {
    stage: Arc<Stage>,
    runs: JoinHandle<()>,
}

impl Serving {
    /// Waits, and sees to the server's sessions meanwhile.
    async fn waits(&self, time: Duration) {
        sleep(time).await;
        self.stage.look_after();
    }

    /// As by `kill -9`.
    async fn end(self) {
        self.runs.abort();
        if let Some(life) = self.stage.some_server() {
            life.node.killed.cancel();
        }
        self.waits(seconds(1)).await;
    }
}

/// What the simulator's own program begins with: deployments of 2 to 5 s, agents that boot for 1 s,
/// 10,000 requests an hour.
fn speeds(is_slow: bool) -> Settings {
    let by = if is_slow { 20 } else { 1 };
    Settings {
        deploy_min: by * seconds(2),
        deploy_max: by * seconds(5),
        boot: by * seconds(1),
        ..Settings::default()
    }
}

fn scenario(target: usize, speeds: Settings) -> Scenario {
    Scenario {
        target,
        cap: 2 * target + 100,
        tick_interval: seconds(30),
        stuck_timeout: seconds(900),
        has_volume: true,
        has_openrouter: false,
        has_agentmail: false,
        world: speeds,
        servers: 1,
        adoptees: 0,
        adoptees_in_conversation: 0,
        statement_takes_max: Duration::from_millis(1),
        rates: Rates::default(),
        ..Scenario::of(0)
    }
}

async fn measure(world: &World, of: Refill) -> Result<Refilled> {
    world.simulator.reset_request_counts();
    let known = idle(world)?;
    let missing = u64::try_from(of.missing)?;
    let server = world.server(of.idle + of.missing);
    let began = Instant::now();
    let mut asked = None;
    let mut waited = BTreeMap::new();
    loop {
        server.waits(LOOKED_EVERY).await;
        let now = world.clock.now_utc();
        let made = world.simulator.request_counts().of("serviceCreate");
        if asked.is_none() && made >= missing {
            asked = Some(began.elapsed());
        }
        let idle = idle(world)?;
        for (id, since) in &idle {
            if !known.contains_key(id)
                && !waited.contains_key(id)
                && let Some(ready) = ready_since(world, id)
            {
                waited.insert(id.clone(), (*since - ready).max(TimeDelta::zero()));
            }
        }
        if idle.len() >= of.idle + of.missing {
            break;
        }
        ensure!(
            began.elapsed() < LONGEST,
            "not full within an hour: {} are idle at {now}",
            idle.len()
        );
    }
    let full = began.elapsed();
    let counts = world.simulator.request_counts();
    server.end().await;
    let mut waits: Vec<_> = waited.into_values().collect();
    waits.sort_unstable();
    let wait = |at: Option<&TimeDelta>| at.map_or(0.0, |it| it.as_seconds_f64());
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let requests_per_instance = counts.total as f64 / of.missing as f64;
    Ok(Refilled {
        missing: of.missing,
        failing: of.failing,
        asked_s: asked.unwrap_or(full).as_secs_f64(),
        full_s: full.as_secs_f64(),
        made: counts.of("serviceCreate"),
        requests_per_instance,
        pages: counts.of("environment"),
        ready_to_idle_median_s: wait(waits.get(waits.len() / 2)),
        ready_to_idle_worst_s: wait(waits.last()),
    })
}

/// The services of the idle ones, and since when they are.
fn idle(world: &World) -> Result<BTreeMap<String, DateTime<Utc>>> {
    let sql = "SELECT service_id, (extract(epoch FROM status_changed_at) * 1000)::bigint \
               FROM public.instances WHERE status = 'idle'";
    let rows = world.database.query(sql, &[])?;
    let since = |row: &Row| DateTime::from_timestamp_millis(row.get(1)).unwrap_or_default();
    Ok(rows.iter().map(|row| (row.get(0), since(row))).collect())
}

/// Since when its agent says that it is ready.
fn ready_since(world: &World, service: &str) -> Option<DateTime<Utc>> {
    let boot = TimeDelta::from_std(world.speeds.boot).ok()?;
    world.simulator.world(|world| {
        let key = (ServiceId::new(service), world.home().environment.clone());
        let running = world.instance(&key)?.latest()?.running_since?;
        Some(running + boot)
    })
}
