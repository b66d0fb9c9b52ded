//! The listing of the environment, page by page, as pool-railway reads it.

use chrono::{DateTime, Utc};
use pool_domain::{
    Completeness, DeployClass, Listing, ObservedDeployment, ObservedService, ObservedVolume,
};
use pool_simulator::world::{PageArgs, Service, ServiceInstance, View};
use pool_simulator::{Caller, Refusal, World};

use super::railway::{Call, Task};
use crate::place::Place;
use crate::story::Kind;

/// The pages of one listing.
const PAGES_MAX: u32 = 20;
/// How many services a page may have.
const PAGE_SIZE: i32 = 500;

struct Page {
    services: Vec<ObservedService>,
    volumes: Vec<ObservedVolume>,
    /// Where the next page of each begins; none where there is none.
    services_after: Option<String>,
    volumes_after: Option<String>,
    /// Some of it failed.
    is_partial: bool,
}

impl Place {
    pub(crate) async fn list(&self, started_at: DateTime<Utc>) -> Listing {
        let mut listing = Listing {
            started_at,
            completeness: Completeness::Complete,
            services: Vec::new(),
            volumes: Vec::new(),
            requests: 0,
        };
        if let Err(why) = self.read_pages(&mut listing).await {
            self.sim
                .tell(Kind::Call, || format!("the listing is incomplete: {why}"));
            listing.completeness = Completeness::Incomplete(why);
        }
        listing
    }

    async fn read_pages(&self, listing: &mut Listing) -> Result<(), String> {
        let call = Call {
            operation: "EnvironmentListing",
            field: "environment",
            task: Task::Read,
        };
        let (mut services_after, mut volumes_after) = (None, None);
        let (mut services_left, mut volumes_left) = (true, true);
        for _ in 0..PAGES_MAX {
            listing.requests += 1;
            let ask = |after: &Option<String>, is_wanted: bool| PageArgs {
                first: Some(if is_wanted { PAGE_SIZE } else { 0 }),
                after: after.clone(),
                ..PageArgs::default()
            };
            let services = ask(&services_after, services_left);
            let volumes = ask(&volumes_after, volumes_left);
            let page = self
                .send(&call, "", |world, caller, view| {
                    page(world, caller, view, &services, &volumes)
                })
                .await
                .map_err(|error| error.to_string())?;
            for service in page.services {
                if !listing
                    .services
                    .iter()
                    .any(|it| it.service_id == service.service_id)
                {
                    listing.services.push(service);
                }
            }
            for volume in page.volumes {
                if !listing
                    .volumes
                    .iter()
                    .any(|it| it.volume_id == volume.volume_id)
                {
                    listing.volumes.push(volume);
                }
            }
            if page.is_partial {
                return Err("a part of it failed".to_owned());
            }
            services_left = services_left && page.services_after.is_some();
            volumes_left = volumes_left && page.volumes_after.is_some();
            if !services_left && !volumes_left {
                return Ok(());
            }
            services_after = page.services_after.or(services_after);
            volumes_after = page.volumes_after.or(volumes_after);
        }
        Err("there are more pages than were read".to_owned())
    }
}

fn page(
    world: &World,
    caller: &Caller,
    view: &View,
    services: &PageArgs,
    volumes: &PageArgs,
) -> Result<Page, Refusal> {
    let environment = &world.home().environment;
    world.environment(caller, environment, None)?;
    let found = world.service_instances(environment, services, view)?;
    let is_struck = |every: Option<usize>, index: usize| {
        every.is_some_and(|every| usize::is_multiple_of(index, every))
    };
    let count = found.items.len();
    if (0..count).any(|index| is_struck(view.null_answer_every, index)) {
        return Err(Refusal::ProblemProcessing);
    }
    let is_partial = (0..count).any(|index| is_struck(view.null_deployment_every, index));
    let last = found.items.last().map(|(cursor, _)| cursor.clone());
    let services_after = last.filter(|_| found.has_next);
    let shown = found.items.into_iter().enumerate();
    let shown = shown.filter(|(index, _)| !is_struck(view.null_deployment_every, *index));
    let services = shown
        .map(|(_, (_, (service, instance)))| observed(service, instance, view))
        .collect();
    let found = world.volume_instances(environment, volumes, view)?;
    let last = found.items.last().map(|(cursor, _)| cursor.clone());
    let volumes_after = last.filter(|_| found.has_next);
    let volumes = found
        .items
        .into_iter()
        .map(|(_, (volume, instance))| ObservedVolume {
            volume_id: volume.id.clone(),
            service_id: instance.service.clone(),
            pending_deletion: volume.is_pending_deletion(),
        })
        .collect();
    Ok(Page {
        services,
        volumes,
        services_after,
        volumes_after,
        is_partial,
    })
}

fn observed(service: &Service, instance: &ServiceInstance, view: &View) -> ObservedService {
    let domains = instance.custom_domains.iter().chain(&instance.domains);
    let said = view.every_status.as_ref();
    let is_said_over = said.is_some_and(|status| status.class(false, false) == DeployClass::Failed);
    ObservedService {
        service_id: service.id.clone(),
        name: service.name.clone(),
        created_at: instance.created_at,
        deployment: instance.latest().map(|latest| ObservedDeployment {
            id: latest.id.clone(),
            status: said.unwrap_or(&latest.status).clone(),
            stopped: latest.stopped,
        }),
        has_active_deployment: !is_said_over && instance.active().next().is_some(),
        host: domains.map(|domain| domain.domain.clone()).next(),
        image: instance.config.image().map(str::to_owned),
    }
}
