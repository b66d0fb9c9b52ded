//! Who may take a step at once: each of the accounts and Railway has places of its own, so that
//! whoever hangs keeps only those waiting who need it.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::limits::{ENDING_STEPS, MAKING_STEPS, RAILWAY_MAKING_STEPS, TURN};

/// The places for steps.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) making_keys: Lane,
    pub(super) making_inboxes: Lane,
    pub(super) making: Lane,
    pub(super) ending_keys: Lane,
    pub(super) ending_inboxes: Lane,
    pub(super) ending: Lane,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            making_keys: Lane::of(MAKING_STEPS),
            making_inboxes: Lane::of(MAKING_STEPS),
            making: Lane::of(RAILWAY_MAKING_STEPS),
            ending_keys: Lane::of(ENDING_STEPS),
            ending_inboxes: Lane::of(ENDING_STEPS),
            ending: Lane::of(ENDING_STEPS),
        }
    }
}

/// So many places, given in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Lane(Semaphore);

impl Lane {
    const fn of(places: usize) -> Self {
        Self(Semaphore::const_new(places))
    }

    /// A place, held until it is dropped; none where it took too long.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        timeout(TURN, self.0.acquire()).await.ok()?.ok()
    }
}
