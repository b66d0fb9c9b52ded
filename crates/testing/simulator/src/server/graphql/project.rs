//! Projects, as queries show them: what many clients still list everything from.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use pool_domain::ProjectId;

use super::connections::{
    ProjectBucketsConnection, ProjectDeploymentsConnection, ProjectEnvironmentsConnection,
    ProjectServicesConnection, ProjectVolumesConnection,
};
use super::deployment::{self, Deployment};
use super::environment::Environment;
use super::scalars::{DateTime, SubscriptionPlanLimit};
use super::service::Service;
use super::volume::Volume;
use super::{refusal, scope, shared};
use crate::world::{self, DeploymentFilter, Page, PageArgs, World};

/// The workspace that owns every project.
const WORKSPACE: &str = "sim-workspace";

#[derive(Debug, SimpleObject)]
#[graphql(complex)]
#[expect(clippy::struct_field_names, reason = "Railway's own names")]
pub(super) struct Project {
    base_environment_id: Option<String>,
    created_at: DateTime,
    deleted_at: Option<DateTime>,
    description: Option<String>,
    expired_at: Option<DateTime>,
    id: ID,
    is_public: bool,
    is_temp_project: bool,
    name: String,
    pr_deploys: bool,
    primary_environment_id: Option<String>,
    subscription_plan_limit: SubscriptionPlanLimit,
    subscription_type: SubscriptionPlanType,
    updated_at: DateTime,
    workspace: Option<Workspace>,
    workspace_id: Option<String>,
}

#[ComplexObject]
impl Project {
    async fn buckets(
        &self,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> ProjectBucketsConnection {
        // None is ever made, so that every page is empty.
        let _ = (after, before, first, last);
        let page = Page {
            items: Vec::new(),
            has_next: false,
            has_previous: false,
        };
        ProjectBucketsConnection::of(page, |bucket| bucket)
    }

    #[graphql(deprecation = "Use environment.deployments for properly scoped access control")]
    async fn deployments(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<ProjectDeploymentsConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let filter = DeploymentFilter {
            project: Some(self.project_id()),
            ..DeploymentFilter::default()
        };
        deployment::page_of(context, &filter, &args, |page, view| {
            ProjectDeploymentsConnection::of(page, |found| Deployment::found(found, view))
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
        sort: Option<SortOrder>,
    ) -> Result<ProjectEnvironmentsConnection> {
        // Always in the order in which they were made.
        let _ = sort;
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let (id, scope) = (self.project_id(), scope(context)?);
        shared(context)?.world(|world| {
            let project = world.project(&scope.caller, &id).map_err(refusal)?;
            let (caller, view) = (&scope.caller, &scope.view);
            let page = world.environments_of(caller, project, is_ephemeral, &args, view);
            let show = |environment| Environment::of(&id, environment);
            let page = page.map_err(refusal)?;
            Ok(ProjectEnvironmentsConnection::of(page, show))
        })
    }

    async fn services(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<ProjectServicesConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let (id, scope) = (self.project_id(), scope(context)?);
        shared(context)?.world(|world| {
            let page = world.services_of_project(&scope.caller, &id, &args, &scope.view);
            let page = page.map_err(refusal)?;
            Ok(ProjectServicesConnection::of(page, Service::of))
        })
    }

    async fn volumes(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<ProjectVolumesConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let (id, scope) = (self.project_id(), scope(context)?);
        shared(context)?.world(|world| {
            let page = world.volumes_of_project(&scope.caller, &id, &args, &scope.view);
            let page = page.map_err(refusal)?;
            Ok(ProjectVolumesConnection::of(page, Volume::of))
        })
    }
}

impl Project {
    /// The project of that id.
    pub(super) fn find(context: &Context<'_>, id: &ProjectId) -> Result<Self> {
        let caller = &scope(context)?.caller;
        let found = shared(context)?.world(|world| {
            let project = world.project(caller, id)?;
            Ok(Self::of(world, project))
        });
        found.map_err(refusal)
    }

    fn of(world: &World, project: &world::Project) -> Self {
        let first = project.environments.first();
        let primary = first.map(|environment| environment.id.to_string());
        let created_at = DateTime(first.map_or(world.now(), |e| e.created_at));
        let settings = world.settings();
        Self {
            base_environment_id: primary.clone(),
            created_at,
            deleted_at: None,
            description: None,
            expired_at: None,
            id: ID(project.id.to_string()),
            is_public: false,
            is_temp_project: false,
            name: project.name.clone(),
            pr_deploys: false,
            primary_environment_id: primary,
            subscription_plan_limit: SubscriptionPlanLimit(serde_json::json!({
                "services": {"maxPerProject": settings.services_per_project},
                "volumes": {"maxPerProject": settings.volumes_per_project},
            })),
            subscription_type: SubscriptionPlanType::Pro,
            updated_at: created_at,
            workspace: Some(Workspace {
                id: ID(WORKSPACE.to_owned()),
                name: WORKSPACE.to_owned(),
            }),
            workspace_id: Some(WORKSPACE.to_owned()),
        }
    }

    fn project_id(&self) -> ProjectId {
        ProjectId::new(self.id.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(rename_items = "lowercase")]
enum SubscriptionPlanType {
    Free,
    Hobby,
    Pro,
    Trial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(rename_items = "lowercase")]
enum SortOrder {
    Asc,
    Desc,
}

#[derive(Debug, SimpleObject)]
struct Workspace {
    id: ID,
    name: String,
}

/// A place for files, of which the world has none.
#[derive(Debug, SimpleObject)]
pub(super) struct Bucket {
    created_at: DateTime,
    id: ID,
    name: String,
    project_id: String,
}
