//! When the environment is listed by names alone. Railway answers each part of each service by itself,
//! and one that it cannot answer, for one service, spoils every listing for as long as it lasts.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many listings in a row fail at what they ask for before less is asked for.
const FAILURES: u32 = 3;
/// Of the listings that follow, one in so many asks for everything again.
const EVERYTHING_EACH: u32 = 10;

/// What became of the last listings that asked for everything. Shared by the clones of a client.
#[derive(Debug, Default)]
pub(crate) struct Fallback(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many failed in a row.
    failed: u32,
    /// How many asked for names alone since the last that asked for everything.
    by_names: u32,
    /// Why the last one failed.
    why: String,
}

impl Fallback {
    /// Whether the listing that begins now asks for everything.
    pub(crate) fn asks_for_everything(&self) -> bool {
        let mut state = self.state();
        if state.failed < FAILURES || state.by_names + 1 >= EVERYTHING_EACH {
            state.by_names = 0;
            return true;
        }
        state.by_names += 1;
        false
    }

    /// Takes in how one that asked for everything ended, and says whether less is to be asked for.
    pub(crate) fn learn(&self, failure: Option<&str>) -> bool {
        let mut state = self.state();
        let Some(why) = failure else {
            *state = State::default();
            return false;
        };
        state.failed = state.failed.saturating_add(1);
        why.clone_into(&mut state.why);
        state.failed >= FAILURES
    }

    /// Why everything cannot be had.
    pub(crate) fn why(&self) -> String {
        self.state().why.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_three_failures_one_listing_in_ten_asks_for_everything() {
        let fallback = Fallback::default();
        for fails in [false, false, true] {
            assert!(fallback.asks_for_everything());
            assert_eq!(fallback.learn(Some("no")), fails);
        }
        let asks = |_| fallback.asks_for_everything();
        let asked: Vec<_> = (0..20).map(asks).collect();
        assert_eq!(asked.iter().filter(|everything| **everything).count(), 2);
        assert!(!asked[0] && asked[9], "{asked:?}");
        assert_eq!(fallback.why(), "no");
        fallback.learn(None);
        assert!((0..20).all(asks));
    }
}
