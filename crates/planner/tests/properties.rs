//! What must hold whatever is recorded and whatever is observed.

#[expect(
    dead_code,
    reason = "each test binary uses its own part of the builders"
)]
mod world;

use pool_domain::write::FoundConversation;
use pool_domain::*;
use pool_planner::*;
use proptest::prelude::*;
use world::*;

fn statuses() -> impl Strategy<Value = Status> {
    prop::sample::select(Status::ALL.to_vec())
}

fn deployments() -> impl Strategy<Value = Option<ObservedDeployment>> {
    let known = DeploymentStatus::KNOWN.to_vec();
    let status = prop_oneof![
        10 => prop::sample::select(known),
        1 => Just(DeploymentStatus::Other("HIBERNATING".into())),
    ];
    prop::option::weighted(
        0.9,
        (status, any::<bool>()).prop_map(|(status, stopped)| ObservedDeployment {
            id: "d".into(),
            status,
            stopped,
        }),
    )
}

prop_compose! {
    fn rows_with_services(n: usize)(
        status in statuses(),
        age in 0_i64..5_000,
        unasked in prop::bool::weighted(0.2),
        deleted in prop::bool::weighted(0.1),
        missing in prop::option::of(0_i64..5_000),
        listed in prop::bool::weighted(0.8),
        deployment in deployments(),
        active in any::<bool>(),
        has_host in prop::bool::weighted(0.9),
        has_volume in any::<bool>(),
        probe in prop::option::of(prop::bool::weighted(0.5)),
        talk in 0_u8..5,
    ) -> (Instance, Option<ObservedService>, bool, Option<bool>, u8) {
        let mut it = row(n, status);
        it.status_changed_at = ago(age);
        it.unasked = unasked && status == Status::Starting;
        let deletable = matches!(status, Status::Claimed | Status::Crashed);
        it.delete_requested_at = (deleted && deletable).then(|| ago(5));
        it.missing_since = missing.map(ago);
        let seen = ObservedService {
            deployment,
            has_active_deployment: active,
            host: has_host.then(|| format!("{n}.example")),
            ..service(n)
        };
        (it, listed.then_some(seen), has_volume, probe, talk)
    }
}

fn stages() -> impl Strategy<Value = Stage> {
    let mut all = CreateStep::ALL.map(Stage::Creating).to_vec();
    all.extend([Stage::Created, Stage::Destroying]);
    prop::sample::select(all)
}

prop_compose! {
    fn provisions_of(n: usize)(
        stage in stages(),
        made in any::<[bool; 4]>(),
        began in 0_i64..5_000,
        due in prop::option::of(-100_i64..100),
        deleted in prop::option::of(0_i64..5_000),
        done in prop::sample::subsequence(DestroyStep::ALL.to_vec(), 0..=4),
    ) -> ResourceRecord {
        let destroying = stage == Stage::Destroying;
        ResourceRecord {
            service_id: made[0].then(|| service_id(n)),
            volume_id: made[1].then(|| VolumeId::new(format!("volume-{n}"))),
            openrouter_key_hash: made[2].then(|| "hash".into()),
            agentmail_inbox_id: made[3].then(|| "inbox".into()),
            created_at: ago(began),
            step_began_at: ago(began),
            next_attempt_at: due.map(ago),
            service_deleted_at: deleted.filter(|_| destroying).map(ago),
            destroyed: if destroying { done } else { Vec::new() },
            ..provision(n, stage)
        }
    }
}

