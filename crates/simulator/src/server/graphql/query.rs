//! What can be asked.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{Context, ID, Object, Result};
use pool_domain::{DeploymentId, EnvironmentId, ProjectId, ServiceId};

use super::connections::{
    EnvironmentServiceInstancesConnection, EnvironmentVolumeInstancesConnection,
    QueryEnvironmentsConnection,
};
use super::objects::{Deployment, Place, ProjectToken, ServiceInstance, VolumeInstance};
use super::scalars::{DateTime, EnvironmentConfig};
use super::{refusal, scope, shared};
use crate::Refusal;
use crate::world::{self, Caller, PageArgs, View};

pub(in crate::server) struct Query;

#[Object]
impl Query {
    async fn environment(
        &self,
        context: &Context<'_>,
        id: String,
        project_id: Option<String>,
    ) -> Result<Environment> {
        let (id, project) = (EnvironmentId::new(id), project_id.map(ProjectId::new));
        let caller = &scope(context)?.caller;
        shared(context)?.world(|world| {
            let found = world.environment(caller, &id, project.as_ref());
            found
                .map(|(project, found)| Environment::of(project, found))
                .map_err(refusal)
        })
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
        let caller = &scope(context)?.caller;
        shared(context)?.world(|world| {
            let mut page = world
                .environments(caller, &project, &args)
                .map_err(refusal)?;
            page.items
                .retain(|(_, e)| is_ephemeral.is_none_or(|asked| asked == e.is_fork));
            Ok(QueryEnvironmentsConnection::of(page, |environment| {
                Environment::of(&project, environment)
            }))
        })
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

    async fn service_instance(
        &self,
        context: &Context<'_>,
        environment_id: String,
        service_id: String,
    ) -> Result<ServiceInstance> {
        let key = (
            ServiceId::new(service_id),
            EnvironmentId::new(environment_id),
        );
        let scope = scope(context)?;
        shared(context)?.world(|world| {
            world
                .environment(&scope.caller, &key.1, None)
                .map_err(refusal)?;
            let service = world
                .services()
                .get(&key.0)
                .filter(|service| service.is_live());
            let found = service.and_then(|service| Some((service, service.instances.get(&key.1)?)));
            let (service, instance) =
                found.ok_or_else(|| refusal(Refusal::ServiceInstanceNotFound))?;
            Ok(ServiceInstance::of(service, instance, &key.1, &scope.view))
        })
    }

    async fn deployment(&self, context: &Context<'_>, id: String) -> Result<Deployment> {
        let id = DeploymentId::new(id);
        let scope = scope(context)?;
        shared(context)?.world(|world| {
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
}

#[derive(Debug, Clone)]
pub(super) struct Environment {
    id: EnvironmentId,
    project: ProjectId,
    name: String,
    is_fork: bool,
    created_at: DateTime,
}

impl Environment {
    fn of(project: &ProjectId, environment: &world::Environment) -> Self {
        Self {
            id: environment.id.clone(),
            project: project.clone(),
            name: environment.name.clone(),
            is_fork: environment.is_fork,
            created_at: DateTime(environment.created_at),
        }
    }
}

#[Object]
impl Environment {
    async fn can_access(&self) -> bool {
        true
    }

    async fn config(
        &self,
        context: &Context<'_>,
        decrypt_variables: Option<bool>,
    ) -> Result<EnvironmentConfig> {
        let caller = &scope(context)?.caller;
        let decrypt = decrypt_variables.unwrap_or(false);
        let config = shared(context)?
            .world(|world| world.environment_config(caller, &self.id, decrypt))
            .map_err(refusal)?;
        Ok(EnvironmentConfig(config))
    }

    async fn created_at(&self) -> DateTime {
        self.created_at
    }

    async fn deleted_at(&self) -> Option<DateTime> {
        None
    }

    async fn id(&self) -> ID {
        ID(self.id.to_string())
    }

    async fn is_ephemeral(&self) -> bool {
        self.is_fork
    }

    async fn name(&self) -> &str {
        &self.name
    }

    async fn project_id(&self) -> &str {
        self.project.as_str()
    }

    async fn service_instances(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<EnvironmentServiceInstancesConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let view = &scope(context)?.view;
        shared(context)?.world(|world| {
            let page = world
                .service_instances(&self.id, &args, view)
                .map_err(refusal)?;
            Ok(EnvironmentServiceInstancesConnection::of(
                page,
                |(service, instance)| ServiceInstance::of(service, instance, &self.id, view),
            ))
        })
    }

    async fn unmerged_changes_count(&self) -> Option<i32> {
        Some(0)
    }

    async fn updated_at(&self) -> DateTime {
        self.created_at
    }

    async fn volume_instances(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<EnvironmentVolumeInstancesConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let view: &View = &scope(context)?.view;
        shared(context)?.world(|world| {
            let page = world
                .volume_instances(&self.id, &args, view)
                .map_err(refusal)?;
            Ok(EnvironmentVolumeInstancesConnection::of(
                page,
                |(volume, instance)| VolumeInstance::of(volume, instance, &self.id),
            ))
        })
    }
}
