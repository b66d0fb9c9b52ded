//! What can be asked.

use pool_domain::{DeploymentId, DeploymentStatus, EnvironmentId, ProjectId, ServiceId};
use serde_json::{Value, json};

use super::context::{Arguments, Found, Scope};
use super::shown;
use crate::Refusal;
use crate::world::{
    Caller, DeploymentFilter, FoundDeployment, InstanceKey, Service, ServiceInstance, World,
};

pub(super) fn answer(world: &World, scope: &Scope, field: &str, arguments: &Arguments) -> Found {
    let Scope { caller, view } = scope;
    let found = match field {
        "deployment" => deployment(world, scope, &DeploymentId::new(arguments.text("id")))?,
        "deployments" => {
            let filter = filter_of(&arguments.input())?;
            let page = world.deployments(caller, &filter, &arguments.page(), view)?;
            shown::page(page, |found| shown::deployment(found, view))
        }
        "domains" => {
            let key = arguments.instance();
            world.environment(caller, &key.1, Some(&arguments.project()))?;
            let (service, instance) = instance_of(world, &key)?;
            shown::domains(service, &key.1, instance)
        }
        "environment" => {
            let project = arguments.maybe("projectId").map(ProjectId::new);
            let id = EnvironmentId::new(arguments.text("id"));
            environment(world, caller, &id, project.as_ref())?
        }
        "environments" => environments(world, scope, &arguments.project(), arguments)?,
        "project" => project(world, caller, arguments.text("id"))?,
        "projectToken" => project_token(world, caller)?,
        "service" => shown::service(world.service(caller, &ServiceId::new(arguments.text("id")))?),
        "serviceInstance" => {
            let key = arguments.instance();
            world.environment(caller, &key.1, None)?;
            let (service, instance) = instance_of(world, &key)?;
            shown::service_instance(0, service, instance, &key.1, view)
        }
        "serviceInstanceLimits" => {
            let key = arguments.instance();
            world.environment(caller, &key.1, None)?;
            let (_, instance) = instance_of(world, &key)?;
            let limits = instance.config.setting("/deploy/limitOverride");
            limits.cloned().unwrap_or_else(|| json!({}))
        }
        "variables" | "variablesForServiceDeployment" => {
            let asked = arguments.variables_of();
            json!(world.variables(caller, &asked, arguments.flag("unrendered"))?)
        }
        _ => return Ok(None),
    };
    Ok(Some(found))
}

pub(super) fn deployment(
    world: &World,
    scope: &Scope,
    id: &DeploymentId,
) -> Result<Value, Refusal> {
    let (service, environment, deployment) = world.find_deployment(&scope.caller, id)?;
    let found = FoundDeployment(service, environment, deployment);
    Ok(shown::deployment(found, &scope.view))
}

pub(super) fn environment(
    world: &World,
    caller: &Caller,
    id: &EnvironmentId,
    project: Option<&ProjectId>,
) -> Result<Value, Refusal> {
    let (project, found) = world.environment(caller, id, project)?;
    Ok(shown::environment(project, found))
}

/// Always in the order in which they were made.
pub(super) fn environments(
    world: &World,
    scope: &Scope,
    id: &ProjectId,
    arguments: &Arguments,
) -> Result<Value, Refusal> {
    let project = world.project(&scope.caller, id)?;
    let is_ephemeral = arguments.0["isEphemeral"].as_bool();
    let args = arguments.page();
    let page = world.environments_of(&scope.caller, project, is_ephemeral, &args, &scope.view)?;
    Ok(shown::page(page, |found| shown::environment(id, found)))
}

pub(super) fn project(world: &World, caller: &Caller, id: &str) -> Result<Value, Refusal> {
    let project = world.project(caller, &ProjectId::new(id))?;
    Ok(shown::project(world, project))
}

fn project_token(world: &World, caller: &Caller) -> Result<Value, Refusal> {
    let Caller::Project {
        project,
        environment,
    } = caller
    else {
        return Err(Refusal::ProjectTokenNotFound);
    };
    Ok(json!({
        "createdAt": shown::time(world.now()),
        "displayToken": "sim-****",
        "environmentId": environment,
        "id": format!("token-of-{environment}"),
        "name": "warm-pool",
        "projectId": project,
    }))
}

fn instance_of<'a>(
    world: &'a World,
    key: &InstanceKey,
) -> Result<(&'a Service, &'a ServiceInstance), Refusal> {
    let live = (world.services().get(&key.0)).filter(|service| service.is_live());
    let found = live.and_then(|service| Some((service, service.instances.get(&key.1)?)));
    found.ok_or(Refusal::ServiceInstanceNotFound)
}

fn filter_of(input: &Arguments) -> Result<DeploymentFilter, Refusal> {
    let statuses = |name: &str| {
        let given = input.0["status"][name].clone();
        serde_json::from_value::<Option<Vec<DeploymentStatus>>>(given)
            .map_err(|_| Refusal::ProblemProcessing)
    };
    Ok(DeploymentFilter {
        project: input.maybe("projectId").map(ProjectId::new),
        environment: input.environment(),
        service: input.maybe("serviceId").map(ServiceId::new),
        status_in: statuses("in")?,
        status_not_in: statuses("notIn")?,
    })
}
