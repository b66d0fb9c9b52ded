//! One run of a service instance, as queries show it.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use pool_domain::{EnvironmentId, ServiceId};

use super::environment::Environment;
use super::scalars::{DateTime, DeploymentMeta};
use super::service::Service;
use super::{Place, refusal, scope, shared};
use crate::world::{self, View};

#[derive(Debug, SimpleObject)]
#[graphql(complex)]
#[expect(clippy::struct_field_names, reason = "Railway's own names")]
#[expect(clippy::struct_excessive_bools, reason = "Railway's own fields")]
pub(super) struct Deployment {
    can_redeploy: bool,
    can_rollback: bool,
    created_at: DateTime,
    deployment_stopped: bool,
    environment_id: String,
    id: ID,
    instances: Vec<DeploymentDeploymentInstance>,
    meta: Option<DeploymentMeta>,
    project_id: String,
    service_id: Option<String>,
    snapshot_id: Option<String>,
    static_url: Option<String>,
    status: DeploymentStatus,
    status_updated_at: Option<DateTime>,
    suggest_add_service_domain: bool,
    updated_at: DateTime,
    url: Option<String>,
}

#[ComplexObject]
impl Deployment {
    async fn environment(&self, context: &Context<'_>) -> Result<Environment> {
        let id = EnvironmentId::new(self.environment_id.as_str());
        Environment::find(context, &id, None)
    }

    /// Fails where the service was deleted, and takes the whole answer with it.
    async fn service(&self, context: &Context<'_>) -> Result<Service> {
        let id = ServiceId::new(self.service_id.clone().unwrap_or_default());
        Service::find_nested(context, &id)
    }
}

impl Deployment {
    pub(super) fn of(deployment: &world::Deployment, place: Place<'_>, view: &View) -> Self {
        let instance = place.service.instances.get(place.environment);
        let domain = instance.and_then(|i| i.domains.first());
        let since_begun = deployment.status != pool_domain::DeploymentStatus::Initializing;
        let updated_at = DateTime(deployment.status_updated_at);
        Self {
            can_redeploy: deployment.has_snapshot && !deployment.is_in_progress(),
            can_rollback: deployment.has_snapshot,
            created_at: DateTime(deployment.created_at),
            deployment_stopped: deployment.stopped,
            environment_id: place.environment.to_string(),
            id: ID(deployment.id.to_string()),
            instances: DeploymentDeploymentInstance::of(deployment),
            meta: Some(DeploymentMeta(meta_of(deployment))),
            project_id: place.service.project.to_string(),
            service_id: Some(place.service.id.to_string()),
            snapshot_id: (deployment.has_snapshot).then(|| format!("snapshot-{}", deployment.id)),
            static_url: domain.map(|domain| domain.domain.clone()),
            status: DeploymentStatus::of(view.every_status.as_ref().unwrap_or(&deployment.status)),
            // The first status was never updated.
            status_updated_at: since_begun.then_some(updated_at),
            suggest_add_service_domain: domain.is_none(),
            updated_at,
            url: None,
        }
    }

    pub(super) fn found(found: world::FoundDeployment<'_>, view: &View) -> Self {
        let world::FoundDeployment(service, environment, deployment) = found;
        let place = Place {
            service,
            environment,
        };
        Self::of(deployment, place, view)
    }
}

fn meta_of(deployment: &world::Deployment) -> serde_json::Value {
    match &deployment.image {
        Some(image) => serde_json::json!({"image": image, "reason": "deploy"}),
        None => serde_json::json!({"reason": "deploy"}),
    }
}

/// A container of a deployment.
#[derive(Debug, SimpleObject)]
struct DeploymentDeploymentInstance {
    id: String,
    status: DeploymentInstanceStatus,
}

impl DeploymentDeploymentInstance {
    fn of(deployment: &world::Deployment) -> Vec<Self> {
        use DeploymentInstanceStatus as Shown;
        use pool_domain::DeploymentStatus as Known;
        let status = match deployment.status {
            Known::Deploying => Shown::Initializing,
            Known::Success if deployment.stopped => Shown::Exited,
            Known::Success => Shown::Running,
            Known::Sleeping => Shown::Stopped,
            Known::Crashed => Shown::Crashed,
            Known::Removing => Shown::Removing,
            Known::Removed => Shown::Removed,
            _ => return Vec::new(),
        };
        let id = format!("instance-{}", deployment.id);
        vec![Self { id, status }]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum DeploymentInstanceStatus {
    Crashed,
    Created,
    Exited,
    Initializing,
    Removed,
    Removing,
    Restarting,
    Running,
    Skipped,
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum DeploymentStatus {
    Building,
    Crashed,
    Deploying,
    Failed,
    Initializing,
    NeedsApproval,
    Queued,
    Removed,
    Removing,
    Skipped,
    Sleeping,
    Success,
    Waiting,
    // In no schema: what a client sees when Railway learns a new status.
    #[graphql(visible = false)]
    Hibernating,
}

impl DeploymentStatus {
    fn of(status: &pool_domain::DeploymentStatus) -> Self {
        use pool_domain::DeploymentStatus as Known;
        match status {
            Known::Building => Self::Building,
            Known::Crashed => Self::Crashed,
            Known::Deploying => Self::Deploying,
            Known::Failed => Self::Failed,
            Known::Initializing => Self::Initializing,
            Known::NeedsApproval => Self::NeedsApproval,
            Known::Queued => Self::Queued,
            Known::Removed => Self::Removed,
            Known::Removing => Self::Removing,
            Known::Skipped => Self::Skipped,
            Known::Sleeping => Self::Sleeping,
            Known::Success => Self::Success,
            Known::Waiting => Self::Waiting,
            Known::Other(_) => Self::Hibernating,
        }
    }

    /// The same in the pool's own words.
    pub(super) fn known(self) -> pool_domain::DeploymentStatus {
        let known = pool_domain::DeploymentStatus::KNOWN.into_iter();
        let mut same = known.filter(|known| Self::of(known) == self);
        let other = || pool_domain::DeploymentStatus::Other(super::UNKNOWN_STATUS.to_owned());
        same.next().unwrap_or_else(other)
    }
}

/// A page of deployments of all environments that the caller sees, the latest first.
pub(super) fn page_of<T>(
    context: &Context<'_>,
    filter: &world::DeploymentFilter,
    args: &world::PageArgs,
    connect: impl FnOnce(world::Page<world::FoundDeployment<'_>>, &View) -> T,
) -> Result<T> {
    let scope = scope(context)?;
    shared(context)?.world(|world| {
        let page = world.deployments(&scope.caller, filter, args, &scope.view);
        Ok(connect(page.map_err(refusal)?, &scope.view))
    })
}

/// The deployment of that id.
pub(super) fn find(context: &Context<'_>, id: &pool_domain::DeploymentId) -> Result<Deployment> {
    let scope = scope(context)?;
    shared(context)?.world(|world| {
        let found = world.find_deployment(&scope.caller, id);
        let (service, environment, deployment) = found.map_err(refusal)?;
        let found = world::FoundDeployment(service, environment, deployment);
        Ok(Deployment::found(found, &scope.view))
    })
}
