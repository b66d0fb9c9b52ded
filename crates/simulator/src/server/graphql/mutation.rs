//! What can be done.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{Context, MaybeUndefined, Object, Result};
use pool_domain::{DeploymentId, EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::inputs::{
    ServiceCreateInput, ServiceDomainCreateInput, ServiceInstanceLimitsUpdateInput,
    VolumeCreateInput,
};
use super::objects::{Deployment, Place, Service, ServiceDomain, Volume};
use super::scalars::EnvironmentConfig;
use super::{refusal, scope, shared, trouble};
use crate::Refusal;
use crate::world::{NewService, NewVolume, Reach};

pub(in crate::server) struct Mutation;

#[Object]
impl Mutation {
    async fn deployment_redeploy(
        &self,
        context: &Context<'_>,
        id: String,
        use_previous_image_tag: Option<bool>,
    ) -> Result<Deployment> {
        // The world has one image per service, so the previous tag is the present one.
        let _ = use_previous_image_tag;
        let scope = scope(context)?;
        shared(context)?.world(|world| {
            let redeployed = world.deployment_redeploy(&scope.caller, &DeploymentId::new(id));
            let id = redeployed.map_err(refusal)?;
            let found = world.find_deployment(&scope.caller, &id).map_err(refusal)?;
            let (service, environment, deployment) = found;
            Ok(Deployment::of(
                deployment,
                Place {
                    service,
                    environment,
                },
                &scope.view,
            ))
        })
    }

    async fn environment_patch_commit(
        &self,
        context: &Context<'_>,
        commit_message: Option<String>,
        environment_id: String,
        patch: Option<EnvironmentConfig>,
    ) -> Result<String> {
        let _ = commit_message;
        let environment = EnvironmentId::new(environment_id);
        let patch = patch.map_or(serde_json::Value::Null, |patch| patch.0);
        let caller = &scope(context)?.caller;
        shared(context)?
            .world(|world| world.environment_patch_commit(caller, &environment, &patch))
            .map_err(refusal)
    }

    async fn service_create(
        &self,
        context: &Context<'_>,
        input: ServiceCreateInput,
    ) -> Result<Service> {
        let source = input.source;
        let (image, repo) = source.map_or((None, None), |source| (source.image, source.repo));
        let new = NewService {
            project: ProjectId::new(input.project_id),
            name: input.name,
            environment: input.environment_id.map(EnvironmentId::new),
            image,
            repo,
            variables: input
                .variables
                .map(|variables| variables.0)
                .unwrap_or_default(),
        };
        let caller = &scope(context)?.caller;
        shared(context)?.world(|world| {
            let id = world.service_create(caller, new).map_err(refusal)?;
            let service = world.services().get(&id);
            service
                .map(Service::of)
                .ok_or_else(|| refusal(Refusal::NotAuthorized))
        })
    }

    async fn service_delete(
        &self,
        context: &Context<'_>,
        environment_id: Option<String>,
        id: String,
    ) -> Result<bool> {
        let (id, environment) = (ServiceId::new(id), environment_id.map(EnvironmentId::new));
        let caller = &scope(context)?.caller;
        let deleted =
            shared(context)?.world(|w| w.service_delete(caller, &id, environment.as_ref()));
        deleted.map(|()| true).map_err(refusal)
    }

    async fn service_domain_create(
        &self,
        context: &Context<'_>,
        input: ServiceDomainCreateInput,
    ) -> Result<ServiceDomain> {
        let key = (
            ServiceId::new(input.service_id),
            EnvironmentId::new(input.environment_id),
        );
        let shared = shared(context)?;
        let caller = &scope(context)?.caller;
        let domain = shared
            .create_domain(caller, &key, input.target_port)
            .map_err(trouble)?;
        shared.world(|world| {
            let service = world.services().get(&key.0);
            let service = service.ok_or_else(|| refusal(Refusal::NotAuthorized))?;
            Ok(ServiceDomain::of(
                &domain,
                Place {
                    service,
                    environment: &key.1,
                },
            ))
        })
    }

    async fn service_instance_limits_update(
        &self,
        context: &Context<'_>,
        input: ServiceInstanceLimitsUpdateInput,
    ) -> Result<bool> {
        let key = (
            ServiceId::new(input.service_id),
            EnvironmentId::new(input.environment_id),
        );
        let caller = &scope(context)?.caller;
        let updated = shared(context)?
            .world(|world| world.limits_update(caller, &key, input.v_cpus, input.memory_gb));
        updated.map(|()| true).map_err(refusal)
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
}
