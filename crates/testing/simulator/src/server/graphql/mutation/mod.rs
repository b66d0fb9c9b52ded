//! What can be done, by what it is done to.

mod deployments;
mod services;
mod volumes;

use async_graphql::MergedObject;

use deployments::DeploymentMutations;
use services::ServiceMutations;
use volumes::VolumeMutations;

#[derive(Debug, Default, MergedObject)]
pub(in crate::server) struct Mutation(DeploymentMutations, ServiceMutations, VolumeMutations);
