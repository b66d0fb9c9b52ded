//! Stops claims when every agent fails alike, so that an outage does not use up the stock. Only
//! definite failures count: whether an indeterminate one was a failure is just what nobody knows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_domain::InstanceId;
use tokio::time::Instant;

/// Different instances that must fail in a row. A claim tries three, so that one unlucky claim
/// alone never opens it.
const FAILURES_UNTIL_OPEN: usize = 5;

/// How long after a failure a trial is let through: a failed trial counts against its instance, so
/// callers that repeat at once must not use up the stock.
const TRIAL_AFTER: Duration = Duration::from_secs(1);

/// Opens after several failures in a row. Cheap to clone; clones share their state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The different instances that failed since the last success.
    failed: Vec<InstanceId>,
    /// The last of these failures.
    last_failure: Option<Instant>,
    /// Whether a trial is under way.
    trial: bool,
}

/// The leave to try instances. If it is the one trial, its end, in whatever way, lets the next one
/// through.
#[derive(Debug)]
pub(crate) struct Pass {
    trial_of: Option<Breaker>,
}

impl Breaker {
    /// Lets a claim through, or says after what time to ask again.
    pub(crate) fn admit(&self) -> Result<Pass, Duration> {
        let mut state = self.state();
        if !state.is_open() {
            return Ok(Pass { trial_of: None });
        }
        let due = state.last_failure.map(|at| at + TRIAL_AFTER);
        let wait = due.map_or(Duration::ZERO, |due| {
            due.saturating_duration_since(Instant::now())
        });
        if state.trial || !wait.is_zero() {
            return Err(wait.max(TRIAL_AFTER));
        }
        state.trial = true;
        let trial_of = Some(self.clone());
        Ok(Pass { trial_of })
    }

    /// Whether as many instances failed as open it.
    pub(crate) fn is_open(&self) -> bool {
        self.state().is_open()
    }

    /// An instance definitely failed.
    pub(crate) fn failed(&self, id: &InstanceId) {
        let mut state = self.state();
        state.last_failure = Some(Instant::now());
        if !state.is_open() && !state.failed.contains(id) {
            state.failed.push(id.clone());
            if state.is_open() {
                tracing::error!(
                    failures = FAILURES_UNTIL_OPEN,
                    "claims are refused: the last agents all failed"
                );
            }
        }
    }

    /// An instance was provisioned.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        if state.is_open() {
            tracing::info!("claims are served again: an agent was provisioned");
        }
        state.failed.clear();
        state.last_failure = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_open(&self) -> bool {
        self.failed.len() >= FAILURES_UNTIL_OPEN
    }
}

impl Pass {
    /// Whether it is the one that goes through an open breaker.
    pub(crate) fn is_trial(&self) -> bool {
        self.trial_of.is_some()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(breaker) = &self.trial_of {
            breaker.state().trial = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, ids: impl IntoIterator<Item = usize>) {
        for id in ids {
            breaker.failed(&InstanceId::new(format!("i{id}")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_different_instances_open_it_and_one_success_closes_it() {
        let breaker = Breaker::default();
        fail(&breaker, 0..4);
        assert!(breaker.admit().is_ok());
        fail(&breaker, 4..5);
        assert!(breaker.admit().is_err());
        breaker.succeeded();
        assert!(!breaker.admit().unwrap().is_trial());
    }

    #[tokio::test(start_paused = true)]
    async fn one_instance_alone_never_opens_it() {
        let breaker = Breaker::default();
        fail(&breaker, [1; 20]);
        assert!(!breaker.admit().unwrap().is_trial());
    }

    #[tokio::test(start_paused = true)]
    async fn one_trial_at_a_time_goes_through_a_second_after_the_last_failure() {
        let breaker = Breaker::default();
        fail(&breaker, 0..5);
        assert_eq!(breaker.admit().unwrap_err(), TRIAL_AFTER);
        tokio::time::advance(TRIAL_AFTER).await;
        let trial = breaker.admit().unwrap();
        assert!(trial.is_trial());
        assert!(breaker.admit().is_err(), "a second one beside it");
        fail(&breaker, 5..6);
        drop(trial);
        assert!(breaker.admit().is_err(), "right after the failed trial");
        tokio::time::advance(TRIAL_AFTER).await;
        assert!(breaker.admit().is_ok());
    }
}
