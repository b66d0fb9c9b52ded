//! What mutations take.

use async_graphql::{InputObject, MaybeUndefined};

use super::deployment::DeploymentStatus;
use super::scalars::{EnvironmentVariables, Json};
use super::service::{Builder, RestartPolicyType};
use super::volume::VolumeState;
use crate::world::{DeploymentFilter, InstanceChanges, VolumeChanges};
use pool_domain::{EnvironmentId, ProjectId, ServiceId};
use serde_json::{Map, json};

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

/// Which deployments are asked for.
#[derive(Debug, InputObject)]
pub(super) struct DeploymentListInput {
    environment_id: Option<String>,
    include_deleted: Option<bool>,
    project_id: Option<String>,
    service_id: Option<String>,
    status: Option<DeploymentStatusInput>,
}

#[derive(Debug, InputObject)]
struct DeploymentStatusInput {
    #[graphql(name = "in")]
    is_in: Option<Vec<DeploymentStatus>>,
    not_in: Option<Vec<DeploymentStatus>>,
}

impl From<DeploymentListInput> for DeploymentFilter {
    fn from(input: DeploymentListInput) -> Self {
        let known =
            |all: Vec<DeploymentStatus>| all.into_iter().map(DeploymentStatus::known).collect();
        let (status_in, status_not_in) = input.status.map_or((None, None), |s| (s.is_in, s.not_in));
        Self {
            project: input.project_id.map(ProjectId::new),
            environment: input.environment_id.map(EnvironmentId::new),
            service: input.service_id.map(ServiceId::new),
            status_in: status_in.map(known),
            status_not_in: status_not_in.map(known),
        }
    }
}

#[derive(Debug, InputObject)]
pub(super) struct ServiceUpdateInput {
    pub(super) icon: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Debug, InputObject)]
pub(super) struct ServiceConnectInput {
    branch: Option<String>,
    image: Option<String>,
    repo: Option<String>,
}

impl From<ServiceConnectInput> for InstanceChanges {
    fn from(input: ServiceConnectInput) -> Self {
        Self {
            image: input.image,
            repo: input.repo,
            ..Self::default()
        }
    }
}

/// Input of `serviceInstanceUpdate`: null changes nothing, an empty text or list clears.
#[derive(Debug, InputObject)]
pub(super) struct ServiceInstanceUpdateInput {
    build_command: Option<String>,
    builder: Option<Builder>,
    cron_schedule: Option<String>,
    dockerfile_path: Option<String>,
    draining_seconds: Option<i32>,
    healthcheck_path: Option<String>,
    healthcheck_timeout: Option<i32>,
    #[graphql(name = "ipv6EgressEnabled")]
    ipv6_egress_enabled: Option<bool>,
    multi_region_config: Option<Json>,
    nixpacks_plan: Option<Json>,
    num_replicas: Option<i32>,
    overlap_seconds: Option<i32>,
    pre_deploy_command: Option<Vec<String>>,
    railway_config_file: Option<String>,
    region: Option<String>,
    registry_credentials: Option<RegistryCredentialsInput>,
    restart_policy_max_retries: Option<i32>,
    restart_policy_type: Option<RestartPolicyType>,
    root_directory: Option<String>,
    sleep_application: Option<bool>,
    source: Option<ServiceSourceInput>,
    start_command: Option<String>,
    watch_patterns: Option<Vec<String>>,
}

impl From<ServiceInstanceUpdateInput> for InstanceChanges {
    fn from(input: ServiceInstanceUpdateInput) -> Self {
        let deploy = [
            ("cronSchedule", json!(input.cron_schedule)),
            ("drainingSeconds", json!(input.draining_seconds)),
            ("healthcheckPath", json!(input.healthcheck_path)),
            ("healthcheckTimeout", json!(input.healthcheck_timeout)),
            ("ipv6EgressEnabled", json!(input.ipv6_egress_enabled)),
            (
                "multiRegionConfig",
                json!(input.multi_region_config.map(|json| json.0)),
            ),
            ("numReplicas", json!(input.num_replicas)),
            ("overlapSeconds", json!(input.overlap_seconds)),
            ("preDeployCommand", json!(input.pre_deploy_command)),
            ("region", json!(input.region)),
            (
                "restartPolicyMaxRetries",
                json!(input.restart_policy_max_retries),
            ),
            (
                "restartPolicyType",
                json!(input.restart_policy_type.map(RestartPolicyType::as_str)),
            ),
            ("sleepApplication", json!(input.sleep_application)),
            ("startCommand", json!(input.start_command)),
        ];
        let build = [
            ("buildCommand", json!(input.build_command)),
            ("dockerfilePath", json!(input.dockerfile_path)),
            (
                "nixpacksPlan",
                json!(input.nixpacks_plan.map(|json| json.0)),
            ),
            ("railwayConfigFile", json!(input.railway_config_file)),
            ("rootDirectory", json!(input.root_directory)),
            ("watchPatterns", json!(input.watch_patterns)),
        ];
        let said = |settings: Vec<(&str, serde_json::Value)>| -> Map<_, _> {
            let said = settings.into_iter().filter(|(_, value)| !value.is_null());
            said.map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let source = input.source;
        let (image, repo) = source.map_or((None, None), |source| (source.image, source.repo));
        Self {
            image,
            repo,
            deploy: said(deploy.into()),
            build: said(build.into()),
        }
    }
}

#[derive(Debug, InputObject)]
pub(super) struct VariableUpsertInput {
    pub(super) environment_id: String,
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) service_id: Option<String>,
    #[graphql(default_with = "Some(false)")]
    pub(super) skip_deploys: Option<bool>,
    pub(super) value: String,
}

#[derive(Debug, InputObject)]
pub(super) struct VariableCollectionUpsertInput {
    pub(super) environment_id: String,
    pub(super) project_id: String,
    #[graphql(default_with = "Some(false)")]
    pub(super) replace: Option<bool>,
    pub(super) service_id: Option<String>,
    #[graphql(default_with = "Some(false)")]
    pub(super) skip_deploys: Option<bool>,
    pub(super) variables: EnvironmentVariables,
}

#[derive(Debug, InputObject)]
pub(super) struct VariableDeleteInput {
    pub(super) environment_id: String,
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) service_id: Option<String>,
}

#[derive(Debug, InputObject)]
pub(super) struct VolumeUpdateInput {
    pub(super) name: Option<String>,
}

/// Input of `volumeInstanceUpdate`: one that names no service detaches the volume.
#[derive(Debug, InputObject)]
pub(super) struct VolumeInstanceUpdateInput {
    mount_path: Option<String>,
    service_id: Option<String>,
    state: Option<VolumeState>,
}

impl From<VolumeInstanceUpdateInput> for VolumeChanges {
    fn from(input: VolumeInstanceUpdateInput) -> Self {
        Self {
            service: input.service_id.map(ServiceId::new),
            mount_path: input.mount_path,
        }
    }
}
