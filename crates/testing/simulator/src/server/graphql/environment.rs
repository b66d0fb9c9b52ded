//! Environments, as queries show them: the newer way to list everything.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use std::hash::{DefaultHasher, Hash, Hasher};

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use pool_domain::{EnvironmentId, ProjectId};

use super::connections::{
    EnvironmentDeploymentsConnection, EnvironmentServiceInstancesConnection,
    EnvironmentVolumeInstancesConnection,
};
use super::deployment::{self, Deployment};
use super::scalars::{DateTime, EnvironmentConfig};
use super::service::ServiceInstance;
use super::volume::VolumeInstance;
use super::{refusal, scope, shared};
use crate::world::{self, DeploymentFilter, PageArgs, View};

#[derive(Debug, Clone)]
pub(super) struct Environment {
    id: EnvironmentId,
    project: ProjectId,
    name: String,
    is_fork: bool,
    created_at: DateTime,
}

impl Environment {
    pub(super) fn of(project: &ProjectId, environment: &world::Environment) -> Self {
        Self {
            id: environment.id.clone(),
            project: project.clone(),
            name: environment.name.clone(),
            is_fork: environment.is_fork,
            created_at: DateTime(environment.created_at),
        }
    }

    /// The environment of that id.
    pub(super) fn find(
        context: &Context<'_>,
        id: &EnvironmentId,
        project: Option<&ProjectId>,
    ) -> Result<Self> {
        let caller = &scope(context)?.caller;
        let found = shared(context)?.world(|world| {
            let (project, found) = world.environment(caller, id, project)?;
            Ok(Self::of(project, found))
        });
        found.map_err(refusal)
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

    /// Changes whenever the configuration does.
    async fn config_etag(&self, context: &Context<'_>) -> Result<String> {
        let caller = &scope(context)?.caller;
        let config = shared(context)?.world(|w| w.environment_config(caller, &self.id, true));
        let mut hasher = DefaultHasher::new();
        config.map_err(refusal)?.to_string().hash(&mut hasher);
        Ok(format!("{:016x}", hasher.finish()))
    }

    async fn created_at(&self) -> DateTime {
        self.created_at
    }

    async fn deleted_at(&self) -> Option<DateTime> {
        None
    }

    async fn deployments(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<EnvironmentDeploymentsConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let filter = DeploymentFilter {
            environment: Some(self.id.clone()),
            ..DeploymentFilter::default()
        };
        deployment::page_of(context, &filter, &args, |page, view| {
            EnvironmentDeploymentsConnection::of(page, |found| Deployment::found(found, view))
        })
    }

    async fn id(&self) -> ID {
        ID(self.id.to_string())
    }

    async fn is_ephemeral(&self) -> bool {
        self.is_fork
    }

    /// What is known of the pull request that it is for: here it is for none.
    async fn meta(&self) -> Option<EnvironmentMeta> {
        None
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
            let mut index = 0;
            let show = |(service, instance)| {
                index += 1;
                ServiceInstance::of(index - 1, service, instance, &self.id, view)
            };
            Ok(EnvironmentServiceInstancesConnection::of(page, show))
        })
    }

    async fn source_environment(&self) -> Option<Environment> {
        None
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

#[derive(Debug, SimpleObject)]
struct EnvironmentMeta {
    base_branch: Option<String>,
    branch: Option<String>,
    pr_number: Option<i32>,
    pr_repo: Option<String>,
    pr_title: Option<String>,
}
