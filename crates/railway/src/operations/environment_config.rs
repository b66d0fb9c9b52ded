//! The settings of a whole environment with every service's variables in plain text.

use cynic::{Operation, QueryBuilder};

use super::Config;
use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) environment_id: String,
    pub(crate) project_id: String,
}

pub(crate) fn build(variables: Variables) -> Operation<EnvironmentConfig, Variables> {
    EnvironmentConfig::build(variables)
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "Variables")]
pub(crate) struct EnvironmentConfig {
    #[arguments(id: $environment_id, projectId: $project_id)]
    pub(crate) environment: Environment,
}

#[derive(cynic::QueryFragment)]
pub(crate) struct Environment {
    #[arguments(decryptVariables: true)]
    pub(crate) config: Config,
}
