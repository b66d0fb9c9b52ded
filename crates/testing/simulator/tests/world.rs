//! The world without a server: time is passed in, and the same seed is the same run.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{DeploymentStatus, ServiceId};
use pool_simulator::invariants::{self, Row};
use pool_simulator::operations::{self, Operation, POOL_API_KEY, Weights};
use pool_simulator::world::{
    AgentCall, Incident, InstanceKey, NewService, NewVolume, PageArgs, View,
};
use pool_simulator::{Caller, Fault, FaultRule, Refusal, Settings, World};
use proptest::prelude::*;
use serde_json::json;

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn slow() -> Settings {
    Settings {
        deploy_min: Duration::from_secs(30),
        deploy_max: Duration::from_secs(90),
        boot: Duration::from_secs(10),
        read_lag: Duration::from_secs(5),
        ..Settings::default()
    }
}

fn world() -> World {
    World::new(1, slow(), START)
}

fn create(world: &mut World, name: &str) -> Result<InstanceKey, Refusal> {
    let new = NewService::named(world.home().project.clone(), name);
    let id = world.service_create(&Caller::Account, new)?;
    Ok((id, world.home().environment.clone()))
}

fn patch(
    world: &mut World,
    (service, environment): &InstanceKey,
    image: &str,
) -> Result<(), Refusal> {
    let patch = json!({"services": {service.as_str(): {"source": {"image": image}}}});
    world
        .environment_patch_commit(&Caller::Account, environment, &patch)
        .map(drop)
}

fn volume_for((service, environment): &InstanceKey, world: &World) -> NewVolume {
    NewVolume {
        project: world.home().project.clone(),
        environment: environment.clone(),
        service: Some(service.clone()),
        mount_path: "/data".to_owned(),
    }
}

fn listed(world: &World) -> Result<usize, Refusal> {
    let environment = &world.home().environment;
    let page = world.service_instances(environment, &PageArgs::default(), &View::default())?;
    Ok(page.items.len())
}

fn status(world: &World, key: &InstanceKey) -> Option<DeploymentStatus> {
    Some(world.instance(key)?.latest()?.status.clone())
}

#[test]
fn a_deployment_takes_its_time_and_the_agent_boots_after_it() -> Result<(), Refusal> {
    let mut world = world();
    let key = create(&mut world, "a")?;
    assert_eq!(
        status(&world, &key),
        None,
        "a service with nothing but a name is not deployed"
    );
    patch(&mut world, &key, "image:1")?;
    assert_eq!(status(&world, &key), Some(DeploymentStatus::Initializing));
    let mut seen = Vec::new();
    while let Some(due) = world.next_event_at() {
        world.step(due);
        seen.extend(status(&world, &key));
    }
    assert_eq!(
        seen,
        [DeploymentStatus::Deploying, DeploymentStatus::Success]
    );
    let took = world.now() - START;
    assert!((30..=90).contains(&took.num_seconds()), "{took}");
    Ok(())
}

#[test]
fn a_commit_deploys_those_that_changed_and_no_others() -> Result<(), Refusal> {
    let mut world = world();
    let (one, two) = (create(&mut world, "one")?, create(&mut world, "two")?);
    let both = |first: &str, second: &str| {
        json!({"services": {
            one.0.as_str(): {"source": {"image": first}},
            two.0.as_str(): {"source": {"image": second}},
        }})
    };
    for images in [("a", "a"), ("a", "a"), ("a", "b")] {
        let patch = both(images.0, images.1);
        world.environment_patch_commit(&Caller::Account, &one.1, &patch)?;
    }
    let deploys = |key| world.instance(key).map_or(0, |i| i.deployments.len());
    assert_eq!((deploys(&one), deploys(&two)), (1, 2));
    Ok(())
}

#[test]
fn a_commit_with_one_bad_service_changes_none() -> Result<(), Refusal> {
    let mut world = world();
    let key = create(&mut world, "a")?;
    let patch = json!({"services": {
        key.0.as_str(): {"source": {"image": "x"}},
        "gone": {"source": {"image": "x"}},
    }});
    let refused = world.environment_patch_commit(&Caller::Account, &key.1, &patch);
    assert_eq!(refused, Err(Refusal::ProblemProcessing));
    assert_eq!(status(&world, &key), None);
    Ok(())
}

#[test]
fn a_service_reaches_every_environment_that_is_no_fork() -> Result<(), Refusal> {
    let mut world = world();
    let project = world.home().project.clone();
    let fork = world.add_environment("pr-1", true);
    let key = create(&mut world, "a")?;
    let other = world.home().other_environment.clone();
    assert!(world.instance(&(key.0.clone(), other)).is_some());
    assert!(world.instance(&(key.0.clone(), fork.clone())).is_none());
    let only = NewService {
        environment: Some(fork.clone()),
        ..NewService::named(project, "b")
    };
    let only = world.service_create(&Caller::Account, only)?;
    assert!(world.instance(&(only.clone(), fork)).is_some());
    assert!(world.instance(&(only, key.1)).is_none());
    Ok(())
}

