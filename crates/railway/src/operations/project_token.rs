//! The one project and environment that a project token is for. It may not list environments.

use cynic::{Operation, QueryBuilder};

use crate::schema;

pub(crate) fn build() -> Operation<ProjectTokenOwner, ()> {
    ProjectTokenOwner::build(())
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Query")]
pub(crate) struct ProjectTokenOwner {
    pub(crate) project_token: ProjectToken,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct ProjectToken {
    pub(crate) project_id: String,
    pub(crate) environment_id: String,
}
