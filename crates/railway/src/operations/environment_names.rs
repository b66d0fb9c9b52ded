//! Services and volumes of one environment by their ids and names alone: the smallest question that says
//! what is there, for when Railway cannot answer the larger one.

use chrono::{DateTime, Utc};
use cynic::{Operation, QueryBuilder};

use super::PageInfo;
use super::environment_listing::{
    EnvironmentVolumeInstancesConnection, Variables, VariablesFields,
};
use crate::schema;

pub(crate) fn build(variables: Variables) -> Operation<EnvironmentNames, Variables> {
    EnvironmentNames::build(variables)
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Query", variables = "Variables")]
pub(crate) struct EnvironmentNames {
    #[arguments(id: $environment_id, projectId: $project_id)]
    pub(crate) environment: Environment,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(variables = "Variables")]
pub(crate) struct Environment {
    #[arguments(first: $services_first, after: $services_after)]
    pub(crate) service_instances: NamedServices,
    #[arguments(first: $volumes_first, after: $volumes_after)]
    pub(crate) volume_instances: EnvironmentVolumeInstancesConnection,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "EnvironmentServiceInstancesConnection")]
pub(crate) struct NamedServices {
    pub(crate) edges: Vec<NamedServiceEdge>,
    pub(crate) page_info: PageInfo,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "EnvironmentServiceInstancesConnectionEdge")]
pub(crate) struct NamedServiceEdge {
    pub(crate) node: NamedService,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "ServiceInstance")]
pub(crate) struct NamedService {
    pub(crate) service_id: String,
    pub(crate) service_name: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}
