//! How many are made, and what becomes of those that were: what is stock, what waits, what is given up
//! and what is learned from it.

#[expect(
    dead_code,
    reason = "each test binary uses its own part of the builders"
)]
mod world;

use chrono::TimeDelta;
use pool_domain::*;
use pool_planner::*;
use world::*;

fn failed(times: u32) -> Probe {
    Probe::Failed {
        times,
        reason: "connection refused".into(),
    }
}

fn wanting(min_idle: usize) -> Policy {
    Policy {
        min_idle,
        ..Policy::default()
    }
}

#[test]
fn a_row_that_cannot_be_read_is_neither_stock_nor_adopted_and_counts_towards_the_cap() {
    let mut it = snapshot(Vec::new(), vec![service(1), service(2)]);
    it.unreadable = vec![service_id(1), service_id(2)];
    let policy = Policy {
        max_total: 4,
        ..wanting(3)
    };
    let plan = decide(&it, &policy);
    assert_eq!((plan.adoptions.len(), plan.create), (0, 2));
    let index = index(&it);
    assert!(adoption::candidates(&index, &it.listing, &identity()).is_empty());
}

#[test]
fn what_is_idle_above_the_target_is_told() {
    let rows = (0..5).map(|n| row(n, Status::Idle)).collect();
    let it = snapshot(rows, (0..5).map(service).collect());
    let report = decide(&it, &wanting(3)).report;
    assert_eq!(report.replenish.surplus, 2);
    let held: Vec<_> = report.held_back.iter().map(|it| it.count).collect();
    assert_eq!(held, [2]);
}

/// One that was made and is not ready yet.
fn made(n: usize, status: &str) -> (Instance, ObservedService, ResourceRecord) {
    let mut row = row(n, Status::Starting);
    row.epoch = Epoch(0);
    row.deploy_status = Some(DeploymentStatus::from(status));
    let made = provision(n, Stage::Created);
    (row, with_status(service(n), status), made)
}

#[test]
fn what_waits_for_railway_is_stock_and_not_stuck_for_an_hour() {
    let (row, service, made) = made(1, "QUEUED");
    let seen = |minutes: i64| {
        let mut it = snapshot(vec![row.clone()], vec![service.clone()]);
        it.rows[0].status_changed_at = ago(60 * minutes);
        it.provisions = vec![made.clone()];
        it.probes.insert(id(1), failed(3));
        let policy = Policy {
            unhealthy_after: 1,
            ..wanting(1)
        };
        let plan = decide(&it, &policy);
        let reasons: Vec<_> = plan.changes.into_iter().map(|it| it.reason).collect();
        (plan.create, reasons)
    };
    assert_eq!(seen(59), (0, Vec::new()));
    let stuck = "not ready after 3660 s: deployment is QUEUED".to_owned();
    assert_eq!(seen(61).1, [stuck]);
}

#[test]
fn after_a_long_queue_it_has_as_long_as_any_to_get_ready() {
    let (row, _, made) = made(1, "QUEUED");
    let policy = Policy {
        unhealthy_after: 1,
        ..wanting(1)
    };
    let mut it = snapshot(vec![row], vec![service(1)]);
    it.provisions = vec![made];
    it.probes.insert(id(1), failed(3));
    let mut history = History::new(Some(ago(1)));
    let mut seen = Vec::new();
    for (seconds, stored) in [(0, "QUEUED"), (200, "SUCCESS"), (200, "SUCCESS")] {
        it.now += TimeDelta::seconds(seconds);
        it.listing.started_at = it.now;
        it.rows[0].deploy_status = Some(DeploymentStatus::from(stored));
        history.record(&it, &index(&it), &policy, &identity());
        let plan = plan(&it, &index(&it), &history, &policy, &identity());
        seen.push((plan.create, plan.changes.len()));
    }
    assert_eq!(seen, [(0, 0), (0, 0), (1, 0)], "five minutes of stock");
}

#[test]
fn what_waits_for_a_limit_is_not_given_up_however_old_it_is() {
    let old = |step, attempts| {
        let mut it = snapshot(Vec::new(), Vec::new());
        it.provisions = vec![ResourceRecord {
            attempts,
            created_at: ago(36_000),
            next_attempt_at: Some(ago(1)),
            ..provision(1, Stage::Creating(step))
        }];
        decide(&it, &quiet()).destructions.len()
    };
    assert_eq!(old(CreateStep::Inbox, 0), 0);
    assert_eq!(old(CreateStep::Inbox, 4), 0);
    assert_eq!(
        old(CreateStep::Inbox, 5),
        1,
        "it fails again and again by itself"
    );
}

#[test]
fn a_lost_answer_that_the_listing_shows_is_taken_over_at_once() {
    let mut row = row(1, Status::Starting);
    row.epoch = Epoch(0);
    let mut undeployed = service(1);
    (undeployed.image, undeployed.deployment) = (None, None);
    undeployed.host = None;
    let mut it = snapshot(vec![row], vec![undeployed]);
    it.provisions = vec![ResourceRecord {
        service_id: Some(service_id(1)),
        attempts: 1,
        next_attempt_at: Some(ago(-110)),
        ..provision(1, Stage::Creating(CreateStep::Volume))
    }];
    assert_eq!(decide(&it, &quiet()).resumes, []);
    it.listing.volumes = vec![volume(1)];
    let plan = decide(&it, &quiet());
    assert_eq!(plan.resumes[0].volume_id, Some(VolumeId::new("volume-1")));
}

#[test]
fn the_pace_learns_from_what_becomes_of_those_that_were_made() {
    let policy = wanting(20);
    let mut it = snapshot(Vec::new(), Vec::new());
    for n in 0..4 {
        let (row, service, made) = made(n, "BUILDING");
        it.rows.push(row);
        it.listing.services.push(service);
        it.provisions.push(made);
    }
    let mut history = History::new(Some(ago(1)));
    let mut round = |it: &Snapshot| {
        history.record(it, &index(it), &policy, &identity());
        let plan = plan(it, &index(it), &history, &policy, &identity());
        history.record_died(&plan.died, it.now);
        (plan, history.pace().clone())
    };
    let (plan, pace) = round(&it);
    assert_eq!(
        (plan.create, pace.unproven.len()),
        (0, 4),
        "all four are awaited"
    );

    it.rows[0].status = Status::Claimed;
    it.rows[0].epoch = Epoch(3);
    let (plan, pace) = round(&it);
    assert_eq!(
        (plan.create, pace.at_once),
        (2, 5),
        "one was ready, and is claimed already"
    );

    it.listing.services[1] = with_status(service(1), "CRASHED");
    let (plan, pace) = round(&it);
    assert_eq!(plan.died[0].0, id(1));
    let trouble = pace.trouble.unwrap();
    assert_eq!(
        (trouble.failed, trouble.last.as_str()),
        (1, "deployment failed: CRASHED")
    );

    // A person's doing says nothing of what is made.
    it.rows[2].status = Status::Dead;
    it.rows[2].epoch = Epoch(1);
    let (_, pace) = round(&it);
    let left: Vec<_> = pace.unproven.into_iter().map(|it| it.id).collect();
    assert_eq!((left, pace.died_in_row), (vec![id(3)], 1));
}
