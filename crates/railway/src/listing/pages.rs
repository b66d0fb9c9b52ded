//! What arrives of a listing, page by page.

use std::collections::HashSet;

use pool_domain::{
    DeploymentId, ObservedDeployment, ObservedService, ObservedVolume, ServiceId, VolumeId,
};

use crate::answer::Partial;
use crate::limits::PAGE_SIZE;
use crate::operations::PageInfo;
use crate::operations::environment_listing::{
    self, AllDomains, EnvironmentVolumeInstancesConnection, ServiceInstance, VolumeInstance,
};
use crate::operations::environment_names::{self, NamedService};

/// One page of both; of a service that is deleted none.
pub(super) struct Page {
    services: Vec<Option<ObservedService>>,
    volumes: Vec<ObservedVolume>,
    services_info: PageInfo,
    volumes_info: PageInfo,
}

impl From<environment_listing::Environment> for Page {
    fn from(listed: environment_listing::Environment) -> Self {
        let services = listed.service_instances;
        let nodes = services.edges.into_iter().map(|edge| edge.node);
        let services_there =
            nodes.map(|node| node.deleted_at.is_none().then(|| observed_service(node)));
        Self::of(services_there, services.page_info, listed.volume_instances)
    }
}

impl From<environment_names::Environment> for Page {
    fn from(listed: environment_names::Environment) -> Self {
        let services = listed.service_instances;
        let nodes = services.edges.into_iter().map(|edge| edge.node);
        let services_there =
            nodes.map(|node| node.deleted_at.is_none().then(|| named_service(node)));
        Self::of(services_there, services.page_info, listed.volume_instances)
    }
}

impl Page {
    fn of(
        services: impl Iterator<Item = Option<ObservedService>>,
        services_info: PageInfo,
        volumes: EnvironmentVolumeInstancesConnection,
    ) -> Self {
        let nodes = volumes.edges.into_iter().map(|edge| edge.node);
        Self {
            services: services.collect(),
            volumes: nodes.map(observed_volume).collect(),
            services_info,
            volumes_info: volumes.page_info,
        }
    }
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Pages {
    pub(super) services: Vec<ObservedService>,
    pub(super) volumes: Vec<ObservedVolume>,
    /// A row that moves to another page while we read would come twice.
    seen_services: HashSet<String>,
    seen_volumes: HashSet<String>,
    pub(super) services_at: Cursor,
    pub(super) volumes_at: Cursor,
}

/// Where a connection is to be read on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Cursor {
    #[default]
    Start,
    After(String),
    Finished,
}

impl Cursor {
    /// A finished connection is asked for nothing, and what it says of further pages is ignored.
    pub(super) fn first(&self) -> i32 {
        match self {
            Self::Start | Self::After(_) => PAGE_SIZE,
            Self::Finished => 0,
        }
    }

    pub(super) fn after(&self) -> Option<String> {
        match self {
            Self::After(cursor) => Some(cursor.clone()),
            Self::Start | Self::Finished => None,
        }
    }

    fn advance(&mut self, page: PageInfo) -> Result<(), String> {
        if *self == Self::Finished {
            return Ok(());
        }
        let next = match (page.has_next_page, page.end_cursor) {
            (false, _) => Self::Finished,
            (true, Some(cursor)) => Self::After(cursor),
            (true, None) => return Err("a page says that more follow, but not where".to_owned()),
        };
        if next == *self {
            return Err("a page leads back to itself".to_owned());
        }
        *self = next;
        Ok(())
    }
}

impl Pages {
    /// Whether no more are to be read.
    pub(super) fn are_finished(&self) -> bool {
        self.services_at == Cursor::Finished && self.volumes_at == Cursor::Finished
    }

    /// Takes in one more page, and goes on behind it. Of a partial answer only what is surely whole.
    pub(super) fn take(&mut self, page: Page, partial: Option<&Partial>) -> Result<(), String> {
        let may_trust = |connection: &str, row: usize| {
            partial.is_none_or(|partial| {
                let spoiled = partial.spoiled.as_ref();
                spoiled.is_some_and(|rows| !rows.contains(&(connection.to_owned(), row)))
            })
        };
        for (row, service) in page.services.into_iter().enumerate() {
            let Some(service) = service else {
                continue;
            };
            let id = service.service_id.as_str().to_owned();
            if may_trust("serviceInstances", row) && self.seen_services.insert(id) {
                self.services.push(service);
            }
        }
        for (row, volume) in page.volumes.into_iter().enumerate() {
            let id = volume.volume_id.as_str().to_owned();
            if may_trust("volumeInstances", row) && self.seen_volumes.insert(id) {
                self.volumes.push(volume);
            }
        }
        self.services_at.advance(page.services_info)?;
        self.volumes_at.advance(page.volumes_info)
    }
}

