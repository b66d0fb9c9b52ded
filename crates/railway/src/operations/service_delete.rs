//! Deletes a service in one environment. Without the environment a project token is refused, and
//! the service's instances in other environments would go too. Its volumes stay.

use cynic::{MutationBuilder, Operation};

use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) id: String,
    pub(crate) environment_id: String,
}

pub(crate) fn build(variables: Variables) -> Operation<ServiceDelete, Variables> {
    ServiceDelete::build(variables)
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Mutation", variables = "Variables")]
pub(crate) struct ServiceDelete {
    #[arguments(id: $id, environmentId: $environment_id)]
    pub(crate) service_delete: bool,
}
