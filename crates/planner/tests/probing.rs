//! Whom to probe, whose turn it is, what is made of the answers, and what is left alone while it is
//! worked on.

#[expect(
    dead_code,
    reason = "each test binary uses its own part of the builders"
)]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use pool_domain::write::FoundConversation;
use pool_domain::*;
use pool_planner::*;
use world::{ago, decide, id, identity, index, now, quiet, row, service, snapshot, with_status};

const PATIENCE: Duration = Policy::PROBE_TIMEOUT;

fn candidate(n: usize, status: Status, last: impl Into<Option<LastProbe>>) -> Candidate {
    Candidate {
        target: ProbeTarget {
            id: id(n),
            status,
            epoch: Epoch(0),
            url: "http://agent".into(),
            repeat: status == Status::Idle,
        },
        last: last.into(),
        is_next: false,
    }
}

fn last(seconds_ago: u64) -> LastProbe {
    LastProbe {
        ago: Duration::from_secs(seconds_ago),
        waited_in_vain: None,
    }
}

fn silent(seconds_ago: u64, waited: Duration) -> LastProbe {
    LastProbe {
        waited_in_vain: Some(waited),
        ..last(seconds_ago)
    }
}

fn whose(candidates: Vec<Candidate>, busy: impl Fn(Lane) -> usize) -> Vec<(Lane, InstanceId)> {
    let (turns, _) = turns(candidates, busy, &Policy::default());
    let ids = turns.into_iter().map(|(lane, target)| (lane, target.id));
    ids.collect()
}

#[test]
fn whoever_waited_longest_comes_first_and_new_ones_take_nobodys_place() {
    let starting = |n, last| candidate(n, Status::Starting, last);
    let all = vec![
        starting(1, Some(last(3))),
        starting(2, None),
        starting(3, Some(last(9))),
        starting(4, None),
    ];
    let order: Vec<_> = whose(all, |_| 0).into_iter().map(|(_, id)| id).collect();
    assert_eq!(order, [id(2), id(4), id(3), id(1)]);

    // A flood of new ones, which are silent for all that is known.
    let new = (0..300).map(|n| candidate(n, Status::Starting, None));
    let known = (300..310).map(|n| candidate(n, Status::Starting, last(2)));
    let (turns, some_wait) = turns(new.chain(known).collect(), |_| 0, &Policy::default());
    let of = |lane| turns.iter().filter(|(of, _)| *of == lane).count();
    assert_eq!((of(Lane::Starting), some_wait), (10, true));
    assert_eq!(of(Lane::New), Lane::New.places());
}

#[test]
fn black_holes_take_no_place_of_those_that_answer() {
    let silent = (0..300).map(|n| candidate(n, Status::Starting, silent(20, PATIENCE)));
    let answering = (300..310).map(|n| candidate(n, Status::Starting, last(2)));
    let turns = whose(silent.chain(answering).collect(), |_| 0);
    let of = |lane| turns.iter().filter(|(of, _)| *of == lane).count();
    assert_eq!(of(Lane::Hanging), Policy::HANGING_PROBES_IN_FLIGHT_MAX);
    assert_eq!(of(Lane::Starting), 10);

    let full = |lane: Lane| {
        if lane == Lane::Hanging {
            lane.places()
        } else {
            0
        }
    };
    let answering = vec![candidate(1, Status::Starting, last(2))];
    assert_eq!(whose(answering, full).len(), 1);
}

#[test]
fn one_that_had_a_moment_is_given_its_time_at_once_and_then_seldom() {
    let moment = Lane::Starting.patience();
    assert!(moment < Lane::Hanging.patience());
    let turn = |last: LastProbe| whose(vec![candidate(1, Status::Starting, last)], |_| 0);
    assert_eq!(turn(silent(0, moment)), [(Lane::Hanging, id(1))]);
    assert_eq!(turn(silent(5, PATIENCE)), []);
    assert_eq!(turn(silent(15, PATIENCE)), [(Lane::Hanging, id(1))]);
}

#[test]
fn those_that_claims_take_next_are_checked_before_their_good_probe_is_old() {
    let turn = |is_next, seconds_ago| {
        let idle = candidate(1, Status::Idle, last(seconds_ago));
        whose(vec![Candidate { is_next, ..idle }], |_| 0).len()
    };
    assert_eq!([turn(true, 7), turn(true, 8)], [0, 1]);
    assert_eq!([turn(false, 8), turn(false, 30)], [0, 1]);
}