#[test]
fn listings_lag_behind_creation_and_deletion() -> Result<(), Refusal> {
    let mut world = world();
    world.settings_mut().delete_lag = Duration::from_secs(20);
    let key = create(&mut world, "a")?;
    assert_eq!(listed(&world)?, 0);
    world.step(START + TimeDelta::seconds(5));
    assert_eq!(listed(&world)?, 1);
    world.service_delete(&Caller::Account, &key.0, None)?;
    assert_eq!(listed(&world)?, 1, "it still stands in the listing");
    world.step(START + TimeDelta::seconds(25));
    assert_eq!(listed(&world)?, 0);
    Ok(())
}

#[test]
fn a_deleted_volume_is_kept_48_hours_and_counts_meanwhile() -> Result<(), Refusal> {
    let mut world = world();
    world.settings_mut().volumes_per_project = Some(1);
    let key = create(&mut world, "a")?;
    let new = volume_for(&key, &world);
    let volume = world.volume_create(&Caller::Account, new.clone())?;
    let second = world.volume_create(&Caller::Account, new.clone());
    assert_eq!(second, Err(Refusal::VolumeMounted));
    world.service_delete(&Caller::Account, &key.0, None)?;
    let stays = !world.volumes()[&volume].is_pending_deletion();
    assert!(stays);
    world.volume_delete(&Caller::Account, &volume)?;
    let detached = NewVolume {
        service: None,
        ..new
    };
    let refused = world.volume_create(&Caller::Account, detached);
    assert_eq!(refused, Err(Refusal::ProvisionLimit));
    world.step(START + TimeDelta::hours(48));
    assert!(world.volumes().is_empty());
    Ok(())
}

#[test]
fn a_failed_deployment_leaves_the_older_one_serving() -> Result<(), Refusal> {
    let mut world = world();
    let key = create(&mut world, "a")?;
    patch(&mut world, &key, "image:1")?;
    world.step(START + TimeDelta::seconds(90));
    world.faults.add(FaultRule::once(Fault::DeployFails));
    patch(&mut world, &key, "image:2")?;
    world.step(START + TimeDelta::seconds(300));
    assert_eq!(status(&world, &key), Some(DeploymentStatus::Failed));
    assert_eq!(world.instance(&key).map(|i| i.active().count()), Some(1));
    Ok(())
}

#[test]
fn a_redeployment_replaces_what_ran() -> Result<(), Refusal> {
    let mut world = world();
    let key = create(&mut world, "a")?;
    assert!(
        !world.happen(&key, Incident::Redeploy),
        "it was never deployed"
    );
    patch(&mut world, &key, "image:1")?;
    world.step(START + TimeDelta::seconds(90));
    assert!(world.happen(&key, Incident::Redeploy));
    world.step(START + TimeDelta::seconds(300));
    let instance = world
        .instance(&key)
        .ok_or(Refusal::ServiceInstanceNotFound)?;
    let statuses: Vec<_> = instance
        .deployments
        .iter()
        .map(|d| d.status.as_str())
        .collect();
    assert_eq!(statuses, ["REMOVED", "SUCCESS"]);
    Ok(())
}

#[test]
fn a_deployment_keeps_the_variables_that_it_was_started_with() -> Result<(), Refusal> {
    let mut world = world();
    let key = create(&mut world, "a")?;
    let domain = world.synthetic_domain();
    world.service_domain_create(&Caller::Account, &key, domain.clone())?;
    let keyed = |value: &str| {
        json!({"services": {key.0.as_str(): {
            "source": {"image": "a"}, "variables": {"POOL_API_KEY": {"value": value}}}}})
    };
    world.environment_patch_commit(&Caller::Account, &key.1, &keyed("old"))?;
    world.step(START + TimeDelta::seconds(200));
    world.environment_patch_commit(&Caller::Account, &key.1, &keyed("new"))?;
    let call = |bearer| AgentCall {
        method: "GET",
        path: "/pool/health",
        bearer: Some(bearer),
        body: b"",
    };
    assert_eq!(world.agent_call(&domain, call("old")).status, 200);
    assert_eq!(world.agent_call(&domain, call("new")).status, 401);
    world.step(START + TimeDelta::seconds(400));
    assert_eq!(world.agent_call(&domain, call("old")).status, 401);
    assert_eq!(world.agent_call(&domain, call("new")).status, 200);
    Ok(())
}

