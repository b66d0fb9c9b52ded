//! Nothing of an instance is left over: what may have been made although no answer told of it, what
//! is somebody else's, and what comes back.

use pool_domain::*;
use pool_planner::*;

use crate::world::*;

/// Dead, with its record, and a listing that shows neither service nor volume.
fn ending(provision: ResourceRecord) -> Snapshot {
    let mut snapshot = snapshot(vec![], vec![]);
    snapshot.provisions = vec![provision];
    snapshot
}

fn steps(snapshot: &Snapshot) -> Vec<DestroyStep> {
    let plan = decide(snapshot, &quiet());
    let destructions = plan.destructions.into_iter();
    destructions.flat_map(|it| it.steps).collect()
}

#[test]
fn a_key_or_inbox_that_nobody_was_told_of_is_looked_for_only_once_a_list_must_show_it() {
    let mut provision = provision(1, Stage::Destroying);
    provision.destroyed = vec![DestroyStep::Volumes, DestroyStep::Service];
    provision.service_deleted_at = Some(ago(5));
    let young = ending(provision.clone());
    assert_eq!(steps(&young), []);
    let plan = decide(&young, &quiet());
    assert_eq!(plan.removals, [], "and its record stays until then");
    let held_back = &plan.report.held_back;
    assert!(held_back.iter().any(|it| it.why.contains("may not show")));

    provision.step_began_at = ago(121);
    assert_eq!(
        steps(&ending(provision)),
        [DestroyStep::Key, DestroyStep::Inbox]
    );
}

#[test]
fn a_key_that_is_known_is_deleted_at_once_and_not_found_is_not_believed_yet() {
    let mut provision = provision(1, Stage::Destroying);
    provision.openrouter_key_hash = Some(KeyHash::new("hash"));
    provision.destroyed = vec![DestroyStep::Inbox];
    let destructions = decide(&ending(provision.clone()), &quiet()).destructions;
    assert!(destructions[0].steps.contains(&DestroyStep::Key));
    assert!(destructions[0].may_still_show);
    provision.step_began_at = ago(121);
    let destructions = decide(&ending(provision), &quiet()).destructions;
    assert!(!destructions[0].may_still_show);
}

/// A service with the name of an intent, whose `serviceCreate` had no answer or was refused.
fn named_as_the_intent() -> (ResourceRecord, ObservedService) {
    let intent = provision(1, Stage::Creating(CreateStep::Service));
    let bare = ObservedService {
        created_at: ago(5),
        deployment: None,
        has_active_deployment: false,
        host: None,
        image: None,
        ..service(1)
    };
    (intent, bare)
}

#[test]
fn a_service_whose_answer_was_lost_is_taken_over_by_its_name() {
    let (intent, bare) = named_as_the_intent();
    let mut snapshot = snapshot(vec![], vec![bare]);
    snapshot.provisions = vec![intent];
    let plan = decide(&snapshot, &quiet());
    assert_eq!(plan.resumes[0].service_id, Some(service_id(1)));
    assert_eq!(plan.report.foreign, []);
}

#[test]
fn somebody_elses_service_of_the_same_name_is_left_alone_and_the_intent_given_up() {
    let (intent, bare) = named_as_the_intent();
    let older = ObservedService {
        created_at: ago(7_200),
        ..bare.clone()
    };
    let running = ObservedService {
        created_at: ago(5),
        ..service(1)
    };
    for foreign in [older, running] {
        let mut snapshot = snapshot(vec![], vec![foreign]);
        snapshot.provisions = vec![intent.clone()];
        let plan = decide(&snapshot, &quiet());
        assert_eq!(plan.resumes, []);
        let destruction = &plan.destructions[0];
        assert_eq!(destruction.owned.service_id, None);
        assert!(!destruction.steps.contains(&DestroyStep::Service));
        assert_eq!(plan.report.foreign.len(), 1, "and it is reported");
        assert_eq!(plan.adoptions, []);

        // Once its destruction has begun, it goes on without the service and ends.
        let record = &mut snapshot.provisions[0];
        record.stage = Stage::Destroying;
        record.destroyed = vec![DestroyStep::Key, DestroyStep::Inbox];
        record.step_began_at = ago(121);
        let plan = decide(&snapshot, &quiet());
        assert!(plan.destructions.iter().all(|it| it.steps.is_empty()));
    }
}

