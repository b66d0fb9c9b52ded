//! Keeps our calls within Railway's budget: spaces them, stays silent while Railway or its edge
//! wants it, and keeps the last of the hour for listing and destroying. What other processes heard it
//! is told; storing that is somebody else's.

mod blocks;
mod floors;
mod ledger;
mod report;
mod spacing;
mod task;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_domain::Spent;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, sleep, timeout};

use self::blocks::{Blocks, Gate, Refusal};
use self::floors::Floors;
use self::spacing::Spacing;
pub(crate) use self::task::Task;
use self::window::{Window, Windows};
use crate::limits::{DEFAULT_BLOCK, LISTING_PERCENT, LONGEST_BLOCK, Limits, TRIAL_LIMIT};
use crate::{ErrorClass, headers};

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
    windows: Windows,
    /// When anybody last said anything of the limits.
    heard: Option<Instant>,
    last_listing: Option<Instant>,
    /// What the last listing took.
    listing_requests: u64,
    /// What this process spent since its start.
    by_us: Spent,
}

impl Governor {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                spacing: Spacing::new(limits),
                blocks: Blocks::default(),
                windows: Windows::new(limits.assumed_requests_per_hour),
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
        state.check_floors(now, task, &self.limits)?;
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
            state.windows.told(now, hour);
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
        if retry_after.is_some() && state.windows.current(now).remaining == 0 {
            // Of the two times at which there is a budget again, it is the one that is meant for us.
            state.windows.ends_by(now + length);
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
        let (window, floors) = state.standing(now, &self.limits);
        floors.creates_left(window.remaining)
    }

    /// Why a listing that nobody asked for should wait; none when it is due.
    pub(crate) fn listing_not_due(&self) -> Option<String> {
        let now = Instant::now();
        let mut state = self.state();
        let (window, floors) = state.standing(now, &self.limits);
        let wait = state.until_listing(now, &window, &floors)?;
        let why = floors.why_slower(&window, self.limits.listing_interval, now).unwrap_or_else(|| {
            let every = floors.between_listings(window.remaining).as_secs();
            if window.remaining > window.limit / 2 {
                return format!(
                    "listings take {LISTING_PERCENT} % of Railway's budget at most, so it is listed \
                     every {every} s, whatever wakes a tick"
                );
            }
            format!(
                "less than half of Railway's budget for this hour is left, so it is listed every \
                 {every} s, whatever wakes a tick"
            )
        });
        let seconds = wait.as_secs().max(1);
        Some(format!(
            "not listed in this tick: {why}; the next one is due in {seconds} s"
        ))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_floors(&mut self, now: Instant, task: Task, limits: &Limits) -> Result<(), Refusal> {
        let (window, floors) = self.standing(now, limits);
        if window.is_assumed && task != Task::Begin {
            return Ok(());
        }
        let refuse = |retry_after, message: &str| {
            Err(Refusal {
                class: ErrorClass::RateLimited {
                    retry_after: Some(retry_after),
                },
                message: message.to_owned(),
            })
        };
        if !window.is_assumed && window.remaining == 0 {
            let left = window.left(now);
            return refuse(left, "not sent: Railway's budget for this hour is used up");
        }
        if !floors.allow(task, window.remaining) {
            return refuse(window.left(now), kept_for(task, window.is_assumed));
        }
        if task == Task::FirstPage
            && window.remaining <= floors.destroying
            && let Some(wait) = self.until_listing(now, &window, &floors)
        {
            return refuse(
                wait,
                "not sent: what is left of Railway's budget is kept for destroying and for a \
                 listing now and then",
            );
        }
        Ok(())
    }

    fn send(&mut self, now: Instant, task: Task) {
        self.by_us.add(task.purpose(), 1);
        self.spacing.sent(now);
        self.blocks.sent(now);
        if self.windows.send(now, task.purpose()) {
            self.heard = Some(now);
        }
        if task == Task::FirstPage {
            self.last_listing = Some(now);
        }
    }

    /// How long until a listing is due; none when it is.
    fn until_listing(&self, now: Instant, window: &Window, floors: &Floors) -> Option<Duration> {
        if window.is_assumed {
            return None;
        }
        let since = now.saturating_duration_since(self.last_listing?);
        let wait = nearly(floors.between_listings(window.remaining)).saturating_sub(since);
        (!wait.is_zero()).then_some(wait)
    }

    fn standing(&mut self, now: Instant, limits: &Limits) -> (Window, Floors) {
        let window = self.windows.current(now);
        let floors = Floors::of(window.limit, self.listing_requests, limits.listing_interval);
        (window, floors)
    }
}

fn kept_for(task: Task, is_assumed: bool) -> &'static str {
    match task {
        Task::Destroy => "not sent: what is left of Railway's budget is kept for listing",
        Task::Begin if is_assumed => {
            "not sent: of the requests an hour that are assumed, since Railway does not say how many \
             it allows, the rest is kept for listing and destroying"
        }
        Task::Begin => {
            "not sent: what is left of Railway's budget is kept for listing and destroying"
        }
        _ => "not sent: what is left of Railway's budget is kept for destroying",
    }
}

/// A tick may come a tenth earlier than asked for, so a listing may too.
fn nearly(interval: Duration) -> Duration {
    interval.mul_f64(0.9)
}

#[cfg(test)]
mod tests;
