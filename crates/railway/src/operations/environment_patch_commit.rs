//! Changes many services of an environment in one commit, and deploys each of them once.

use cynic::{MutationBuilder, Operation};

use super::Config;
use crate::schema;

#[derive(cynic::QueryVariables)]
pub(crate) struct Variables {
    pub(crate) environment_id: String,
    pub(crate) patch: Config,
    pub(crate) commit_message: String,
}

pub(crate) fn build(variables: Variables) -> Operation<EnvironmentPatchCommit, Variables> {
    EnvironmentPatchCommit::build(variables)
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Mutation", variables = "Variables")]
#[expect(
    dead_code,
    reason = "the commit's id says nothing that the next listing does not"
)]
pub(crate) struct EnvironmentPatchCommit {
    #[arguments(environmentId: $environment_id, patch: $patch, commitMessage: $commit_message)]
    pub(crate) environment_patch_commit: String,
}
