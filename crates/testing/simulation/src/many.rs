//! Many seeds, on every processor.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::postgres::{PostgreSql, threads};
use crate::run::run;
use crate::{Counts, Options, Outcome};

/// What came of many seeds.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many ran.
    pub seeds: u64,
    /// How much happened in all of them.
    pub counts: Counts,
    /// The longest time that one took to settle, in tick intervals, and which.
    pub slowest: Option<(u32, u64)>,
    /// How long they took together, each on a processor of its own.
    pub took: Duration,
    /// The longest that one took, and which.
    pub longest: Option<(Duration, u64)>,
    /// Those that failed, in order.
    pub failed: Vec<Outcome>,
}

/// Runs one of them.
///
/// # Errors
///
/// When there is no PostgreSQL to run it with.
pub fn run_one(seed: u64, options: Options) -> Result<Outcome> {
    let postgresql = PostgreSql::start()?;
    run(seed, options, &Arc::new(postgresql.database(0)?))
}

/// Runs all of them; or, where one failure is enough to know, no more once there is one.
///
/// # Errors
///
/// When there is no PostgreSQL to run them with.
pub fn run_many(seeds: Range<u64>, options: Options, until_one_fails: bool) -> Result<Summary> {
    let postgresql = PostgreSql::start()?;
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let work = |database| -> Result<()> {
        let database = Arc::new(database);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(());
            }
            let outcome = run(seed, options, &database)?;
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.add(outcome);
            if until_one_fails && !summary.failed.is_empty() {
                return Ok(());
            }
        }
    };
    let databases = (0..threads()).map(|number| postgresql.database(number));
    let databases = databases.collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let workers: Vec<_> = databases
            .into_iter()
            .map(|database| scope.spawn(|| work(database)))
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a seed panicked"))??;
        }
        anyhow::Ok(())
    })?;
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failed.sort_by_key(|outcome| outcome.seed);
    Ok(summary)
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.counts.add(&outcome.counts);
        self.took += outcome.took;
        self.longest = self.longest.max(Some((outcome.took, outcome.seed)));
        let slower = outcome.settled_after.map(|ticks| (ticks, outcome.seed));
        self.slowest = self.slowest.max(slower);
        if !outcome.violations.is_empty() {
            self.failed.push(outcome);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let rows = [
            ("seeds", self.seeds),
            ("statements", counts.statements),
            ("requests", counts.requests),
            ("requests failed", counts.failed_requests),
            ("servers killed", counts.kills.into()),
            ("servers frozen", counts.freezes.into()),
            ("connections cut", counts.cuts.into()),
            ("stale leaders' writes refused", counts.stale.into()),
            ("claims", counts.claims.into()),
            ("claims answered 200", counts.claimed.into()),
            ("services made", counts.created.into()),
            ("services deleted", counts.destroyed.into()),
        ];
        for (name, count) in rows {
            writeln!(f, "{name:<31} {count:>9}")?;
        }
        if let Some((ticks, seed)) = self.slowest {
            writeln!(
                f,
                "slowest to settle, in ticks     {ticks:>9}  (seed {seed})"
            )?;
        }
        if let Some((longest, seed)) = self.longest {
            let mean =
                self.took.as_secs_f64() / f64::from(u32::try_from(self.seeds).unwrap_or(1).max(1));
            writeln!(f, "seconds a seed                  {mean:>9.2}")?;
            let longest = longest.as_secs_f64();
            writeln!(
                f,
                "longest, in seconds             {longest:>9.2}  (seed {seed})"
            )?;
        }
        writeln!(
            f,
            "failed                          {:>9}",
            self.failed.len()
        )?;
        for outcome in &self.failed {
            let why = outcome.violations.first().map(ToString::to_string);
            writeln!(f, "  seed {}: {}", outcome.seed, why.unwrap_or_default())?;
        }
        if let Some(first) = self.failed.first() {
            let seed = first.seed;
            writeln!(f, "its story: cargo xtask simulate --seed {seed}")?;
        }
        Ok(())
    }
}
