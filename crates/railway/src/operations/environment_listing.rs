//! Services and volumes of one environment, one page of each in one request.

use chrono::{DateTime, Utc};
use cynic::{Operation, QueryBuilder};
use pool_domain::DeploymentStatus;
use serde::{Deserialize, Serialize};

use super::PageInfo;
use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) environment_id: String,
    pub(crate) project_id: String,
    pub(crate) services_first: i32,
    #[cynic(skip_serializing_if = "Option::is_none")]
    pub(crate) services_after: Option<String>,
    pub(crate) volumes_first: i32,
    #[cynic(skip_serializing_if = "Option::is_none")]
    pub(crate) volumes_after: Option<String>,
}

pub(crate) fn build(variables: Variables) -> Operation<EnvironmentListing, Variables> {
    EnvironmentListing::build(variables)
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Query", variables = "Variables")]
pub(crate) struct EnvironmentListing {
    #[arguments(id: $environment_id, projectId: $project_id)]
    pub(crate) environment: Environment,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(variables = "Variables")]
pub(crate) struct Environment {
    #[arguments(first: $services_first, after: $services_after)]
    pub(crate) service_instances: EnvironmentServiceInstancesConnection,
    #[arguments(first: $volumes_first, after: $volumes_after)]
    pub(crate) volume_instances: EnvironmentVolumeInstancesConnection,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct EnvironmentServiceInstancesConnection {
    pub(crate) edges: Vec<EnvironmentServiceInstancesConnectionEdge>,
    pub(crate) page_info: PageInfo,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct EnvironmentServiceInstancesConnectionEdge {
    pub(crate) node: ServiceInstance,
}

/// `service` is not selected anywhere: it fails for an object that was deleted meanwhile, and takes
/// the whole answer with it.
#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct ServiceInstance {
    pub(crate) service_id: String,
    pub(crate) service_name: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    pub(crate) source: Option<ServiceSource>,
    pub(crate) domains: AllDomains,
    pub(crate) latest_deployment: Option<LatestDeployment>,
    pub(crate) active_deployments: Vec<ActiveDeployment>,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct ServiceSource {
    pub(crate) image: Option<String>,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct AllDomains {
    pub(crate) service_domains: Vec<ServiceDomain>,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct ServiceDomain {
    pub(crate) domain: String,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Deployment")]
pub(crate) struct LatestDeployment {
    pub(crate) id: cynic::Id,
    pub(crate) status: Status,
    pub(crate) deployment_stopped: bool,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Deployment")]
#[expect(
    dead_code,
    reason = "something must be selected; only how many there are counts"
)]
pub(crate) struct ActiveDeployment {
    pub(crate) id: cynic::Id,
}

/// Railway's enum as the domain's, which keeps a value that this build does not know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Status(pub(crate) DeploymentStatus);

impl cynic::Enum for Status {
    type SchemaType = schema::DeploymentStatus;
}

cynic::impl_coercions!(Status, schema::DeploymentStatus);

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct EnvironmentVolumeInstancesConnection {
    pub(crate) edges: Vec<EnvironmentVolumeInstancesConnectionEdge>,
    pub(crate) page_info: PageInfo,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct EnvironmentVolumeInstancesConnectionEdge {
    pub(crate) node: VolumeInstance,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct VolumeInstance {
    pub(crate) volume_id: String,
    pub(crate) service_id: Option<String>,
    pub(crate) is_pending_deletion: bool,
}
