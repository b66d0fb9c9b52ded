//! The listing of one environment: every page of its services and volumes. It never fails: what
//! went wrong makes it incomplete, and what arrived is in it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use pool_domain::{
    Completeness, DeploymentId, Listing, ObservedDeployment, ObservedService, ObservedVolume,
    ServiceId, VolumeId,
};

use crate::EnvironmentClient;
use crate::answer::{Partial, Reply};
use crate::governor::Task;
use crate::limits::{MAX_PAGES, PAGE_SIZE};
use crate::operations::PageInfo;
use crate::operations::environment_listing::{
    self, AllDomains, Environment, ServiceInstance, VolumeInstance,
};
use crate::wire::Call;

impl EnvironmentClient {
    /// Lists the services and volumes of the environment, 500 of each in a request, to the last
    /// page. `started_at` is the moment before the first request, by the clock that ages are judged
    /// with.
    pub async fn list(&self, started_at: DateTime<Utc>) -> Listing {
        let requests = AtomicU32::new(0);
        let mut pages = Pages::default();
        let completeness = self.read_pages(&mut pages, &requests).await;
        Listing {
            started_at,
            completeness: completeness
                .map_or_else(Completeness::Incomplete, |()| Completeness::Complete),
            services: pages.services,
            volumes: pages.volumes,
            requests: requests.into_inner(),
        }
    }

    async fn read_pages(&self, pages: &mut Pages, requests: &AtomicU32) -> Result<(), String> {
        for page in 1..=MAX_PAGES {
            let operation = environment_listing::build(environment_listing::Variables {
                environment_id: self.id.as_str().to_owned(),
                project_id: self.project_id.as_str().to_owned(),
                services_first: pages.services_at.first(),
                services_after: pages.services_at.after(),
                volumes_first: pages.volumes_at.first(),
                volumes_after: pages.volumes_at.after(),
            });
            let call = Call {
                task: if page == 1 {
                    Task::FirstPage
                } else {
                    Task::NextPage
                },
                secrets: &[],
                requests,
            };
            let reply = self.wire.send(&operation, "EnvironmentListing", &call);
            let Reply { data, partial } = reply.await.map_err(|error| error.to_string())?;
            let advanced = pages.take(data.environment, partial.as_ref());
            if let Some(partial) = partial {
                return Err(partial.error.to_string());
            }
            advanced?;
            if pages.services_at == Cursor::Finished && pages.volumes_at == Cursor::Finished {
                self.wire.governor.listed(page as u64);
                return Ok(());
            }
        }
        let sent = requests.load(Ordering::Relaxed);
        Err(format!(
            "there are more pages than the {sent} that were read"
        ))
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
    fn take(&mut self, page: Environment, partial: Option<&Partial>) -> Result<(), String> {
        let may_trust = |connection: &str, row: usize| {
            partial.is_none_or(|partial| {
                let spoiled = partial.spoiled.as_ref();
                spoiled.is_some_and(|rows| !rows.contains(&(connection.to_owned(), row)))
            })
        };
        for (row, edge) in page.service_instances.edges.into_iter().enumerate() {
            let service = edge.node;
            if may_trust("serviceInstances", row)
                && service.deleted_at.is_none()
                && self.seen_services.insert(service.service_id.clone())
            {
                self.services.push(observed_service(service));
            }
        }
        for (row, edge) in page.volume_instances.edges.into_iter().enumerate() {
            let volume = edge.node;
            if may_trust("volumeInstances", row)
                && self.seen_volumes.insert(volume.volume_id.clone())
            {
                self.volumes.push(observed_volume(volume));
            }
        }
        self.services_at.advance(page.service_instances.page_info)?;
        self.volumes_at.advance(page.volume_instances.page_info)
    }
}

fn observed_service(service: ServiceInstance) -> ObservedService {
    ObservedService {
        service_id: ServiceId::new(service.service_id),
        name: service.service_name,
        created_at: service.created_at,
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

/// A domain that a person gave it goes before the one that Railway made.
fn host(domains: AllDomains) -> Option<String> {
    let custom = domains.custom_domains.into_iter().map(|d| d.domain);
    let service = domains.service_domains.into_iter().map(|d| d.domain);
    custom.chain(service).find(|domain| !domain.is_empty())
}

fn observed_volume(volume: VolumeInstance) -> ObservedVolume {
    ObservedVolume {
        volume_id: VolumeId::new(volume.volume_id),
        service_id: volume.service_id.map(ServiceId::new),
        pending_deletion: volume.is_pending_deletion,
    }
}
