//! A service with nothing but its name: with a source or variables it would deploy at once, before
//! its volume and domain are there.

use cynic::{MutationBuilder, Operation};

use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) input: ServiceCreateInput,
}

/// `environmentId` keeps it to this environment only if that is a fork of another; else Railway
/// makes it in every environment that is not a fork.
#[derive(cynic::InputObject, Debug)]
pub(crate) struct ServiceCreateInput {
    pub(crate) environment_id: String,
    pub(crate) name: String,
    pub(crate) project_id: String,
}

pub(crate) fn build(input: ServiceCreateInput) -> Operation<ServiceCreate, Variables> {
    ServiceCreate::build(Variables { input })
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Mutation", variables = "Variables")]
pub(crate) struct ServiceCreate {
    #[arguments(input: $input)]
    pub(crate) service_create: Service,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct Service {
    pub(crate) id: cynic::Id,
}
