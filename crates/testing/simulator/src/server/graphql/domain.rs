//! The names under which a service instance is reached, as queries show them.

use async_graphql::{Enum, ID, SimpleObject};

use super::Place;
use super::scalars::DateTime;
use crate::world;

#[derive(Debug, SimpleObject)]
pub(super) struct AllDomains {
    custom_domains: Vec<CustomDomain>,
    service_domains: Vec<ServiceDomain>,
}

impl AllDomains {
    pub(super) fn of(instance: &world::ServiceInstance, place: Place<'_>) -> Self {
        let custom = instance.custom_domains.iter();
        let given = instance.domains.iter();
        Self {
            custom_domains: custom
                .map(|domain| CustomDomain::of(domain, place))
                .collect(),
            service_domains: given
                .map(|domain| ServiceDomain::of(domain, place))
                .collect(),
        }
    }
}

#[derive(Debug, SimpleObject)]
pub(super) struct ServiceDomain {
    created_at: Option<DateTime>,
    deleted_at: Option<DateTime>,
    domain: String,
    environment_id: String,
    id: ID,
    project_id: Option<String>,
    service_id: String,
    suffix: Option<String>,
    sync_status: ServiceDomainSyncStatus,
    target_port: Option<i32>,
    updated_at: Option<DateTime>,
}

impl ServiceDomain {
    pub(super) fn of(domain: &world::Domain, place: Place<'_>) -> Self {
        Self {
            created_at: Some(DateTime(domain.created_at)),
            deleted_at: None,
            domain: domain.domain.clone(),
            environment_id: place.environment.to_string(),
            id: ID(domain.id.clone()),
            project_id: Some(place.service.project.to_string()),
            service_id: place.service.id.to_string(),
            suffix: None,
            sync_status: ServiceDomainSyncStatus::Active,
            target_port: domain.target_port,
            updated_at: Some(DateTime(domain.created_at)),
        }
    }
}

#[derive(Debug, SimpleObject)]
struct CustomDomain {
    created_at: Option<DateTime>,
    deleted_at: Option<DateTime>,
    domain: String,
    environment_id: String,
    id: ID,
    project_id: Option<String>,
    service_id: String,
    sync_status: CustomDomainSyncStatus,
    target_port: Option<i32>,
    updated_at: Option<DateTime>,
}

impl CustomDomain {
    fn of(domain: &world::Domain, place: Place<'_>) -> Self {
        let given = ServiceDomain::of(domain, place);
        Self {
            created_at: given.created_at,
            deleted_at: given.deleted_at,
            domain: given.domain,
            environment_id: given.environment_id,
            id: given.id,
            project_id: given.project_id,
            service_id: given.service_id,
            sync_status: CustomDomainSyncStatus::Active,
            target_port: given.target_port,
            updated_at: given.updated_at,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum ServiceDomainSyncStatus {
    Active,
    Creating,
    Deleted,
    Deleting,
    Unspecified,
    Updating,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum CustomDomainSyncStatus {
    Active,
    Creating,
    Deleted,
    Deleting,
    Unspecified,
    Updating,
}
