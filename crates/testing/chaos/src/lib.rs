//! `cargo xtask chaos`: real servers, a real PostgreSQL and a simulated Railway, with callers and
//! people at work, while everything fails that can; then a check of the whole history.

mod blows;
mod callers;
mod check;
mod gather;
mod history;
mod http;
mod people;
mod servers;
mod settled;
mod stage;
mod tally;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use fastrand::Rng;

use check::{Harm, Violation};
use gather::State;
use history::History;
use http::Http;
use people::People;
use pool_harness::programs::{Slot, free_port};
use pool_harness::stopwatch::Stopwatch;
use pool_harness::{checkout, interrupt, running};
use servers::Servers;
use stage::{Stage, TARGET, lock};
use trouble::Trouble;

/// After this everything has to be in order: a creation that failed again and again is repeated
/// after 20 s, and the end of an instance that could not be ended after twice as long each time.
const SETTLE_LIMIT: Duration = Duration::from_secs(240);

/// Between two looks whether all is in order.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Then a person lets go what the fuse holds back.
const CONFIRM_AFTER: Duration = Duration::from_secs(5);

/// And asks for a sweep: until then no sweep is needed where nothing leaks.
const SWEEP_AFTER: Duration = Duration::from_secs(45);

/// It has to stay in order for so many looks.
const CALM_LOOKS: u32 = 4;

/// What `cargo xtask ci` runs.
const CI_RUN: Duration = Duration::from_secs(25);

/// How long, with how many, and from where.
#[derive(clap::Args)]
pub struct Arguments {
    /// For how many minutes things fail.
    #[arg(long, default_value_t = 2, conflicts_with = "seconds")]
    minutes: u64,
    /// The same in seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many servers share the database.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    servers: u8,
    /// What is drawn is drawn from here; a new one where it is left out. Two runs of one seed do the
    /// same, but real processes do not take the same time over it.
    #[arg(long)]
    seed: Option<u64>,
}

/// Lets things fail for as long as it is told, and then checks the history.
///
/// # Errors
///
/// Where the history holds harm, each in a sentence; and where something of our own could not be run.
pub fn run(arguments: &Arguments) -> Result<()> {
    interrupt::listen()?;
    let run = arguments.seconds.unwrap_or(arguments.minutes * 60);
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    play(Duration::from_secs(run), arguments.servers, seed)
}

/// What `cargo xtask ci` runs.
///
/// # Errors
///
/// As [`run`].
pub fn briefly() -> Result<()> {
    play(CI_RUN, 2, fastrand::u64(..1 << 32))
}

/// Beside the programs of the demo, the server that can be told where to die.
fn build() -> Result<()> {
    let mut build = checkout::cargo();
    build.args(["build", "--workspace", "--bins"]);
    running::run(build.args(["--features", "pool-server/failpoints"]))
}

fn play(run: Duration, servers: u8, seed: u64) -> Result<()> {
    build()?;
    let slot = Slot::take()?;
    let ports = (0..servers).map(|_| free_port(0)).collect::<Result<_>>()?;
    let stage = Stage::set(&slot, ports, seed)?;
    println!(
        "chaos: {} s with {servers} servers from seed {seed}; logs in {}",
        run.as_secs(),
        slot.dir().display()
    );
    let played = act(&stage, run, seed);
    let ended = stage.strike();
    let violations = played?;
    ended?;
    if violations.is_empty() {
        return slot.end();
    }
    let kept = keep_logs(slot.dir(), seed);
    slot.end()?;
    bail!(
        "{} violations; to try again: cargo xtask chaos --seconds {} --servers {servers} --seed \
         {seed}; logs and history in {}",
        violations.len(),
        run.as_secs(),
        kept?.display()
    )
}

fn act(stage: &Stage, run: Duration, seed: u64) -> Result<Vec<Violation>> {
    stage.seed()?;
    let mut servers = Servers::none(stage);
    servers.calm()?;
    fight(stage, &mut servers, run, seed)?;
    interrupt::check()?;
    servers.calm()?;
    Trouble::of(stage).end();
    let watch = Stopwatch::start();
    let unsettled = settle(stage, &mut servers, seed)?;
    let settled_in = watch.to_string();
    servers.end()?;

    let history = gather::history(stage)?;
    let mut violations = check::check(&history);
    violations.append(&mut lock(&stage.wrong));
    let unsettled = unsettled.into_iter();
    violations.extend(unsettled.map(|what| Violation::new(Harm::Unsettled, what)));
    tell(stage, &history, &settled_in, &violations)?;
    if !violations.is_empty() {
        let path = stage.dir.join("history.json");
        fs::write(&path, serde_json::to_string_pretty(&history)?)?;
    }
    Ok(violations)
}

