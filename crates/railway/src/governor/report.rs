//! How the budget stands, for people: what was spent on what, what is left, when it would run out.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{BudgetReport, CallPurpose, Spent, budget};
use tokio::time::Instant;

use super::Governor;
use super::ledger::time_of;
use super::shares::Standing;
use crate::limits::WINDOW;

impl Governor {
    /// How the budget stands now. `spent_before` is what [`Self::spent_by_us`] said when the tick
    /// began; `now` the database's time.
    pub(crate) fn report(&self, now: DateTime<Utc>, spent_before: Spent) -> BudgetReport {
        let moment = Instant::now();
        let mut state = self.state();
        let (standing, is_assumed) = state.standing(moment, &self.limits);
        let ends = state.window.ends.filter(|_| state.window.is_end_told);
        let since = ends.map_or(WINDOW, |_| WINDOW.saturating_sub(standing.left));
        let rate_per_hour = state.spending.rate_per_hour(moment);
        let every = if is_assumed {
            self.limits.listing_interval
        } else {
            standing.listing_every()
        };
        let is_slower = every > self.limits.listing_interval;
        let mut spent_by_tick = Spent::default();
        for purpose in CallPurpose::ALL {
            let before = spent_before.on(purpose);
            spent_by_tick.add(purpose, state.by_us.on(purpose).saturating_sub(before));
        }
        BudgetReport {
            limit: standing.limit,
            is_assumed,
            remaining: standing.remaining,
            resets_at: ends.map(|ends| time_of(ends, moment, now)),
            spent: state
                .spending
                .within(moment, since.max(Duration::from_mins(1))),
            spent_by_tick,
            rate_per_hour,
            runs_out_at: runs_out_at(&standing, rate_per_hour, now),
            kept_for_listing: standing.kept_for_listing(),
            kept_for_destroying: standing.kept_for_destroying(),
            creates_left: standing.creates_left(),
            listing_every_ms: u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
            listing_is_slower_because: is_slower.then(|| standing.why_not_more_often()),
            block: state.blocks.current(moment).map(|block| budget::Block {
                by: block.by,
                until: time_of(block.until, moment, now),
            }),
        }
    }
}

/// When nothing is left at this rate; none when the window ends before.
fn runs_out_at(
    standing: &Standing,
    rate_per_hour: u64,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let seconds = standing
        .remaining
        .saturating_mul(WINDOW.as_secs())
        .checked_div(rate_per_hour)?;
    if seconds >= standing.left.as_secs() {
        return None;
    }
    Some(now + TimeDelta::seconds(i64::try_from(seconds).ok()?))
}
