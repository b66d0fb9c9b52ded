//! Deletes a volume. Railway keeps it for 48 hours more, shown as pending deletion.

use cynic::{MutationBuilder, Operation};

use crate::schema;

#[derive(cynic::QueryVariables, Debug)]
pub(crate) struct Variables {
    pub(crate) volume_id: String,
}

pub(crate) fn build(variables: Variables) -> Operation<VolumeDelete, Variables> {
    VolumeDelete::build(variables)
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Mutation", variables = "Variables")]
pub(crate) struct VolumeDelete {
    #[arguments(volumeId: $volume_id)]
    pub(crate) volume_delete: bool,
}
