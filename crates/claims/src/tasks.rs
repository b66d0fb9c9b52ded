//! The tasks of one server's claims: they outlive their callers, and end with their server.

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Starts tasks, and knows how many run. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    aborted: CancellationToken,
}

impl Tasks {
    /// Runs this to its end, or until the server is aborted, which gives none.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let aborted = self.aborted.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = aborted.cancelled() => None,
                done = work => Some(done),
            }
        })
    }

    /// Whoever waits for the end waits for the holder of this, too; none once that has begun.
    pub(crate) fn enter(&self) -> Option<TaskTrackerToken> {
        let token = self.tracker.token();
        (!self.tracker.is_closed()).then_some(token)
    }

    /// Whether nobody is let in any more.
    pub(crate) fn is_ending(&self) -> bool {
        self.tracker.is_closed()
    }

    /// How many claims are running, for whoever waits for their end.
    pub(crate) fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Lets nobody in any more, and waits until none runs.
    pub(crate) async fn end(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Ends all of them where they stand.
    pub(crate) fn abort(&self) {
        self.tracker.close();
        self.aborted.cancel();
    }

    /// Ends all of them where they stand once this is dropped.
    pub(crate) fn abort_on_drop(&self) -> DropGuard {
        self.aborted.clone().drop_guard()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_still_runs_ends_with_the_guard_and_what_is_done_was_told() {
        let tasks = Tasks::default();
        let guard = tasks.abort_on_drop();
        let hanging = tasks.spawn(pending::<()>());
        assert_eq!(tasks.spawn(async { 7 }).await.unwrap(), Some(7));
        assert_eq!(tasks.len(), 1);
        drop(guard);
        assert_eq!(hanging.await.unwrap(), None);
        tasks.end().await;
        assert_eq!(tasks.len(), 0);
        assert!(tasks.enter().is_none());
    }
}
