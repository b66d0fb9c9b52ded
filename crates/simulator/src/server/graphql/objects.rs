//! What queries give. Fields that Railway has and the world does not model are left out.

use async_graphql::{Enum, ID, SimpleObject};
use pool_domain::EnvironmentId;

use super::scalars::DateTime;
use crate::world::{self, View};

#[derive(Debug, SimpleObject)]
pub(super) struct ServiceInstance {
    active_deployments: Vec<Deployment>,
    created_at: DateTime,
    deleted_at: Option<DateTime>,
    domains: AllDomains,
    environment_id: String,
    id: ID,
    latest_deployment: Option<Deployment>,
    service_id: String,
    service_name: String,
    sleep_application: Option<bool>,
    source: Option<ServiceSource>,
    start_command: Option<String>,
    updated_at: DateTime,
}

impl ServiceInstance {
    pub(super) fn of(
        service: &world::Service,
        instance: &world::ServiceInstance,
        environment: &EnvironmentId,
        view: &View,
    ) -> Self {
        let place = Place {
            service,
            environment,
        };
        let config = &instance.config;
        let (image, repo) = (config.image(), config.repo());
        let has_source = image.is_some() || repo.is_some();
        let show = |deployment: &world::Deployment| Deployment::of(deployment, place, view);
        Self {
            active_deployments: instance.active().map(show).collect(),
            created_at: DateTime(instance.created_at),
            // A listing that lags behind a deletion knows nothing of it.
            deleted_at: None,
            domains: AllDomains::of(instance, place),
            environment_id: environment.to_string(),
            id: ID(instance.id.clone()),
            latest_deployment: instance.latest().map(show),
            service_id: service.id.to_string(),
            service_name: service.name.clone(),
            sleep_application: config.sleep_application(),
            source: has_source.then(|| ServiceSource {
                image: image.map(str::to_owned),
                repo: repo.map(str::to_owned),
            }),
            start_command: config.start_command().map(str::to_owned),
            updated_at: DateTime(instance.updated_at),
        }
    }
}

/// Which service, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) service: &'a world::Service,
    pub(super) environment: &'a EnvironmentId,
}

#[derive(Debug, SimpleObject)]
struct ServiceSource {
    image: Option<String>,
    repo: Option<String>,
}

#[derive(Debug, SimpleObject)]
struct AllDomains {
    custom_domains: Vec<CustomDomain>,
    service_domains: Vec<ServiceDomain>,
}

impl AllDomains {
    fn of(instance: &world::ServiceInstance, place: Place<'_>) -> Self {
        let custom = instance.custom_domains.iter();
        let given = instance.domains.iter();
        Self {
            custom_domains: custom
                .map(|domain| CustomDomain::of(domain, place))
                .collect(),
            service_domains: given
                .map(|domain| ServiceDomain::of(domain, place))
                .collect(),
        }
    }
}

#[derive(Debug, SimpleObject)]
pub(super) struct ServiceDomain {
    created_at: Option<DateTime>,
    deleted_at: Option<DateTime>,
    domain: String,
    environment_id: String,
    id: ID,
    project_id: Option<String>,
    service_id: String,
    sync_status: ServiceDomainSyncStatus,
    target_port: Option<i32>,
    updated_at: Option<DateTime>,
}

impl ServiceDomain {
    pub(super) fn of(domain: &world::Domain, place: Place<'_>) -> Self {
        Self {
            created_at: Some(DateTime(domain.created_at)),
            deleted_at: None,
            domain: domain.domain.clone(),
            environment_id: place.environment.to_string(),
            id: ID(domain.id.clone()),
            project_id: Some(place.service.project.to_string()),
            service_id: place.service.id.to_string(),
            sync_status: ServiceDomainSyncStatus::Active,
            target_port: domain.target_port,
            updated_at: Some(DateTime(domain.created_at)),
        }
    }
}

#[derive(Debug, SimpleObject)]
struct CustomDomain {
    created_at: Option<DateTime>,
    deleted_at: Option<DateTime>,
    domain: String,
    environment_id: String,
    id: ID,
    project_id: Option<String>,
    service_id: String,
    sync_status: CustomDomainSyncStatus,
    target_port: Option<i32>,
    updated_at: Option<DateTime>,
}