/// Everybody at once, until the time is over.
fn fight(stage: &Stage, servers: &mut Servers<'_>, run: Duration, seed: u64) -> Result<()> {
    let mut seeds = Rng::with_seed(seed);
    let mut draw = || seeds.u64(..);
    thread::scope(|scope| {
        for caller in 1..=callers::CALLERS {
            let seed = draw();
            scope.spawn(move || callers::call(stage, caller, seed));
        }
        let (people, troubles, blows) = (draw(), draw(), draw());
        scope.spawn(move || People::of(stage).work(people));
        scope.spawn(move || Trouble::of(stage).make(troubles));
        let blows = scope.spawn(move || {
            let struck = blows::strike(stage, servers, blows, run);
            stage.end();
            struck
        });
        stage.pause(u64::try_from(run.as_millis()).unwrap_or(u64::MAX));
        stage.end();
        let struck = blows.join();
        struck.unwrap_or_else(|_| Err(anyhow!("the thread that strikes has died")))
    })
}

/// Waits until all is in order and stays so; else says what is not. What the stock holds beyond its
/// target, because people asked for more or leases were given back, is claimed first.
fn settle(stage: &Stage, servers: &mut Servers<'_>, seed: u64) -> Result<Vec<String>> {
    let watch = Stopwatch::start();
    let (http, mut rng) = (Http::new(&stage.key), Rng::with_seed(!seed));
    let people = People::of(stage);
    let (mut calm, mut number, mut swept) = (0, 0, false);
    loop {
        servers.ensure_running()?;
        let State {
            rows,
            provisions,
            world,
        } = gather::state(stage)?;
        if settled::count(&rows, "idle") > TARGET {
            number += 1;
            callers::claim(stage, &http, &mut rng, &format!("the last, claim {number}"));
            continue;
        }
        let unsettled = settled::unsettled(TARGET, &rows, &provisions, &world);
        calm = if unsettled.is_empty() { calm + 1 } else { 0 };
        if calm == CALM_LOOKS || watch.elapsed() >= SETTLE_LIMIT {
            return Ok(unsettled);
        }
        interrupt::check()?;
        // What is really lost waits for a person, who waits whether it comes back by itself.
        if watch.elapsed() >= CONFIRM_AFTER {
            people.confirm(0);
        }
        // What a request made whose caller was gone by then is found every ten minutes, or now.
        if watch.elapsed() >= SWEEP_AFTER && !swept {
            swept = true;
            people.sweep(0);
        }
        sleep(LOOK_EVERY);
    }
}

/// The table, and the violations below it.
fn tell(
    stage: &Stage,
    history: &History,
    settled_in: &str,
    violations: &[Violation],
) -> Result<()> {
    let harm = |harm: Harm| violations.iter().filter(|it| it.harm == harm).count();
    let got = history
        .calls
        .iter()
        .filter(|it| it.outcome == history::Outcome::Done);
    let line = |name: &str| stage.tally.line(name);
    let lines = [
        ("claims", line("claims")),
        ("of these repeated", line("repeated")),
        ("agents handed out", got.count().to_string()),
        ("kills of servers", line("kills")),
        ("terms of leaders", gather::terms(stage)?.to_string()),
        ("blows to PostgreSQL", line("postgres")),
        ("faults outside", line("faults")),
        ("people's requests", line("people")),
        ("events", history.events.len().to_string()),
        ("settled in", settled_in.to_owned()),
        ("twice", harm(Harm::Twice).to_string()),
        ("lost", harm(Harm::Lost).to_string()),
        ("illegal changes", harm(Harm::Illegal).to_string()),
        ("wrong answers", harm(Harm::Answer).to_string()),
        ("left over or missing", harm(Harm::Unsettled).to_string()),
    ];
    for (name, value) in lines {
        println!("{name:<22}{value}");
    }
    for violation in violations {
        println!("VIOLATION {violation}");
    }
    Ok(())
}

/// Where the logs of a run are kept in which something went wrong.
fn keep_logs(dir: &Path, seed: u64) -> Result<PathBuf> {
    let kept = checkout::root().join(format!("target/chaos/{seed}"));
    fs::create_dir_all(&kept)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_told = entry.path().extension().is_some();
        if is_told && entry.file_type()?.is_file() {
            fs::copy(entry.path(), kept.join(entry.file_name()))
                .with_context(|| format!("{} could not be kept", entry.path().display()))?;
        }
    }
    Ok(kept)
}
