//! Keeps our calls within Railway's budget: spaces them, stays silent while Railway or its edge
//! wants it, and shares out what is left of the hour. What other processes spent it learns from a
//! `Ledger`; storing that is somebody else's.

mod blocks;
mod ledger;
mod report;
mod shares;
mod spacing;
mod spending;
mod task;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::Spent;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, sleep, timeout};

use self::blocks::{Blocks, Gate, Refusal};
use self::shares::Standing;
use self::spacing::Spacing;
use self::spending::Spending;
pub(crate) use self::task::Task;
use crate::limits::{DEFAULT_BLOCK, LONGEST_BLOCK, Limits, SLOWEST_LISTING, TRIAL_LIMIT, WINDOW};
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

#[derive(Debug)]
pub(crate) struct Governor {
    limits: Limits,
    /// Held by the one call that is next, so that calls leave in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    spacing: Spacing,
    blocks: Blocks,
    window: Window,
    spending: Spending,
    /// When anybody last said anything of the limits.
    heard: Option<Instant>,
    last_listing: Option<Instant>,
    /// What the last listing took.
    listing_requests: u64,
    /// What this process spent since its start.
    by_us: Spent,
}

/// What is known of the current window.
#[derive(Debug, Default)]
struct Window {
    budget: Budget,
    /// When it surely is over.
    ends: Option<Instant>,
    /// Whether Railway said when it ends.
    is_end_told: bool,
}

