//! What must hold of the fuse whatever is seen, over many ticks.

#[expect(
    dead_code,
    reason = "each test binary uses its own part of the builders"
)]
mod world;

use std::collections::HashSet;

use chrono::TimeDelta;
use pool_domain::*;
use pool_planner::*;
use proptest::prelude::*;
use world::*;

/// What one tick sees of one instance.
#[derive(Debug, Clone, Copy)]
struct Sight {
    service: u8,
    probe: Option<bool>,
}

#[derive(Debug, Clone)]
struct Moment {
    seconds: i64,
    complete: bool,
    empty: bool,
    sights: Vec<Sight>,
    /// What a person confirms, by number, where it is listed or not.
    confirmed: HashSet<usize>,
}

const POOL: usize = 32;

fn moments() -> impl Strategy<Value = Vec<Moment>> {
    let sight = (
        0_u8..12,
        prop::option::weighted(0.8, prop::bool::weighted(0.7)),
    )
        .prop_map(|(service, probe)| Sight { service, probe });
    let well = Just(Sight {
        service: 0,
        probe: Some(true),
    });
    // Whole moments are good or bad: a lie concerns many at once.
    let sights = prop_oneof![
        prop::collection::vec(prop_oneof![9 => well, 1 => sight.clone()], POOL),
        prop::collection::vec(sight, POOL),
        prop::collection::vec(well, POOL),
    ];
    let confirmed = prop_oneof![
        4 => Just(HashSet::new()),
        1 => prop::collection::hash_set(0..POOL, 0..POOL),
    ];
    let moment = (
        1_i64..400,
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.1),
        sights,
        confirmed,
    )
        .prop_map(|(seconds, complete, empty, sights, confirmed)| Moment {
            seconds,
            complete,
            empty,
            sights,
            confirmed,
        });
    prop::collection::vec(moment, 1..16)
}

/// What the tick of this moment sees of the pool as it has become.
fn observe(mut it: Snapshot, moment: &Moment) -> Snapshot {
    it.now += TimeDelta::seconds(moment.seconds);
    it.listing.started_at = it.now;
    it.listing.completeness = Completeness::Complete;
    if !moment.complete {
        it.listing.completeness = Completeness::Incomplete("a page failed".into());
    }
    it.listing.services.clear();
    it.probes.clear();
    for (n, sight) in moment.sights.iter().enumerate() {
        let service = match sight.service {
            1 => None,
            2 => Some(with_status(service(n), "FAILED")),
            3 => Some(with_status(service(n), "REMOVED")),
            4 => Some(with_status(service(n), "SLEEPING")),
            5 => Some(with_status(service(n), "BUILDING")),
            6 => Some(with_status(service(n), "HIBERNATING")),
            _ => Some(service(n)),
        };
        it.listing
            .services
            .extend(service.filter(|_| !moment.empty));
        let probe = sight.probe.map(|ready| {
            let (times, reason) = (2, "connection refused".into());
            if ready {
                Probe::Ready
            } else {
                Probe::Failed { times, reason }
            }
        });
        it.probes.extend(probe.map(|probe| (id(n), probe)));
    }
    let row_count = RowCount {
        at: it.now,
        rows: fuse::counted_rows(&it.rows),
    };
    it.fuse.row_counts.push(row_count);
    it
}

