//! A volume of a service in one environment.

use cynic::{MutationBuilder, Operation};

use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) input: VolumeCreateInput,
}

/// Railway takes a null environment for none and a missing one for all of them. Both would be
/// wrong, so there is no way to send either.
#[derive(cynic::InputObject, Debug)]
pub(crate) struct VolumeCreateInput {
    pub(crate) environment_id: String,
    pub(crate) mount_path: String,
    pub(crate) project_id: String,
    pub(crate) service_id: String,
}

pub(crate) fn build(input: VolumeCreateInput) -> Operation<VolumeCreate, Variables> {
    VolumeCreate::build(Variables { input })
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Mutation", variables = "Variables")]
pub(crate) struct VolumeCreate {
    #[arguments(input: $input)]
    pub(crate) volume_create: Volume,
}

#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct Volume {
    pub(crate) id: cynic::Id,
}