#[test]
fn checking_idle_ones_is_bounded_whatever_their_number() {
    let minute = Duration::from_secs(60);
    let policy = Policy::default();
    let times = |every: Duration| usize::try_from(minute.as_millis() / every.as_millis()).unwrap();
    let next = Policy::NEXT_CHECKED * (times(policy.next_checked_every()) + 1);
    let others = Policy::STOCK_CHECKED_AT_ONCE * times(policy.probe_every());
    assert!(next + others <= 370, "{next} + {others} a minute");
}

#[test]
fn in_its_first_deployment_an_agent_is_asked_and_in_a_later_one_it_is_not() {
    let probed = |epoch, stage| {
        let deploying = with_status(service(1), "DEPLOYING");
        let starting = Instance {
            epoch,
            ..row(1, Status::Starting)
        };
        let mut it = snapshot(vec![starting], vec![deploying]);
        it.provisions = vec![world::provision(1, stage)];
        let asked = probes(&it.rows, &index(&it), &it.listing, &identity()).len();
        it.probes.insert(id(1), Probe::Ready);
        (asked, decide(&it, &quiet()).changes.len())
    };
    assert_eq!(probed(Epoch(0), Stage::Created), (1, 1));
    assert_eq!(probed(Epoch(2), Stage::Created), (0, 0));
    let being_made = Stage::Creating(CreateStep::Commit);
    assert_eq!(probed(Epoch(0), being_made), (0, 0));
}

#[test]
fn a_row_that_listings_lack_is_asked_until_that_counts() {
    let asked = |missing_since| {
        let new = Instance {
            missing_since,
            deploy_status: None,
            ..row(1, Status::Starting)
        };
        let it = snapshot(vec![new], Vec::new());
        probes(&it.rows, &index(&it), &it.listing, &identity()).len()
    };
    assert_eq!(asked(None), 1, "reads lag");
    assert_eq!(asked(Some(ago(1))), 0);
}

#[test]
fn what_just_became_idle_is_not_given_up_for_an_older_listing() {
    let after = |status, became_idle_at, began_at| {
        let idle = Instance {
            status_changed_at: became_idle_at,
            ..row(1, Status::Idle)
        };
        let mut it = snapshot(vec![idle], vec![with_status(service(1), status)]);
        it.listing.started_at = began_at;
        decide(&it, &quiet()).changes.len()
    };
    // Railway's reads may lag by the grace, so a deployment that is shown may be the proven one.
    assert_eq!(after("DEPLOYING", ago(60), now()), 0);
    assert_eq!(after("DEPLOYING", ago(121), now()), 1);
    assert_eq!(after("SLEEPING", ago(1), ago(2)), 0);
    assert_eq!(after("SLEEPING", ago(2), ago(1)), 1);
}

#[test]
fn a_claimed_one_crashes_only_once_its_agent_was_asked() {
    let after = |probe: Option<Probe>| {
        let dead = with_status(service(1), "CRASHED");
        let mut it = snapshot(vec![row(1, Status::Claimed)], vec![dead]);
        it.probes.extend(probe.map(|probe| (id(1), probe)));
        decide(&it, &quiet()).changes.len()
    };
    assert_eq!(after(None), 0, "not probed is neither");
    assert_eq!(after(Some(Probe::Ready)), 0);
    assert_eq!(after(Some(failed(1))), 1);
}

fn failed(times: u32) -> Probe {
    Probe::Failed {
        times,
        reason: "silent".into(),
    }
}

