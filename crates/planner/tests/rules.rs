//! One rule each, as small as it can be shown.

mod leftovers;
mod world;

use chrono::TimeDelta;
use pool_domain::write::FoundConversation;
use pool_domain::*;
use pool_planner::*;
use world::*;

fn changes(snapshot: &Snapshot) -> Vec<(Status, Status, String)> {
    let plan = decide(snapshot, &quiet());
    plan.changes
        .into_iter()
        .map(|change| (change.from, change.to, change.reason))
        .collect()
}

fn one(status: Status, service: ObservedService, probe: Option<Probe>) -> Snapshot {
    let mut snapshot = snapshot(vec![row(1, status)], vec![service]);
    snapshot.probes.extend(probe.map(|probe| (id(1), probe)));
    snapshot
}

fn failed(times: u32) -> Probe {
    Probe::Failed {
        times,
        reason: "connection refused".into(),
    }
}

#[test]
fn every_deployment_status_leads_an_idle_and_a_claimed_row_where_the_table_says() {
    let mut lines = Vec::new();
    for status in DeploymentStatus::KNOWN
        .into_iter()
        .chain(["HIBERNATING".into()])
    {
        for from in [
            Status::Starting,
            Status::Idle,
            Status::Claimed,
            Status::Crashed,
        ] {
            let seen = with_status(service(1), status.as_str());
            for (word, probe) in [("ready", Some(Probe::Ready)), ("silent", Some(failed(3)))] {
                let to = changes(&one(from, seen.clone(), probe));
                let to = to
                    .first()
                    .map_or("unchanged".into(), |(_, to, why)| format!("{to} ({why})"));
                lines.push(format!("{status:<15} {from:<9} {word:<7} {to}"));
            }
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_failed_deployment_beside_an_active_one_kills_nothing() {
    let mut seen = with_status(service(1), "FAILED");
    seen.has_active_deployment = true;
    assert_eq!(changes(&one(Status::Idle, seen, Some(Probe::Ready))), []);
}

#[test]
fn one_missed_probe_does_nothing_and_the_third_in_a_row_sends_it_back() {
    let policy = quiet();
    let mut history = History::new(Some(ago(1)));
    let snapshot = one(Status::Idle, service(1), Some(failed(1)));
    for expected in [0, 0, 1] {
        history.record(&snapshot, &index(&snapshot), &policy, &identity());
        assert_eq!(
            plan(&snapshot, &index(&snapshot), &history, &policy, &identity())
                .changes
                .len(),
            expected
        );
    }
}

#[test]
fn a_good_probe_ends_the_row_of_failures() {
    let policy = quiet();
    let mut history = History::new(Some(ago(1)));
    let bad = one(Status::Idle, service(1), Some(failed(2)));
    let good = one(Status::Idle, service(1), Some(Probe::Ready));
    for snapshot in [&bad, &good, &bad] {
        history.record(snapshot, &index(snapshot), &policy, &identity());
        assert_eq!(
            plan(snapshot, &index(snapshot), &history, &policy, &identity()).changes,
            []
        );
    }
}

#[test]
fn missing_needs_two_complete_listings_after_the_grace() {
    let rows = vec![row(1, Status::Claimed), row(2, Status::Idle)];
    let mut first = snapshot(rows, vec![service(2)]);
    let plan = decide(&first, &quiet());
    assert_eq!(plan.changes, []);
    assert_eq!(plan.refreshes[0].missing_since, Some(now()));

    first = execute(&plan, first);
    first.listing.started_at += TimeDelta::seconds(30);
    first.now += TimeDelta::seconds(30);
    let gone = (Status::Claimed, Status::Crashed, "service gone".to_owned());
    assert_eq!(changes(&first), [gone]);
}

#[test]
fn absence_within_the_grace_is_not_even_noted() {
    let mut fresh = row(1, Status::Starting);
    fresh.status_changed_at = ago(119);
    assert_eq!(
        decide(&snapshot(vec![fresh], Vec::new()), &quiet()).refreshes,
        []
    );
}

#[test]
fn a_service_that_is_seen_again_is_missing_no_more() {
    let mut back = row(1, Status::Idle);
    back.missing_since = Some(ago(60));
    let plan = decide(&snapshot(vec![back], vec![service(1)]), &quiet());
    assert_eq!(plan.refreshes[0].missing_since, None);
    assert_eq!(plan.changes, []);
}

#[test]
fn nobody_is_stuck_after_an_outage_of_an_hour() {
    let policy = quiet();
    let mut starting = row(1, Status::Starting);
    starting.status_changed_at = ago(3_700);
    let seen = with_status(service(1), "DEPLOYING");
    let snapshot = snapshot(vec![starting], vec![seen]);

    let mut blind = History::new(Some(ago(3_690)));
    let mut watching = History::new(Some(ago(30)));
    for history in [&mut blind, &mut watching] {
        let mut earlier = snapshot.clone();
        for seconds in [2, 1, 0] {
            earlier.listing.started_at = ago(seconds);
            history.record(&earlier, &index(&earlier), &policy, &identity());
        }
    }
    assert_eq!(
        plan(&snapshot, &index(&snapshot), &blind, &policy, &identity()).changes,
        []
    );
    let stuck = plan(
        &snapshot,
        &index(&snapshot),
        &watching,
        &policy,
        &identity(),
    )
    .changes;
    assert_eq!((stuck.len(), stuck[0].to), (1, Status::Dead));
}

#[test]
fn a_leader_that_saw_it_not_ready_only_twice_calls_nothing_stuck() {
    let policy = quiet();
    let seen = with_status(service(1), "DEPLOYING");
    let snapshot = snapshot(vec![row(1, Status::Starting)], vec![seen]);
    let mut history = History::new(Some(ago(1)));
    for _ in 0..2 {
        history.record(&snapshot, &index(&snapshot), &policy, &identity());
    }
    assert_eq!(
        plan(&snapshot, &index(&snapshot), &history, &policy, &identity()).changes,
        []
    );
}

fn unasked(said: Option<Conversation>) -> Snapshot {
    let mut it = row(1, Status::Starting);
    it.unasked = true;
    let mut snapshot = snapshot(vec![it], vec![service(1)]);
    snapshot.probes.insert(id(1), Probe::Ready);
    snapshot
        .conversations
        .extend(said.map(|said| (id(1), said)));
    snapshot
}

#[test]
fn an_unasked_one_is_idle_only_after_it_was_asked() {
    assert_eq!(changes(&unasked(None)), []);
    assert_eq!(changes(&unasked(Some(Conversation::NoAnswer))), []);
    let asked = unasked(Some(Conversation::None));
    assert_eq!(
        changes(&asked),
        [(Status::Starting, Status::Idle, "ready".to_owned())]
    );
    assert!(!decide(&asked, &quiet()).refreshes[0].unasked);
}

#[test]
fn an_unasked_one_in_a_conversation_is_claimed_with_it() {
    let said = Conversation::In(FoundConversation {
        conversation_id: "c-1".into(),
        invite_url: None,
    });
    let plan = decide(&unasked(Some(said)), &quiet());
    assert_eq!(plan.changes[0].to, Status::Claimed);
    let found = plan.changes[0].conversation.as_ref().unwrap();
    assert_eq!(found.conversation_id, "c-1");
}

#[test]
fn an_unverified_one_is_given_up_as_crashed_and_never_dead() {
    let mut failed = unasked(None);
    failed.listing.services = vec![with_status(service(1), "FAILED")];
    failed.probes.clear();
    let mut gone = unasked(None);
    gone.listing.services.clear();
    gone.rows[0].missing_since = Some(ago(60));
    for snapshot in [failed, gone] {
        // Another one, whose service is listed: or the fuse would hold the only one there is.
        let mut larger = snapshot;
        larger.rows.push(row(2, Status::Claimed));
        larger.listing.services.push(service(2));
        let plan = decide(&larger, &quiet());
        let to: Vec<_> = plan.changes.iter().map(|change| change.to).collect();
        assert_eq!(to, [Status::Crashed]);
        assert_eq!(plan.destructions, []);
    }
}

#[test]
fn one_that_crashed_unverified_comes_back_only_with_its_conversation() {
    let crashed = |said| {
        let mut snapshot = unasked(Some(said));
        snapshot.rows[0].status = Status::Crashed;
        snapshot
    };
    let none = crashed(Conversation::None);
    assert_eq!(changes(&none), []);
    assert!(
        decide(&none, &quiet())
            .refreshes
            .iter()
            .all(|it| it.unasked),
        "it waits for a person"
    );
    let found = crashed(Conversation::In(FoundConversation {
        conversation_id: "c-1".into(),
        invite_url: None,
    }));
    assert_eq!(decide(&found, &quiet()).changes[0].to, Status::Claimed);
}

fn evidence(has_our_key: bool, last_event: Option<LastEvent>, aside: Option<&str>) -> Evidence {
    Evidence {
        variables: ServiceVariables {
            has_our_key,
            gateway_token: None,
            inbox_id: None,
            manager_id: None,
        },
        last_event,
        set_aside: aside.map(str::to_owned),
    }
}

fn stranger(known: Option<Evidence>) -> Snapshot {
    let mut snapshot = snapshot(Vec::new(), vec![service(1)]);
    snapshot.listing.volumes = vec![volume(1)];
    snapshot
        .evidence
        .extend(known.map(|known| (service_id(1), known)));
    snapshot
}

#[test]
fn a_service_of_ours_without_a_row_gets_one_by_its_history() {
    let cases = [
        (evidence(true, None, None), Status::Starting),
        (
            evidence(true, Some(LastEvent::Other), None),
            Status::Starting,
        ),
        (
            evidence(true, None, Some("never claimed")),
            Status::Starting,
        ),
        (evidence(true, None, Some("deleted since")), Status::Crashed),
        (
            evidence(true, Some(LastEvent::ClaimedOrCrashed), None),
            Status::Crashed,
        ),
    ];
    for (known, expected) in cases {
        let plan = decide(&stranger(Some(known.clone())), &quiet());
        assert_eq!(plan.adoptions[0].status, expected, "{known:?}");
        assert_eq!(plan.destructions, []);
    }
}

#[test]
fn a_service_that_comes_back_after_its_removal_is_destroyed_again() {
    let removed = evidence(true, Some(LastEvent::Removed), None);
    let plan = decide(&stranger(Some(removed)), &quiet());
    assert_eq!(plan.adoptions, []);
    let again = &plan.destructions[0];
    assert_eq!(again.owned.service_id, Some(service_id(1)));
    assert_eq!(again.owned.volume_ids, ["volume-1".into()]);
    assert_eq!(again.steps, [DestroyStep::Volumes, DestroyStep::Service]);
}

#[test]
fn a_service_with_anothers_key_or_another_shape_is_reported_only() {
    let foreign = decide(&stranger(Some(evidence(false, None, None))), &quiet());
    assert_eq!(
        foreign.report.foreign[0].why,
        "its POOL_API_KEY is not ours"
    );

    let mut odd = stranger(Some(evidence(true, None, None)));
    odd.listing.services[0].name = "convos-agent-staging".into();
    let plan = decide(&odd, &quiet());
    assert_eq!((plan.adoptions.len(), plan.report.foreign.len()), (0, 1));

    odd.listing.services[0].name = "convos-agent-pool-manager".into();
    let plan = decide(&odd, &quiet());
    assert_eq!((plan.adoptions.len(), plan.report.foreign.len()), (0, 0));
}

#[test]
fn an_undecided_service_counts_as_starting_for_five_minutes() {
    let policy = Policy {
        min_idle: 1,
        ..Policy::default()
    };
    let mut snapshot = stranger(None);
    let mut history = History::new(Some(ago(1)));
    history.record(&snapshot, &index(&snapshot), &policy, &identity());
    assert_eq!(
        plan(&snapshot, &index(&snapshot), &history, &policy, &identity()).create,
        0
    );
    snapshot.now += TimeDelta::seconds(301);
    history.record(&snapshot, &index(&snapshot), &policy, &identity());
    assert_eq!(
        plan(&snapshot, &index(&snapshot), &history, &policy, &identity()).create,
        1
    );
}

#[test]
fn an_empty_pool_creates_exactly_its_target_and_then_nothing() {
    let policy = Policy {
        min_idle: 5,
        max_total: 5,
        ..Policy::default()
    };
    let empty = snapshot(Vec::new(), Vec::new());
    let plan = decide(&empty, &policy);
    assert_eq!(plan.create, 5);
    assert_eq!(decide(&execute(&plan, empty), &policy).create, 0);
}

#[test]
fn a_row_that_has_been_starting_for_too_long_no_longer_counts() {
    let policy = Policy {
        min_idle: 1,
        ..Policy::default()
    };
    let mut slow = row(1, Status::Starting);
    slow.status_changed_at = ago(301);
    let created = |status| {
        let seen = with_status(service(1), status);
        decide(&snapshot(vec![slow.clone()], vec![seen]), &policy).create
    };
    assert_eq!((created("SUCCESS"), created("DEPLOYING")), (1, 0));
}

#[test]
fn a_slow_start_that_ends_in_this_tick_needs_no_replacement() {
    let policy = Policy {
        min_idle: 1,
        ..Policy::default()
    };
    let mut slow = row(1, Status::Starting);
    slow.status_changed_at = ago(301);
    let mut ready = snapshot(vec![slow], vec![service(1)]);
    ready.probes.insert(id(1), Probe::Ready);
    let plan = decide(&ready, &policy);
    assert_eq!((plan.changes[0].to, plan.create), (Status::Idle, 0));
}

#[test]
fn what_the_cap_holds_back_is_said() {
    let policy = Policy {
        min_idle: 2,
        max_total: 2,
        ..Policy::default()
    };
    let rows = vec![row(1, Status::Claimed), row(2, Status::Claimed)];
    let plan = decide(&snapshot(rows, vec![service(1), service(2)]), &policy);
    assert_eq!(plan.create, 0);
    let held = &plan.report.held_back[0];
    assert_eq!(
        (held.count, held.why.as_str()),
        (2, "POOL_MAX_TOTAL is reached")
    );
}

/// A dead row walks its whole way: begun, destroyed, and removed when a later listing agrees.
#[test]
fn a_dead_row_goes_when_everything_is_destroyed_and_a_later_listing_agrees() {
    let mut world = snapshot(vec![row(1, Status::Dead)], vec![service(1)]);
    world.listing.volumes = vec![volume(1)];
    let plan = decide(&world, &quiet());
    let destruction = &plan.destructions[0];
    assert_eq!(
        destruction.steps,
        [DestroyStep::Volumes, DestroyStep::Service]
    );
    assert_eq!(
        destruction.already_gone,
        [DestroyStep::Key, DestroyStep::Inbox]
    );
    assert_eq!(plan.removals, []);

    world.provisions = vec![ResourceRecord {
        service_id: Some(service_id(1)),
        volume_id: Some("volume-1".into()),
        service_deleted_at: Some(now()),
        destroyed: DestroyStep::ALL.to_vec(),
        ..provision(1, Stage::Destroying)
    }];
    let before_it_agrees = decide(&world, &quiet());
    assert_eq!(
        (
            before_it_agrees.removals.len(),
            before_it_agrees.destructions.len()
        ),
        (0, 0)
    );

    world.listing.services.clear();
    world.listing.volumes[0].pending_deletion = true;
    assert_eq!(
        decide(&world, &quiet()).removals,
        [],
        "this listing began before the deletion"
    );
    world.listing.started_at += TimeDelta::seconds(1);
    let removal = Removal {
        id: id(1),
        row: Some(Epoch(3)),
        provision: true,
    };
    assert_eq!(decide(&world, &quiet()).removals, [removal]);
}

#[test]
fn a_service_whose_volume_nobody_recorded_waits_for_a_listing_that_shows_it() {
    let mut lost = provision(1, Stage::Creating(CreateStep::Domain));
    lost.service_id = Some(service_id(1));
    lost.step_began_at = ago(3_600);
    let mut hidden = snapshot(vec![row(1, Status::Dead)], Vec::new());
    hidden.provisions.push(lost);
    let takes_service = |seen: &Snapshot| {
        let steps = &decide(seen, &quiet()).destructions[0].steps;
        steps.contains(&DestroyStep::Service)
    };
    assert!(!takes_service(&hidden), "one listing alone may lie");
    let mut shown = hidden.clone();
    shown.listing.services.push(service(1));
    assert!(takes_service(&shown));
    hidden.rows[0].missing_since = Some(ago(30));
    assert!(takes_service(&hidden), "it is missing");
}

#[test]
fn an_interrupted_creation_waits_for_a_listing_that_shows_its_service() {
    let mut lost = provision(1, Stage::Creating(CreateStep::Commit));
    lost.service_id = Some(service_id(1));
    lost.step_began_at = ago(3_600);
    let mut seen = snapshot(vec![row(1, Status::Starting)], Vec::new());
    seen.provisions.push(lost);
    assert_eq!(decide(&seen, &quiet()).resumes, []);
    seen.listing.services.push(ObservedService {
        deployment: None,
        image: None,
        ..service(1)
    });
    assert_eq!(decide(&seen, &quiet()).resumes.len(), 1);
}

#[test]
fn a_service_that_a_listing_hides_is_deleted_all_the_same() {
    let mut made = provision(1, Stage::Created);
    made.service_id = Some(service_id(1));
    made.volume_id = Some("volume-1".into());
    made.step_began_at = ago(3_600);
    let mut hidden = snapshot(vec![row(1, Status::Dead)], Vec::new());
    hidden.provisions.push(made);
    let plan = decide(&hidden, &quiet());
    let destruction = &plan.destructions[0];
    assert!(destruction.steps.contains(&DestroyStep::Service));
    assert!(!destruction.already_gone.contains(&DestroyStep::Service));
}

#[test]
fn a_service_that_still_shows_long_after_its_deletion_is_deleted_again() {
    let mut world = snapshot(vec![row(1, Status::Dead)], vec![service(1)]);
    world.provisions = vec![ResourceRecord {
        service_id: Some(service_id(1)),
        service_deleted_at: Some(ago(121)),
        destroyed: DestroyStep::ALL.to_vec(),
        ..provision(1, Stage::Destroying)
    }];
    assert_eq!(
        decide(&world, &quiet()).destructions[0].steps,
        [DestroyStep::Service]
    );
}

#[test]
fn a_service_is_not_deleted_before_its_volumes_are_known() {
    let mut world = snapshot(vec![row(1, Status::Dead)], Vec::new());
    world.listing.completeness = Completeness::Incomplete("timeout".into());
    let plan = decide(&world, &quiet());
    assert!(
        plan.destructions
            .iter()
            .all(|destruction| destruction.steps.is_empty())
    );
    assert_eq!(plan.removals, []);
}

#[test]
fn an_interrupted_creation_goes_on_once_its_last_step_is_settled() {
    let mut world = snapshot(vec![row(1, Status::Starting)], vec![service(1)]);
    world.listing.services[0].image = None;
    world.listing.services[0].deployment = None;
    let begun = |seconds| ResourceRecord {
        service_id: Some(service_id(1)),
        step_began_at: ago(seconds),
        ..provision(1, Stage::Creating(CreateStep::Volume))
    };
    world.provisions = vec![begun(10)];
    assert_eq!(
        decide(&world, &quiet()).resumes,
        [],
        "the volume may still show"
    );
    world.provisions = vec![begun(121)];
    assert_eq!(decide(&world, &quiet()).resumes[0].volume_id, None);
    world.provisions = vec![begun(10)];
    world.listing.volumes = vec![volume(1)];
    assert_eq!(
        decide(&world, &quiet()).resumes[0].volume_id,
        Some("volume-1".into())
    );
}

#[test]
fn a_creation_that_was_ever_deployed_is_not_patched_again() {
    let mut world = snapshot(vec![row(1, Status::Starting)], vec![service(1)]);
    world.provisions = vec![ResourceRecord {
        service_id: Some(service_id(1)),
        step_began_at: ago(121),
        ..provision(1, Stage::Creating(CreateStep::Commit))
    }];
    assert!(decide(&world, &quiet()).resumes[0].is_committed);
}

#[test]
fn an_intent_that_was_never_finished_is_destroyed_in_the_end() {
    let mut world = snapshot(Vec::new(), Vec::new());
    world.provisions = vec![ResourceRecord {
        attempts: 5,
        created_at: ago(901),
        step_began_at: ago(901),
        ..provision(1, Stage::Creating(CreateStep::Service))
    }];
    let plan = decide(&world, &quiet());
    assert_eq!(plan.resumes, []);
    let end = &plan.destructions[0];
    assert_eq!(end.steps, [], "nothing was made: {end:?}");
    assert_eq!(end.already_gone, DestroyStep::ALL);
}

#[test]
fn a_key_that_may_have_been_made_is_looked_for_before_its_intent_goes() {
    let mut world = snapshot(Vec::new(), Vec::new());
    world.provisions = vec![ResourceRecord {
        attempts: 5,
        created_at: ago(901),
        step_began_at: ago(901),
        ..provision(1, Stage::Creating(CreateStep::Key))
    }];
    assert_eq!(
        decide(&world, &quiet()).destructions[0].steps,
        [DestroyStep::Key]
    );
}

#[test]
fn a_key_whose_maker_was_killed_is_made_anew_only_when_lists_show_the_first_one() {
    let begun = |seconds: i64, next_attempt_at| {
        let mut world = snapshot(Vec::new(), Vec::new());
        world.provisions = vec![ResourceRecord {
            step_began_at: ago(seconds),
            created_at: ago(seconds),
            next_attempt_at,
            ..provision(1, Stage::Creating(CreateStep::Key))
        }];
        decide(&world, &quiet()).resumes.len()
    };
    assert_eq!(begun(10, None), 0, "begun, and no answer yet");
    assert_eq!(begun(121, None), 1, "the grace is over");
    assert_eq!(
        begun(10, Some(ago(10))),
        1,
        "intended, and surely not begun"
    );
}

#[test]
fn only_agents_that_may_answer_are_probed() {
    let mut rows = Vec::new();
    let mut services = Vec::new();
    for (n, status) in Status::ALL.into_iter().enumerate() {
        for (m, deployment) in ["SUCCESS", "SLEEPING", "DEPLOYING", "FAILED"]
            .iter()
            .enumerate()
        {
            rows.push(row(10 * n + m, status));
            services.push(with_status(service(10 * n + m), deployment));
        }
    }
    let snapshot = snapshot(rows, services);
    let index = Index::new(&snapshot.rows, &[], &snapshot.listing);
    let targets = probes(&snapshot.rows, &index, &snapshot.listing, &identity());
    let said: Vec<_> = targets
        .iter()
        .map(|target| {
            let row = snapshot
                .rows
                .iter()
                .find(|row| row.id == target.id)
                .unwrap();
            let service = |s: &&ObservedService| s.service_id == row.service_id;
            let seen = snapshot.listing.services.iter().find(service).unwrap();
            let seen = seen.deploy_status().unwrap();
            format!(
                "{} {}{}",
                row.status,
                seen,
                if target.repeat { ", repeated" } else { "" }
            )
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    starting SUCCESS
    starting SLEEPING
    idle SUCCESS, repeated
    idle SLEEPING, repeated
    idle DEPLOYING, repeated
    idle FAILED, repeated
    claimed FAILED
    crashed SUCCESS
    ");
}

/// Plans as a leader does whose last creations went so.
fn decide_after(went: &[Creations], at: i64, snapshot: &Snapshot, policy: &Policy) -> Plan {
    let mut history = History::new(Some(ago(1)));
    history.record(snapshot, &index(snapshot), policy, &identity());
    for creations in went {
        history.record_creations(creations, ago(at));
    }
    plan(snapshot, &index(snapshot), &history, policy, &identity())
}

fn wanting(min_idle: usize) -> Policy {
    Policy {
        min_idle,
        ..Policy::default()
    }
}

fn at_the_limit() -> Creations {
    let said = "Railway said: resource provision limit exceeded".to_owned();
    Creations {
        whole: Vec::new(),
        failed: 1,
        last_error: Some(said.clone()),
        limit: Some(Limit {
            said,
            wait: None,
            what_to_do: "pay".to_owned(),
        }),
    }
}

#[test]
fn creating_starts_slowly_and_what_a_person_asked_for_does_not_wait() {
    let mut empty = snapshot(Vec::new(), Vec::new());
    let policy = wanting(40);
    assert_eq!(decide_after(&[], 0, &empty, &policy).create, 4);
    empty.requested_creates = 20;
    let plan = decide_after(&[], 0, &empty, &policy);
    assert_eq!((plan.create, plan.make_now), (24, 20));
}

#[test]
fn after_a_limit_nothing_is_made_until_a_single_one_is_tried() {
    let mut empty = snapshot(Vec::new(), Vec::new());
    let policy = wanting(6);
    let plan = decide_after(&[at_the_limit()], 19, &empty, &policy);
    assert_eq!((plan.create, plan.pace_holds_back), (0, true));
    assert_eq!(
        plan.report.held_back[0].why,
        "one at a time is tried: Railway said: resource provision limit exceeded"
    );
    let plan = decide_after(&[at_the_limit()], 20, &empty, &policy);
    assert_eq!((plan.create, plan.make_now), (1, 1));

    // A person's intents are written, and made when it is their turn.
    empty.requested_creates = 3;
    let plan = decide_after(&[at_the_limit()], 19, &empty, &policy);
    assert_eq!((plan.create, plan.make_now), (3, 0));
}

#[test]
fn the_single_one_is_an_interrupted_one_where_there_is_any() {
    let mut open = snapshot(Vec::new(), Vec::new());
    for (n, attempts) in [(1, 3), (2, 1), (3, 2)] {
        open.provisions.push(ResourceRecord {
            attempts,
            ..provision(n, Stage::Creating(CreateStep::Service))
        });
    }
    let plan = decide_after(&[at_the_limit()], 20, &open, &wanting(6));
    let ids: Vec<_> = plan.resumes.iter().map(|it| &it.provision.id).collect();
    assert_eq!(ids, [&id(2)], "whichever failed least often");
    assert_eq!(plan.create, 0);
}

#[test]
fn the_report_says_what_is_open_outside_and_why_those_that_fail_first() {
    let mut snapshot = snapshot(Vec::new(), Vec::new());
    snapshot.provisions = vec![
        provision(1, Stage::Creating(CreateStep::Volume)),
        ResourceRecord {
            attempts: 2,
            last_error: Some("too quickly".to_owned()),
            next_attempt_at: Some(ago(-5)),
            ..provision(2, Stage::Creating(CreateStep::Key))
        },
        provision(3, Stage::Created),
        ResourceRecord {
            destroyed: vec![
                DestroyStep::Inbox,
                DestroyStep::Volumes,
                DestroyStep::Service,
            ],
            ..provision(4, Stage::Destroying)
        },
    ];
    let without_account = Identity {
        accounts: Accounts::default(),
        ..identity()
    };
    let history = History::new(Some(ago(1)));
    let open = plan(
        &snapshot,
        &index(&snapshot),
        &history,
        &quiet(),
        &without_account,
    )
    .report
    .open;
    let ids: Vec<_> = open.creating.iter().map(|it| it.id.clone()).collect();
    assert_eq!(ids, [id(2), id(1)]);
    let failing = &open.creating[0];
    assert_eq!(failing.left, ["key"]);
    assert_eq!(
        (failing.attempts, failing.last_error.as_deref()),
        (2, Some("too quickly"))
    );
    assert_eq!(failing.try_at, Some(ago(-5)));
    let waiting = &open.destroying[0];
    assert_eq!(
        (&waiting.id, &waiting.left),
        (&id(4), &vec!["key".to_owned()])
    );
    assert!(waiting.waits_for_account && open.destroying.len() == 1);
    assert!(!decide(&snapshot, &quiet()).report.open.destroying[0].waits_for_account);
}

#[test]
fn what_was_begun_before_a_restore_is_not_destroyed_where_its_service_runs() {
    let mut snapshot = snapshot(vec![row(2, Status::Claimed)], vec![service(1), service(2)]);
    snapshot.provisions = vec![provision(1, Stage::Creating(CreateStep::Key))];
    assert_eq!(decide(&snapshot, &quiet()).destructions.len(), 1);
    snapshot.managers.recorded_since = ago(1);
    let plan = decide(&snapshot, &quiet());
    assert_eq!(plan.destructions, []);
    assert!(plan.resumes.is_empty() && plan.adoptions.is_empty());
    assert_eq!(plan.report.foreign.len(), 1, "it is said");
}

#[test]
fn what_was_begun_before_a_restore_waits_for_a_whole_listing() {
    let mut snapshot = snapshot(Vec::new(), Vec::new());
    snapshot.listing.completeness = Completeness::Incomplete("a page is missing".into());
    let mut begun = provision(1, Stage::Creating(CreateStep::Service));
    begun.next_attempt_at = Some(ago(5));
    snapshot.provisions = vec![begun];
    assert_eq!(decide(&snapshot, &quiet()).resumes.len(), 1);
    snapshot.managers.recorded_since = ago(1);
    assert!(decide(&snapshot, &quiet()).resumes.is_empty());
}

#[test]
fn a_listing_of_names_says_what_is_there_and_nothing_of_deployments() {
    let named = |n: usize| ObservedService {
        has_details: false,
        deployment: None,
        has_active_deployment: false,
        host: None,
        image: None,
        ..service(n)
    };
    let mut rows = vec![
        row(0, Status::Idle),
        row(1, Status::Starting),
        row(2, Status::Claimed),
        row(3, Status::Crashed),
        row(4, Status::Idle),
        row(5, Status::Starting),
    ];
    for row in &mut rows {
        row.url = Some("https://known".to_owned());
        row.deploy_status = Some(DeploymentStatus::Success);
        row.runtime_image = Some("image".to_owned());
    }
    rows[4].missing_since = Some(ago(60));
    // Five was half made, and whether it was deployed is not known; nine stands in no row.
    let services = [0, 1, 2, 3, 5, 9].map(named).to_vec();
    let mut it = snapshot(rows, services);
    it.listing.completeness = Completeness::NamesOnly("no".to_owned());
    it.probes = (0..4).map(|n| (id(n), Probe::Ready)).collect();
    let mut half_made = provision(5, Stage::Creating(CreateStep::Commit));
    (half_made.service_id, half_made.step_began_at) = (Some(service_id(5)), ago(5_000));
    it.provisions = vec![half_made];
    let policy = Policy {
        min_idle: 5,
        ..Policy::default()
    };
    let plan = decide(&it, &policy);
    let changes: Vec<_> = plan.changes.iter().map(|it| (&it.id, it.to)).collect();
    assert_eq!(
        changes,
        [(&id(1), Status::Idle), (&id(4), Status::Dead)],
        "what was up is up, and what is gone is gone"
    );
    assert!(plan.refreshes.is_empty(), "{:?}", plan.refreshes);
    assert!(plan.resumes.is_empty() && plan.adoptions.is_empty());
    assert_eq!(plan.report.foreign, []);
    assert!(plan.create > 0, "creating goes on");
}