/// A service without a row, with what may be known of it.
fn strangers(n: usize) -> impl Strategy<Value = (ObservedService, Option<Evidence>)> {
    let last = prop::option::of(prop::sample::select(vec![
        LastEvent::Removed,
        LastEvent::ClaimedOrCrashed,
        LastEvent::Other,
    ]));
    let aside = prop::option::of(prop::sample::select(vec!["never claimed", "deleted since"]));
    (
        prop::option::of((any::<bool>(), last, aside)),
        deployments(),
    )
        .prop_map(move |(known, deployment)| {
            let evidence = known.map(|(has_our_key, last_event, set_aside)| Evidence {
                variables: ServiceVariables {
                    has_our_key,
                    gateway_token: None,
                    inbox_id: None,
                    manager_id: None,
                },
                last_event,
                set_aside: set_aside.map(str::to_owned),
            });
            (
                ObservedService {
                    deployment,
                    ..service(n)
                },
                evidence,
            )
        })
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let rows: Vec<_> = (0..8).map(rows_with_services).collect();
    let provisions: Vec<_> = (4..12)
        .map(|n| prop::option::of(provisions_of(n)))
        .collect();
    let strangers: Vec<_> = (20..24).map(|n| prop::option::of(strangers(n))).collect();
    (
        rows,
        provisions,
        strangers,
        prop::bool::weighted(0.8),
        0_usize..5,
    )
        .prop_map(|(rows, provisions, strangers, complete, requested)| {
            let mut snapshot = snapshot(Vec::new(), Vec::new());
            for (n, (row, seen, has_volume, probe, talk)) in rows.into_iter().enumerate() {
                let failed = Probe::Failed {
                    times: 3,
                    reason: "refused".into(),
                };
                let answer = probe.map(|ready| if ready { Probe::Ready } else { failed });
                snapshot
                    .probes
                    .extend(answer.map(|answer| (row.id.clone(), answer)));
                let said = match talk {
                    0 => Some(Conversation::None),
                    1 => Some(Conversation::NoAnswer),
                    2 => Some(Conversation::In(FoundConversation {
                        conversation_id: "c".into(),
                        invite_url: None,
                    })),
                    _ => None,
                };
                snapshot
                    .conversations
                    .extend(said.map(|said| (row.id.clone(), said)));
                snapshot.listing.services.extend(seen);
                snapshot
                    .listing
                    .volumes
                    .extend(has_volume.then(|| volume(n)));
                snapshot.rows.push(row);
            }
            snapshot.provisions = provisions.into_iter().flatten().collect();
            for (seen, evidence) in strangers.into_iter().flatten() {
                let id = seen.service_id.clone();
                snapshot
                    .evidence
                    .extend(evidence.map(|evidence| (id, evidence)));
                snapshot.listing.services.push(seen);
            }
            if !complete {
                snapshot.listing.completeness = Completeness::Incomplete("a page failed".into());
            }
            snapshot.requested_creates = requested;
            only_what_was_asked(&mut snapshot);
            snapshot
        })
}

/// Agents answer only where the planner had them asked.
fn only_what_was_asked(snapshot: &mut Snapshot) {
    let Snapshot { rows, listing, .. } = &*snapshot;
    let index = index(snapshot);
    let ids = |targets: Vec<ProbeTarget>| targets.into_iter().map(|target| target.id);
    let probed: Vec<_> = ids(probes(rows, &index, listing, &identity())).collect();
    let asked: Vec<_> = ids(conversations_to_ask(rows, &index, listing, &identity())).collect();
    snapshot.probes.retain(|id, _| probed.contains(id));
    snapshot.conversations.retain(|id, _| asked.contains(id));
}

