//! The simulation's clock: tokio's paused one, counted from a fixed day.

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::Clock;
use tokio::time::Instant;

/// Tells the time of the runtime that it was made in.
#[derive(Debug)]
pub(crate) struct SimulatedClock {
    began: Instant,
}

/// When every simulation begins: 2027-01-15 08:00 UTC.
pub(crate) const BEGAN_S: i64 = 1_800_000_000;

impl SimulatedClock {
    pub(crate) fn starting_now() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub(crate) fn now_utc(&self) -> DateTime<Utc> {
        let began = DateTime::from_timestamp(BEGAN_S, 0).unwrap_or_default();
        began + TimeDelta::from_std(self.began.elapsed()).unwrap_or_default()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> DateTime<Utc> {
        self.now_utc()
    }
}
