//! What can be done. What the world does not model, icons and commits for example, is taken and
//! ignored.

use pool_domain::{DeploymentId, EnvironmentId, ServiceId, VolumeId};
use serde_json::{Map, Value, json};

use super::context::{Arguments, Context, Found, Scope};
use super::{query, shown};
use crate::world::{InstanceChanges, NewService, NewVolume, Reach, VolumeChanges, World};
use crate::{Refusal, SimulatorError};

/// What `serviceInstanceUpdate` takes of how a service is deployed.
const DEPLOY_SETTINGS: [&str; 14] = [
    "cronSchedule",
    "drainingSeconds",
    "healthcheckPath",
    "healthcheckTimeout",
    "ipv6EgressEnabled",
    "multiRegionConfig",
    "numReplicas",
    "overlapSeconds",
    "preDeployCommand",
    "region",
    "restartPolicyMaxRetries",
    "restartPolicyType",
    "sleepApplication",
    "startCommand",
];

/// And of how it is built.
const BUILD_SETTINGS: [&str; 6] = [
    "buildCommand",
    "dockerfilePath",
    "nixpacksPlan",
    "railwayConfigFile",
    "rootDirectory",
    "watchPatterns",
];

pub(super) fn answer(
    world: &mut World,
    scope: &Scope,
    field: &str,
    arguments: &Arguments,
) -> Found {
    let first = field.split(char::is_uppercase).next();
    match first {
        Some("deployment") => deployment(world, scope, field, arguments),
        Some("volume" | "variable") => volume(world, scope, field, arguments),
        _ => service(world, scope, field, arguments),
    }
}

fn done((): ()) -> Value {
    Value::Bool(true)
}

fn deployment(world: &mut World, scope: &Scope, field: &str, arguments: &Arguments) -> Found {
    let (caller, id) = (&scope.caller, DeploymentId::new(arguments.text("id")));
    let acted = match field {
        "deploymentApprove" => world.deployment_approve(caller, &id),
        "deploymentCancel" => world.deployment_cancel(caller, &id),
        // Every tag stays what it was, so that the previous one is the present one.
        "deploymentRedeploy" => {
            let begun = world.deployment_redeploy(caller, &id)?;
            return query::deployment(world, scope, &begun).map(Some);
        }
        "deploymentRemove" => world.deployment_remove(caller, &id),
        "deploymentRestart" => world.deployment_restart(caller, &id),
        "deploymentStop" => world.deployment_stop(caller, &id),
        _ => return Ok(None),
    };
    Ok(Some(done(acted?)))
}