/// What DESIGN names, told from the outside: by statuses and reasons.
fn is_loss(change: &write::StatusChange, was_idle: &HashSet<InstanceId>) -> bool {
    let gone = change.reason == "service gone";
    match (change.from, change.to) {
        (Status::Idle, Status::Dead | Status::Starting) | (Status::Claimed, Status::Crashed) => {
            true
        }
        (Status::Starting, Status::Dead) => gone || was_idle.contains(&change.id),
        _ => gone,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_more_is_lost_within_a_window_than_the_limit_but_for_what_was_confirmed(
        moments in moments(),
    ) {
        let policy = quiet();
        let mut rows: Vec<_> = (0..POOL / 2).map(|n| row(n, Status::Idle)).collect();
        rows.extend((POOL / 2..POOL).map(|n| row(n, [Status::Claimed, Status::Starting][n % 2])));
        for row in &mut rows {
            row.epoch = Epoch(i64::from(row.status != Status::Starting));
        }
        let mut it = snapshot(rows, vec![]);
        let mut was_idle = HashSet::new();
        let mut history = History::new(Some(ago(1)));
        let mut lost: Vec<(InstanceId, _)> = Vec::new();
        for moment in &moments {
            it = observe(it, moment);
            history.record(&it, &index(&it), &policy, &identity());
            was_idle.extend(it.rows.iter().filter(|r| r.status == Status::Idle).map(|r| r.id.clone()));
            let without = plan(&it, &index(&it), &history, &policy, &identity());
            it.fuse.confirmed = moment.confirmed.iter().map(|n| id(*n)).collect();
            let with = plan(&it, &index(&it), &history, &policy, &identity());

            // It holds back everything of that kind, or nothing.
            let losses = without.changes.iter().filter(|change| is_loss(change, &was_idle));
            let losses: Vec<_> = losses.map(|change| change.id.clone()).collect();
            prop_assert!(losses.is_empty() || without.report.fuse.is_none());

            // A confirmation lets through what it names of what was listed, and nothing else.
            let changed = |plan: &Plan| -> HashSet<_> {
                plan.changes.iter().map(|change| change.id.clone()).collect()
            };
            let more: HashSet<_> = changed(&with).difference(&changed(&without)).cloned().collect();
            let tripped = it.fuse.tripped.as_ref();
            let listed = tripped.is_some_and(|it| !it.held.is_empty());
            prop_assert!(more.is_empty() || listed);
            prop_assert!(more.is_subset(&it.fuse.confirmed));
            prop_assert_eq!(changed(&without).difference(&changed(&with)).count(), 0);
            if let (Some(before), Some(held)) = (tripped, &without.report.fuse) {
                let named = |id: &InstanceId| it.fuse.confirmed.contains(id);
                let same = |loss: &&HeldLoss| {
                    let known = |it: &HeldLoss| {
                        (&it.id, it.epoch, it.to) == (&loss.id, loss.epoch, loss.to)
                    };
                    named(&loss.id) && before.held.iter().any(known)
                };
                let expected = held.held.iter().filter(same).map(|loss| loss.id.clone());
                // What is only remembered, because this listing is incomplete, does not wait now.
                let only_remembered = |id: &InstanceId| !moment.complete && !more.contains(id);
                let expected = expected.filter(|id| !only_remembered(id)).collect();
                prop_assert_eq!(&more, &expected);
            }

            // Whoever counts from the outside finds the limit kept.
            let confirmed: HashSet<_> = with.report.confirmed.iter().collect();
            let now = it.now;
            let counted = with.changes.iter().filter(|change| is_loss(change, &was_idle));
            let counted = counted.filter(|change| !confirmed.contains(&change.id));
            let any = counted.clone().next().is_some();
            lost.extend(counted.map(|change| (change.id.clone(), now)));
            let start = fuse::window_start(now);
            let within: HashSet<_> =
                lost.iter().filter(|(_, at)| *at > start).map(|(id, _)| id).collect();
            let allowed = fuse::limit(it.fuse.rows_at_start(now).unwrap());
            prop_assert!(!any || within.len() <= allowed, "{} of {allowed}", within.len());

            // The same observation of the result loses nobody else.
            if it.fuse.confirmed.is_empty() {
                let after = execute(&with, it.clone());
                let again = plan(&after, &index(&after), &history, &policy, &identity());
                prop_assert!(again.changes.iter().all(|change| !is_loss(change, &was_idle)));
                prop_assert_eq!(again.report.fuse.is_some(), with.report.fuse.is_some());
            }
            it = execute(&with, it);
        }
    }
}
