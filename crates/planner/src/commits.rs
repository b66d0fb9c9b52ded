//! When instances that are whole but for their deployment are deployed, and with which others in one
//! request.

use std::time::Duration;

use pool_domain::Policy;

/// Whether those that are whole are to be committed now: all of an order are, as many as one order
/// has, or the first of them has waited for long.
#[must_use]
pub fn is_commit_due(whole: usize, in_the_making: usize, waited: Duration) -> bool {
    whole > 0
        && (in_the_making == 0
            || whole >= Policy::CREATES_PER_TICK_MAX
            || waited >= Policy::COMMIT_WAITS_FOR)
}

/// Whether a round is to look what may be made next, now that so many are left in the making: all of
/// them have ended, or half of what may be made at once while more are wanted, so that Railway is asked
/// without a pause.
#[must_use]
pub const fn is_more_wanted(in_the_making: usize, some_wait: bool) -> bool {
    in_the_making == 0 || (some_wait && in_the_making == Policy::CREATES_PER_TICK_MAX / 2)
}

/// Which are committed together: all, but each alone that failed before, since whatever is wrong
/// with it must hold back no other. The last batch is taken first.
#[must_use]
pub fn batches<T>(whole: Vec<T>, failed_before: impl Fn(&T) -> bool) -> Vec<Vec<T>> {
    let (again, first): (Vec<_>, Vec<_>) = whole.into_iter().partition(failed_before);
    let mut batches: Vec<_> = again.into_iter().map(|one| vec![one]).collect();
    batches.push(first);
    batches
}

/// What becomes of a batch whose commit failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// Both halves are tried, until the one at fault stands alone.
    Halves([Vec<T>; 2]),
    /// It waits for a later try.
    Failed(Vec<T>),
}

/// `may_be_one_of_them`: Railway read it and did not take it, so that another part of it may be fine.
#[must_use]
pub fn refused<T>(mut batch: Vec<T>, may_be_one_of_them: bool) -> Refused<T> {
    if may_be_one_of_them && batch.len() > 1 {
        let half = batch.split_off(batch.len() / 2);
        Refused::Halves([half, batch])
    } else {
        Refused::Failed(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_ones_go_together_and_wait_for_nobody_for_long() {
        let moment = Duration::from_millis(1);
        let long = Policy::COMMIT_WAITS_FOR;
        assert!(!is_commit_due(0, 0, long), "there is none");
        assert!(is_commit_due(3, 0, moment), "there is nobody to wait for");
        assert!(!is_commit_due(3, 1, moment));
        assert!(is_commit_due(3, 1, long), "the fourth hangs");
        assert!(is_commit_due(Policy::CREATES_PER_TICK_MAX, 9, moment));
    }

    #[test]
    fn the_next_are_planned_when_half_of_them_have_ended_and_only_where_any_wait() {
        let wakes = |waits| (0..=20).filter(move |left| is_more_wanted(*left, waits));
        assert!(wakes(true).eq([0, 10]));
        assert!(wakes(false).eq([0]));
    }

    #[test]
    fn one_that_failed_before_goes_alone() {
        let failed_before = |n: &u32| n.is_multiple_of(2);
        let all = batches(vec![1, 2, 3, 4], failed_before);
        assert_eq!(all, [vec![2], vec![4], vec![1, 3]]);
    }

    #[test]
    fn the_one_at_fault_is_found_by_halving() {
        let mut commits = 0;
        let (mut whole, mut failed) = (Vec::new(), Vec::new());
        let mut waiting = vec![(0..20).collect::<Vec<_>>()];
        while let Some(batch) = waiting.pop() {
            commits += 1;
            if !batch.contains(&13) {
                whole.extend(batch);
                continue;
            }
            match refused(batch, true) {
                Refused::Halves(halves) => waiting.extend(halves),
                Refused::Failed(alone) => failed.extend(alone),
            }
        }
        assert_eq!((whole.len(), failed, commits), (19, vec![13], 11));
        assert_eq!(refused(vec![1, 2], false), Refused::Failed(vec![1, 2]));
    }
}
