//! The things that the world is made of. They are changed only by the world's own methods.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pool_domain::{DeploymentId, DeploymentStatus, EnvironmentId, ServiceId, VolumeId};

use super::Agent;
use super::config::Config;

/// A service in one environment.
pub type InstanceKey = (ServiceId, EnvironmentId);

/// One environment of the project.
#[derive(Debug, Clone)]
pub struct Environment {
    pub id: EnvironmentId,
    pub name: String,
    /// A fork of another environment: a service gets an instance in it only when asked.
    pub is_fork: bool,
}

/// A service, with an instance in each environment that it reaches.
#[derive(Debug, Clone)]
pub struct Service {
    pub id: ServiceId,
    /// Its name, unique among the live ones.
    pub name: String,
    /// Its place in listings.
    pub seq: u64,
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
    pub created_at: DateTime<Utc>,
    /// What it is to run, and how.
    pub config: Config,
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
}

/// One run of a service instance.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub id: DeploymentId,
    pub status: DeploymentStatus,
    /// Ran to its end or was stopped by hand; its status stays SUCCESS.
    pub stopped: bool,
    /// Since when its container runs.
    pub running_since: Option<DateTime<Utc>>,
    /// The variables that its container has, whatever is configured later.
    pub variables: Arc<BTreeMap<String, String>>,
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

    /// It has this status from now on, and nothing more comes by itself.
    pub(super) fn end(&mut self, status: &DeploymentStatus, stopped: bool) {
        self.status = status.clone();
        self.stopped = stopped;
        self.running_since = None;
        self.upcoming.clear();
    }
}

/// Why a deployment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The service was created with a source.
    Created,
    /// Its configuration was changed by a commit.
    Patched,
    /// Railway did it by itself, as when it empties a host.
    Railway,
    /// A test put it there.
    Seeded,
}

/// A volume, in its one environment.
#[derive(Debug, Clone)]
pub struct Volume {
    pub id: VolumeId,
    pub name: String,
    /// Railway's id of it in its environment.
    pub instance_id: String,
    /// Its place in listings.
    pub seq: u64,
    pub environment: EnvironmentId,
    /// The service that it is attached to; none when detached.
    pub service: Option<ServiceId>,
    pub created_at: DateTime<Utc>,
    /// When it was asked to go. It is kept, pending deletion, until `purged_at`.
    pub deleted_at: Option<DateTime<Utc>>,
    /// When it will be gone for good.
    pub purged_at: Option<DateTime<Utc>>,
}

impl Volume {
    /// Whether it was deleted and is kept for a while.
    #[must_use]
    pub const fn is_pending_deletion(&self) -> bool {
        self.deleted_at.is_some()
    }
}
