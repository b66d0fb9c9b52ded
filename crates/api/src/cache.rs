//! Keeps what was last read from the database for a moment, so that many readers cost what one
//! does. Never used to claim.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::ApiError;

/// What is shown may be that old. A change made elsewhere must show within a second; half of it is
/// left to the reading itself.
const AGE_MAX: Duration = Duration::from_millis(500);

/// A value read from the database, with what it takes to know whether it is still good.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    last: Mutex<Option<Reading<T>>>,
    /// Held by the one that reads; the others wait for what it finds.
    turn: tokio::sync::Mutex<()>,
    /// Whether it is kept when nobody uses it.
    keeps: bool,
}

#[derive(Debug)]
struct Reading<T> {
    began: Instant,
    /// How many changes this server had made when it began.
    generation: u64,
    value: Value<T>,
}

#[derive(Debug)]
enum Value<T> {
    Kept(Arc<T>),
    /// As long as somebody has it.
    Used(Weak<T>),
    Failed,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
            keeps: true,
        }
    }
}

impl<T> Cached<T> {
    /// For what is large: kept no longer than somebody uses it.
    pub(crate) fn while_used() -> Self {
        Self {
            keeps: false,
            ..Self::default()
        }
    }

    /// The value, as it was after every change that this server has made by now (`generation`
    /// counts them) and at most [`AGE_MAX`] ago. Read anew when it has to be, by one at a time.
    pub(crate) async fn get<E: Into<ApiError>>(
        &self,
        generation: impl Fn() -> u64,
        read: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, ApiError> {
        let (arrived, wanted) = (Instant::now(), generation());
        let fresh = |last: &Reading<T>| {
            let is_new = last.generation >= wanted && last.began + AGE_MAX >= arrived;
            is_new.then(|| last.value.get()).flatten().map(Ok)
        };
        if let Some(value) = self.last(fresh) {
            return value;
        }
        let _turn = self.turn.lock().await;
        // Whoever had the turn before may have read it; that it failed is news as well.
        let failed = |last: &Reading<T>| {
            let has_failed = last.value.has_failed() && last.began >= arrived;
            has_failed.then_some(Err(ApiError::ReadFailed))
        };
        if let Some(value) = self.last(|last| fresh(last).or_else(|| failed(last))) {
            return value;
        }
        // It is of no use any more, and may take the room of what comes.
        *self.lock() = None;
        let (began, generation) = (Instant::now(), generation());
        let result = read().await.map(Arc::new);
        let value = match &result {
            Ok(value) if self.keeps => Value::Kept(Arc::clone(value)),
            Ok(value) => Value::Used(Arc::downgrade(value)),
            Err(_) => Value::Failed,
        };
        *self.lock() = Some(Reading {
            began,
            generation,
            value,
        });
        result.map_err(Into::into)
    }

    fn last<U>(&self, of: impl FnOnce(&Reading<T>) -> Option<U>) -> Option<U> {
        self.lock().as_ref().and_then(of)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Reading<T>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Value<T> {
    fn get(&self) -> Option<Arc<T>> {
        match self {
            Self::Kept(value) => Some(Arc::clone(value)),
            Self::Used(value) => value.upgrade(),
            Self::Failed => None,
        }
    }

    const fn has_failed(&self) -> bool {
        matches!(self, Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Source {
        changes: AtomicU64,
        reads: AtomicU64,
    }

    impl Source {
        async fn get(&self, cached: &Cached<u64>) -> u64 {
            let read = async || {
                tokio::task::yield_now().await;
                Ok::<_, ApiError>(self.reads.fetch_add(1, Ordering::SeqCst) + 1)
            };
            let generation = || self.changes.load(Ordering::SeqCst);
            *cached.get(generation, read).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_read_once_until_it_is_too_old() {
        let (cached, source) = (Cached::default(), Source::default());
        assert_eq!(source.get(&cached).await, 1);
        tokio::time::advance(AGE_MAX).await;
        assert_eq!(source.get(&cached).await, 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(source.get(&cached).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_made_here_is_seen_at_once() {
        let (cached, source) = (Cached::default(), Source::default());
        assert_eq!(source.get(&cached).await, 1);
        source.changes.fetch_add(1, Ordering::SeqCst);
        assert_eq!(source.get(&cached).await, 2);
        assert_eq!(source.get(&cached).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_together_share_one_reading() {
        let (cached, source) = (Cached::default(), Source::default());
        let (a, b, c) = tokio::join!(
            source.get(&cached),
            source.get(&cached),
            source.get(&cached)
        );
        assert_eq!((a, b, c), (1, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_large_is_shared_only_as_long_as_somebody_uses_it() {
        let (cached, source) = (Cached::while_used(), Source::default());
        let read = async || Ok::<_, ApiError>(source.reads.fetch_add(1, Ordering::SeqCst) + 1);
        let first = cached.get(|| 0, read).await.unwrap();
        assert_eq!(*cached.get(|| 0, read).await.unwrap(), 1);
        drop(first);
        assert_eq!(*cached.get(|| 0, read).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_by_those_who_waited_and_forgotten_after_them() {
        let cached = Cached::<u64>::default();
        let tries = AtomicU64::new(0);
        let get = async || {
            let read = async || {
                tries.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err::<u64, _>(ApiError::Crowded)
            };
            cached.get(|| 0, read).await
        };
        let (first, second) = tokio::join!(get(), get());
        assert!(first.is_err() && second.is_err());
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        assert!(get().await.is_err());
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    }
}