#[test]
fn what_is_proven_is_promoted_and_nothing_else_is_done() {
    let rows = vec![
        row(1, Status::Starting),
        row(2, Status::Starting),
        row(3, Status::Idle),
        row(4, Status::Crashed),
        Instance {
            unasked: true,
            ..row(5, Status::Starting)
        },
        Instance {
            unasked: true,
            ..row(6, Status::Starting)
        },
        Instance {
            unasked: true,
            ..row(7, Status::Starting)
        },
    ];
    let it = snapshot(rows, (1..8).map(service).collect());
    let ready = [1, 4, 5, 6].map(|n| (id(n), Probe::Ready));
    let failed = [2, 3].map(|n| (id(n), failed(9)));
    let probes: BTreeMap<_, _> = ready.into_iter().chain(failed).collect();
    let bound = Conversation::In(FoundConversation {
        conversation_id: "c".into(),
        invite_url: None,
    });
    let said: BTreeMap<_, _> = [
        (id(5), Conversation::None),
        (id(6), Conversation::NoAnswer),
        (id(7), bound),
    ]
    .into();
    let proven = promotions(&it.rows, &index(&it), &probes, &said);
    let changed: Vec<_> = proven.iter().map(|it| (it.id.clone(), it.to)).collect();
    let idle = Status::Idle;
    let expected = [(id(1), idle), (id(5), idle), (id(7), Status::Claimed)];
    assert_eq!(changed, expected);
    assert!(proven.iter().all(|change| !change.is_loss));
}

#[test]
fn the_book_tells_once_and_only_of_the_row_as_it_is() {
    let mut book = ProbeBook::default();
    let rows = [row(1, Status::Idle), row(2, Status::Idle)];
    let epoch = rows[0].epoch;
    for _ in 0..2 {
        book.note(&id(1), epoch, failed(1));
        book.note(&id(2), Epoch(epoch.0 - 1), failed(1));
    }
    let told = book.take(&rows);
    assert_eq!(told.probes, [(id(1), failed(2))].into());
    assert_eq!(book.take(&rows), Said::default());

    book.note(&id(1), epoch, failed(2));
    book.note(&id(1), epoch, Probe::Ready);
    book.note(&id(1), epoch, failed(1));
    let relapsed = Probe::Relapsed {
        times: 1,
        reason: "silent".into(),
    };
    assert_eq!(book.take(&rows).probes, [(id(1), relapsed)].into());
}

#[test]
fn failures_before_a_good_probe_do_not_count_though_no_round_saw_it() {
    let policy = quiet();
    let mut history = History::new(Some(ago(1)));
    let mut it = snapshot(vec![row(1, Status::Idle)], vec![service(1)]);
    let relapsed = Probe::Relapsed {
        times: 2,
        reason: "silent".into(),
    };
    for probe in [failed(2), relapsed] {
        it.probes.insert(id(1), probe);
        history.record(&it, &index(&it), &policy, &identity());
        let plan = plan(&it, &index(&it), &history, &policy, &identity());
        assert_eq!(plan.changes, []);
    }
}

#[test]
fn a_listing_that_is_looked_at_again_is_no_further_observation() {
    let policy = quiet();
    let mut history = History::new(Some(ago(1)));
    let building = with_status(service(1), "BUILDING");
    let it = snapshot(vec![row(1, Status::Starting)], vec![building]);
    for _ in 0..9 {
        history.record(&it, &index(&it), &policy, &identity());
    }
    let plan = plan(&it, &index(&it), &history, &policy, &identity());
    assert_eq!(plan.changes, [], "it is not stuck");
}

#[test]
fn what_is_worked_on_is_left_alone() {
    let mut it = snapshot(vec![row(1, Status::Dead)], vec![service(1)]);
    let due = Some(ago(1));
    it.provisions = vec![ResourceRecord {
        next_attempt_at: due,
        ..world::provision(2, Stage::Creating(CreateStep::Service))
    }];
    let plan = decide(&it, &quiet());
    assert_eq!((plan.destructions.len(), plan.resumes.len()), (1, 1));
    it.in_flight.ending.insert(id(1));
    it.in_flight.making.insert(id(2));
    let plan = decide(&it, &quiet());
    assert_eq!((plan.destructions.len(), plan.resumes.len()), (0, 0));
}

#[test]
fn what_is_being_made_takes_its_part_of_the_pace() {
    let policy = Policy {
        min_idle: 50,
        ..Policy::default()
    };
    let mut it = snapshot(Vec::new(), Vec::new());
    assert_eq!(decide(&it, &policy).create, Policy::CREATES_PER_TICK_MAX);
    it.in_flight.making = (0..15).map(id).collect();
    let plan = decide(&it, &policy);
    assert_eq!((plan.create, plan.make_now), (5, 5));
    assert!(plan.pace_holds_back);
}
