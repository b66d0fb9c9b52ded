//! When each agent was last heard to be ready, so that a claim can spare itself a health check. A
//! memory of this process only: forgetting costs one more check and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by the clones of one client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<Mutex<Times>>);

#[derive(Debug, Default)]
struct Times {
    of: HashMap<String, Instant>,
    /// When any of them was heard to be ready, the last time.
    last: Option<Instant>,
}

/// Sixteen times the largest pool that this was tried with (1,000 agents), at about 150 bytes each
/// 2.4 MB.
const MAX_URLS: usize = 16_384;

/// When the memory is full, older news than this makes room. Claims trust 10 s, ticks come every
/// 30 s.
const USELESS_AFTER: Duration = Duration::from_mins(1);

impl Readiness {
    pub(crate) fn remember(&self, url: &str) {
        let now = Instant::now();
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.last = Some(now);
        let of = &mut times.of;
        if of.len() >= MAX_URLS {
            of.retain(|_, at| now.duration_since(*at) < USELESS_AFTER);
        }
        if of.len() < MAX_URLS {
            of.insert(url.to_owned(), now);
        }
    }

    /// After a failed check the good one before it says nothing any more.
    pub(crate) fn forget(&self, url: &str) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.of.remove(url);
    }

    pub(crate) fn is_within(&self, url: &str, age: Duration) -> bool {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = times.of.get(url);
        at.is_some_and(|at| at.elapsed() <= age)
    }

    pub(crate) fn any_within(&self, age: Duration) -> bool {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.last.is_some_and(|at| at.elapsed() <= age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn good_news_grows_old_and_bad_news_ends_it() {
        let readiness = Readiness::default();
        let ten_seconds = Duration::from_secs(10);
        assert!(!readiness.is_within("http://a", ten_seconds));
        readiness.remember("http://a");
        tokio::time::advance(ten_seconds).await;
        assert!(readiness.is_within("http://a", ten_seconds));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!readiness.is_within("http://a", ten_seconds));
        readiness.remember("http://a");
        readiness.forget("http://a");
        assert!(!readiness.is_within("http://a", ten_seconds));
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded_and_old_news_makes_room() {
        let readiness = Readiness::default();
        for n in 0..=MAX_URLS {
            readiness.remember(&format!("http://{n}"));
        }
        assert!(!readiness.is_within(&format!("http://{MAX_URLS}"), USELESS_AFTER));
        tokio::time::advance(USELESS_AFTER).await;
        readiness.remember("http://new");
        assert!(readiness.is_within("http://new", USELESS_AFTER));
    }
}
