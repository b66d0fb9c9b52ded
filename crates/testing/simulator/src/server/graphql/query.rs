//! What can be asked, and what leads from one object to others.

use pool_domain::EnvironmentId;
use serde_json::{Value, json};

use super::context::{Arguments, Found, Parent, Scope};
use super::shown;
use crate::Refusal;
use crate::world::{Caller, World};

pub(super) fn answer(world: &World, scope: &Scope, field: &str, arguments: &Arguments) -> Found {
    let Scope { caller, view } = scope;
    let found = match field {
        "environment" => {
            let project = arguments.maybe("projectId");
            if project.is_some_and(|asked| asked != world.home().project.as_str()) {
                return Err(Refusal::NotAuthorized);
            }
            let id = EnvironmentId::new(arguments.text("id"));
            shown::environment(world.environment(caller, &id)?)
        }
        "environments" => {
            let (project, args) = (arguments.project(), arguments.page()?);
            let is_ephemeral = arguments.0["isEphemeral"].as_bool();
            let page = world.environments(caller, &project, is_ephemeral, &args, view)?;
            shown::page(page, |_, environment| shown::environment(environment))
        }
        "projectToken" => project_token(caller)?,
        _ => return Ok(None),
    };
    Ok(Some(found))
}

fn project_token(caller: &Caller) -> Result<Value, Refusal> {
    match caller {
        Caller::Project {
            project,
            environment,
        } => Ok(json!({"environmentId": environment, "projectId": project})),
        Caller::Account | Caller::Workspace => Err(Refusal::ProjectTokenNotFound),
    }
}

/// A field of an object that takes a search through the world.
pub(super) fn follow(
    world: &World,
    scope: &Scope,
    object: Parent<'_>,
    field: &str,
    arguments: &Arguments,
) -> Found {
    let Scope { caller, view } = scope;
    let id = EnvironmentId::new(object.text("id"));
    let found = match (object.ty, field) {
        // They are left out where a fault strikes; whatever may be null is null then.
        ("ServiceInstance", "domains" | "latestDeployment") => {
            return Err(Refusal::ProblemProcessing);
        }
        ("Environment", "config") => {
            world.environment_config(caller, &id, arguments.flag("decryptVariables"))?
        }
        ("Environment", "serviceInstances") => {
            let page = world.service_instances(&id, &arguments.page()?, view)?;
            shown::page(page, |index, (service, instance)| {
                shown::service_instance(index, service, instance, view)
            })
        }
        ("Environment", "volumeInstances") => {
            let page = world.volume_instances(&id, &arguments.page()?, view)?;
            shown::page(page, |_, volume| shown::volume_instance(volume))
        }
        _ => return Ok(None),
    };
    Ok(Some(found))
}
