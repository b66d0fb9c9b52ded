//! Blows to the processes: servers are killed, stopped and frozen, PostgreSQL goes down and comes
//! back, its backends are killed, and somebody holds its locks.

use std::fs;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use local_postgres::Halt;
use rustix::process::{Pid, Signal, kill_process};

use super::servers::Servers;
use super::stage::{Stage, lock};
use pool_harness::{checkout, database};

/// How often it is seen to that what died is started again.
const TEND_EVERY_MS: u64 = 100;

/// The longest freeze: the database gives up a silent leader before that.
const FREEZE_MAX_MS: u64 = 12_000;

const OURS: &str = "FROM pg_stat_activity WHERE application_name LIKE 'pool-server%'";

/// Strikes until the run is over. A short run has short freezes.
pub(super) fn strike(
    stage: &Stage,
    servers: &mut Servers<'_>,
    seed: u64,
    run: Duration,
) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let mut points_rng = rng.fork();
    let points = kill_points()?;
    let freeze_max_ms = (run.as_millis() / 5).try_into().unwrap_or(FREEZE_MAX_MS);
    let freeze_max_ms = FREEZE_MAX_MS.min(freeze_max_ms).max(1_000);
    let mut next_at_ms = 4_000;
    while stage.pause(TEND_EVERY_MS) {
        servers.tend(|| armed(&points, &mut points_rng))?;
        if stage.now_ms() < next_at_ms {
            continue;
        }
        let nth = rng.usize(..servers.count());
        match rng.u8(..16) {
            0..=4 => servers.kill(nth, rng.u64(0..2_000)),
            5 => servers.stop(nth)?,
            6 | 7 => servers.freeze(nth, rng.u64(500..freeze_max_ms)),
            8 => restart_postgres(stage, Halt::Fast, rng.u64(0..3_000))?,
            9 => restart_postgres(stage, Halt::Immediate, rng.u64(0..3_000))?,
            10 => restart_postgres(stage, Halt::Killed, rng.u64(0..3_000))?,
            11 => kill_backend(stage),
            12 | 13 => hold_locks(stage, rng.u64(200..4_000)),
            _ => end_backends(stage, rng.u8(1..20)),
        }
        next_at_ms = stage.now_ms() + rng.u64(1_000..6_000);
    }
    // Callers wait for their last answers, and nobody else would wake who is to give them.
    servers.thaw();
    Ok(())
}

/// Most lives end at a point, at its first or one of its next times.
fn armed(points: &[String], rng: &mut Rng) -> Option<String> {
    let point = rng.choice(points)?;
    (rng.u8(..3) > 0).then(|| format!("{point}:{}", rng.u8(1..6)))
}

/// The points at which a server can be told to die, from the sources.
fn kill_points() -> Result<Vec<String>> {
    let mut points = Vec::new();
    for part in ["crates", "bins"] {
        points_below(&checkout::root().join(part), &mut points)?;
    }
    points.sort();
    points.dedup();
    Ok(points)
}

fn points_below(dir: &Path, points: &mut Vec<String>) -> Result<()> {
    let list = fs::read_dir(dir).with_context(|| format!("{} could not be read", dir.display()))?;
    for entry in list {
        let path = entry?.path();
        if path.is_dir() {
            points_below(&path, points)?;
        } else if path.extension().is_some_and(|it| it == "rs") {
            points.extend(points_in(&fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

fn points_in(source: &str) -> Vec<String> {
    let after = source.split("fail_point!(\"").skip(1);
    after
        .filter_map(|it| Some(it.split_once('"')?.0.to_owned()))
        .collect()
}

fn restart_postgres(stage: &Stage, how: Halt, away_ms: u64) -> Result<()> {
    let mut postgres = lock(&stage.postgres);
    postgres.halt(how)?;
    sleep(Duration::from_millis(away_ms));
    postgres.start_again()?;
    stage.tally.add("postgres", format!("{how:?} restart"));
    Ok(())
}

/// One backend dies without a word, upon which PostgreSQL ends all others and recovers.
fn kill_backend(stage: &Stage) {
    let pid = format!("SELECT pid::bigint {OURS} ORDER BY random() LIMIT 1");
    let found = database::sql(&stage.database_url, &pid).ok().flatten();
    let pid = found.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()) {
        stage.tally.add("postgres", "backend killed");
    }
}

fn end_backends(stage: &Stage, count: u8) {
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM \
         (SELECT pid {OURS} ORDER BY random() LIMIT {count}) AS some"
    );
    if database::sql(&stage.database_url, &end).is_ok() {
        stage.tally.add("postgres", "backends ended");
    }
}

/// Somebody's transaction locks the rows, and takes its time.
fn hold_locks(stage: &Stage, ms: u64) {
    let hold = format!(
        "WITH held AS (SELECT id FROM instances FOR UPDATE), \
         counted AS (SELECT count(*) AS number FROM held) \
         SELECT number FROM counted, pg_sleep({}.{:03})",
        ms / 1_000,
        ms % 1_000
    );
    let url = stage.database_url.clone();
    // Nobody waits for it: it ends with its statement, or with the database.
    thread::spawn(move || database::sql(&url, &hold));
    stage.tally.add("postgres", "rows locked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_are_found_in_the_sources() {
        let source = "fail::fail_point!(\"a.b\"); x; fail_point!(\"c.d\");";
        assert_eq!(points_in(source), ["a.b", "c.d"]);
        let points = kill_points().unwrap();
        assert!(
            points.contains(&"claim.before_confirm".to_owned()),
            "{points:?}"
        );
    }
}
