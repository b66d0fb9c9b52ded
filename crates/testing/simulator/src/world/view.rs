//! How faults bend what a request sees of services, volumes, keys and inboxes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::DeploymentStatus;

use crate::faults::Fault;

/// How faults bend what a request sees.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// No page is longer.
    pub page_max: Option<usize>,
    /// The status that every deployment is said to have.
    pub every_status: Option<DeploymentStatus>,
    /// Every so many-th service and volume is not shown; 1 hides all.
    pub hide_every: Option<usize>,
    /// What was created or deleted since this long ago is not known yet.
    pub stale: Option<Duration>,
    /// What was deleted since this long ago is shown again.
    pub revive: Option<Duration>,
    /// Every page says that there is another one.
    pub endless: bool,
    /// Of every so many-th service the latest deployment fails, which is null then.
    pub null_deployment_every: Option<usize>,
    /// Of every so many-th service the domains fail, which takes the whole answer.
    pub null_answer_every: Option<usize>,
}

impl View {
    /// The view that a request struck by these faults has.
    pub(crate) fn through(faults: &[Fault]) -> Self {
        let mut view = Self::default();
        for fault in faults {
            match fault {
                Fault::ClampPage { max } => view.page_max = Some(*max),
                Fault::UnknownStatus => {
                    view.every_status = Some(DeploymentStatus::Other("HIBERNATING".to_owned()));
                }
                Fault::EveryStatus { status } => view.every_status = Some(status.clone()),
                Fault::EmptyListing => view.hide_every = Some(1),
                Fault::PartialListing { every } => view.hide_every = Some((*every).max(1)),
                Fault::StaleListing { by_ms } => view.stale = Some(Duration::from_millis(*by_ms)),
                Fault::BackAgain { by_ms } => view.revive = Some(Duration::from_millis(*by_ms)),
                Fault::EndlessListing => view.endless = true,
                Fault::NullDeployment { every } => {
                    view.null_deployment_every = Some((*every).max(1));
                }
                Fault::NullAnswer { every } => view.null_answer_every = Some((*every).max(1)),
                _ => {}
            }
        }
        view
    }

    /// Whether deployments are said to be over that are not.
    pub(crate) fn says_over(&self) -> bool {
        use DeploymentStatus::{Crashed, Failed, Removed, Skipped};
        let status = self.every_status.as_ref();
        status.is_some_and(|status| matches!(status, Crashed | Failed | Removed | Skipped))
    }

    /// Whether a listing without a lag of its own knows of something, and not yet of its end.
    pub(crate) fn shows(
        &self,
        now: DateTime<Utc>,
        created_at: DateTime<Utc>,
        deleted_at: Option<DateTime<Utc>>,
    ) -> bool {
        self.shows_with(
            now,
            created_at,
            deleted_at,
            (Duration::ZERO, Duration::ZERO),
        )
    }

    pub(super) fn shows_with(
        &self,
        now: DateTime<Utc>,
        created_at: DateTime<Utc>,
        deleted_at: Option<DateTime<Utc>>,
        (read_lag, delete_lag): (Duration, Duration),
    ) -> bool {
        let stale = self.stale.unwrap_or_default();
        let revive = self.revive.unwrap_or_default();
        let is_born = created_at + read_lag.max(stale) <= now;
        let is_gone = deleted_at.is_some_and(|at| at + delete_lag.max(stale).max(revive) <= now);
        is_born && !is_gone
    }

    /// The items in the order of their number, without those that are hidden.
    pub(crate) fn bend<T>(&self, mut items: Vec<(u64, T)>) -> Vec<(u64, T)> {
        items.sort_unstable_by_key(|(number, _)| *number);
        let mut index = 0;
        items.retain(|_| {
            let hidden = self
                .hide_every
                .is_some_and(|every| usize::is_multiple_of(index, every));
            index += 1;
            !hidden
        });
        items
    }
}
