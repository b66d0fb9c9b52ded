//! The fuse: what it counts, when it trips, what it holds back, and what a confirmation lets through.

#[expect(
    dead_code,
    reason = "each test binary uses its own part of the builders"
)]
mod world;

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use pool_domain::*;
use pool_planner::*;
use world::*;

fn rows(from: usize, count: usize, status: Status) -> impl Iterator<Item = Instance> {
    (from..from + count).map(move |n| row(n, status))
}

fn failed(times: u32) -> Probe {
    let reason = "connection refused".to_owned();
    Probe::Failed { times, reason }
}

/// So many idle rows, of which the first few have a deployment of this status.
fn pool(count: usize, bad: usize, status: &str) -> Snapshot {
    let services = (0..count).map(|n| {
        if n < bad {
            with_status(service(n), status)
        } else {
            service(n)
        }
    });
    snapshot(rows(0, count, Status::Idle).collect(), services.collect())
}

fn fuse(plan: &Plan) -> Option<&FuseReport> {
    plan.report.fuse.as_ref()
}

/// The same pool so much later, with a new listing.
fn later(mut snapshot: Snapshot, seconds: i64) -> Snapshot {
    snapshot.now += TimeDelta::seconds(seconds);
    snapshot.listing.started_at = snapshot.now;
    snapshot
}

#[test]
fn a_row_that_is_starting_again_was_idle_before() {
    // The planner takes a starting row of a later epoch for one that was idle. That holds as long as
    // every way back to starting leads through idle.
    let before = |to| {
        let changes = status::legal_changes().into_iter();
        let from = changes.filter(|change| change.1 == to).map(|it| it.0);
        from.collect::<Vec<_>>()
    };
    assert_eq!(before(Status::Starting), [Status::Idle, Status::Claiming]);
    assert_eq!(before(Status::Claiming), [Status::Idle]);
}

#[test]
fn what_counts_is_counted_and_nothing_else() {
    let mut new = row(3, Status::Starting);
    new.epoch = Epoch(0);
    let mut gone = row(6, Status::Starting);
    (gone.epoch, gone.missing_since) = (Epoch(0), Some(ago(60)));
    let rows = vec![
        row(0, Status::Idle),
        row(1, Status::Idle),
        row(2, Status::Starting),
        new,
        row(4, Status::Claimed),
        row(5, Status::Idle),
        gone,
        row(7, Status::Crashed),
    ];
    let services = vec![
        with_status(service(0), "FAILED"),
        service(1),
        with_status(service(2), "CRASHED"),
        with_status(service(3), "FAILED"),
        with_status(service(4), "FAILED"),
        with_status(service(5), "SLEEPING"),
        service(7),
    ];
    let mut it = snapshot(rows, services);
    it.fuse.row_counts = vec![RowCount {
        at: ago(601),
        rows: 100,
    }];
    it.probes = HashMap::from([
        (id(1), failed(3)),
        (id(4), failed(1)),
        (id(7), Probe::Ready),
    ]);
    let told: Vec<_> = decide(&it, &quiet())
        .changes
        .into_iter()
        .map(|change| format!("{} {} {}", change.from, change.to, change.is_loss))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    idle dead true
    idle starting true
    starting dead true
    starting dead true
    claimed crashed true
    idle starting true
    starting dead true
    crashed claimed false
    ");
}

#[test]
fn being_stuck_counts_whatever_it_was_before() {
    let mut new = row(0, Status::Starting);
    new.epoch = Epoch(0);
    let mut it = snapshot(
        vec![new, row(1, Status::Starting)],
        vec![service(0), service(1)],
    );
    it.probes = HashMap::from([(id(0), failed(1)), (id(1), failed(1))]);
    let policy = Policy {
        unhealthy_after: 1,
        ..quiet()
    };
    let changes = decide(&it, &policy).changes;
    let told: Vec<_> = changes.iter().map(|it| (it.to, it.is_loss)).collect();
    assert_eq!(told, [(Status::Dead, true), (Status::Dead, true)]);
}

/// So many that were made and never ready, all of which are said to have failed.
fn never_ready(count: usize) -> Snapshot {
    let mut it = pool(count, count, "FAILED");
    for row in &mut it.rows {
        (row.status, row.epoch) = (Status::Starting, Epoch(0));
    }
    it.provisions = (0..count).map(|n| provision(n, Stage::Created)).collect();
    it
}

#[test]
fn of_those_that_were_never_ready_no_more_go_than_the_limit_and_the_others_follow() {
    let mut it = never_ready(12);
    let mut went = Vec::new();
    for _ in 0..3 {
        let plan = decide(&it, &quiet());
        assert_eq!(fuse(&plan), None, "they do not trip it");
        went.push(plan.changes.len());
        it = later(execute(&plan, it), 601);
    }
    assert_eq!(went, [5, 5, 2]);
}