impl CustomDomain {
    fn of(domain: &world::Domain, place: Place<'_>) -> Self {
        let given = ServiceDomain::of(domain, place);
        Self {
            created_at: given.created_at,
            deleted_at: given.deleted_at,
            domain: given.domain,
            environment_id: given.environment_id,
            id: given.id,
            project_id: given.project_id,
            service_id: given.service_id,
            sync_status: CustomDomainSyncStatus::Active,
            target_port: given.target_port,
            updated_at: given.updated_at,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum ServiceDomainSyncStatus {
    Active,
    Creating,
    Deleted,
    Deleting,
    Unspecified,
    Updating,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum CustomDomainSyncStatus {
    Active,
    Creating,
    Deleted,
    Deleting,
    Unspecified,
    Updating,
}

#[derive(Debug, SimpleObject)]
#[expect(clippy::struct_field_names, reason = "Railway's own names")]
pub(super) struct Deployment {
    can_redeploy: bool,
    created_at: DateTime,
    deployment_stopped: bool,
    environment_id: String,
    id: ID,
    project_id: String,
    service_id: Option<String>,
    status: DeploymentStatus,
    status_updated_at: Option<DateTime>,
    updated_at: DateTime,
}

impl Deployment {
    pub(super) fn of(deployment: &world::Deployment, place: Place<'_>, view: &View) -> Self {
        Self {
            can_redeploy: !deployment.is_in_progress(),
            created_at: DateTime(deployment.created_at),
            deployment_stopped: deployment.stopped,
            environment_id: place.environment.to_string(),
            id: ID(deployment.id.to_string()),
            project_id: place.service.project.to_string(),
            service_id: Some(place.service.id.to_string()),
            status: if view.unknown_status {
                DeploymentStatus::Hibernating
            } else {
                DeploymentStatus::of(&deployment.status)
            },
            status_updated_at: Some(DateTime(deployment.status_updated_at)),
            updated_at: DateTime(deployment.status_updated_at),
        }
    }
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
}

#[derive(Debug, SimpleObject)]
pub(super) struct VolumeInstance {
    created_at: DateTime,
    #[graphql(name = "currentSizeMB")]
    current_size_mb: f64,
    deleted_at: Option<DateTime>,
    environment_id: String,
    id: ID,
    is_pending_deletion: bool,
    mount_path: String,
    service_id: Option<String>,
    #[graphql(name = "sizeMB")]
    size_mb: i32,
    state: Option<VolumeState>,
    volume: Volume,
    volume_id: String,
}

impl VolumeInstance {
    pub(super) fn of(
        volume: &world::Volume,
        instance: &world::VolumeInstance,
        environment: &EnvironmentId,
    ) -> Self {
        let pending = volume.is_pending_deletion();
        Self {
            created_at: DateTime(volume.created_at),
            current_size_mb: 0.0,
            // Railway's own oddity: this is when it will be gone, and not when it was deleted.
            deleted_at: volume.purged_at.map(DateTime),
            environment_id: environment.to_string(),
            id: ID(instance.id.clone()),
            is_pending_deletion: pending,
            mount_path: instance.mount_path.clone(),
            service_id: instance.service.as_ref().map(ToString::to_string),
            size_mb: 50_000,
            state: Some(if pending {
                VolumeState::Deleting
            } else {
                VolumeState::Ready
            }),
            volume: Volume::of(volume),
            volume_id: volume.id.to_string(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum VolumeState {
    Deleted,
    Deleting,
    Error,
    Migrating,
    MigrationPending,
    Ready,
    Restoring,
    Updating,
}

#[derive(Debug, SimpleObject)]
pub(super) struct Volume {
    created_at: DateTime,
    id: ID,
    name: String,
    project_id: String,
}

impl Volume {
    pub(super) fn of(volume: &world::Volume) -> Self {
        Self {
            created_at: DateTime(volume.created_at),
            id: ID(volume.id.to_string()),
            name: volume.name.clone(),
            project_id: volume.project.to_string(),
        }
    }
}

#[derive(Debug, SimpleObject)]
pub(super) struct Service {
    created_at: DateTime,
    deleted_at: Option<DateTime>,
    id: ID,
    name: String,
    project_id: String,
    updated_at: DateTime,
}

impl Service {
    pub(super) fn of(service: &world::Service) -> Self {
        Self {
            created_at: DateTime(service.created_at),
            deleted_at: service.deleted_at.map(DateTime),
            id: ID(service.id.to_string()),
            name: service.name.clone(),
            project_id: service.project.to_string(),
            updated_at: DateTime(service.created_at),
        }
    }
}

#[derive(Debug, SimpleObject)]
pub(super) struct ProjectToken {
    pub(super) created_at: DateTime,
    pub(super) display_token: String,
    pub(super) environment_id: String,
    pub(super) id: ID,
    pub(super) name: String,
    pub(super) project_id: String,
}
