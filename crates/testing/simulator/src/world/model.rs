//! The things that the world is made of. They are changed only by the world's own methods.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pool_domain::{DeploymentId, DeploymentStatus, EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::Agent;
use super::config::Config;

/// A service in one environment.
pub type InstanceKey = (ServiceId, EnvironmentId);

/// A project with its environments.
#[derive(Debug, Clone)]
pub struct Project {
    pub id: ProjectId,
    pub name: String,
    /// Its environments, at least two.
    pub environments: Vec<Environment>,
}

/// One environment of a project.
#[derive(Debug, Clone)]
pub struct Environment {
    pub id: EnvironmentId,
    pub name: String,
    /// A fork of another environment: a service gets an instance in it only when asked.
    pub is_fork: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A service, with an instance in each environment that it reaches.
#[derive(Debug, Clone)]
pub struct Service {
    pub id: ServiceId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// Its name, unique among the live ones of the project.
    pub name: String,
    /// Its place in listings.
    pub seq: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was deleted, kept so that tests can see what happened to it.
    pub deleted_at: Option<DateTime<Utc>>,
    pub instances: BTreeMap<EnvironmentId, ServiceInstance>,
}

impl Service {
    /// Whether it was not deleted.
    pub(crate) const fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }
}

/// A service in one environment.
#[derive(Debug, Clone)]
pub struct ServiceInstance {
    /// Railway's id of the instance.
    pub id: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// What it is to run, and how.
    pub config: Config,
    /// Domains that Railway gave.
    pub domains: Vec<Domain>,
    /// Its deployments, the latest last; older ones are forgotten.
    pub deployments: VecDeque<Deployment>,
    /// How many deployments it ever had, and from which cause.
    pub deploys_by_cause: BTreeMap<Cause, u32>,
    /// The program in it.
    pub agent: Agent,
}

impl ServiceInstance {
    #[must_use]
    pub fn latest(&self) -> Option<&Deployment> {
        self.deployments.back()
    }

    /// The deployments that serve now, or would on a request.
    pub fn active(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments
            .iter()
            .filter(|deployment| deployment.is_active())
    }
}

/// A name under which a service is reached.
#[derive(Debug, Clone)]
pub struct Domain {
    pub id: String,
    /// The name, here `127.0.0.1:PORT`.
    pub domain: String,
    /// The port inside the container, where one was asked for.
    pub target_port: Option<i32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// One run of a service instance.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub id: DeploymentId,
    /// Its place in listings, which begin with the latest.
    pub seq: u64,
    /// The image that it runs; none where it is built from a repository.
    pub image: Option<String>,
    /// Whether its container was made once, so that it can be run again.
    pub has_snapshot: bool,
    /// Where it is.
    pub status: DeploymentStatus,
    /// Ran to its end or was stopped by hand; its status stays SUCCESS.
    pub stopped: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    pub status_updated_at: DateTime<Utc>,
    /// Since when its container runs.
    pub running_since: Option<DateTime<Utc>>,
    /// The variables that its container was made with: those at the beginning of DEPLOYING.
    pub variables: Arc<BTreeMap<String, String>>,
    /// Why it was made.
    pub cause: Cause,
    /// The statuses that it will have, and when.
    pub upcoming: VecDeque<(DateTime<Utc>, DeploymentStatus)>,
}

impl Deployment {
    /// Whether it serves, or is asleep and would.
    pub(crate) const fn is_active(&self) -> bool {
        match self.status {
            DeploymentStatus::Success => !self.stopped,
            DeploymentStatus::Sleeping => true,
            _ => false,
        }
    }

    /// Whether it is on its way up.
    pub(crate) const fn is_in_progress(&self) -> bool {
        matches!(
            self.status,
            DeploymentStatus::Initializing
                | DeploymentStatus::Queued
                | DeploymentStatus::Waiting
                | DeploymentStatus::NeedsApproval
                | DeploymentStatus::Building
                | DeploymentStatus::Deploying
        )
    }
}

/// Why a deployment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The service was created with a source.
    Created,
    /// Its configuration was changed by a commit.
    Patched,
    /// Its configuration was changed by one of the older mutations.
    Updated,
    /// Somebody asked for it.
    Asked,
    /// Railway did it by itself, as when it empties a host.
    Railway,
    /// A test put it there.
    Seeded,
}

/// A volume, with an instance in each environment that it reaches.
#[derive(Debug, Clone)]
pub struct Volume {
    pub id: VolumeId,
    /// The project it belongs to.
    pub project: ProjectId,
    pub name: String,
    /// Its place in listings.
    pub seq: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was asked to go. It is kept, pending deletion, until `purged_at`.
    pub deleted_at: Option<DateTime<Utc>>,
    /// When it will be gone for good.
    pub purged_at: Option<DateTime<Utc>>,
    pub instances: BTreeMap<EnvironmentId, VolumeInstance>,
}

impl Volume {
    /// Whether it was deleted and is kept for a while.
    #[must_use]
    pub const fn is_pending_deletion(&self) -> bool {
        self.deleted_at.is_some()
    }
}

/// A volume in one environment.
#[derive(Debug, Clone)]
pub struct VolumeInstance {
    /// Railway's id of the instance.
    pub id: String,
    /// The service that it is attached to; none when detached.
    pub service: Option<ServiceId>,
    /// Where in the container it is.
    pub mount_path: String,
}