#[test]
fn what_the_fuse_holds_back_is_no_stock_unless_its_agent_is_ready() {
    let policy = Policy {
        min_idle: 8,
        ..Policy::default()
    };
    let mut it = pool(8, 0, "");
    it.probes = (0..8).map(|n| (id(n), failed(3))).collect();
    let silent = decide(&it, &policy);
    assert_eq!(fuse(&silent).unwrap().waiting, 8);
    assert_eq!((silent.changes.len(), silent.create), (0, 8));
    assert_eq!(silent.put_last.len(), 8, "and claims take them last");
    it.provisions.clear();
    let capped = Policy {
        max_total: 10,
        ..policy.clone()
    };
    assert_eq!(decide(&it, &capped).create, 2, "the cap holds");

    let mut lied = pool(8, 8, "BUILDING");
    lied.probes = (0..8).map(|n| (id(n), Probe::Ready)).collect();
    let lied = decide(&lied, &policy);
    assert_eq!(fuse(&lied).unwrap().waiting, 8);
    assert_eq!((lied.changes.len(), lied.create), (0, 0));
    assert_eq!(lied.put_last, []);
}

#[test]
fn five_of_a_small_pool_may_go_and_six_may_not() {
    let few = decide(&pool(8, 5, "REMOVED"), &quiet());
    assert_eq!((few.changes.len(), fuse(&few)), (5, None));
    let many = decide(&pool(8, 6, "REMOVED"), &quiet());
    assert_eq!(many.changes, []);
    let tripped = fuse(&many).unwrap();
    assert_eq!((tripped.lost, tripped.waiting, tripped.limit), (0, 6, 5));
    assert_eq!(tripped.held.len(), 6);
    assert_eq!(
        tripped.why,
        "0 instances were lost within 10 min and 6 more would be; 5 are the limit"
    );
}

#[test]
fn a_fifth_of_a_large_pool_may_go_by_the_rows_at_the_windows_start() {
    let mut it = pool(100, 20, "FAILED");
    assert_eq!(decide(&it, &quiet()).changes.len(), 20);
    it.fuse.row_counts = vec![RowCount {
        at: ago(700),
        rows: 90,
    }];
    assert_eq!(decide(&it, &quiet()).changes, []);
}

#[test]
fn losses_add_up_over_ten_minutes_and_are_forgotten_after_them() {
    let mut it = pool(20, 3, "FAILED");
    it = execute(&decide(&it, &quiet()), it);
    for n in 3..6 {
        it.listing.services[n] = with_status(service(n), "FAILED");
    }
    it = later(it, 300);
    let second = decide(&it, &quiet());
    assert_eq!(fuse(&second).map(|it| (it.lost, it.waiting)), Some((3, 3)));
    it = execute(&second, it);
    let since = it.fuse.tripped.as_ref().unwrap().tripped_at;
    it = later(it, 299);
    let still = decide(&it, &quiet());
    assert_eq!(
        fuse(&still).unwrap().tripped_at,
        since,
        "since when is kept"
    );
    it = later(execute(&still, it), 2);
    let whole = decide(&it, &quiet());
    assert_eq!((whole.changes.len(), fuse(&whole)), (3, None));
}

#[test]
fn a_row_that_is_lost_again_counts_once() {
    let mut it = pool(20, 0, "");
    it.probes.extend((0..5).map(|n| (id(n), failed(3))));
    it = execute(&decide(&it, &quiet()), it);
    assert_eq!(it.fuse.losses.len(), 5);
    for n in 0..5 {
        it.listing.services[n] = with_status(service(n), "FAILED");
    }
    it.probes.clear();
    it = later(it, 30);
    let again = decide(&it, &quiet());
    assert_eq!((again.changes.len(), fuse(&again)), (5, None));
}

#[test]
fn a_pool_of_three_is_kept_when_a_listing_holds_none_of_its_services() {
    let claimed = [
        row(0, Status::Idle),
        row(1, Status::Claimed),
        row(2, Status::Claiming),
    ];
    let mut it = snapshot(claimed.into(), vec![]);
    for row in &mut it.rows {
        row.missing_since = Some(ago(60));
    }
    let plan = decide(&it, &quiet());
    assert_eq!(plan.changes, []);
    let tripped = fuse(&plan).unwrap();
    assert_eq!(
        tripped.why,
        "a complete listing holds none of the services of our 3 rows"
    );
    assert_eq!(tripped.held[0].id, id(1), "claimed ones are listed first");

    // One of them suffices: then the others may well be gone.
    it.listing.services = vec![service(0)];
    let plan = decide(&it, &quiet());
    assert_eq!((plan.changes.len(), fuse(&plan)), (1, None));
}

