//! What goes out to other processes and comes in from them, with the database's times instead of
//! this process's moments.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::budget::{self, Blocker, Heard};
use tokio::time::Instant;

use super::blocks::{Block, Blocks};
use super::window::Window;
use super::{Governor, State};
use crate::limits::{LONGEST_BLOCK, LONGEST_EDGE_BLOCK, WINDOW};

impl Governor {
    /// What is known of the limits, to be stored; none before the first call. `now` is the database's
    /// time.
    pub(crate) fn heard(&self, now: DateTime<Utc>) -> Option<Heard> {
        let moment = Instant::now();
        let mut state = self.state();
        let window = state.windows.current(moment);
        let time_of = |at: Instant| time_of(at, moment, now);
        Some(Heard {
            at: time_of(state.heard?),
            limit: Some(window.limit),
            remaining: Some(window.remaining),
            resets_at: (!window.is_assumed).then(|| time_of(window.ends)),
            block: state.blocks.block.map(|block| budget::Block {
                by: block.by,
                until: time_of(block.until),
            }),
            edge_blocks: state.blocks.edge_in_a_row,
        })
    }

    /// Takes over what another process stored, unless this one heard something later.
    pub(crate) fn load(&self, stored: &Heard, now: DateTime<Utc>) {
        /// The two times are read one after the other, and the database keeps microseconds only.
        const ALIKE: Duration = Duration::from_secs(1);
        let moment = Instant::now();
        let mut state = self.state();
        let at = instant_of(stored.at, moment, now, LONGEST_EDGE_BLOCK);
        if state.heard.is_some_and(|ours| at <= ours + ALIKE) {
            return;
        }
        state.hear(stored, at, moment, now);
    }
}

impl State {
    fn hear(&mut self, stored: &Heard, at: Instant, moment: Instant, now: DateTime<Utc>) {
        self.heard = Some(at);
        // Whoever called then may have listed: a server that starts again and again must not list
        // each time.
        self.last_listing.get_or_insert(at);
        let ends = stored
            .resets_at
            .map(|at| instant_of(at, moment, now, WINDOW));
        let known = self.windows.current(moment);
        self.windows.replace(Window {
            limit: stored.limit.unwrap_or(known.limit),
            remaining: stored.remaining.unwrap_or(known.remaining),
            ends: ends.unwrap_or(at + WINDOW),
            is_assumed: ends.is_none(),
        });
        let block = stored.block.map(|block| {
            let longest = match block.by {
                Blocker::Railway => LONGEST_BLOCK,
                Blocker::Edge => LONGEST_EDGE_BLOCK,
            };
            Block {
                by: block.by,
                until: instant_of(block.until, moment, now, longest),
            }
        });
        self.blocks = Blocks::stored(block, stored.edge_blocks);
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
