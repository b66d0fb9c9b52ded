//! How long something took, and waiting for something with a limit.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::interrupt;

/// Between two looks. A person does not notice 50 ms, and the pool answers a look from its cache.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Started once, read often; printed as `12.3 s`.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "says how long real processes took, and limits the wait for them"
    )]
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// How long that is ago.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.start.elapsed()
    }
}

impl fmt::Display for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.elapsed().as_secs_f64())
    }
}

/// Looks until `look` finds something; after `limit` an error that says `what` did not happen, and
/// what the last look saw instead.
pub fn wait_until<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        let seen = match look()? {
            Look::Found(found) => return Ok(found),
            Look::NotYet(seen) => seen,
        };
        interrupt::check()?;
        if watch.elapsed() >= limit {
            bail!("{what} did not happen within {} s: {seen}", limit.as_secs());
        }
        sleep(LOOK_EVERY);
    }
}

/// What one look found.
pub enum Look<T> {
    /// It is there.
    Found(T),
    /// What is there instead, for the error when the time is over.
    NotYet(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_too_long_says_what_was_seen_last() {
        let look = || Ok(Look::<()>::NotYet("4 idle".to_owned()));
        let error = wait_until(Duration::ZERO, "5 idle", look).unwrap_err();
        assert_eq!(
            error.to_string(),
            "5 idle did not happen within 0 s: 4 idle"
        );
    }
}
