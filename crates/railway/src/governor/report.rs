//! How the budget stands, for people: what was spent on what, what is left, when it would run out.

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{BudgetReport, CallPurpose, Spent, budget};
use tokio::time::Instant;

use super::Governor;
use super::ledger::time_of;
use super::window::Window;
use crate::limits::{RATE_TIME_MIN, WINDOW};

impl Governor {
    /// How the budget stands now. `spent_before` is what [`Self::spent_by_us`] said when the tick
    /// began; `now` the database's time.
    pub(crate) fn report(&self, now: DateTime<Utc>, spent_before: Spent) -> BudgetReport {
        let moment = Instant::now();
        let mut state = self.state();
        let (window, floors) = state.standing(moment, &self.limits);
        let rate_per_hour = rate_per_hour(&window, moment);
        let slower = floors.why_slower(&window, self.limits.listing_interval, moment);
        let every = match slower {
            Some(_) => floors.between_listings(window.remaining),
            None => self.limits.listing_interval,
        };
        let mut spent_by_tick = Spent::default();
        for purpose in CallPurpose::ALL {
            let before = spent_before.on(purpose);
            spent_by_tick.add(purpose, state.by_us.on(purpose).saturating_sub(before));
        }
        BudgetReport {
            limit: window.limit,
            is_assumed: window.is_assumed,
            remaining: window.remaining,
            resets_at: (!window.is_assumed).then(|| time_of(window.ends, moment, now)),
            spent: state.windows.spent(),
            spent_by_tick,
            rate_per_hour,
            runs_out_at: runs_out_at(&window, rate_per_hour, moment, now),
            kept_for_listing: floors.listing,
            kept_for_destroying: floors.destroying,
            creates_left: floors.creates_left(window.remaining),
            listing_every_ms: u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
            listing_is_slower_because: slower,
            block: state.blocks.current(moment).map(|block| budget::Block {
                by: block.by,
                until: time_of(block.until, moment, now),
            }),
        }
    }
}

/// Requests an hour since the window began, by whomever.
fn rate_per_hour(window: &Window, now: Instant) -> u64 {
    let seconds = WINDOW
        .saturating_sub(window.left(now))
        .max(RATE_TIME_MIN)
        .as_secs();
    let spent = window.limit.saturating_sub(window.remaining);
    spent.saturating_mul(WINDOW.as_secs()) / seconds
}

/// When nothing is left at this rate; none when the window ends before.
fn runs_out_at(
    window: &Window,
    rate_per_hour: u64,
    moment: Instant,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let seconds = window
        .remaining
        .saturating_mul(WINDOW.as_secs())
        .checked_div(rate_per_hour)?;
    if seconds >= window.left(moment).as_secs() {
        return None;
    }
    Some(now + TimeDelta::seconds(i64::try_from(seconds).ok()?))
}