#[test]
fn rows_that_need_not_show_yet_or_are_to_go_do_not_trip_it() {
    let mut fresh = row(0, Status::Starting);
    fresh.created_at = ago(119);
    let mut deleted = row(1, Status::Claimed);
    deleted.delete_requested_at = Some(ago(500));
    let rows = vec![
        fresh,
        deleted,
        row(2, Status::Crashed),
        row(3, Status::Dead),
    ];
    assert_eq!(fuse(&decide(&snapshot(rows, vec![]), &quiet())), None);
}

#[test]
fn absence_is_recorded_on_while_it_is_tripped() {
    let it = snapshot(rows(0, 3, Status::Idle).collect(), vec![]);
    let plan = decide(&it, &quiet());
    assert!(fuse(&plan).is_some());
    let since: Vec<_> = plan.refreshes.iter().map(|it| it.missing_since).collect();
    assert_eq!(since, [Some(now()); 3]);
}

#[test]
fn what_is_held_back_is_replaced_within_the_cap() {
    let it = pool(10, 10, "REMOVED");
    let policy = Policy {
        min_idle: 10,
        ..Policy::default()
    };
    let plan = decide(&it, &policy);
    let replenish = &plan.report.replenish;
    assert_eq!((replenish.towards_target, replenish.towards_cap), (0, 10));
    assert_eq!(plan.create, 10);
    let held = plan
        .report
        .held_back
        .iter()
        .find(|it| it.what == "losing instances");
    assert_eq!(held.unwrap().count, 10);
}

#[test]
fn creating_destroying_and_removing_go_on_while_it_is_tripped() {
    let mut it = pool(10, 10, "REMOVED");
    it.rows
        .extend([row(20, Status::Dead), row(21, Status::Dead)]);
    it.listing.services.push(service(20));
    it.provisions = vec![ResourceRecord {
        service_id: Some(service_id(21)),
        service_deleted_at: Some(ago(60)),
        destroyed: DestroyStep::ALL.to_vec(),
        ..provision(21, Stage::Destroying)
    }];
    let policy = Policy {
        min_idle: 12,
        ..Policy::default()
    };
    let plan = decide(&it, &policy);
    assert!(fuse(&plan).is_some());
    assert_eq!(plan.create, 12);
    assert_eq!(plan.destructions[0].owned.id, id(20));
    assert_eq!(plan.removals[0].id, id(21));
}

#[test]
fn an_incomplete_listing_neither_trips_nor_mends_it() {
    let mut it = snapshot(rows(0, 8, Status::Idle).collect(), vec![]);
    it.listing.completeness = Completeness::Incomplete("a page failed".into());
    assert_eq!(fuse(&decide(&it, &quiet())), None);

    let bad = pool(8, 8, "FAILED");
    let tripped = execute(&decide(&bad, &quiet()), bad);
    let mut blind = later(tripped, 30);
    blind.listing.services.clear();
    blind.listing.completeness = Completeness::Incomplete("a page failed".into());
    let plan = decide(&blind, &quiet());
    assert_eq!(
        fuse(&plan),
        blind.fuse.tripped.as_ref(),
        "nothing new is known"
    );

    let mut well = later(execute(&plan, blind), 30);
    well.listing = pool(8, 0, "").listing;
    assert_eq!(fuse(&decide(&well, &quiet())), None);
}

#[test]
fn a_confirmation_is_good_for_what_was_listed_and_once() {
    let bad = pool(8, 8, "FAILED");
    let mut it = later(execute(&decide(&bad, &quiet()), bad), 30);
    // Meanwhile one of the confirmed was handed out, and its deployment failed then.
    it.rows[1].status = Status::Claimed;
    it.rows[1].epoch = Epoch(5);
    it.probes.insert(id(1), failed(1));
    it.fuse.confirmed = HashSet::from([id(0), id(1), id(7), "nobody".into()]);
    let plan = decide(&it, &quiet());
    let through: Vec<_> = plan
        .changes
        .iter()
        .map(|it| (it.id.clone(), it.is_loss))
        .collect();
    assert_eq!(through, [(id(0), false), (id(7), false)]);
    assert_eq!(plan.report.confirmed, [id(0), id(7)]);
    assert_eq!(fuse(&plan).map(|it| it.waiting), Some(6));

    // What a person let through is not counted, and the next tick holds the others back again.
    let next = execute(&plan, it);
    assert!(next.fuse.losses.is_empty());
    let plan = decide(&later(next, 30), &quiet());
    assert_eq!((plan.changes.len(), plan.report.confirmed.len()), (0, 0));
}

#[test]
fn a_confirmation_of_what_was_never_listed_lets_nothing_through() {
    let mut it = pool(8, 8, "FAILED");
    it.fuse.confirmed = (0..8).map(id).collect();
    assert_eq!(decide(&it, &quiet()).changes, []);
}

