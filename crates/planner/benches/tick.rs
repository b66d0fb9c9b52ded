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

use pool_domain::{DestroyStep, Policy, Probe, ResourceRecord, ServiceVariables, Stage, Status};
use pool_planner::sweep::attached_volumes;
use pool_planner::{
    Evidence, History, Plan, Snapshot, adoption, conversations_to_ask, plan, probes,
};

/// How many instances, and how often each is measured: odd, so that there is a median.
const SIZES: [(usize, usize); 3] = [(1_000, 51), (10_000, 21), (100_000, 5)];

fn main() {
    println!("instances  planning ms  copying ms  ratio  planning us an instance");
    for (rows, turns) in SIZES {
        let snapshot = snapshot(rows);
        let policy = Policy {
            min_idle: rows / 10,
            max_total: rows * 2,
            ..Policy::default()
        };
        let (mut planning, mut copying) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            planning.push(took(|| whole_tick(&snapshot, &policy)));
            copying.push(took(|| Clone::clone(&snapshot)));
        }
        let (planning, copying) = (median(planning), median(copying));
        let each = planning / u32::try_from(rows).unwrap_or(u32::MAX);
        println!(
            "{rows:>9} {:>12.2} {:>11.2} {:>5.1}x {:>24.2}",
            planning.as_secs_f64() * 1e3,
            copying.as_secs_f64() * 1e3,
            planning.as_secs_f64() / copying.as_secs_f64(),
            each.as_secs_f64() * 1e6,
        );
    }
}

/// Everything that the planner is asked in a tick.
fn whole_tick(snapshot: &Snapshot, policy: &Policy) -> Plan {
    let Snapshot { rows, listing, .. } = snapshot;
    let (identity, index) = (world::identity(), world::index(snapshot));
    black_box(probes(rows, &index, listing, &identity));
    black_box(conversations_to_ask(rows, &index, listing, &identity));
    black_box(adoption::candidates(&index, listing, &identity));
    black_box(attached_volumes(&index, listing));
    let mut history = History::new(Some(world::ago(1)));
    history.record(snapshot, &index, policy, &identity);
    plan(snapshot, &index, &history, policy, &identity)
}

/// A pool in use and in trouble: of ten instances four are claimed, two idle, one is starting, one
/// adopted and not asked yet, two are dead, one of them being destroyed. All are up, but every
/// hundredth service is gone. Beside them stand a tenth as many services that bear our prefix, and
/// every other one of these is another's.
fn snapshot(rows: usize) -> Snapshot {
    let row = |n| {
        let status = match n % 10 {
            0 | 1 => Status::Dead,
            2 | 3 => Status::Starting,
            4 | 5 => Status::Idle,
            _ => Status::Claimed,
        };
        let mut row = world::row(n, status);
        row.unasked = n % 10 == 3;
        row
    };
    let seen = (0..rows).filter(|n| n % 100 != 99);
    let strangers = rows..rows + rows / 10;
    let services = seen.clone().chain(strangers.clone()).map(world::service);
    let mut snapshot = world::snapshot((0..rows).map(row).collect(), services.collect());
    snapshot.listing.volumes = seen.chain(strangers.clone()).map(world::volume).collect();
    let probed = (0..rows).filter(|n| (2..6).contains(&(n % 10)));
    snapshot.probes = probed.map(|n| (world::id(n), Probe::Ready)).collect();
    let begun = (0..rows).step_by(10).map(destroying);
    snapshot.provisions = begun.collect();
    let foreign = strangers
        .step_by(2)
        .map(|n| (world::service_id(n), foreign()));
    snapshot.evidence = foreign.collect();
    snapshot
}

fn destroying(n: usize) -> ResourceRecord {
    ResourceRecord {
        service_id: Some(world::service_id(n)),
        destroyed: vec![DestroyStep::Key, DestroyStep::Inbox],
        ..world::provision(n, Stage::Destroying)
    }
}

fn foreign() -> Evidence {
    Evidence {
        variables: ServiceVariables {
            has_our_key: false,
            gateway_token: None,
            inbox_id: None,
            manager_id: None,
        },
        last_event: None,
        set_aside: None,
    }
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

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or_default()
}
