//! The name of one environment, for a token that may not list them.

use cynic::{Operation, QueryBuilder};

use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) environment_id: String,
    pub(crate) project_id: String,
}

pub(crate) fn build(variables: Variables) -> Operation<EnvironmentName, Variables> {
    EnvironmentName::build(variables)
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Query", variables = "Variables")]
pub(crate) struct EnvironmentName {
    #[arguments(id: $environment_id, projectId: $project_id)]
    pub(crate) environment: Environment,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct Environment {
    pub(crate) id: cynic::Id,
    pub(crate) name: String,
}