#[test]
fn a_step_whose_answer_was_lost_is_settled_by_a_listing_that_began_late_enough() {
    let mut record = provision(1, Stage::Creating(CreateStep::Domain));
    record.service_id = Some(service_id(1));
    record.next_attempt_at = Some(ago(1));
    let (_, bare) = named_as_the_intent();
    let starting = Instance {
        deploy_status: None,
        status_changed_at: ago(60),
        ..row(1, Status::Starting)
    };
    let mut snapshot = snapshot(vec![starting], vec![bare]);
    snapshot.provisions = vec![record];
    snapshot.listing.started_at = ago(2);
    let early = decide(&snapshot, &quiet());
    assert_eq!(early.resumes, [], "this one began before the answer is due");
    snapshot.listing.started_at = ago(0);
    assert_eq!(decide(&snapshot, &quiet()).resumes.len(), 1);
}

#[test]
fn an_agent_that_answered_is_never_patched_again_whatever_the_listing_shows() {
    let (_, bare) = named_as_the_intent();
    for status in [Status::Idle, Status::Claimed] {
        let mut record = provision(1, Stage::Creating(CreateStep::Commit));
        record.service_id = Some(service_id(1));
        record.step_began_at = ago(121);
        let mut snapshot = snapshot(vec![row(1, status)], vec![bare.clone()]);
        snapshot.provisions = vec![record];
        let plan = decide(&snapshot, &quiet());
        assert!(plan.resumes[0].is_committed, "{status}");
    }
}

#[test]
fn a_removed_service_that_shows_again_is_destroyed_though_its_variables_are_gone() {
    let mut snapshot = snapshot(vec![], vec![service(1)]);
    let removed = Evidence {
        variables: ServiceVariables {
            has_our_key: false,
            gateway_token: None,
            inbox_id: None,
            manager_id: None,
        },
        last_event: Some(LastEvent::Removed),
        set_aside: None,
    };
    snapshot.evidence.insert(service_id(1), removed);
    let plan = decide(&snapshot, &quiet());
    assert_eq!(plan.adoptions, []);
    assert_eq!(
        plan.destructions[0].steps,
        [DestroyStep::Volumes, DestroyStep::Service]
    );
    assert_eq!(plan.report.foreign, []);
    let held_back = &plan.report.held_back;
    assert!(
        held_back
            .iter()
            .any(|it| it.why.contains("destroyed again"))
    );
}

#[test]
fn what_fails_again_and_again_is_said_with_its_error_and_its_next_attempt() {
    let mut record = provision(1, Stage::Destroying);
    record.attempts = 7;
    record.last_error = Some("deleting the service: no".to_owned());
    record.next_attempt_at = Some(now() + chrono::TimeDelta::seconds(300));
    record.destroyed = vec![DestroyStep::Key, DestroyStep::Inbox];
    let report = decide(&ending(record.clone()), &quiet()).report;
    let said = &report.open.destroying[0];
    assert_eq!(said.left, ["volumes", "service"]);
    assert_eq!((said.attempts, said.id.clone()), (7, id(1)));
    assert_eq!(said.last_error, record.last_error);
    assert_eq!(said.try_at, record.next_attempt_at);
}

#[test]
fn what_waits_for_an_account_is_said_though_it_never_failed() {
    let mut record = provision(1, Stage::Destroying);
    record.openrouter_key_hash = Some(KeyHash::new("hash"));
    record.destroyed = vec![
        DestroyStep::Inbox,
        DestroyStep::Volumes,
        DestroyStep::Service,
    ];
    record.service_deleted_at = Some(ago(200));
    let snapshot = ending(record);
    let mut identity = identity();
    identity.accounts.openrouter = false;
    let mut history = History::new(Some(ago(1)));
    history.record(&snapshot, &index(&snapshot), &quiet(), &identity);
    let plan = plan(&snapshot, &index(&snapshot), &history, &quiet(), &identity);
    let said = &plan.report.open.destroying[0];
    assert!(said.waits_for_account && said.left == ["key"]);
    assert!(!plan.removals[0].provision, "its record stays");
}

#[test]
fn what_failed_least_is_destroyed_first_so_that_nothing_starves() {
    let count = Policy::DESTROYS_PER_TICK_MAX + 3;
    let mut it = snapshot(Vec::new(), Vec::new());
    it.provisions = (0..count)
        .map(|n| ResourceRecord {
            openrouter_key_hash: Some(format!("hash-{n}").as_str().into()),
            attempts: u32::from(n < Policy::DESTROYS_PER_TICK_MAX),
            ..provision(n, Stage::Destroying)
        })
        .collect();
    let plan = decide(&it, &quiet());
    let first: Vec<_> = plan
        .destructions
        .iter()
        .map(|it| it.owned.id.clone())
        .collect();
    assert_eq!(first.len(), Policy::DESTROYS_PER_TICK_MAX);
    assert_eq!(first[..3], [id(count - 3), id(count - 2), id(count - 1)]);
}