impl Governor {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                spacing: Spacing::new(limits),
                blocks: Blocks::default(),
                window: Window::default(),
                spending: Spending::new(Instant::now()),
                heard: None,
                last_listing: None,
                listing_requests: 1,
                by_us: Spent::default(),
            }),
        }
    }

    /// Waits for the moment at which a call may be sent, or says why it may not be.
    pub(crate) async fn admit(&self, task: Task) -> Result<(), Refusal> {
        let longest = self.limits.longest_queue + self.limits.longest_block_wait;
        timeout(longest, self.wait_turn(task))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Refusal {
                    class: ErrorClass::RateLimited {
                        retry_after: Some(Duration::from_secs(1)),
                    },
                    message: "not sent: too many of our own calls are waiting".to_owned(),
                })
            })
    }

    async fn wait_turn(&self, task: Task) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        loop {
            let wait = self.try_send(task)?;
            if wait.is_zero() {
                return Ok(());
            }
            sleep(wait).await;
        }
    }

    /// Counts the call as sent when nothing is in its way (zero), or says how long it has to wait.
    fn try_send(&self, task: Task) -> Result<Duration, Refusal> {
        let now = Instant::now();
        let mut state = self.state();
        let longest_wait = self.limits.longest_block_wait;
        match state.blocks.gate(now, longest_wait, TRIAL_LIMIT) {
            Gate::Open => {}
            Gate::Wait(wait) => return Ok(wait),
            Gate::Closed(refusal) => return Err(refusal),
        }
        state.check_share(now, task, &self.limits)?;
        let wait = state.spacing.wait(now);
        if wait.is_zero() {
            state.send(now, task);
        }
        Ok(wait)
    }

    /// Takes in what the headers of an answer say of the limits.
    pub(crate) fn observe(&self, headers: &HeaderMap) {
        let said = headers::limits(headers);
        let now = Instant::now();
        let mut state = self.state();
        if let Some(per_second) = said.per_second {
            state.spacing.told(per_second);
        }
        if let Some(hour) = said.hour {
            state.heard = Some(now);
            state.window = Window {
                budget: Budget {
                    limit: hour.limit.or(state.window.budget.limit),
                    remaining: Some(hour.remaining),
                    resets_at: hour.resets_at,
                },
                ends: Some(now + hour.left.unwrap_or(WINDOW).min(WINDOW)),
                is_end_told: hour.left.is_some(),
            };
        }
    }

    /// Railway itself answered, whatever it said.
    pub(crate) fn answered(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let was_blocked = state.blocks.block.is_some();
        state.blocks.answered(now);
        if was_blocked && state.blocks.block.is_none() {
            state.heard = Some(now);
        }
    }

    /// No answer came, or one of which nobody knows from whom.
    pub(crate) fn unanswered(&self) {
        self.state().blocks.unanswered();
    }

    /// Railway's limiter wants a silence, this long if it told.
    pub(crate) fn blocked_by_railway(&self, retry_after: Option<Duration>) -> Duration {
        let length = retry_after.unwrap_or(DEFAULT_BLOCK).min(LONGEST_BLOCK);
        let now = Instant::now();
        let mut state = self.state();
        state.heard = Some(now);
        let is_used_up = state.window.budget.remaining == Some(0);
        if let Some(ends) = state
            .window
            .ends
            .filter(|_| retry_after.is_some() && is_used_up)
        {
            // Of the two times at which there is a budget again, it is the one that is meant for us.
            state.window.ends = Some(ends.min(now + length));
        }
        state.blocks.answered(now);
        state.blocks.by_railway(now, length);
        length
    }

    /// The edge in front of Railway blocks us.
    pub(crate) fn blocked_by_edge(&self, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state();
        state.heard = Some(now);
        state.blocks.by_edge(now, retry_after);
    }

    /// A listing was read to its end, in so many requests.
    pub(crate) fn listed(&self, requests: u64) {
        self.state().listing_requests = requests.max(1);
    }

    pub(crate) fn budget(&self) -> Budget {
        let mut state = self.state();
        state.forget_old_window(Instant::now());
        state.window.budget
    }

    pub(crate) fn requests_sent(&self) -> u64 {
        self.spent_by_us().total()
    }

    /// What this process spent since its start.
    pub(crate) fn spent_by_us(&self) -> Spent {
        self.state().by_us
    }

    /// Whether nothing may be sent.
    pub(crate) fn is_blocked(&self) -> bool {
        self.state().blocks.current(Instant::now()).is_some()
    }

    /// How many instances may be begun now.
    pub(crate) fn creates_left(&self) -> u64 {
        let now = Instant::now();
        let mut state = self.state();
        if state.blocks.current(now).is_some() {
            return 0;
        }
        state.standing(now, &self.limits).0.creates_left()
    }

    /// Why a listing that nobody asked for should wait; none when it is due.
    pub(crate) fn listing_not_due(&self) -> Option<String> {
        let now = Instant::now();
        let mut state = self.state();
        let (standing, is_assumed) = state.standing(now, &self.limits);
        let every = standing.listing_every();
        let since = now.saturating_duration_since(state.last_listing?);
        if is_assumed || !standing.is_behind() || since >= nearly(every) {
            return None;
        }
        let seconds = every.saturating_sub(since).as_secs().max(1);
        let why = standing.why_not_more_often();
        Some(format!(
            "not listed in this tick: {why}; the next one is due in {seconds} s"
        ))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_share(&mut self, now: Instant, task: Task, limits: &Limits) -> Result<(), Refusal> {
        let (standing, is_assumed) = self.standing(now, limits);
        let refuse = |retry_after, message: &str| {
            Err(Refusal {
                class: ErrorClass::RateLimited { retry_after },
                message: message.to_owned(),
            })
        };
        if is_assumed && task != Task::Begin {
            return Ok(());
        }
        let left = Some(standing.left);
        if !is_assumed && standing.remaining == 0 && self.window.is_end_told {
            return refuse(left, "not sent: Railway's budget for this hour is used up");
        }
        if !standing.allows(task) {
            return refuse(
                left,
                match task {
                    Task::Destroy => {
                        "not sent: what is left of Railway's budget is kept for listing"
                    }
                    Task::Begin if is_assumed => {
                        "not sent: of the requests an hour that are assumed, since Railway does not \
                     say how many it allows, the rest is kept for listing and destroying"
                    }
                    Task::Begin => {
                        "not sent: what is left of Railway's budget is kept for listing and destroying"
                    }
                    _ => "not sent: what is left of Railway's budget is kept for destroying",
                },
            );
        }
        if task == Task::FirstPage && standing.remaining <= standing.kept_for_destroying() {
            let slowest = nearly(SLOWEST_LISTING.max(limits.listing_interval));
            let since = self
                .last_listing
                .map(|last| now.saturating_duration_since(last));
            let wait = since.map_or(Duration::ZERO, |since| slowest.saturating_sub(since));
            if !wait.is_zero() {
                return refuse(
                    Some(wait),
                    "not sent: what is left of Railway's budget is kept for destroying and for a \
                     listing now and then",
                );
            }
        }
        Ok(())
    }

    fn send(&mut self, now: Instant, task: Task) {
        self.by_us.add(task.purpose(), 1);
        self.spacing.sent(now);
        self.blocks.sent(now);
        self.spending.add(now, task.purpose());
        let remaining = &mut self.window.budget.remaining;
        *remaining = remaining.map(|left| left.saturating_sub(1));
        if task == Task::FirstPage {
            self.last_listing = Some(now);
        }
    }

    /// How the window stands, and whether that is only assumed.
    fn standing(&mut self, now: Instant, limits: &Limits) -> (Standing, bool) {
        self.forget_old_window(now);
        let told = self.window.budget.remaining.zip(self.window.ends);
        let spent = self.spending.within(now, WINDOW).total();
        let limit = self
            .window
            .budget
            .limit
            .unwrap_or(limits.assumed_requests_per_hour);
        let (remaining, left) = match told {
            Some((remaining, ends)) => (remaining, ends.saturating_duration_since(now)),
            None => (limit.saturating_sub(spent), WINDOW),
        };
        let standing = Standing {
            limit: limit.max(remaining),
            remaining,
            left,
            listing_requests: self.listing_requests,
            listing_interval: limits.listing_interval,
        };
        (standing, told.is_none())
    }

    /// When a window is over, what was known of it but its size is forgotten.
    fn forget_old_window(&mut self, now: Instant) {
        if self.window.ends.is_some_and(|ends| ends <= now) {
            let limit = self.window.budget.limit;
            self.window = Window::default();
            self.window.budget.limit = limit;
        }
    }
}

/// A tick may come a tenth earlier than asked for, so a listing may too.
fn nearly(interval: Duration) -> Duration {
    interval.mul_f64(0.9)
}

#[cfg(test)]
mod tests;
