//! The hour that Railway's budget is told for: what it allows, what is left, when it ends. Where
//! nobody has told, an hour of our own, which begins with the first call.

use std::time::Duration;

use pool_domain::{CallPurpose, Spent};
use tokio::time::Instant;

use crate::headers;
use crate::limits::WINDOW;

/// An hour as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Requests that it allows.
    pub(super) limit: u64,
    /// Requests that it still allows.
    pub(super) remaining: u64,
    /// When it surely is over.
    pub(super) ends: Instant,
    /// Whether nobody told its end, and perhaps nothing of it.
    pub(super) is_assumed: bool,
}

impl Window {
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now)
    }
}

/// The current hour, and what this process spent in it.
#[derive(Debug)]
pub(super) struct Windows {
    current: Option<Window>,
    /// What an hour allows, as told last or as assumed.
    limit: u64,
    spent: Spent,
}

impl Windows {
    pub(super) fn new(assumed_limit: u64) -> Self {
        Self {
            current: None,
            limit: assumed_limit,
            spent: Spent::default(),
        }
    }

    /// The current hour. When one is over, what was known of it but its size is forgotten.
    pub(super) fn current(&mut self, now: Instant) -> Window {
        if self.current.is_some_and(|window| window.ends <= now) {
            self.current = None;
            self.spent = Spent::default();
        }
        self.current.unwrap_or(Window {
            limit: self.limit,
            remaining: self.limit,
            ends: now + WINDOW,
            is_assumed: true,
        })
    }

    /// Counts a request. Gives whether it begins an hour of our own.
    pub(super) fn send(&mut self, now: Instant, purpose: CallPurpose) -> bool {
        let mut window = self.current(now);
        window.remaining = window.remaining.saturating_sub(1);
        self.spent.add(purpose, 1);
        self.current.replace(window).is_none()
    }

    /// What this process spent since the hour began.
    pub(super) const fn spent(&self) -> Spent {
        self.spent
    }

    /// Railway told how the hour stands.
    pub(super) fn told(&mut self, now: Instant, said: headers::Window) {
        let known = self.current(now);
        self.replace(Window {
            limit: said.limit.unwrap_or(known.limit),
            remaining: said.remaining,
            ends: now + said.left.unwrap_or(WINDOW).min(WINDOW),
            is_assumed: said.left.is_none(),
        });
    }

    /// The hour as it is known from elsewhere.
    pub(super) fn replace(&mut self, window: Window) {
        let limit = window.limit.max(window.remaining);
        self.limit = limit;
        self.current = Some(Window { limit, ..window });
    }

    /// There is a budget again then, if that is before the hour's end.
    pub(super) fn ends_by(&mut self, at: Instant) {
        if let Some(window) = &mut self.current {
            window.ends = window.ends.min(at);
        }
    }
}
