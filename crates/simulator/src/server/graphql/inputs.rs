//! What mutations take.

use async_graphql::{InputObject, MaybeUndefined};

use super::scalars::EnvironmentVariables;

/// Input of `serviceCreate`. What the world does not model is accepted and ignored.
#[derive(Debug, InputObject)]
pub(super) struct ServiceCreateInput {
    pub(super) branch: Option<String>,
    pub(super) environment_id: Option<String>,
    pub(super) icon: Option<String>,
    pub(super) name: Option<String>,
    pub(super) project_id: String,
    pub(super) registry_credentials: Option<RegistryCredentialsInput>,
    pub(super) source: Option<ServiceSourceInput>,
    pub(super) template_id: Option<String>,
    pub(super) template_service_id: Option<String>,
    pub(super) variables: Option<EnvironmentVariables>,
}

#[derive(Debug, InputObject)]
pub(super) struct ServiceSourceInput {
    pub(super) image: Option<String>,
    pub(super) repo: Option<String>,
}

#[derive(Debug, InputObject)]
pub(super) struct RegistryCredentialsInput {
    pub(super) password: String,
    pub(super) username: String,
}

/// Input of `volumeCreate`: an environment of null is none, one left out is all.
#[derive(Debug, InputObject)]
pub(super) struct VolumeCreateInput {
    pub(super) environment_id: MaybeUndefined<String>,
    pub(super) mount_path: String,
    pub(super) project_id: String,
    pub(super) region: Option<String>,
    pub(super) service_id: Option<String>,
}

#[derive(Debug, InputObject)]
pub(super) struct ServiceDomainCreateInput {
    pub(super) environment_id: String,
    pub(super) service_id: String,
    pub(super) target_port: Option<i32>,
}

#[derive(Debug, InputObject)]
pub(super) struct ServiceInstanceLimitsUpdateInput {
    pub(super) environment_id: String,
    #[graphql(name = "memoryGB")]
    pub(super) memory_gb: Option<f64>,
    pub(super) service_id: String,
    #[graphql(name = "vCPUs")]
    pub(super) v_cpus: Option<f64>,
}