fn observed_service(service: ServiceInstance) -> ObservedService {
    ObservedService {
        service_id: ServiceId::new(service.service_id),
        name: service.service_name,
        created_at: service.created_at,
        has_details: true,
        deployment: service
            .latest_deployment
            .map(|deployment| ObservedDeployment {
                id: DeploymentId::new(deployment.id.into_inner()),
                status: deployment.status.0,
                stopped: deployment.deployment_stopped,
            }),
        has_active_deployment: !service.active_deployments.is_empty(),
        host: host(service.domains),
        image: service
            .source
            .and_then(|source| source.image)
            .filter(|image| !image.is_empty()),
    }
}

fn named_service(service: NamedService) -> ObservedService {
    ObservedService {
        service_id: ServiceId::new(service.service_id),
        name: service.service_name,
        created_at: service.created_at,
        has_details: false,
        deployment: None,
        has_active_deployment: false,
        host: None,
        image: None,
    }
}

/// The domain that Railway made. One that a person gave it is nobody's word: until it is verified, and
/// again when its name leads elsewhere, whoever answers there would be shown the pool's key.
fn host(domains: AllDomains) -> Option<String> {
    let mut service = domains.service_domains.into_iter().map(|it| it.domain);
    service.find(|domain| !domain.is_empty())
}

fn observed_volume(volume: VolumeInstance) -> ObservedVolume {
    ObservedVolume {
        volume_id: VolumeId::new(volume.volume_id),
        service_id: volume.service_id.map(ServiceId::new),
        pending_deletion: volume.is_pending_deletion,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::answer::Envelope;
    use crate::operations::environment_listing::EnvironmentListing;

    /// Mostly what the schema promises, sometimes anything.
    fn mostly(promised: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
        let odd = prop_oneof![
            Just(Value::Null),
            Just(json!([{}])),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,9}".prop_map(Value::from),
        ];
        prop_oneof![30 => promised, 1 => odd]
    }

    fn text() -> impl Strategy<Value = Value> {
        "[a-c]{0,2}|\\PC{0,9}".prop_map(Value::from)
    }

    fn page_info() -> impl Strategy<Value = Value> {
        let cursor = prop::option::of("[a-c]{0,1}");
        let info = (any::<bool>(), cursor)
            .prop_map(|(more, cursor)| json!({"hasNextPage": more, "endCursor": cursor}));
        mostly(info)
    }

    fn service() -> impl Strategy<Value = Value> {
        let deployment = text()
            .prop_map(|status| json!({"id": "d", "status": status, "deploymentStopped": false}));
        let domains = prop::collection::vec(text(), 0..3).prop_map(|domains| {
            let all: Vec<_> = domains.iter().map(|it| json!({"domain": it})).collect();
            json!({"serviceDomains": all})
        });
        let parts = (
            mostly(text()),
            mostly(text()),
            mostly(domains),
            mostly(prop::option::of(deployment).prop_map(Value::from)),
            any::<bool>(),
        );
        parts.prop_map(|(id, name, domains, deployment, is_deleted)| {
            json!({"node": {
                "serviceId": id, "serviceName": name, "createdAt": "2026-11-20T10:00:00Z",
                "deletedAt": is_deleted.then_some("2026-11-20T10:00:00Z"),
                "source": {"image": name}, "domains": domains,
                "latestDeployment": deployment, "activeDeployments": [],
            }})
        })
    }

    fn volume() -> impl Strategy<Value = Value> {
        (mostly(text()), prop::option::of(text())).prop_map(|(id, service)| {
            json!({"node": {"volumeId": id, "serviceId": service, "isPendingDeletion": false}})
        })
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic_and_nothing_is_listed_twice_or_unless_it_is_there(
            services in prop::collection::vec(service(), 0..5),
            volumes in prop::collection::vec(volume(), 0..5),
            infos in (page_info(), page_info()),
            spoiled_row in prop::option::of(0_usize..5),
        ) {
            let connections = json!({
                "serviceInstances": {"edges": services, "pageInfo": infos.0},
                "volumeInstances": {"edges": volumes, "pageInfo": infos.1},
            });
            let answer = json!({"data": {"environment": connections}}).to_string();
            let mut pages = Pages::default();
            let read = || serde_json::from_str::<Envelope<EnvironmentListing>>(&answer).ok()?.data;
            // The same page twice, as when rows move while they are read.
            for _ in 0..2 {
                if let Some(data) = read() {
                    let spoiled = spoiled_row.map(|row| Partial::of_row("serviceInstances", row));
                    let _ = pages.take(data.environment.into(), spoiled.as_ref());
                }
            }
            let is_there = |id: &str| services.iter().enumerate().any(|(row, it)| {
                let node = &it["node"];
                node["serviceId"] == id && node["deletedAt"].is_null() && spoiled_row != Some(row)
            });
            let ids: HashSet<_> = pages.services.iter().map(|it| it.service_id.as_str()).collect();
            prop_assert_eq!(ids.len(), pages.services.len());
            prop_assert!(ids.into_iter().all(is_there));
            let ids: HashSet<_> = pages.volumes.iter().map(|it| it.volume_id.as_str()).collect();
            prop_assert_eq!(ids.len(), pages.volumes.len());
        }
    }
}
