//! How long planning takes, beside copying what is planned for: the plainest thing that looks at all
//! of it. The two take turns. Run by `cargo xtask bench tick`.

#[path = "../tests/world/mod.rs"]
#[expect(
    dead_code,
    clippy::wildcard_imports,
    reason = "the tests use the rest of it, and may import so"
)]
mod world;

use std::hint::black_box;
use std::time::Duration;

use pool_domain::{Policy, Probe, Status};
use pool_planner::Snapshot;

/// Odd, so that there is a median.
const TURNS: usize = 51;

fn main() {
    println!("instances  planning ms  copying ms  ratio  of 500's");
    let mut first = None;
    for rows in [500, 5_000] {
        let snapshot = snapshot(rows);
        let policy = Policy {
            min_idle: rows / 10,
            max_total: rows * 2,
            ..Policy::default()
        };
        let (mut planning, mut copying) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            planning.push(took(|| world::decide(&snapshot, &policy)));
            copying.push(took(|| Clone::clone(&snapshot)));
        }
        let (planning, copying) = (median_ms(planning), median_ms(copying));
        let first = *first.get_or_insert(planning);
        println!(
            "{rows:>9} {planning:>12.2} {copying:>11.2} {:>5.1}x {:>8.1}x",
            planning / copying,
            planning / first,
        );
    }
}

/// A pool in use: of ten instances seven are claimed, two idle, one is starting; all are up, and
/// every hundredth service is gone.
fn snapshot(rows: usize) -> Snapshot {
    let status = |n| match n % 10 {
        0 => Status::Starting,
        1 | 2 => Status::Idle,
        _ => Status::Claimed,
    };
    let instances: Vec<_> = (0..rows).map(|n| world::row(n, status(n))).collect();
    let seen = (0..rows).filter(|n| n % 100 != 99);
    let mut snapshot = world::snapshot(instances, seen.clone().map(world::service).collect());
    snapshot.listing.volumes = seen.map(world::volume).collect();
    let probed = (0..rows).filter(|n| n % 10 < 3);
    snapshot.probes = probed.map(|n| (world::id(n), Probe::Ready)).collect();
    snapshot
}

fn took<T>(work: impl FnOnce() -> T) -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark measures the time that it must not decide by"
    )]
    let now = std::time::Instant::now;
    let began = now();
    black_box(work());
    began.elapsed()
}

fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took.get(took.len() / 2)
        .map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
}
