//! The listing of one environment: every page of its services and volumes. It never fails: what
//! went wrong makes it incomplete, and what arrived is in it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use pool_domain::{
    Completeness, DeploymentId, Listing, ObservedDeployment, ObservedService, ObservedVolume,
    ServiceId, VolumeId,
};

use crate::answer::{Partial, Reply};
use crate::governor::Task;
use crate::limits::{MAX_PAGES, PAGE_SIZE};
use crate::operations::PageInfo;
use crate::operations::environment_listing::{
    self, AllDomains, ServiceInstance, Variables, VolumeInstance,
};
use crate::operations::environment_names::{self, NamedService};
use crate::wire::Call;
use crate::{EnvironmentClient, Error};

/// What is asked of each service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Everything,
    Names,
}

/// Why a listing ended early.
struct Stopped {
    why: String,
    /// Whether it was Railway's answer to what was asked, so that asking for less may do.
    is_of_question: bool,
}

impl EnvironmentClient {
    /// Lists the services and volumes of the environment, 500 of each in a request, to the last
    /// page. `started_at` is the moment before the first request, by the clock that ages are judged
    /// with. Where Railway cannot answer that for some of them again and again, it is asked for their
    /// names alone.
    pub async fn list(&self, started_at: DateTime<Utc>) -> Listing {
        let requests = AtomicU32::new(0);
        let (pages, completeness) = self.read(&requests).await;
        Listing {
            started_at,
            completeness,
            services: pages.services,
            volumes: pages.volumes,
            requests: requests.into_inner(),
        }
    }

    async fn read(&self, requests: &AtomicU32) -> (Pages, Completeness) {
        if self.fallback.asks_for_everything() {
            let mut pages = Pages::default();
            let read = self
                .read_pages(&mut pages, Asked::Everything, requests)
                .await;
            let Err(stopped) = read else {
                self.fallback.learn(None);
                return (pages, Completeness::Complete);
            };
            if !stopped.is_of_question || !self.fallback.learn(Some(&stopped.why)) {
                return (pages, Completeness::Incomplete(stopped.why));
            }
        }
        let mut pages = Pages::default();
        let read = self.read_pages(&mut pages, Asked::Names, requests).await;
        let completeness = match read {
            Ok(()) => Completeness::NamesOnly(self.fallback.why()),
            Err(stopped) => Completeness::Incomplete(stopped.why),
        };
        (pages, completeness)
    }

    async fn read_pages(
        &self,
        pages: &mut Pages,
        asked: Asked,
        requests: &AtomicU32,
    ) -> Result<(), Stopped> {
        for page in 1..=MAX_PAGES {
            let call = Call {
                task: if requests.load(Ordering::Relaxed) == 0 {
                    Task::FirstPage
                } else {
                    Task::NextPage
                },
                secrets: &[],
                requests,
            };
            let (listed, partial) = self.page(pages, asked, &call).await?;
            let advanced = pages.take(listed, partial.as_ref());
            if let Some(partial) = partial {
                return Err(partial.error.into());
            }
            advanced?;
            if pages.services_at == Cursor::Finished && pages.volumes_at == Cursor::Finished {
                self.wire.governor.listed(page as u64);
                return Ok(());
            }
        }
        let sent = requests.load(Ordering::Relaxed);
        Err(format!("there are more pages than the {sent} that were read").into())
    }

    async fn page(
        &self,
        pages: &Pages,
        asked: Asked,
        call: &Call<'_>,
    ) -> Result<(Page, Option<Partial>), Error> {
        let variables = Variables {
            environment_id: self.id.as_str().to_owned(),
            project_id: self.project_id.as_str().to_owned(),
            services_first: pages.services_at.first(),
            services_after: pages.services_at.after(),
            volumes_first: pages.volumes_at.first(),
            volumes_after: pages.volumes_at.after(),
        };
        match asked {
            Asked::Everything => {
                let operation = environment_listing::build(variables);
                let reply = self.wire.send(&operation, "EnvironmentListing", call);
                let Reply { data, partial } = reply.await?;
                Ok((data.environment.into(), partial))
            }
            Asked::Names => {
                let operation = environment_names::build(variables);
                let reply = self.wire.send(&operation, "EnvironmentNames", call);
                let Reply { data, partial } = reply.await?;
                Ok((data.environment.into(), partial))
            }
        }
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self {
            why: error.to_string(),
            is_of_question: error.is_of_question(),
        }
    }
}

impl From<String> for Stopped {
    fn from(why: String) -> Self {
        Self {
            why,
            is_of_question: false,
        }
    }
}

/// One page of both; of a service that is deleted none.
struct Page {
    services: Vec<Option<ObservedService>>,
    volumes: Vec<ObservedVolume>,
    services_info: PageInfo,
    volumes_info: PageInfo,
}

impl From<environment_listing::Environment> for Page {
    fn from(listed: environment_listing::Environment) -> Self {
        let (services, volumes) = (listed.service_instances, listed.volume_instances);
        let nodes = services.edges.into_iter().map(|edge| edge.node);
        Self {
            services: nodes
                .map(|node| node.deleted_at.is_none().then(|| observed_service(node)))
                .collect(),
            volumes: (volumes.edges.into_iter())
                .map(|edge| observed_volume(edge.node))
                .collect(),
            services_info: services.page_info,
            volumes_info: volumes.page_info,
        }
    }
}

impl From<environment_names::Environment> for Page {
    fn from(listed: environment_names::Environment) -> Self {
        let (services, volumes) = (listed.service_instances, listed.volume_instances);
        let nodes = services.edges.into_iter().map(|edge| edge.node);
        Self {
            services: nodes
                .map(|node| node.deleted_at.is_none().then(|| named_service(node)))
                .collect(),
            volumes: (volumes.edges.into_iter())
                .map(|edge| observed_volume(edge.node))
                .collect(),
            services_info: services.page_info,
            volumes_info: volumes.page_info,
        }
    }
}

#[derive(Default)]
struct Pages {
    services: Vec<ObservedService>,
    volumes: Vec<ObservedVolume>,
    /// A row that moves to another page while we read would come twice.
    seen_services: HashSet<String>,
    seen_volumes: HashSet<String>,
    services_at: Cursor,
    volumes_at: Cursor,
}

/// Where a connection is to be read on.
#[derive(Debug, Default, PartialEq, Eq)]
enum Cursor {
    #[default]
    Start,
    After(String),
    Finished,
}

impl Cursor {
    /// A finished connection is asked for nothing, and what it says of further pages is ignored.
    fn first(&self) -> i32 {
        match self {
            Self::Start | Self::After(_) => PAGE_SIZE,
            Self::Finished => 0,
        }
    }

    fn after(&self) -> Option<String> {
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
    fn take(&mut self, page: Page, partial: Option<&Partial>) -> Result<(), String> {
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
