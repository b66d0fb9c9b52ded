//! What one connection is doing, and since when: so that one that does nothing, or does it too
//! slowly, can be told from one that is being served.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::limits::{Limits, QUEUED_MAX, QUEUED_WITHIN};

/// Shared by a connection's socket, its requests, and whoever makes room for others.
#[derive(Debug)]
pub(super) struct ConnectionState {
    state: Mutex<State>,
    /// Something is due earlier than it was.
    sooner: Notify,
}

#[derive(Debug, Clone, Copy)]
struct State {
    doing: Doing,
    since: Instant,
    /// Since when the client takes nothing of what is written.
    blocked_since: Option<Instant>,
    /// Somebody else needs its place.
    unwanted: bool,
    /// How many requests of it were served, or are.
    begun: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// No byte of a next request came yet. What was answered last may still be on its way.
    Waiting,
    /// A head has begun to arrive.
    Head,
    /// A request is being served. That has limits of its own.
    Serving,
}

/// What is to be done with a connection at some time, if it goes on as now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays; look again when its time may be over.
    LookAgain,
    /// Closed once what it has is written.
    Close,
    /// Closed whatever it has left to write, for this reason.
    Cut(&'static str),
}

impl ConnectionState {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                doing: Doing::Waiting,
                since: Instant::now(),
                blocked_since: None,
                unwanted: false,
                begun: 0,
            }),
            sooner: Notify::new(),
        }
    }

    /// Notes that bytes of a request arrived.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.doing == Doing::Waiting {
            state.go_over_to(Doing::Head);
            self.sooner.notify_one();
        }
    }

    /// A whole head arrived.
    pub(super) fn begins_to_serve(&self) {
        let mut state = self.state();
        state.go_over_to(Doing::Serving);
        state.begun += 1;
    }

    /// The answer is there, and is being written.
    pub(super) fn has_served(&self) {
        self.state().go_over_to(Doing::Waiting);
    }

    /// Whether the client took anything of what was offered to it.
    pub(super) fn wrote(&self, anything: bool) {
        let mut state = self.state();
        match (anything, state.blocked_since) {
            (true, _) => state.blocked_since = None,
            (false, None) => {
                state.blocked_since = Some(Instant::now());
                self.sooner.notify_one();
            }
            (false, Some(_)) => {}
        }
    }

    /// When something is to be done about it, and what.
    pub(super) fn due(&self, limits: &Limits) -> (Instant, Verdict) {
        let state = *self.state();
        let (at, verdict) = match state.doing {
            Doing::Waiting => (state.since + limits.idle, Verdict::Close),
            Doing::Head => (
                state.since + limits.head,
                Verdict::Cut("its request's head is too slow"),
            ),
            Doing::Serving => (Instant::now() + limits.head, Verdict::LookAgain),
        };
        match state.blocked_since.map(|since| since + limits.stall) {
            Some(stalls) if stalls < at => (stalls, Verdict::Cut("it does not take its answer")),
            _ => (at, verdict),
        }
    }

    /// Since when no request of it is being served; none while one is.
    pub(super) fn useless_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.doing != Doing::Serving).then_some(state.since)
    }

    /// Makes it leave once what it has is written.
    pub(super) fn ask_to_go(&self) {
        self.state().unwanted = true;
        self.sooner.notify_one();
    }

    /// Whether it was asked to leave.
    pub(super) fn is_unwanted(&self) -> bool {
        self.state().unwanted
    }

    /// Waits until something may be due earlier than [`due`](Self::due) said.
    pub(super) async fn due_sooner(&self) {
        self.sooner.notified().await;
    }

    /// Waits until what its client sent behind the request that is being served is served too.
    /// Whoever sends one after the other without end is not waited for.
    pub(super) async fn queue_ends(&self) {
        let last = self.state().begun + QUEUED_MAX;
        loop {
            let state = *self.state();
            let rests = state.doing == Doing::Waiting && state.blocked_since.is_none();
            if state.begun >= last || (rests && state.since.elapsed() >= QUEUED_WITHIN) {
                return;
            }
            sleep(QUEUED_WITHIN).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn go_over_to(&mut self, doing: Doing) {
        self.doing = doing;
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ends_after(state: &ConnectionState, limits: &Limits) -> (Duration, Verdict) {
        let (at, verdict) = state.due(limits);
        (at - Instant::now(), verdict)
    }

    #[tokio::test(start_paused = true)]
    async fn drops_of_a_head_do_not_win_time() {
        let (state, limits) = (ConnectionState::new(), Limits::for_files(1_024));
        state.heard();
        let slow = Verdict::Cut("its request's head is too slow");
        assert_eq!(ends_after(&state, &limits), (limits.head, slow));
        tokio::time::advance(Duration::from_secs(9)).await;
        state.heard();
        let left = Duration::from_secs(1);
        assert_eq!(ends_after(&state, &limits), (left, slow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_being_served_is_left_alone() {
        let (state, limits) = (ConnectionState::new(), Limits::for_files(1_024));
        state.heard();
        state.begins_to_serve();
        assert_eq!(state.useless_since(), None);
        tokio::time::advance(Duration::from_hours(1)).await;
        state.heard();
        assert_eq!(state.due(&limits).1, Verdict::LookAgain);
        state.has_served();
        assert_eq!(state.useless_since(), Some(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_is_closed_in_the_end() {
        let (state, limits) = (ConnectionState::new(), Limits::for_files(1_024));
        tokio::time::advance(Duration::from_secs(60)).await;
        let left = Duration::from_secs(15);
        assert_eq!(ends_after(&state, &limits), (left, Verdict::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_not_cut_off() {
        let (state, limits) = (ConnectionState::new(), Limits::for_files(1_024));
        state.begins_to_serve();
        state.wrote(false);
        tokio::time::advance(Duration::from_secs(29)).await;
        state.wrote(false);
        let stalled = Verdict::Cut("it does not take its answer");
        let left = Duration::from_secs(1);
        assert_eq!(ends_after(&state, &limits), (left, stalled));
        state.wrote(true);
        assert_eq!(state.due(&limits).1, Verdict::LookAgain);
    }
}
