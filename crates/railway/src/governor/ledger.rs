//! What goes out to other processes and comes in from them, with the database's times instead of
//! this process's moments.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::Ledger;
use pool_domain::budget::{self, Blocker, Heard};
use tokio::time::Instant;

use super::blocks::{Block, Blocks};
use super::{Budget, Governor, State, Window};
use crate::limits::{LONGEST_BLOCK, LONGEST_EDGE_BLOCK, WINDOW};

impl Governor {
    /// What was spent and heard and is not stored yet. `now` is the database's time.
    pub(crate) fn unsaved(&self, now: DateTime<Utc>) -> Ledger {
        let moment = Instant::now();
        let mut state = self.state();
        state.forget_old_window(moment);
        let time_of = |at: Instant| time_of(at, moment, now);
        let ends = state.window.ends.filter(|_| state.window.is_end_told);
        let heard = state.heard.map(|at| Heard {
            at: time_of(at),
            limit: state.window.budget.limit,
            remaining: state.window.budget.remaining,
            resets_at: ends.map(time_of),
            block: state.blocks.block.map(|block| budget::Block {
                by: block.by,
                until: time_of(block.until),
            }),
            edge_blocks: state.blocks.edge_in_a_row,
        });
        Ledger {
            minutes: state.spending.tell(moment, now),
            heard,
        }
    }

    /// Takes over what is stored, which includes what [`Self::unsaved`] gave last.
    pub(crate) fn load(&self, stored: &Ledger, now: DateTime<Utc>) {
        let moment = Instant::now();
        let mut state = self.state();
        state.spending.load(moment, now, &stored.minutes);
        if state.last_listing.is_none() {
            let ago = state.spending.last_listing(moment);
            state.last_listing = ago.and_then(|ago| moment.checked_sub(ago));
        }
        if let Some(heard) = &stored.heard {
            state.hear(heard, moment, now);
        }
    }
}

impl State {
    /// Takes over what another process heard, unless this one heard something later.
    fn hear(&mut self, heard: &Heard, moment: Instant, now: DateTime<Utc>) {
        /// The two times are read one after the other, and the database keeps microseconds only.
        const ALIKE: Duration = Duration::from_secs(1);
        let at = instant_of(heard.at, moment, now, LONGEST_EDGE_BLOCK);
        if self.heard.is_some_and(|ours| at <= ours + ALIKE) {
            return;
        }
        self.heard = Some(at);
        let ends = heard
            .resets_at
            .map(|at| instant_of(at, moment, now, WINDOW));
        self.window = Window {
            budget: Budget {
                limit: heard.limit,
                remaining: heard.remaining,
                resets_at: heard.resets_at,
            },
            is_end_told: ends.is_some(),
            ends: Some(ends.unwrap_or(at + WINDOW)),
        };
        let block = heard.block.map(|block| {
            let longest = match block.by {
                Blocker::Railway => LONGEST_BLOCK,
                Blocker::Edge => LONGEST_EDGE_BLOCK,
            };
            Block {
                by: block.by,
                until: instant_of(block.until, moment, now, longest),
            }
        });
        self.blocks = Blocks::stored(block, heard.edge_blocks);
    }
}

/// The time at a moment, given the time of another.
pub(super) fn time_of(at: Instant, moment: Instant, now: DateTime<Utc>) -> DateTime<Utc> {
    let apart = |duration| TimeDelta::from_std(duration).unwrap_or_default();
    now + apart(at.saturating_duration_since(moment)) - apart(moment.saturating_duration_since(at))
}

/// The moment of a time, no further away than `longest`.
fn instant_of(
    time: DateTime<Utc>,
    moment: Instant,
    now: DateTime<Utc>,
    longest: Duration,
) -> Instant {
    let ahead = (time - now).to_std().unwrap_or_default().min(longest);
    let ago = (now - time).to_std().unwrap_or_default().min(longest);
    moment.checked_sub(ago).unwrap_or(moment) + ahead
}
