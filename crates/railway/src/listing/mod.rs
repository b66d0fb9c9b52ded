//! The listing of one environment: every page of its services and volumes. It never fails: what
//! went wrong makes it incomplete, and what arrived is in it.

mod pages;

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use pool_domain::{Completeness, Listing};

use crate::answer::{Partial, Reply};
use crate::governor::Task;
use crate::limits::MAX_PAGES;
use crate::operations::environment_listing::{self, Variables};
use crate::operations::environment_names;
use crate::wire::Call;
use crate::{EnvironmentClient, Error};

use self::pages::{Page, Pages};

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
            if pages.are_finished() {
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
