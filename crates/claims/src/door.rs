//! Bounds how many claims run at once and how many wait for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Lets a bounded number of claims in, and makes a bounded number wait.
#[derive(Debug)]
pub(crate) struct Door {
    seats: Arc<Semaphore>,
    places: Arc<Semaphore>,
    wait_max: Duration,
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Place {
    seats: Arc<Semaphore>,
    wait_max: Duration,
    _queued: OwnedSemaphorePermit,
}

/// The leave to run.
#[derive(Debug)]
pub(crate) struct Seat {
    _running: OwnedSemaphorePermit,
    _place: Place,
}

impl Door {
    pub(crate) fn new(in_flight_max: usize, waiting_max: usize, wait_max: Duration) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(in_flight_max)),
            places: Arc::new(Semaphore::new(in_flight_max + waiting_max)),
            wait_max,
        }
    }

    /// A place, or none when the queue is full.
    pub(crate) fn enter(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place {
            seats: Arc::clone(&self.seats),
            wait_max: self.wait_max,
            _queued: place,
        })
    }
}

impl Place {
    /// Waits, in turn, for the leave to run; none when it takes too long.
    pub(crate) async fn seat(self) -> Option<Seat> {
        let turn = Arc::clone(&self.seats).acquire_owned();
        let seat = timeout(self.wait_max, turn).await.ok()?.ok()?;
        Some(Seat {
            _running: seat,
            _place: self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beyond_those_who_run_and_those_who_wait_nobody_gets_in() {
        let door = Door::new(1, 1, Duration::from_secs(5));
        let running = door.enter().unwrap().seat().await.unwrap();
        let waiting = door.enter().unwrap();
        assert!(door.enter().is_none());
        drop(running);
        assert!(waiting.seat().await.is_some());
        assert!(door.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let door = Door::new(1, 1, Duration::from_secs(5));
        let _running = door.enter().unwrap().seat().await.unwrap();
        assert!(door.enter().unwrap().seat().await.is_none());
    }
}