fn service(world: &mut World, scope: &Scope, field: &str, arguments: &Arguments) -> Found {
    let caller = &scope.caller;
    let (id, input) = (ServiceId::new(arguments.text("id")), arguments.input());
    let made = match field {
        "environmentPatchCommit" => {
            let environment = EnvironmentId::new(arguments.text("environmentId"));
            let patch = &arguments.0["patch"];
            json!(world.environment_patch_commit(caller, &environment, patch)?)
        }
        "serviceConnect" => {
            let (image, repo) = (input.maybe_text("image"), input.maybe_text("repo"));
            let changes = InstanceChanges {
                image,
                repo,
                ..InstanceChanges::default()
            };
            world.service_connect(caller, &id, &changes)?;
            shown::service(world.service(caller, &id)?)
        }
        "serviceCreate" => {
            let source = Arguments(input.0["source"].clone());
            let new = NewService {
                project: input.project(),
                name: input.maybe_text("name"),
                environment: input.environment(),
                image: source.maybe_text("image"),
                repo: source.maybe_text("repo"),
                variables: input.variables()?,
            };
            let id = world.service_create(caller, new)?;
            let service = world.services().get(&id);
            shown::service(service.ok_or(Refusal::NotAuthorized)?)
        }
        "serviceDelete" => {
            done(world.service_delete(caller, &id, arguments.environment().as_ref())?)
        }
        "serviceDisconnect" => {
            world.service_disconnect(caller, &id)?;
            shown::service(world.service(caller, &id)?)
        }
        "serviceDomainDelete" => done(world.service_domain_delete(caller, arguments.text("id"))?),
        "serviceInstanceDeploy" => {
            world.service_instance_deploy(caller, &arguments.instance())?;
            done(())
        }
        "serviceInstanceDeployV2" => {
            json!(world.service_instance_deploy(caller, &arguments.instance())?)
        }
        "serviceInstanceLimitsUpdate" => {
            let limit = |name: &str| input.0[name].as_f64();
            let (cpus, memory) = (limit("vCPUs"), limit("memoryGB"));
            done(world.limits_update(caller, &input.instance(), cpus, memory)?)
        }
        "serviceInstanceRedeploy" => {
            world.service_instance_redeploy(caller, &arguments.instance())?;
            done(())
        }
        "serviceInstanceUpdate" => {
            let (id, changes) = (arguments.instance().0, changes_of(&input));
            let environment = arguments.environment();
            done(world.service_instance_update(caller, &id, environment.as_ref(), &changes)?)
        }
        "serviceUpdate" => {
            world.service_rename(caller, &id, input.maybe_text("name"))?;
            shown::service(world.service(caller, &id)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(made))
}

fn volume(world: &mut World, scope: &Scope, field: &str, arguments: &Arguments) -> Found {
    let caller = &scope.caller;
    let (id, input) = (VolumeId::new(arguments.text("volumeId")), arguments.input());
    let made = match field {
        "variableCollectionUpsert" => {
            let (of, variables) = (input.variables_of(), input.variables()?);
            let (replace, skips) = (input.flag("replace"), input.flag("skipDeploys"));
            done(world.variables_upsert(caller, &of, &variables, replace, skips)?)
        }
        "variableDelete" => {
            done(world.variable_delete(caller, &input.variables_of(), input.text("name"))?)
        }
        "variableUpsert" => {
            let of = input.variables_of();
            let variables = [(
                input.text("name").to_owned(),
                input.text("value").to_owned(),
            )];
            let skips = input.flag("skipDeploys");
            done(world.variables_upsert(caller, &of, &variables.into(), false, skips)?)
        }
        "volumeCreate" => {
            let new = NewVolume {
                project: input.project(),
                // An environment of null is none, one left out is all.
                reach: match (input.0.get("environmentId"), input.environment()) {
                    (None, _) => Reach::All,
                    (Some(_), None) => Reach::None,
                    (Some(_), Some(id)) => Reach::One(id),
                },
                service: input.maybe("serviceId").map(ServiceId::new),
                mount_path: input.text("mountPath").to_owned(),
            };
            let id = world.volume_create(caller, new)?;
            let volume = world.volumes().get(&id);
            shown::volume(volume.ok_or(Refusal::NotAuthorized)?)
        }
        "volumeDelete" => done(world.volume_delete(caller, &id)?),
        "volumeInstanceUpdate" => {
            let changes = VolumeChanges {
                service: input.maybe("serviceId").map(ServiceId::new),
                mount_path: input.maybe_text("mountPath"),
            };
            let environment = arguments.environment();
            done(world.volume_instance_update(caller, &id, environment.as_ref(), &changes)?)
        }
        "volumeUpdate" => {
            world.volume_rename(caller, &id, input.maybe_text("name"))?;
            shown::volume(world.volume(caller, &id)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(made))
}

/// The one that the world cannot do alone, since somebody has to listen at the domain.
pub(super) fn create_domain(context: &Context<'_>, input: &Arguments) -> Found {
    let (key, caller) = (input.instance(), &context.scope()?.caller);
    let port = input.0["targetPort"].as_i64();
    let port = port.and_then(|port| port.try_into().ok());
    let made = context.shared.create_domain(caller, &key, port);
    let domain = made.map_err(|error| match error {
        SimulatorError::Refused(said) => said,
        other => Refusal::said(other.to_string()),
    })?;
    context.shared.world(|world| {
        let service = world.services().get(&key.0).ok_or(Refusal::NotAuthorized)?;
        Ok(Some(shown::domain(service, &key.1, &domain)))
    })
}

/// Null changes nothing, an empty text or list clears.
fn changes_of(input: &Arguments) -> InstanceChanges {
    let said = |names: &[&str]| -> Map<String, Value> {
        let given = names.iter().map(|name| (*name, &input.0[*name]));
        let given = given.filter(|(_, value)| !value.is_null());
        given
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect()
    };
    let source = Arguments(input.0["source"].clone());
    InstanceChanges {
        image: source.maybe_text("image"),
        repo: source.maybe_text("repo"),
        deploy: said(&DEPLOY_SETTINGS),
        build: said(&BUILD_SETTINGS),
    }
}
