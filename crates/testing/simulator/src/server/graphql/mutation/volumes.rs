//! Mutations of volumes and variables.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{Context, MaybeUndefined, Object, Result};
use pool_domain::{EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::super::inputs::{
    VariableCollectionUpsertInput, VariableDeleteInput, VariableUpsertInput, VolumeCreateInput,
    VolumeInstanceUpdateInput, VolumeUpdateInput,
};
use super::super::volume::Volume;
use super::super::{refusal, scope, shared};
use crate::Refusal;
use crate::world::{NewVolume, Reach, VariableScope};

#[derive(Debug, Default)]
pub(in crate::server) struct VolumeMutations;

#[Object]
impl VolumeMutations {
    async fn variable_collection_upsert(
        &self,
        context: &Context<'_>,
        input: VariableCollectionUpsertInput,
    ) -> Result<bool> {
        let asked = scope_of(input.project_id, input.environment_id, input.service_id);
        let replace = input.replace.unwrap_or(false);
        let skips = input.skip_deploys.unwrap_or(false);
        let (variables, caller) = (input.variables.0, &scope(context)?.caller);
        let done = shared(context)?
            .world(|world| world.variables_upsert(caller, &asked, &variables, replace, skips));
        done.map(|()| true).map_err(refusal)
    }

    async fn variable_delete(
        &self,
        context: &Context<'_>,
        input: VariableDeleteInput,
    ) -> Result<bool> {
        let asked = scope_of(input.project_id, input.environment_id, input.service_id);
        let caller = &scope(context)?.caller;
        let done = shared(context)?.world(|w| w.variable_delete(caller, &asked, &input.name));
        done.map(|()| true).map_err(refusal)
    }

    async fn variable_upsert(
        &self,
        context: &Context<'_>,
        input: VariableUpsertInput,
    ) -> Result<bool> {
        let asked = scope_of(input.project_id, input.environment_id, input.service_id);
        let skips = input.skip_deploys.unwrap_or(false);
        let variables = [(input.name, input.value)].into();
        let caller = &scope(context)?.caller;
        let done = shared(context)?
            .world(|world| world.variables_upsert(caller, &asked, &variables, false, skips));
        done.map(|()| true).map_err(refusal)
    }

    async fn volume_create(
        &self,
        context: &Context<'_>,
        input: VolumeCreateInput,
    ) -> Result<Volume> {
        let new = NewVolume {
            project: ProjectId::new(input.project_id),
            reach: match input.environment_id {
                MaybeUndefined::Undefined => Reach::All,
                MaybeUndefined::Null => Reach::None,
                MaybeUndefined::Value(id) => Reach::One(EnvironmentId::new(id)),
            },
            service: input.service_id.map(ServiceId::new),
            mount_path: input.mount_path,
        };
        let caller = &scope(context)?.caller;
        shared(context)?.world(|world| {
            let id = world.volume_create(caller, new).map_err(refusal)?;
            let volume = world.volumes().get(&id);
            volume
                .map(Volume::of)
                .ok_or_else(|| refusal(Refusal::NotAuthorized))
        })
    }

    async fn volume_delete(&self, context: &Context<'_>, volume_id: String) -> Result<bool> {
        let id = VolumeId::new(volume_id);
        let caller = &scope(context)?.caller;
        let deleted = shared(context)?.world(|world| world.volume_delete(caller, &id));
        deleted.map(|()| true).map_err(refusal)
    }

    async fn volume_instance_update(
        &self,
        context: &Context<'_>,
        environment_id: Option<String>,
        input: VolumeInstanceUpdateInput,
        volume_id: String,
    ) -> Result<bool> {
        let id = VolumeId::new(volume_id);
        let environment = environment_id.map(EnvironmentId::new);
        let (changes, caller) = (input.into(), &scope(context)?.caller);
        let done = shared(context)?.world(|world| {
            world.volume_instance_update(caller, &id, environment.as_ref(), &changes)
        });
        done.map(|()| true).map_err(refusal)
    }

    async fn volume_update(
        &self,
        context: &Context<'_>,
        input: VolumeUpdateInput,
        volume_id: String,
    ) -> Result<Volume> {
        let (id, caller) = (VolumeId::new(volume_id), &scope(context)?.caller);
        let done = shared(context)?.world(|w| w.volume_rename(caller, &id, input.name));
        done.map_err(refusal)?;
        Volume::find(context, &id)
    }
}

fn scope_of(project: String, environment: String, service: Option<String>) -> VariableScope {
    VariableScope {
        project: ProjectId::new(project),
        environment: EnvironmentId::new(environment),
        service: service.map(ServiceId::new),
    }
}
