//! Times in which nothing may be sent, because Railway's limiter or the edge in front of it said so.

use std::time::Duration;

use pool_domain::budget::Blocker;
use tokio::time::Instant;

use crate::ErrorClass;
use crate::limits::{EDGE_BLOCK, LONGEST_BLOCK, LONGEST_EDGE_BLOCK};

/// What stands in the way of the next call.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) block: Option<Block>,
    /// How often in a row the edge blocked us.
    pub(super) edge_in_a_row: u32,
    /// When the one call was sent that tries whether the edge's block is over.
    trial: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) by: Blocker,
    pub(super) until: Instant,
}

/// A call that was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
}

/// Whether the next call may go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not before so much time has passed.
    Wait(Duration),
    Closed(Refusal),
}

impl Blocks {
    /// As another process stored it.
    pub(super) const fn stored(block: Option<Block>, edge_in_a_row: u32) -> Self {
        Self {
            block,
            edge_in_a_row,
            trial: None,
        }
    }

    /// Whether a call may go now, may wait, or is refused. After a block by the edge one call tries
    /// whether it is over, for `trial_limit` at most, and the others are refused until it knows:
    /// calls into a block make it longer.
    pub(super) fn gate(&self, now: Instant, longest_wait: Duration, trial_limit: Duration) -> Gate {
        let Some(block) = self.block else {
            return Gate::Open;
        };
        let left = block.until.saturating_duration_since(now);
        if left.is_zero() {
            let is_trying = self
                .trial
                .is_some_and(|sent| now.saturating_duration_since(sent) < trial_limit);
            return if block.by == Blocker::Edge && is_trying {
                Gate::Closed(edge(
                    "not sent: another call tries whether the edge lets us in again",
                ))
            } else {
                Gate::Open
            };
        }
        if left <= longest_wait {
            return Gate::Wait(left);
        }
        let seconds = left.as_secs().max(1);
        Gate::Closed(match block.by {
            Blocker::Edge => edge(&format!(
                "not sent: the edge in front of Railway blocked us, and is left alone for {seconds} s more"
            )),
            Blocker::Railway => Refusal {
                class: ErrorClass::RateLimited {
                    retry_after: Some(left),
                },
                message: format!("not sent: Railway told us to wait, {seconds} s more"),
            },
        })
    }

    /// Notes that a call leaves: after a block of the edge it is the one that tries.
    pub(super) fn sent(&mut self, now: Instant) {
        if self.block.is_some_and(|block| block.by == Blocker::Edge) {
            self.trial = Some(now);
        }
    }

    /// Railway itself answered. What was sent before a block may be answered in it, and says
    /// nothing of its end.
    pub(super) fn answered(&mut self, now: Instant) {
        if self.block.is_none_or(|block| block.until <= now) {
            *self = Self::default();
        }
    }

    /// No answer came, or nobody knows from whom: the next call may try.
    pub(super) fn unanswered(&mut self) {
        self.trial = None;
    }

    /// Railway's limiter wants this long a silence.
    pub(super) fn by_railway(&mut self, now: Instant, length: Duration) {
        self.extend(Blocker::Railway, now + length.min(LONGEST_BLOCK));
    }

    /// The edge blocks us. The calls that were under way together count once; each further block in
    /// a row is left alone for twice as long.
    pub(super) fn by_edge(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.trial = None;
        let is_new = self
            .block
            .is_none_or(|block| block.by != Blocker::Edge || block.until <= now);
        if is_new {
            self.edge_in_a_row = self.edge_in_a_row.saturating_add(1);
        }
        // Doubled 16 times it is beyond every limit.
        let doublings = self.edge_in_a_row.saturating_sub(1).min(16);
        let grown = (EDGE_BLOCK * 2_u32.pow(doublings)).min(LONGEST_BLOCK);
        let told = retry_after.unwrap_or_default().min(LONGEST_EDGE_BLOCK);
        self.extend(Blocker::Edge, now + grown.max(told));
    }

    /// The answers of calls that were under way may come in any order: the longest block counts.
    fn extend(&mut self, by: Blocker, until: Instant) {
        if self.block.is_none_or(|block| block.until < until) {
            self.block = Some(Block { by, until });
        }
    }

    /// The block that still lasts, if any.
    pub(super) fn current(&self, now: Instant) -> Option<Block> {
        self.block.filter(|block| block.until > now)
    }
}

fn edge(message: &str) -> Refusal {
    Refusal {
        class: ErrorClass::EdgeBlocked,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(2);
    const TRIAL: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn each_block_of_the_edge_in_a_row_is_left_alone_for_twice_as_long() {
        let mut blocks = Blocks::default();
        let mut now = Instant::now();
        let mut minutes = Vec::new();
        for _ in 0..6 {
            // Three that were under way together.
            for _ in 0..3 {
                blocks.by_edge(now, None);
            }
            let left = blocks.current(now).unwrap().until - now;
            minutes.push(left.as_secs() / 60);
            now += left;
            assert_eq!(blocks.gate(now, WAIT, TRIAL), Gate::Open);
            blocks.sent(now);
        }
        assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
        blocks.answered(now);
        blocks.by_edge(now, None);
        assert_eq!(blocks.current(now).unwrap().until - now, EDGE_BLOCK);
    }

    #[tokio::test]
    async fn one_call_tries_whether_the_block_is_over_and_the_others_stay_out() {
        let mut blocks = Blocks::default();
        let start = Instant::now();
        blocks.by_edge(start, None);
        let over = start + EDGE_BLOCK;
        assert!(matches!(
            blocks.gate(over - WAIT * 2, WAIT, TRIAL),
            Gate::Closed(_)
        ));
        assert_eq!(blocks.gate(over - WAIT, WAIT, TRIAL), Gate::Wait(WAIT));
        blocks.sent(over);
        assert!(matches!(blocks.gate(over, WAIT, TRIAL), Gate::Closed(_)));
        blocks.unanswered();
        assert_eq!(blocks.gate(over, WAIT, TRIAL), Gate::Open);
        blocks.sent(over);
        assert_eq!(blocks.gate(over + TRIAL, WAIT, TRIAL), Gate::Open);
        blocks.answered(over);
        assert_eq!(
            (blocks.edge_in_a_row, blocks.gate(over, WAIT, TRIAL)),
            (0, Gate::Open)
        );
    }

    #[tokio::test]
    async fn an_answer_to_an_earlier_call_does_not_end_a_block() {
        let mut blocks = Blocks::default();
        let now = Instant::now();
        blocks.by_edge(now, None);
        blocks.answered(now + Duration::from_secs(1));
        assert!(blocks.current(now + Duration::from_secs(1)).is_some());
    }

    #[tokio::test]
    async fn what_is_told_is_kept_and_the_longest_block_counts() {
        let mut blocks = Blocks::default();
        let now = Instant::now();
        blocks.by_edge(now, Some(Duration::from_hours(3)));
        blocks.by_railway(now, Duration::from_mins(1));
        let block = blocks.current(now).unwrap();
        assert_eq!(
            (block.by, block.until - now),
            (Blocker::Edge, Duration::from_hours(3))
        );
        let mut blocks = Blocks::default();
        blocks.by_railway(now, Duration::from_hours(30));
        assert_eq!(blocks.current(now).unwrap().until - now, LONGEST_BLOCK);
    }
}