#[test]
fn a_redeployment_with_a_volume_has_a_downtime() -> Result<(), Refusal> {
    for has_volume in [false, true] {
        let mut world = world();
        let key = create(&mut world, "a")?;
        if has_volume {
            let volume = volume_for(&key, &world);
            world.volume_create(&Caller::Account, volume)?;
        }
        patch(&mut world, &key, "image:1")?;
        world.step(START + TimeDelta::seconds(200));
        assert!(world.happen(&key, Incident::Redeploy));
        while status(&world, &key) != Some(DeploymentStatus::Deploying) {
            let due = world
                .next_event_at()
                .ok_or(Refusal::ServiceInstanceNotFound)?;
            world.step(due);
        }
        let serves = world.instance(&key).map_or(0, |i| i.active().count());
        assert_eq!(serves, usize::from(!has_volume));
    }
    Ok(())
}

#[test]
fn what_a_manager_leaves_behind_is_told_in_sentences() -> Result<(), Refusal> {
    let mut world = world();
    let kept = create(&mut world, "convos-agent-kept")?;
    create(&mut world, "convos-agent-lost")?;
    create(&mut world, "postgres")?;
    let orphan = NewVolume {
        service: None,
        ..volume_for(&kept, &world)
    };
    world.volume_create(&Caller::Account, orphan)?;
    let row = |id: &str, service: &ServiceId, status: &str| Row {
        id: id.to_owned(),
        service_id: service.clone(),
        status: status.to_owned(),
        claimed_by: None,
        delete_requested: false,
    };
    let gone = ServiceId::new("gone");
    let rows = [row("a", &kept.0, "idle"), row("b", &gone, "claimed")];
    let rules =
        |found: Vec<invariants::Violation>| found.iter().map(|v| v.rule).collect::<Vec<_>>();
    assert_eq!(rules(invariants::sound(&world, &rows)), ["claimed-lives"]);
    let left = invariants::tidy(&world, &rows, "convos-agent-");
    assert_eq!(
        left.first().map(ToString::to_string).as_deref(),
        Some("service-leak: convos-agent-lost lives, and no row knows it")
    );
    assert_eq!(
        rules(left),
        ["service-leak", "volume-leak", "row-without-service"]
    );
    Ok(())
}

#[test]
fn random_operations_do_something() {
    let run = operations::run(3, 400, slow(), START);
    for wanted in [
        "is created",
        "is patched",
        "is deleted",
        "answers 200",
        "Crash befalls",
    ] {
        let told = run.story.iter().any(|sentence| sentence.contains(wanted));
        assert!(told, "nothing {wanted} in {:#?}", run.story);
    }
}

#[test]
fn an_operation_finds_its_agents_key() -> Result<(), Refusal> {
    let mut world = world();
    Operation::CreateService {
        name: 1,
        with_image: true,
    }
    .apply(&mut world);
    world.step(START + TimeDelta::seconds(200));
    let service = world
        .service_named("convos-agent-random-00001")
        .map(|s| s.id.clone());
    let key = (
        service.ok_or(Refusal::NotAuthorized)?,
        world.home().environment.clone(),
    );
    let variables = world.running_variables(&key);
    let found = variables
        .and_then(|v| v.get("POOL_API_KEY"))
        .map(String::as_str);
    assert_eq!(found, Some(POOL_API_KEY));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_is_the_same_run(seed: u64, steps in 1_usize..150) {
        let (one, two) = (
            operations::run(seed, steps, slow(), START),
            operations::run(seed, steps, slow(), START),
        );
        prop_assert_eq!(one.story, two.story);
        prop_assert_eq!(format!("{:?}", one.world), format!("{:?}", two.world));
    }

    #[test]
    fn the_model_keeps_its_promises_whatever_happens(seed: u64) {
        let mut world = World::new(seed, slow(), START);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let told = operations::draw(&mut rng, &Weights::everything()).apply(&mut world);
            prop_assert_eq!(invariants::consistent(&world), [], "after {}", told);
        }
    }

    #[test]
    fn small_steps_in_time_lead_where_a_big_one_does(seed: u64, cuts in prop::collection::vec(1_i64..600, 1..20)) {
        let mut one = operations::run(seed, 60, slow(), START).world;
        let mut other = one.clone();
        let end = one.now() + TimeDelta::seconds(600);
        for cut in cuts {
            let at = one.now() + TimeDelta::seconds(cut);
            one.step(at.min(end));
        }
        one.step(end);
        other.step(end);
        prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    #[test]
    fn pages_of_any_size_show_each_service_once(count in 0_usize..40, size in 1_i32..15) {
        let mut world = World::new(9, Settings::default(), START);
        for number in 0..count {
            let created = create(&mut world, &format!("s{number}"));
            prop_assert!(created.is_ok());
        }
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let args = PageArgs { first: Some(size), after: after.clone() };
            let environment = world.home().environment.clone();
            let page = world.service_instances(&environment, &args, &View::default())
                .map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
            seen.extend(page.items.iter().map(|(_, (service, _))| service.name.clone()));
            after = page.items.last().map(|(cursor, _)| cursor.clone());
            if !page.has_next {
                break;
            }
        }
        let wanted: Vec<_> = (0..count).map(|number| format!("s{number}")).collect();
        prop_assert_eq!(seen, wanted);
    }
}
