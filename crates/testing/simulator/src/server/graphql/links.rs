//! What leads from one object to others, and what takes a search through the world.

use std::hash::{DefaultHasher, Hash, Hasher};

use pool_domain::{EnvironmentId, ProjectId, ServiceId, VolumeId};
use serde_json::{Value, json};

use super::context::{Arguments, Found, Parent, Scope};
use super::{query, shown};
use crate::Refusal;
use crate::world::{DeploymentFilter, World};

pub(super) fn follow(
    world: &World,
    scope: &Scope,
    object: Parent<'_>,
    field: &str,
    arguments: &Arguments,
) -> Found {
    let caller = &scope.caller;
    let found = match (object.ty, field) {
        // They are left out where a fault strikes; whatever may be null is null then.
        ("ServiceInstance", "domains" | "latestDeployment") => {
            return Err(Refusal::ProblemProcessing);
        }
        ("Environment" | "Project" | "Service" | "Volume", _)
            if field != "project" && !field.starts_with("config") =>
        {
            return listing(world, scope, object, field, arguments);
        }
        (_, "environment") => {
            let id = EnvironmentId::new(object.text("environmentId"));
            query::environment(world, caller, &id, None)?
        }
        // Where the service was deleted or there is none, this takes the whole answer with it.
        (_, "service") => {
            let service = world.service(caller, &ServiceId::new(object.text("serviceId")));
            shown::service(service.map_err(|_| Refusal::ProblemProcessing)?)
        }
        (_, "project") => query::project(world, caller, object.text("projectId"))?,
        (_, "config") => {
            let id = EnvironmentId::new(object.text("id"));
            world.environment_config(caller, &id, arguments.flag("decryptVariables"))?
        }
        // Changes whenever the configuration does.
        (_, "configEtag") => {
            let id = EnvironmentId::new(object.text("id"));
            let config = world.environment_config(caller, &id, true)?;
            let mut hasher = DefaultHasher::new();
            config.to_string().hash(&mut hasher);
            json!(format!("{:016x}", hasher.finish()))
        }
        _ => return Ok(None),
    };
    Ok(Some(found))
}

/// A page of what belongs to the object.
fn listing(
    world: &World,
    scope: &Scope,
    object: Parent<'_>,
    field: &str,
    arguments: &Arguments,
) -> Found {
    let Scope { caller, view } = scope;
    let (id, args) = (object.text("id"), arguments.page());
    let found = match (object.ty, field) {
        (ty, "deployments") => {
            let filter = DeploymentFilter {
                project: (ty == "Project").then(|| ProjectId::new(id)),
                environment: (ty == "Environment").then(|| EnvironmentId::new(id)),
                service: (ty == "Service").then(|| ServiceId::new(id)),
                ..DeploymentFilter::default()
            };
            let page = world.deployments(caller, &filter, &args, view)?;
            shown::page(page, |found| shown::deployment(found, view))
        }
        ("Environment", "serviceInstances") => {
            let id = EnvironmentId::new(id);
            let page = world.service_instances(&id, &args, view)?;
            shown::numbered(page, |index, (service, instance)| {
                shown::service_instance(index, service, instance, &id, view)
            })
        }
        ("Environment", "volumeInstances") => {
            let id = EnvironmentId::new(id);
            let page = world.volume_instances(&id, &args, view)?;
            shown::page(page, |(volume, instance)| {
                shown::volume_instance(volume, instance, &id)
            })
        }
        // None is ever made, so that every page is empty.
        ("Project", "buckets") => json!({
            "edges": [], "pageInfo": {"hasNextPage": false, "hasPreviousPage": false,
                "startCursor": null, "endCursor": null},
        }),
        ("Project", "environments") => {
            query::environments(world, scope, &ProjectId::new(id), arguments)?
        }
        ("Project", "services") => {
            let page = world.services_of_project(caller, &ProjectId::new(id), &args, view)?;
            shown::page(page, shown::service)
        }
        ("Project", "volumes") => {
            let page = world.volumes_of_project(caller, &ProjectId::new(id), &args, view)?;
            shown::page(page, shown::volume)
        }
        ("Service", "serviceInstances") => {
            // One that a listing still shows may be gone by now.
            let service = world.services().get(&ServiceId::new(id));
            let service = service.ok_or(Refusal::ProblemProcessing)?;
            let page = world.instances_of_service(caller, service, &args, view)?;
            shown::numbered(page, |index, (environment, instance)| {
                shown::service_instance(index, service, instance, environment, view)
            })
        }
        ("Volume", "volumeInstances") => {
            let volume = world.volume(caller, &VolumeId::new(id))?;
            let page = world.instances_of_volume(caller, volume, &args, view)?;
            shown::page(page, |(environment, instance)| -> Value {
                shown::volume_instance(volume, instance, environment)
            })
        }
        _ => return Ok(None),
    };
    Ok(Some(found))
}
