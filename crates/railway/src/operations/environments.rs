//! The environments of a project, by which a configured name becomes an id.

use chrono::{DateTime, Utc};
use cynic::{Operation, QueryBuilder};

use super::PageInfo;
use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) project_id: String,
    pub(crate) first: i32,
    #[cynic(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

pub(crate) fn build(variables: Variables) -> Operation<Environments, Variables> {
    Environments::build(variables)
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Query", variables = "Variables")]
pub(crate) struct Environments {
    #[arguments(projectId: $project_id, first: $first, after: $after)]
    pub(crate) environments: QueryEnvironmentsConnection,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct QueryEnvironmentsConnection {
    pub(crate) edges: Vec<QueryEnvironmentsConnectionEdge>,
    pub(crate) page_info: PageInfo,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct QueryEnvironmentsConnectionEdge {
    pub(crate) node: Environment,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct Environment {
    pub(crate) id: cynic::Id,
    pub(crate) name: String,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}
