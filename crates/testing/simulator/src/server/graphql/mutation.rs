//! What can be done.

use pool_domain::{EnvironmentId, ServiceId, VolumeId};
use serde_json::json;

use super::context::{Arguments, Context, Found, Scope};
use crate::world::{NewService, NewVolume, World};
use crate::{Refusal, SimulatorError};

pub(super) fn answer(
    world: &mut World,
    scope: &Scope,
    field: &str,
    arguments: &Arguments,
) -> Found {
    let (caller, input) = (&scope.caller, arguments.input());
    let done = match field {
        "environmentPatchCommit" => {
            let environment = EnvironmentId::new(arguments.text("environmentId"));
            let patch = &arguments.0["patch"];
            json!(world.environment_patch_commit(caller, &environment, patch)?)
        }
        "serviceCreate" => {
            let new = NewService {
                name: input.maybe("name").map(str::to_owned),
                environment: input.environment(),
                ..NewService::named(input.project(), "")
            };
            json!({"id": world.service_create(caller, new)?})
        }
        "serviceDelete" => {
            let id = ServiceId::new(arguments.text("id"));
            world.service_delete(caller, &id, arguments.environment().as_ref())?;
            json!(true)
        }
        "volumeCreate" => {
            let new = NewVolume {
                project: input.project(),
                // Without one Railway makes it in all of them; a pool always names its own.
                environment: input.environment().ok_or(Refusal::ProblemProcessing)?,
                service: input.maybe("serviceId").map(ServiceId::new),
                mount_path: input.text("mountPath").to_owned(),
            };
            json!({"id": world.volume_create(caller, new)?})
        }
        "volumeDelete" => {
            world.volume_delete(caller, &VolumeId::new(arguments.text("volumeId")))?;
            json!(true)
        }
        _ => return Ok(None),
    };
    Ok(Some(done))
}

/// The one that the world cannot do alone, since somebody has to listen at the domain.
pub(super) fn create_domain(context: &Context<'_>, input: &Arguments) -> Found {
    let environment = EnvironmentId::new(input.text("environmentId"));
    let key = (ServiceId::new(input.text("serviceId")), environment);
    let made = context.shared.create_domain(&context.scope()?.caller, &key);
    let made = made.map_err(|error| match error {
        SimulatorError::Refused(said) => said,
        other => Refusal::said(other.to_string()),
    })?;
    Ok(Some(json!({"domain": made.domain})))
}