fn policies() -> impl Strategy<Value = Policy> {
    (0_usize..12, 0_usize..30).prop_map(|(min_idle, extra)| Policy {
        min_idle,
        max_total: min_idle + extra,
        ..Policy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn nothing_claimed_claiming_or_crashed_is_destroyed_unless_a_person_asked(
        snapshot in snapshots(),
        policy in policies(),
    ) {
        let plan = decide(&snapshot, &policy);
        let guarded = |id: &InstanceId| snapshot.rows.iter().any(|row| {
            row.id == *id
                && row.delete_requested_at.is_none()
                && matches!(row.status, Status::Claimed | Status::Claiming | Status::Crashed)
        });
        for change in &plan.changes {
            prop_assert!(!(guarded(&change.id) && change.to == Status::Dead), "{change:?}");
        }
        for destruction in &plan.destructions {
            prop_assert!(!guarded(&destruction.owned.id), "{destruction:?}");
            let service = destruction.owned.service_id.as_ref();
            let owner = snapshot.rows.iter().find(|row| Some(&row.service_id) == service);
            prop_assert!(owner.is_none_or(|row| !guarded(&row.id)), "{destruction:?}");
        }
        for removal in &plan.removals {
            prop_assert!(!guarded(&removal.id), "{removal:?}");
        }
    }

    #[test]
    fn a_row_in_claiming_is_never_written(snapshot in snapshots(), policy in policies()) {
        let plan = decide(&snapshot, &policy);
        for row in snapshot.rows.iter().filter(|row| row.status == Status::Claiming) {
            prop_assert!(plan.changes.iter().all(|change| change.id != row.id));
            prop_assert!(plan.refreshes.iter().all(|refresh| refresh.id != row.id));
        }
    }

    #[test]
    fn an_incomplete_listing_removes_nothing_and_makes_nothing_missing(
        mut snapshot in snapshots(),
        policy in policies(),
    ) {
        snapshot.listing.completeness = Completeness::Incomplete("a page failed".into());
        snapshot.requested_creates = 0;
        let plan = decide(&snapshot, &policy);
        prop_assert!(plan.removals.is_empty());
        prop_assert_eq!(plan.create, 0);
        let seen: Vec<_> = snapshot.listing.services.iter().map(|s| &s.service_id).collect();
        for change in &plan.changes {
            let row = snapshot.rows.iter().find(|row| row.id == change.id).unwrap();
            if !seen.contains(&&row.service_id) {
                let harmless = matches!(change.to, Status::Idle | Status::Starting)
                    || change.conversation.is_some();
                prop_assert!(harmless, "{change:?}");
            }
        }
        for refresh in &plan.refreshes {
            let row = snapshot.rows.iter().find(|row| row.id == refresh.id).unwrap();
            if !seen.contains(&&row.service_id) {
                prop_assert_eq!(refresh.missing_since, row.missing_since);
            }
        }
    }

    #[test]
    fn planning_twice_on_the_result_plans_nothing(
        mut snapshot in snapshots(),
        policy in policies(),
    ) {
        // A row that is dead and gone frees the cap at once, and an adopted one may have failed:
        // both are news to the second plan.
        let policy = Policy { max_total: policy.max_total + 50, ..policy };
        // So are its service, where none of ours was seen, and what is counted for the fuse.
        snapshot.rows.push(row(40, Status::Idle));
        snapshot.listing.services.push(service(40));
        snapshot.fuse.row_counts = vec![RowCount { at: ago(900), rows: snapshot.rows.len() }];
        for stranger in &mut snapshot.listing.services {
            if snapshot.evidence.contains_key(&stranger.service_id) {
                stranger.has_active_deployment = true;
                stranger.deployment = service(0).deployment;
            }
        }
        let first = decide(&snapshot, &policy);
        let second = decide(&execute(&first, snapshot), &policy);
        prop_assert_eq!(second.refreshes, []);
        prop_assert_eq!(second.changes, []);
        prop_assert_eq!(second.adoptions, []);
        prop_assert_eq!(second.create, 0);
    }

    #[test]
    fn the_caps_hold_and_what_was_just_created_counts(
        snapshot in snapshots(),
        policy in policies(),
    ) {
        let plan = decide(&snapshot, &policy);
        let replenish = &plan.report.replenish;
        if plan.create > 0 {
            prop_assert!(replenish.towards_cap + plan.create <= policy.max_total);
        }
        let after = decide(&execute(&plan, snapshot.clone()), &policy);
        if snapshot.listing.is_complete() {
            let wanted = policy.min_idle.max(replenish.towards_target);
            prop_assert!(plan.create <= wanted - replenish.towards_target + snapshot.requested_creates);
        }
        prop_assert!(after.report.replenish.towards_target >= plan.create);
    }

    #[test]
    fn every_change_is_one_that_the_state_machine_allows(
        snapshot in snapshots(),
        policy in policies(),
    ) {
        let legal = status::legal_changes();
        for change in decide(&snapshot, &policy).changes {
            prop_assert!(legal.contains(&(change.from, change.to)), "{change:?}");
            let row = snapshot.rows.iter().find(|row| row.id == change.id).unwrap();
            prop_assert_eq!((change.from, change.epoch), (row.status, row.epoch));
        }
    }

    #[test]
    fn a_service_that_is_not_provably_ours_is_never_touched(
        snapshot in snapshots(),
        policy in policies(),
    ) {
        let plan = decide(&snapshot, &policy);
        let foreign: Vec<_> = plan.report.foreign.iter().map(|f| &f.service_id).collect();
        for (id, evidence) in &snapshot.evidence {
            // That we removed it proves as much as our key in it.
            if !evidence.variables.has_our_key && evidence.last_event != Some(LastEvent::Removed) {
                prop_assert!(foreign.contains(&id));
            }
        }
        for id in foreign {
            prop_assert!(plan.adoptions.iter().all(|adoption| adoption.service_id != *id));
            let service = Some(id);
            let touched = |d: &Destruction| d.owned.service_id.as_ref() == service;
            prop_assert!(!plan.destructions.iter().any(touched));
        }
    }
}
