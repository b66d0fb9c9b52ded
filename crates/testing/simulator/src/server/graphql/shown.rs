//! What is shown of each thing in the world, under Railway's own names. What leads on to other things
//! is not among it.

use chrono::{SecondsFormat, Utc};
use pool_domain::{DeploymentStatus, EnvironmentId, ProjectId};
use serde_json::{Value, json};

use crate::world::{
    Deployment, Domain, Environment, FoundDeployment, Page, Project, Service, ServiceInstance,
    View, Volume, VolumeInstance, World,
};

/// The workspace that owns every project.
const WORKSPACE: &str = "sim-workspace";

/// What an instance shows of its configuration.
const SETTINGS: [(&str, &str); 11] = [
    ("buildCommand", "/build/buildCommand"),
    ("cronSchedule", "/deploy/cronSchedule"),
    ("dockerfilePath", "/build/dockerfilePath"),
    ("healthcheckPath", "/deploy/healthcheckPath"),
    ("healthcheckTimeout", "/deploy/healthcheckTimeout"),
    ("numReplicas", "/deploy/numReplicas"),
    ("railwayConfigFile", "/build/railwayConfigFile"),
    ("region", "/deploy/region"),
    ("rootDirectory", "/build/rootDirectory"),
    ("sleepApplication", "/deploy/sleepApplication"),
    ("startCommand", "/deploy/startCommand"),
];

