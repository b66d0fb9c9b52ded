//! A public domain for a service, without a target port: Railway finds the port by itself.

use cynic::{MutationBuilder, Operation};

use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) input: ServiceDomainCreateInput,
}

#[derive(cynic::InputObject, Debug)]
pub(crate) struct ServiceDomainCreateInput {
    pub(crate) environment_id: String,
    pub(crate) service_id: String,
}

pub(crate) fn build(input: ServiceDomainCreateInput) -> Operation<ServiceDomainCreate, Variables> {
    ServiceDomainCreate::build(Variables { input })
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Mutation", variables = "Variables")]
pub(crate) struct ServiceDomainCreate {
    #[arguments(input: $input)]
    pub(crate) service_domain_create: ServiceDomain,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct ServiceDomain {
    pub(crate) domain: String,
}