#[test]
fn no_more_are_listed_than_a_report_holds_and_only_these_can_be_confirmed() {
    let bad = pool(300, 300, "FAILED");
    let mut it = later(execute(&decide(&bad, &quiet()), bad), 30);
    let tripped = it.fuse.tripped.as_ref().unwrap();
    assert_eq!((tripped.waiting, tripped.held.len()), (300, 200));
    it.fuse.confirmed = (0..300).map(id).collect();
    assert_eq!(decide(&it, &quiet()).changes.len(), 200);
}

#[test]
fn after_an_outage_of_an_hour_nobody_is_lost_and_nobody_is_stuck() {
    let policy = Policy {
        min_idle: 10,
        ..Policy::default()
    };
    let mut it = pool(10, 0, "");
    it.rows.extend(rows(10, 5, Status::Claimed));
    it.rows.extend(rows(15, 4, Status::Starting));
    it.listing.services.extend((10..19).map(service));
    for row in &mut it.rows[15..] {
        row.status_changed_at = ago(60);
    }
    let well = it.listing.clone();
    let mut history = History::new(Some(ago(1)));
    for _tick in 0..120 {
        it.now += TimeDelta::seconds(30);
        it.listing = Listing::failed(it.now, "no answer".to_owned());
        // Their agents are out of reach, too.
        it.probes = it
            .rows
            .iter()
            .map(|row| (row.id.clone(), failed(3)))
            .collect();
        history.record(&it, &index(&it), &policy, &identity());
        let plan = plan(&it, &index(&it), &history, &policy, &identity());
        assert_eq!((plan.create, plan.removals.len()), (0, 0));
        it = execute(&plan, it);
        assert!(it.rows.iter().all(|row| row.status != Status::Dead));
    }
    let tripped = it.fuse.tripped.as_ref().unwrap();
    assert_eq!(tripped.waiting, 10, "probes failed of all that were idle");

    it.now += TimeDelta::seconds(30);
    it.listing = Listing {
        started_at: it.now,
        ..well
    };
    it.probes = it
        .rows
        .iter()
        .map(|row| (row.id.clone(), Probe::Ready))
        .collect();
    history.record(&it, &index(&it), &policy, &identity());
    let plan = plan(&it, &index(&it), &history, &policy, &identity());
    assert_eq!(fuse(&plan), None);
    let after = execute(&plan, it);
    let count = |status| after.rows.iter().filter(|row| row.status == status).count();
    assert_eq!((count(Status::Idle), count(Status::Claimed)), (14, 5));
}

/// The rounds come each second when claims wake them, and an idle agent is probed each half minute: what
/// waits does so also in a round in which nobody asked its agent.
#[test]
fn what_waits_is_not_forgotten_in_a_round_without_a_probe() {
    let policy = quiet();
    let mut it = pool(8, 0, "");
    it.probes = (0..8).map(|n| (id(n), failed(3))).collect();
    let mut history = History::new(Some(ago(1)));
    let round = |it: &Snapshot, history: &mut History| {
        history.record(it, &index(it), &policy, &identity());
        plan(it, &index(it), history, &policy, &identity())
    };
    let first = round(&it, &mut history);
    assert_eq!(
        (first.changes.len(), fuse(&first).map(|it| it.waiting)),
        (0, Some(8))
    );

    let mut next = later(execute(&first, it), 1);
    next.probes.clear();
    next.fuse.confirmed = (0..8).map(id).collect();
    let second = round(&next, &mut history);
    assert_eq!(
        (second.changes.len(), second.report.confirmed.len()),
        (8, 8)
    );
}

/// A claimed one is given up only on a word of its agent since its deployment died.
#[test]
fn what_an_agent_said_when_it_was_down_before_says_nothing_of_the_next_time() {
    let policy = quiet();
    let claimed = |status: &str, probes: HashMap<InstanceId, Probe>| Snapshot {
        probes,
        ..snapshot(
            vec![row(0, Status::Claimed)],
            vec![with_status(service(0), status)],
        )
    };
    let mut history = History::new(Some(ago(1)));
    let mut round = |it: &Snapshot| {
        history.record(it, &index(it), &policy, &identity());
        plan(it, &index(it), &history, &policy, &identity())
            .changes
            .len()
    };
    let silent = || HashMap::from([(id(0), failed(1))]);
    assert_eq!(round(&claimed("FAILED", silent())), 1);
    assert_eq!(round(&claimed("SUCCESS", HashMap::new())), 0);
    assert_eq!(round(&claimed("FAILED", HashMap::new())), 0);
    assert_eq!(round(&claimed("FAILED", silent())), 1);
}
