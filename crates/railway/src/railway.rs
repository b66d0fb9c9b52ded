//! Signatures; the bodies follow.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use pool_domain::{EnvironmentId, Listing, ProjectId, Secret, ServiceId, VolumeId};

use crate::Error;

/// What the client needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Railway's endpoint, for example `https://backboard.railway.com/graphql/v2`.
    pub api_url: String,
    /// How we prove who we are.
    pub token: Token,
    /// The project.
    pub project_id: ProjectId,
}

/// The two kinds of token, which go into different headers.
#[derive(Debug, Clone)]
pub enum Token {
    /// One environment of one project: `Project-Access-Token`.
    Project(Secret),
    /// An account's or a workspace's: `Authorization: Bearer`.
    Account(Secret),
}

/// An environment as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentRef {
    /// By its id.
    Id(EnvironmentId),
    /// By its name, in any case.
    Name(String),
}

/// An environment of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Railway's id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: String,
}

/// What Railway said is left of the current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Requests a window allows.
    pub limit: Option<u64>,
    /// Requests left in this window.
    pub remaining: Option<u64>,
    /// When the window ends.
    pub resets_at: Option<DateTime<Utc>>,
}

/// A client of one project. Cheap to clone; clones share connections, spacing and budget.
#[derive(Debug, Clone)]
pub struct Railway;

/// The same client, for one environment.
#[derive(Debug, Clone)]
pub struct EnvironmentClient;

/// What a service is to run, committed together with others and deployed once.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePatch {
    /// Which service.
    pub service_id: ServiceId,
    /// Its image.
    pub image: String,
    /// Its start command.
    pub start_command: String,
    /// Its limit in vCPUs.
    pub vcpus: f64,
    /// Its limit in bytes.
    pub memory_bytes: u64,
    /// Its variables.
    pub variables: Vec<(String, Secret)>,
}

#[expect(
    clippy::unused_async,
    clippy::unused_self,
    clippy::todo,
    missing_docs,
    clippy::needless_pass_by_value,
    reason = "signatures only"
)]
impl Railway {
    pub fn new(settings: Settings) -> Result<Self, Error> {
        todo!("{settings:?}")
    }
    pub async fn resolve_environment(&self, wanted: &EnvironmentRef) -> Result<Environment, Error> {
        todo!("{wanted:?}")
    }
    #[must_use]
    pub fn in_environment(&self, id: EnvironmentId) -> EnvironmentClient {
        todo!("{id}")
    }
    #[must_use]
    pub fn budget(&self) -> Budget {
        todo!()
    }
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        todo!()
    }
}

#[expect(
    clippy::unused_async,
    clippy::unused_self,
    clippy::todo,
    missing_docs,
    reason = "signatures only"
)]
impl EnvironmentClient {
    pub async fn list(&self, started_at: DateTime<Utc>) -> Listing {
        todo!("{started_at}")
    }
    pub async fn variables(&self) -> Result<HashMap<ServiceId, HashMap<String, Secret>>, Error> {
        todo!()
    }
    pub async fn create_service(&self, name: &str) -> Result<ServiceId, Error> {
        todo!("{name}")
    }
    pub async fn create_volume(
        &self,
        service: &ServiceId,
        mount_path: &str,
    ) -> Result<VolumeId, Error> {
        todo!("{service}{mount_path}")
    }
    pub async fn create_domain(&self, service: &ServiceId) -> Result<String, Error> {
        todo!("{service}")
    }
    pub async fn commit(&self, patches: &[ServicePatch]) -> Result<(), Error> {
        todo!("{patches:?}")
    }
    pub async fn delete_service(&self, service: &ServiceId) -> Result<(), Error> {
        todo!("{service}")
    }
    pub async fn delete_volume(&self, volume: &VolumeId) -> Result<(), Error> {
        todo!("{volume}")
    }
    #[must_use]
    pub fn budget(&self) -> Budget {
        todo!()
    }
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        todo!()
    }
}
