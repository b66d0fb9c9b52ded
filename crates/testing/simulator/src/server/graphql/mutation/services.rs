//! Mutations of services: made, changed, given domains, ended.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{Context, Object, Result};
use pool_domain::{EnvironmentId, ProjectId, ServiceId};

use super::super::domain::ServiceDomain;
use super::super::inputs::{
    ServiceConnectInput, ServiceCreateInput, ServiceDomainCreateInput,
    ServiceInstanceLimitsUpdateInput, ServiceInstanceUpdateInput, ServiceUpdateInput,
};
use super::super::scalars::EnvironmentConfig;
use super::super::service::Service;
use super::super::{Place, refusal, scope, shared, trouble};
use crate::Refusal;
use crate::world::NewService;

#[derive(Debug, Default)]
pub(in crate::server) struct ServiceMutations;

#[Object]
impl ServiceMutations {
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

    async fn service_connect(
        &self,
        context: &Context<'_>,
        id: String,
        input: ServiceConnectInput,
    ) -> Result<Service> {
        let (id, caller) = (ServiceId::new(id), &scope(context)?.caller);
        let done = shared(context)?.world(|w| w.service_connect(caller, &id, &input.into()));
        done.map_err(refusal)?;
        Service::find(context, &id)
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

    async fn service_disconnect(&self, context: &Context<'_>, id: String) -> Result<Service> {
        let (id, caller) = (ServiceId::new(id), &scope(context)?.caller);
        let done = shared(context)?.world(|w| w.service_disconnect(caller, &id));
        done.map_err(refusal)?;
        Service::find(context, &id)
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

    async fn service_domain_delete(&self, context: &Context<'_>, id: String) -> Result<bool> {
        let caller = &scope(context)?.caller;
        let done = shared(context)?.world(|w| w.service_domain_delete(caller, &id));
        done.map(|()| true).map_err(refusal)
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

    async fn service_instance_update(
        &self,
        context: &Context<'_>,
        environment_id: Option<String>,
        input: ServiceInstanceUpdateInput,
        service_id: String,
    ) -> Result<bool> {
        let id = ServiceId::new(service_id);
        let environment = environment_id.map(EnvironmentId::new);
        let (changes, caller) = (input.into(), &scope(context)?.caller);
        let done = shared(context)?.world(|world| {
            world.service_instance_update(caller, &id, environment.as_ref(), &changes)
        });
        done.map(|()| true).map_err(refusal)
    }

    async fn service_update(
        &self,
        context: &Context<'_>,
        id: String,
        input: ServiceUpdateInput,
    ) -> Result<Service> {
        let (id, caller) = (ServiceId::new(id), &scope(context)?.caller);
        // Icons are not modelled.
        let _ = input.icon;
        let done = shared(context)?.world(|w| w.service_rename(caller, &id, input.name));
        done.map_err(refusal)?;
        Service::find(context, &id)
    }
}
