//! Volumes and their instances, as queries show them.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use pool_domain::{EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::connections::VolumeVolumeInstancesConnection;
use super::environment::Environment;
use super::project::Project;
use super::scalars::DateTime;
use super::service::Service;
use super::{refusal, scope, shared};
use crate::world::{self, PageArgs};

#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(super) struct VolumeInstance {
    created_at: DateTime,
    #[graphql(name = "currentSizeMB")]
    current_size_mb: f64,
    deleted_at: Option<DateTime>,
    environment_id: String,
    external_id: Option<String>,
    id: ID,
    is_pending_deletion: bool,
    mount_path: String,
    region: Option<String>,
    service_id: Option<String>,
    #[graphql(name = "sizeMB")]
    size_mb: i32,
    state: Option<VolumeState>,
    volume: Volume,
    volume_id: String,
}

#[ComplexObject]
impl VolumeInstance {
    async fn environment(&self, context: &Context<'_>) -> Result<Environment> {
        let id = EnvironmentId::new(self.environment_id.as_str());
        Environment::find(context, &id, None)
    }

    /// Fails where the service was deleted or there is none, and takes the whole answer with it.
    async fn service(&self, context: &Context<'_>) -> Result<Service> {
        let id = ServiceId::new(self.service_id.clone().unwrap_or_default());
        Service::find_nested(context, &id)
    }
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
            external_id: None,
            id: ID(instance.id.clone()),
            is_pending_deletion: pending,
            mount_path: instance.mount_path.clone(),
            region: None,
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
pub(super) enum VolumeState {
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
#[graphql(complex)]
pub(super) struct Volume {
    created_at: DateTime,
    id: ID,
    name: String,
    project_id: String,
}

#[ComplexObject]
impl Volume {
    async fn project(&self, context: &Context<'_>) -> Result<Project> {
        Project::find(context, &ProjectId::new(self.project_id.as_str()))
    }

    #[graphql(deprecation = "Use environment.volumeInstances for properly scoped access control")]
    async fn volume_instances(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<VolumeVolumeInstancesConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let (id, scope) = (VolumeId::new(self.id.as_str()), scope(context)?);
        shared(context)?.world(|world| {
            let volume = world.volume(&scope.caller, &id).map_err(refusal)?;
            let page = world.instances_of_volume(&scope.caller, volume, &args, &scope.view);
            let show = |(environment, instance)| VolumeInstance::of(volume, instance, environment);
            let page = page.map_err(refusal)?;
            Ok(VolumeVolumeInstancesConnection::of(page, show))
        })
    }
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

    /// The volume of that id.
    pub(super) fn find(context: &Context<'_>, id: &VolumeId) -> Result<Self> {
        let caller = &scope(context)?.caller;
        let found = shared(context)?.world(|w| w.volume(caller, id).map(Self::of));
        found.map_err(refusal)
    }
}
