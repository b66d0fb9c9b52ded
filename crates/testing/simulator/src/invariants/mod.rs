//! What must hold, each violation a sentence. `consistent` is about the model itself; `sound` and
//! `tidy` are about whoever manages a pool in it, given its rows as plain data.

mod credentials;
mod found;

use std::collections::{BTreeMap, BTreeSet};

use pool_domain::{EnvironmentId, ServiceId};

use self::found::Found;
pub use self::found::{Row, Violation};
use crate::world::{Cause, Deployment, World};

/// What the modelled Railway itself promises, whatever its clients do.
#[must_use]
pub fn consistent(world: &World) -> Vec<Violation> {
    let mut found = Found::default();
    let mut names = BTreeSet::new();
    let mut domains = BTreeSet::new();
    for service in world.live_services() {
        found.unless(names.insert(&service.name), "unique-names", || {
            format!("two services are named {}", service.name)
        });
        for (environment, instance) in &service.instances {
            for domain in &instance.domains {
                found.unless(domains.insert(&domain.domain), "unique-domains", || {
                    format!("{} leads to two services", domain.domain)
                });
            }
            let active = instance.active().count();
            found.unless(active <= 1, "one-active", || {
                format!(
                    "{} runs {active} deployments at once in {environment}",
                    service.name
                )
            });
            let mut older = instance.deployments.iter().rev().skip(1);
            let rising = older.any(Deployment::is_in_progress);
            found.unless(!rising, "latest-rises", || {
                format!(
                    "a deployment of {} that is not its latest is on its way up",
                    service.name
                )
            });
        }
    }
    volumes_consistent(world, &mut found);
    found.0
}

fn volumes_consistent(world: &World, found: &mut Found) {
    let mut attached = BTreeMap::new();
    for volume in world
        .volumes()
        .values()
        .filter(|volume| !volume.is_pending_deletion())
    {
        let Some(service) = &volume.service else {
            continue;
        };
        let environment = &volume.environment;
        let before = attached.insert((service, environment), &volume.id);
        found.unless(before.is_none(), "one-volume", || {
            format!("service {service} has two volumes in {environment}")
        });
    }
    for volume in world
        .volumes()
        .values()
        .filter(|volume| volume.is_pending_deletion())
    {
        let kept = volume.purged_at.is_some_and(|at| at > world.now());
        found.unless(kept, "volume-retention", || {
            format!("volume {} should be gone for good by now", volume.id)
        });
    }
}

/// What must hold at every moment of a manager's life.
#[must_use]
pub fn sound(world: &World, rows: &[Row]) -> Vec<Violation> {
    let mut found = Found::default();
    let environment = &world.home().environment;
    for service in world.services().values() {
        let Some(instance) = service.instances.get(environment) else {
            continue;
        };
        let times = instance.agent.times_handed_out();
        found.unless(times <= 1, "provisioned-once", || {
            format!("the agent of {} was handed out {times} times", service.name)
        });
        let patched = instance
            .deploys_by_cause
            .get(&Cause::Patched)
            .copied()
            .unwrap_or(0);
        found.unless(patched <= 1, "deployed-once", || {
            format!("{} was deployed {patched} times by patches", service.name)
        });
    }
    let mut services = BTreeSet::new();
    for row in rows {
        found.unless(
            services.insert(&row.service_id),
            "one-row-per-service",
            || format!("service {} has two rows", row.service_id),
        );
        row_sound(world, row, environment, &mut found);
    }
    credentials::sound(world, rows, &mut found);
    found.0
}

fn row_sound(world: &World, row: &Row, environment: &EnvironmentId, found: &mut Found) {
    let key = (row.service_id.clone(), environment.clone());
    let instance = world.instance(&key);
    let conversation = instance.and_then(|instance| instance.agent.conversation.as_ref());
    if row.status == "claimed" && !row.delete_requested {
        found.unless(instance.is_some(), "claimed-lives", || {
            format!(
                "{} is claimed, and its service {} is gone",
                row.id, row.service_id
            )
        });
        let named = conversation.map(|conversation| conversation.agent_name.as_str());
        let agrees =
            row.claimed_by.is_none() || named.is_none() || row.claimed_by.as_deref() == named;
        found.unless(agrees, "claimed-by-whom", || {
            format!(
                "{} is claimed for {:?}, and its agent is {named:?}",
                row.id, row.claimed_by
            )
        });
    }
    if row.status == "idle" {
        found.unless(conversation.is_none(), "idle-is-free", || {
            format!("{} is idle, and its agent is in a conversation", row.id)
        });
    }
}

/// What must hold once the manager had time enough and no fault is left: nothing left over, and
/// nothing missing.
#[must_use]
pub fn tidy(world: &World, rows: &[Row], prefix: &str) -> Vec<Violation> {
    let mut found = Found::default();
    let environment = &world.home().environment;
    let known: BTreeSet<_> = rows.iter().map(|row| &row.service_id).collect();
    for service in world.live_services() {
        let ours = service.name.starts_with(prefix) && service.instances.contains_key(environment);
        found.unless(!ours || known.contains(&service.id), "service-leak", || {
            format!("{} lives, and no row knows it", service.name)
        });
    }
    for volume in world
        .volumes()
        .values()
        .filter(|volume| !volume.is_pending_deletion())
    {
        let key = |service: &ServiceId| (service.clone(), environment.clone());
        let held = volume.service.as_ref();
        let held = held.is_some_and(|service| world.instance(&key(service)).is_some());
        let ours = volume.environment == *environment;
        found.unless(!ours || held, "volume-leak", || {
            format!("volume {} is left, and its service is gone", volume.id)
        });
    }
    for row in rows.iter().filter(|row| row.status != "crashed") {
        let key = (row.service_id.clone(), environment.clone());
        found.unless(
            world.instance(&key).is_some(),
            "row-without-service",
            || {
                format!(
                    "{} is {}, and its service {} is gone",
                    row.id, row.status, row.service_id
                )
            },
        );
    }
    credentials::tidy(world, rows, prefix, &mut found);
    found.0
}
