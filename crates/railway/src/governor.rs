//! Keeps our calls within Railway's budget: spaces them, stays silent while Railway wants it, and
//! keeps the last part of a window for what is not a create. It knows of this process only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::governor::clock::{Clock as _, DefaultClock};
use ::governor::{DefaultDirectRateLimiter, Quota};
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{LONGEST_BLOCK, Limits, MIN_RESERVE_REQUESTS, RESERVE_DIVISOR};
use crate::{ErrorClass, headers};

/// What Railway said last of the current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Requests that a window allows.
    pub limit: Option<u64>,
    /// Requests left in this window, less those that were sent since.
    pub remaining: Option<u64>,
    /// When the window ends.
    pub resets_at: Option<DateTime<Utc>>,
}

/// What a call is for: creates are the first that have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Changes nothing.
    Read,
    /// Begins something new.
    Create,
    /// Finishes or destroys what is there.
    Change,
}

/// A call that was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) class: ErrorClass,
    pub(crate) message: &'static str,
}

#[derive(Debug)]
pub(crate) struct Governor {
    limits: Limits,
    spacing: DefaultDirectRateLimiter,
    clock: DefaultClock,
    /// Held by the one call that is next, so that calls leave in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    budget: Budget,
    window_ends: Option<Instant>,
    block: Option<Block>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    until: Instant,
    class: ErrorClass,
}

impl Governor {
    pub(crate) fn new(limits: Limits) -> Self {
        let quota = Quota::per_second(limits.requests_per_second);
        let quota = quota.allow_burst(limits.burst_requests);
        Self {
            limits,
            spacing: DefaultDirectRateLimiter::direct(quota),
            clock: DefaultClock::default(),
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            sent: AtomicU64::new(0),
        }
    }

    /// Waits for the moment at which a call may be sent, or says why it may not be.
    pub(crate) async fn admit(&self, purpose: Purpose) -> Result<(), Refusal> {
        let longest = self.limits.longest_queue + self.limits.longest_block_wait;
        timeout(longest, self.wait_turn(purpose))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Refusal {
                    class: ErrorClass::RateLimited {
                        retry_after: Some(Duration::from_secs(1)),
                    },
                    message: "not sent: too many of our own calls are waiting",
                })
            })
    }

    async fn wait_turn(&self, purpose: Purpose) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        while let Some(wait) = self.block_left()? {
            sleep(wait).await;
        }
        self.check_budget(purpose)?;
        while let Err(early) = self.spacing.check() {
            sleep(early.wait_time_from(self.clock.now())).await;
        }
        self.spend();
        Ok(())
    }

    /// How long a short block still lasts; a long one refuses.
    fn block_left(&self) -> Result<Option<Duration>, Refusal> {
        let mut state = self.state();
        let Some(block) = state.block else {
            return Ok(None);
        };
        let left = block.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            state.block = None;
            return Ok(None);
        }
        if left <= self.limits.longest_block_wait {
            return Ok(Some(left));
        }
        Err(match block.class {
            ErrorClass::EdgeBlocked => Refusal {
                class: ErrorClass::EdgeBlocked,
                message: "not sent: the edge in front of Railway blocked us",
            },
            _ => Refusal {
                class: ErrorClass::RateLimited {
                    retry_after: Some(left),
                },
                message: "not sent: Railway told us to wait",
            },
        })
    }

    fn check_budget(&self, purpose: Purpose) -> Result<(), Refusal> {
        let mut state = self.state();
        let Some(left) = state.window_left() else {
            return Ok(());
        };
        let Some(remaining) = state.budget.remaining else {
            return Ok(());
        };
        let reserve =
            (state.budget.limit.unwrap_or_default() / RESERVE_DIVISOR).max(MIN_RESERVE_REQUESTS);
        let message = if remaining == 0 {
            "not sent: Railway's budget for this window is used up"
        } else if purpose == Purpose::Create && remaining <= reserve {
            "not sent: what is left of Railway's budget is kept for reading and destroying"
        } else {
            return Ok(());
        };
        Err(Refusal {
            class: ErrorClass::RateLimited {
                retry_after: Some(left),
            },
            message,
        })
    }

    fn spend(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.budget.remaining = state.budget.remaining.map(|left| left.saturating_sub(1));
    }

    /// Takes in what the headers of an answer say of the window.
    pub(crate) fn observe(&self, headers: &HeaderMap) {
        let Some(window) = headers::window(headers) else {
            return;
        };
        let mut state = self.state();
        state.budget = Budget {
            limit: window.limit.or(state.budget.limit),
            remaining: Some(window.remaining),
            resets_at: window.resets_at,
        };
        let left = window.left.map(|left| left.min(LONGEST_BLOCK));
        state.window_ends = left.map(|left| Instant::now() + left);
    }

    /// Nothing is sent for this long.
    pub(crate) fn block(&self, length: Duration, class: ErrorClass) {
        let until = Instant::now() + length.min(LONGEST_BLOCK);
        let mut state = self.state();
        // The answers of calls that were under way may come in any order: the longest block counts.
        if state.block.is_none_or(|block| block.until < until) {
            state.block = Some(Block { until, class });
        }
    }

    pub(crate) fn budget(&self) -> Budget {
        let mut state = self.state();
        state.window_left();
        state.budget
    }

    pub(crate) fn requests_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long the window still lasts. When it is over, what was known of it is forgotten.
    fn window_left(&mut self) -> Option<Duration> {
        let left = self.window_ends?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.window_ends = None;
            self.budget.remaining = None;
            self.budget.resets_at = None;
            return None;
        }
        Some(left)
    }
}

#[cfg(test)]
#[path = "governor_tests.rs"]
mod tests;
