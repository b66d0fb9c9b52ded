//! What can be asked.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use pool_domain::{DeploymentId, EnvironmentId, ProjectId, ServiceId};

use super::connections::{QueryDeploymentsConnection, QueryEnvironmentsConnection};
use super::deployment::{self, Deployment};
use super::domain::AllDomains;
use super::environment::Environment;
use super::inputs::DeploymentListInput;
use super::project::Project;
use super::scalars::{DateTime, EnvironmentVariables, ServiceInstanceLimit};
use super::service::{Service, ServiceInstance};
use super::{Place, refusal, scope, shared};
use crate::Refusal;
use crate::world::{self, Caller, InstanceKey, PageArgs, VariableScope, World};

pub(in crate::server) struct Query;

#[Object]
impl Query {
    async fn deployment(&self, context: &Context<'_>, id: String) -> Result<Deployment> {
        deployment::find(context, &DeploymentId::new(id))
    }

    async fn deployments(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        input: DeploymentListInput,
        last: Option<i32>,
    ) -> Result<QueryDeploymentsConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        deployment::page_of(context, &input.into(), &args, |page, view| {
            QueryDeploymentsConnection::of(page, |found| Deployment::found(found, view))
        })
    }

    async fn domains(
        &self,
        context: &Context<'_>,
        environment_id: String,
        project_id: String,
        service_id: String,
    ) -> Result<AllDomains> {
        let key = key_of(service_id, environment_id);
        let project = ProjectId::new(project_id);
        let caller = &scope(context)?.caller;
        shared(context)?.world(|world| {
            let environment = world.environment(caller, &key.1, Some(&project));
            environment.map_err(refusal)?;
            let (service, instance) = instance_of(world, &key).map_err(refusal)?;
            let environment = &key.1;
            Ok(AllDomains::of(
                instance,
                Place {
                    service,
                    environment,
                },
            ))
        })
    }

    async fn environment(
        &self,
        context: &Context<'_>,
        id: String,
        project_id: Option<String>,
    ) -> Result<Environment> {
        let project = project_id.map(ProjectId::new);
        Environment::find(context, &EnvironmentId::new(id), project.as_ref())
    }

    #[expect(clippy::too_many_arguments, reason = "Railway's own arguments")]
    async fn environments(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        is_ephemeral: Option<bool>,
        last: Option<i32>,
        project_id: String,
    ) -> Result<QueryEnvironmentsConnection> {
        let project = ProjectId::new(project_id);
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let scope = scope(context)?;
        shared(context)?.world(|world| {
            let found = world.project(&scope.caller, &project).map_err(refusal)?;
            let (caller, view) = (&scope.caller, &scope.view);
            let page = world.environments_of(caller, found, is_ephemeral, &args, view);
            let show = |environment| Environment::of(&project, environment);
            Ok(QueryEnvironmentsConnection::of(
                page.map_err(refusal)?,
                show,
            ))
        })
    }

    async fn project(&self, context: &Context<'_>, id: String) -> Result<Project> {
        Project::find(context, &ProjectId::new(id))
    }

    async fn project_token(&self, context: &Context<'_>) -> Result<ProjectToken> {
        let Caller::Project {
            project,
            environment,
        } = &scope(context)?.caller
        else {
            return Err(refusal(Refusal::ProjectTokenNotFound));
        };
        let created_at = shared(context)?.world(|world| world.now());
        Ok(ProjectToken {
            created_at: DateTime(created_at),
            display_token: "sim-****".to_owned(),
            environment_id: environment.to_string(),
            id: ID(format!("token-of-{environment}")),
            name: "warm-pool".to_owned(),
            project_id: project.to_string(),
        })
    }

    async fn service(&self, context: &Context<'_>, id: String) -> Result<Service> {
        Service::find(context, &ServiceId::new(id))
    }

    async fn service_instance(
        &self,
        context: &Context<'_>,
        environment_id: String,
        service_id: String,
    ) -> Result<ServiceInstance> {
        let key = key_of(service_id, environment_id);
        let scope = scope(context)?;
        shared(context)?.world(|world| {
            let environment = world.environment(&scope.caller, &key.1, None);
            environment.map_err(refusal)?;
            let (service, instance) = instance_of(world, &key).map_err(refusal)?;
            Ok(ServiceInstance::of(
                0,
                service,
                instance,
                &key.1,
                &scope.view,
            ))
        })
    }

    async fn service_instance_limits(
        &self,
        context: &Context<'_>,
        environment_id: String,
        service_id: String,
    ) -> Result<ServiceInstanceLimit> {
        let key = key_of(service_id, environment_id);
        let caller = &scope(context)?.caller;
        shared(context)?.world(|world| {
            world.environment(caller, &key.1, None).map_err(refusal)?;
            let (_, instance) = instance_of(world, &key).map_err(refusal)?;
            let limits = instance.config.setting("/deploy/limitOverride");
            Ok(ServiceInstanceLimit(limits.cloned().unwrap_or_default()))
        })
    }

    async fn variables(
        &self,
        context: &Context<'_>,
        environment_id: String,
        project_id: String,
        service_id: Option<String>,
        unrendered: Option<bool>,
    ) -> Result<EnvironmentVariables> {
        let asked = VariableScope {
            project: ProjectId::new(project_id),
            environment: EnvironmentId::new(environment_id),
            service: service_id.map(ServiceId::new),
        };
        let caller = &scope(context)?.caller;
        let unrendered = unrendered.unwrap_or(false);
        let found = shared(context)?.world(|w| w.variables(caller, &asked, unrendered));
        found.map(EnvironmentVariables).map_err(refusal)
    }

    async fn variables_for_service_deployment(
        &self,
        context: &Context<'_>,
        environment_id: String,
        project_id: String,
        service_id: String,
    ) -> Result<EnvironmentVariables> {
        let asked = VariableScope {
            project: ProjectId::new(project_id),
            environment: EnvironmentId::new(environment_id),
            service: Some(ServiceId::new(service_id)),
        };
        let caller = &scope(context)?.caller;
        let found = shared(context)?.world(|w| w.variables(caller, &asked, false));
        found.map(EnvironmentVariables).map_err(refusal)
    }
}

fn key_of(service: String, environment: String) -> InstanceKey {
    (ServiceId::new(service), EnvironmentId::new(environment))
}

fn instance_of<'a>(
    world: &'a World,
    key: &InstanceKey,
) -> Result<(&'a world::Service, &'a world::ServiceInstance), Refusal> {
    let live = world
        .services()
        .get(&key.0)
        .filter(|service| service.is_live());
    let found = live.and_then(|service| Some((service, service.instances.get(&key.1)?)));
    found.ok_or(Refusal::ServiceInstanceNotFound)
}

#[derive(Debug, SimpleObject)]
struct ProjectToken {
    created_at: DateTime,
    display_token: String,
    environment_id: String,
    id: ID,
    name: String,
    project_id: String,
}
