//! Many seeds, on every processor.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::{Counts, Options, Outcome, run};

/// What came of many seeds.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many ran.
    pub seeds: u64,
    /// How much happened in all of them.
    pub counts: Counts,
    /// The longest time that one took to settle, in tick intervals, and which.
    pub slowest: Option<(u32, u64)>,
    /// Those that failed, in order.
    pub failed: Vec<Outcome>,
}

/// Runs all of them.
#[must_use]
pub fn run_many(seeds: Range<u64>, options: Options) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = run(seed, options);
            if let Ok(mut summary) = summary.lock() {
                summary.add(outcome);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().unwrap_or_default();
    summary.failed.sort_by_key(|outcome| outcome.seed);
    summary
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.counts.add(&outcome.counts);
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
            ("ticks", counts.ticks.into()),
            ("servers killed", counts.kills.into()),
            ("servers frozen", counts.freezes.into()),
            ("calls failed", counts.failed_calls.into()),
            ("stale leaders' writes refused", counts.stale.into()),
            ("claims", counts.claims.into()),
            ("claims answered 200", counts.claimed.into()),
            ("instances made", counts.created.into()),
            ("instances destroyed", counts.destroyed.into()),
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