/// With milliseconds and a `Z`, as JavaScript writes it.
pub(super) fn time(at: chrono::DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn page<T>(page: Page<T>, show: impl Fn(T) -> Value) -> Value {
    numbered(page, |_, item| show(item))
}

/// A page whose items know their place in it.
pub(super) fn numbered<T>(page: Page<T>, show: impl Fn(usize, T) -> Value) -> Value {
    let cursor = |item: Option<&(String, T)>| item.map(|(cursor, _)| cursor.clone());
    let info = json!({
        "endCursor": cursor(page.items.last()),
        "hasNextPage": page.has_next,
        "hasPreviousPage": page.has_previous,
        "startCursor": cursor(page.items.first()),
    });
    let items = page.items.into_iter().enumerate();
    let edges: Value = items
        .map(|(index, (cursor, item))| json!({"cursor": cursor, "node": show(index, item)}))
        .collect();
    json!({"edges": edges, "pageInfo": info})
}

pub(super) fn project(world: &World, project: &Project) -> Value {
    let first = project.environments.first();
    let created_at = time(first.map_or(world.now(), |environment| environment.created_at));
    let settings = world.settings();
    json!({
        "baseEnvironmentId": first.map(|environment| &environment.id),
        "createdAt": created_at,
        "deletedAt": null,
        "description": null,
        "expiredAt": null,
        "id": project.id,
        "isPublic": false,
        "isTempProject": false,
        "name": project.name,
        "prDeploys": false,
        "primaryEnvironmentId": first.map(|environment| &environment.id),
        "subscriptionPlanLimit": {
            "services": {"maxPerProject": settings.services_per_project},
            "volumes": {"maxPerProject": settings.volumes_per_project},
        },
        "subscriptionType": "pro",
        "updatedAt": created_at,
        "workspace": {"id": WORKSPACE, "name": WORKSPACE},
        "workspaceId": WORKSPACE,
    })
}

pub(super) fn environment(project: &ProjectId, environment: &Environment) -> Value {
    json!({
        "canAccess": true,
        "createdAt": time(environment.created_at),
        "deletedAt": null,
        "id": environment.id,
        "isEphemeral": environment.is_fork,
        "meta": null,
        "name": environment.name,
        "projectId": project,
        "sourceEnvironment": null,
        "unmergedChangesCount": 0,
        "updatedAt": time(environment.created_at),
    })
}

pub(super) fn service(service: &Service) -> Value {
    json!({
        "createdAt": time(service.created_at),
        "deletedAt": service.deleted_at.map(time),
        "icon": null,
        "id": service.id,
        "name": service.name,
        "projectId": service.project,
        "templateId": null,
        "templateServiceId": null,
        "updatedAt": time(service.created_at),
    })
}

/// What is shown of the one at this place of its page. Of every so many-th a fault may take the
/// domains or the deployment.
pub(super) fn service_instance(
    index: usize,
    service: &Service,
    instance: &ServiceInstance,
    environment: &EnvironmentId,
    view: &View,
) -> Value {
    let strikes = |every: Option<usize>| every.is_some_and(|every| index.is_multiple_of(every));
    let config = &instance.config;
    let show = |run: &Deployment| deployment(FoundDeployment(service, environment, run), view);
    let active = instance.active().filter(|_| !view.says_over());
    let policy = config.setting("/deploy/restartPolicyType");
    let source = json!({"image": config.image(), "repo": config.repo()});
    let has_source = config.image().is_some() || config.repo().is_some();
    let mut shown = json!({
        "activeDeployments": active.map(show).collect::<Value>(),
        "builder": "RAILPACK",
        "createdAt": time(instance.created_at),
        // A listing that lags behind a deletion knows nothing of it.
        "deletedAt": null,
        "environmentId": environment,
        "id": instance.id,
        "isUpdatable": true,
        "nextCronRunAt": null,
        "restartPolicyMaxRetries": config.setting("/deploy/restartPolicyMaxRetries").unwrap_or(&json!(10)),
        "restartPolicyType": policy.unwrap_or(&json!("ON_FAILURE")),
        "serviceId": service.id,
        "serviceName": service.name,
        "source": has_source.then_some(source),
        "updatedAt": time(instance.updated_at),
        "watchPatterns": config.setting("/build/watchPatterns").unwrap_or(&json!([])),
    });
    for (name, path) in SETTINGS {
        shown[name] = config.setting(path).cloned().unwrap_or_default();
    }
    if !strikes(view.null_answer_every) {
        shown["domains"] = domains(service, environment, instance);
    }
    if !strikes(view.null_deployment_every) {
        shown["latestDeployment"] = instance.latest().map_or(Value::Null, show);
    }
    shown
}

pub(super) fn deployment(found: FoundDeployment<'_>, view: &View) -> Value {
    let FoundDeployment(service, environment, deployment) = found;
    let instance = service.instances.get(environment);
    let domain = instance.and_then(|instance| instance.domains.first());
    let is_begun = deployment.status != DeploymentStatus::Initializing;
    let updated_at = time(deployment.status_updated_at);
    let mut meta = json!({"reason": "deploy"});
    if let Some(image) = &deployment.image {
        meta["image"] = json!(image);
    }
    let snapshot = format!("snapshot-{}", deployment.id);
    json!({
        "canRedeploy": deployment.has_snapshot && !deployment.is_in_progress(),
        "canRollback": deployment.has_snapshot,
        "createdAt": time(deployment.created_at),
        "deploymentStopped": deployment.stopped,
        "environmentId": environment,
        "id": deployment.id,
        "instances": containers(deployment),
        "meta": meta,
        "projectId": service.project,
        "serviceId": service.id,
        "snapshotId": deployment.has_snapshot.then_some(snapshot),
        "staticUrl": domain.map(|domain| &domain.domain),
        "status": status(view.every_status.as_ref().unwrap_or(&deployment.status)),
        // The first status was never updated.
        "statusUpdatedAt": is_begun.then_some(&updated_at),
        "suggestAddServiceDomain": domain.is_none(),
        "updatedAt": updated_at,
        "url": null,
    })
}

fn status(status: &DeploymentStatus) -> &str {
    match status {
        DeploymentStatus::Other(_) => "HIBERNATING",
        known => known.as_str(),
    }
}

/// The containers of a deployment: one, once it has got so far.
fn containers(deployment: &Deployment) -> Value {
    use DeploymentStatus as Known;
    let status = match deployment.status {
        Known::Deploying => "INITIALIZING",
        Known::Success if deployment.stopped => "EXITED",
        Known::Success => "RUNNING",
        Known::Sleeping => "STOPPED",
        Known::Crashed => "CRASHED",
        Known::Removing => "REMOVING",
        Known::Removed => "REMOVED",
        _ => return json!([]),
    };
    json!([{"id": format!("instance-{}", deployment.id), "status": status}])
}

pub(super) fn domains(
    service: &Service,
    environment: &EnvironmentId,
    instance: &ServiceInstance,
) -> Value {
    let given = instance.domains.iter();
    let given = given.map(|it| domain(service, environment, it));
    json!({"customDomains": [], "serviceDomains": given.collect::<Value>()})
}

pub(super) fn domain(service: &Service, environment: &EnvironmentId, domain: &Domain) -> Value {
    json!({
        "createdAt": time(domain.created_at),
        "deletedAt": null,
        "domain": domain.domain,
        "environmentId": environment,
        "id": domain.id,
        "projectId": service.project,
        "serviceId": service.id,
        "suffix": null,
        "syncStatus": "ACTIVE",
        "targetPort": domain.target_port,
        "updatedAt": time(domain.created_at),
    })
}

pub(super) fn volume(volume: &Volume) -> Value {
    json!({
        "createdAt": time(volume.created_at),
        "id": volume.id,
        "name": volume.name,
        "projectId": volume.project,
    })
}

pub(super) fn volume_instance(
    of: &Volume,
    instance: &VolumeInstance,
    environment: &EnvironmentId,
) -> Value {
    let pending = of.is_pending_deletion();
    json!({
        "createdAt": time(of.created_at),
        "currentSizeMB": 0.0,
        // Railway's own oddity: this is when it will be gone, and not when it was deleted.
        "deletedAt": of.purged_at.map(time),
        "environmentId": environment,
        "externalId": null,
        "id": instance.id,
        "isPendingDeletion": pending,
        "mountPath": instance.mount_path,
        "region": null,
        "serviceId": instance.service,
        "sizeMB": 50_000,
        "state": if pending { "DELETING" } else { "READY" },
        "volume": volume(of),
        "volumeId": of.id,
    })
}
