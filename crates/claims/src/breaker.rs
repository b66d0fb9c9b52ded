//! What this server hears of agents when they fail, and what follows from it: whether an instance is to
//! blame, and whether claims go on. An outage that hits every agent alike, or this server alone, must
//! not use up the stock; so an instance is to blame only where another one was set up at about that
//! time, and where none is, claims stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_agent::Heard;
use pool_domain::{AgentsReport, InstanceId};
use tokio::time::Instant;

/// Different instances that must fail in a row, or all there are, where there are fewer. A claim tries
/// three where agents refuse, so that one unlucky claim alone never opens it.
const FAILURES_UNTIL_OPEN: usize = 5;

/// For how long after a success an instance that fails is at fault itself: as long as a good probe
/// vouches for an agent.
const CONTRAST: Duration = Duration::from_secs(10);

/// How long after a failure a trial is let through, doubled with each that fails,
const TRIAL_AFTER: Duration = Duration::from_secs(1);
/// and never longer than this: claims go on this long after the trouble is over. A trial whose outcome
/// nobody knows costs its instance.
const TRIAL_AFTER_MAX: Duration = Duration::from_secs(15);

/// How many of those that failed are known by their ids.
const REMEMBERED_MAX: usize = 100;

/// Opens after several failures in a row. Cheap to clone; clones share their state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The different instances that failed since the last success.
    failed: Vec<InstanceId>,
    /// How often any did.
    failures: usize,
    /// The first of these failures, and the last.
    since: Option<Instant>,
    last_failure: Option<Instant>,
    /// What was heard at the last one.
    last_words: String,
    /// Whether any of them answered.
    some_answer: bool,
    /// When an agent was set up, the last time.
    succeeded: Option<Instant>,
    is_open: bool,
    /// Whether a trial is under way.
    trial: bool,
    /// How many trials failed since it opened.
    trials_failed: u32,
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
        if !state.is_open {
            return Ok(Pass { trial_of: None });
        }
        let wait = state.wait();
        if state.trial || !wait.is_zero() {
            return Err(wait.max(TRIAL_AFTER));
        }
        state.trial = true;
        let trial_of = Some(self.clone());
        Ok(Pass { trial_of })
    }

    /// Whether claims are refused.
    pub(crate) fn is_open(&self) -> bool {
        self.state().is_open
    }

    /// Whether no agent failed since the last success.
    pub(crate) fn is_calm(&self) -> bool {
        self.state().failed.is_empty()
    }

    /// Whether claims are refused, and no agent answers.
    pub(crate) fn reaches_none(&self) -> bool {
        let state = self.state();
        state.is_open && !state.some_answer
    }

    /// An instance failed. Says whether it is to blame: whether another one was set up lately.
    pub(crate) fn failed(&self, id: &InstanceId, words: &str, heard: Heard) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        state.failures += 1;
        state.since.get_or_insert(now);
        state.last_failure = Some(now);
        words.clone_into(&mut state.last_words);
        state.some_answer |= heard == Heard::Answer;
        if !state.failed.contains(id) && state.failed.len() < REMEMBERED_MAX {
            state.failed.push(id.clone());
        }
        let has_contrast = state.has_contrast();
        if state.failed.len() >= FAILURES_UNTIL_OPEN && !has_contrast {
            state.open();
        }
        has_contrast
    }

    /// Those that failed since the last success.
    pub(crate) fn failed_ids(&self) -> Vec<InstanceId> {
        self.state().failed.clone()
    }

    /// There is no other instance than those that failed.
    pub(crate) fn exhausted(&self) {
        let mut state = self.state();
        if !state.failed.is_empty() && !state.has_contrast() {
            state.open();
        }
    }

    /// An instance was provisioned.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        state.close("an agent was provisioned");
        state.succeeded = Some(Instant::now());
    }

    /// An agent said that it is ready: where none did, that is what was waited for.
    pub(crate) fn reached(&self) {
        let mut state = self.state();
        if !state.some_answer {
            state.close("an agent answers");
        }
    }

    /// What is heard of agents, where claims are refused.
    pub(crate) fn report(&self) -> Option<AgentsReport> {
        let state = self.state();
        let since = state.since.filter(|_| state.is_open)?;
        Some(AgentsReport {
            failures: state.failures,
            since_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            last_words: state.last_words.clone(),
            none_answers: !state.some_answer,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_contrast(&self) -> bool {
        self.succeeded.is_some_and(|at| at.elapsed() < CONTRAST)
    }

    /// How long it is until the next trial.
    fn wait(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.trials_failed.min(16));
        let pause = TRIAL_AFTER.saturating_mul(doubled).min(TRIAL_AFTER_MAX);
        self.last_failure
            .map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()))
    }

    fn open(&mut self) {
        if self.is_open {
            return;
        }
        self.is_open = true;
        self.trials_failed = 0;
        tracing::error!(
            failures = self.failures,
            instances = self.failed.len(),
            agents.answer = self.some_answer,
            reason = self.last_words,
            "claims are refused: the last agents all failed"
        );
    }

    fn close(&mut self, why: &str) {
        if self.is_open {
            tracing::info!("claims are served again: {why}");
        }
        *self = Self {
            succeeded: self.succeeded,
            trial: self.trial,
            ..Self::default()
        };
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
            let mut state = breaker.state();
            state.trial = false;
            state.trials_failed = state.trials_failed.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, ids: impl IntoIterator<Item = usize>) {
        for id in ids {
            breaker.failed(&InstanceId::new(format!("i{id}")), "no", Heard::Answer);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_different_instances_open_it_and_one_success_closes_it() {
        let breaker = Breaker::default();
        fail(&breaker, 0..4);
        assert!(breaker.admit().is_ok());
        assert_eq!(breaker.report(), None);
        fail(&breaker, 4..5);
        assert!(breaker.admit().is_err());
        let report = breaker.report().unwrap();
        assert_eq!((report.failures, report.last_words.as_str()), (5, "no"));
        breaker.succeeded();
        assert!(breaker.admit().is_ok());
        assert!(breaker.is_calm());
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_instance_again_and_again_does_not_open_it() {
        let breaker = Breaker::default();
        fail(&breaker, [1, 1, 1, 1, 2, 2, 3, 4]);
        assert!(breaker.admit().is_ok());
        breaker.exhausted();
        assert!(breaker.admit().is_err(), "unless there is no other");
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_to_blame_only_shortly_after_another_one_was_set_up() {
        let breaker = Breaker::default();
        let id = InstanceId::new("i");
        assert!(!breaker.failed(&id, "no", Heard::Answer));
        breaker.succeeded();
        assert!(breaker.failed(&id, "no", Heard::Answer));
        fail(&breaker, 0..9);
        breaker.exhausted();
        assert!(!breaker.is_open(), "they are at fault, and not the world");
        tokio::time::advance(CONTRAST).await;
        assert!(!breaker.failed(&id, "no", Heard::Answer));
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_closes_it_only_where_none_was_heard() {
        for (heard, is_open) in [(Heard::NoConnection, false), (Heard::Answer, true)] {
            let breaker = Breaker::default();
            for id in 0..5 {
                breaker.failed(&InstanceId::new(format!("i{id}")), "no", heard);
            }
            assert_eq!(breaker.reaches_none(), !is_open);
            breaker.reached();
            assert_eq!(breaker.is_open(), is_open, "{heard:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_trial_at_a_time_goes_through_and_later_with_each_that_fails() {
        let breaker = Breaker::default();
        fail(&breaker, 0..5);
        assert_eq!(breaker.admit().unwrap_err(), TRIAL_AFTER);
        for ms in [1_000, 2_000, 4_000, 8_000, 15_000, 15_000] {
            tokio::time::advance(Duration::from_millis(ms - 1)).await;
            assert!(breaker.admit().is_err(), "before {ms} ms have passed");
            tokio::time::advance(Duration::from_millis(1)).await;
            let trial = breaker.admit().unwrap();
            assert!(trial.is_trial());
            assert!(breaker.admit().is_err(), "a second one beside it");
            fail(&breaker, 5..6);
            drop(trial);
        }
    }
}
