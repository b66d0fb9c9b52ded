//! Bounds how many claims run at once and how many wait for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Admits a bounded number of claims, and makes a bounded number wait.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    wait_max: Duration,
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    running: Arc<Semaphore>,
    wait_max: Duration,
    _place: OwnedSemaphorePermit,
}

/// The leave to run.
#[derive(Debug)]
pub(crate) struct Admitted {
    _running: OwnedSemaphorePermit,
    _queued: Queued,
}

impl Admission {
    pub(crate) fn new(in_flight_max: usize, waiting_max: usize, wait_max: Duration) -> Self {
        Self {
            running: Arc::new(Semaphore::new(in_flight_max)),
            queue: Arc::new(Semaphore::new(in_flight_max + waiting_max)),
            wait_max,
        }
    }

    /// A place in the queue, or none when it is full.
    pub(crate) fn queue(&self) -> Option<Queued> {
        let place = Arc::clone(&self.queue).try_acquire_owned().ok()?;
        Some(Queued {
            running: Arc::clone(&self.running),
            wait_max: self.wait_max,
            _place: place,
        })
    }
}

impl Queued {
    /// Waits, in turn, for the leave to run; none when it takes too long.
    pub(crate) async fn admitted(self) -> Option<Admitted> {
        let turn = Arc::clone(&self.running).acquire_owned();
        let running = timeout(self.wait_max, turn).await.ok()?.ok()?;
        Some(Admitted {
            _running: running,
            _queued: self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beyond_those_who_run_and_those_who_wait_nobody_gets_in() {
        let admission = Admission::new(1, 1, Duration::from_secs(5));
        let running = admission.queue().unwrap().admitted().await.unwrap();
        let waiting = admission.queue().unwrap();
        assert!(admission.queue().is_none());
        drop(running);
        assert!(waiting.admitted().await.is_some());
        assert!(admission.queue().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let admission = Admission::new(1, 1, Duration::from_secs(5));
        let _running = admission.queue().unwrap().admitted().await.unwrap();
        assert!(admission.queue().unwrap().admitted().await.is_none());
    }
}
