//! Virtual time: a single-threaded executor whose clock jumps from one timer to the next. A process
//! that is killed is a task that is dropped at whatever it was waiting for; one that is frozen is
//! not polled for a while.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{Either, select};

/// One life of one process. Zero is the world outside, which is never killed.
pub(crate) type Owner = u32;

/// Who is nobody's process: callers, people, the weather.
pub(crate) const OUTSIDE: Owner = 0;

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    owner: Owner,
    work: Work,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The clock and the timers.
pub(crate) struct Scheduler(RefCell<State>);

struct State {
    now: DateTime<Utc>,
    seq: u64,
    timers: BTreeMap<(DateTime<Utc>, u64), Waker>,
    spawned: Vec<Task>,
    killed: BTreeSet<Owner>,
    frozen: BTreeSet<Owner>,
}

/// The tasks. They are kept apart from the clock that they hold, so that all is freed in the end.
#[derive(Default)]
pub(crate) struct Tasks(Vec<Task>);

impl Scheduler {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self(RefCell::new(State {
            now,
            seq: 0,
            timers: BTreeMap::new(),
            spawned: Vec::new(),
            killed: BTreeSet::new(),
            frozen: BTreeSet::new(),
        }))
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.borrow().now
    }

    pub(crate) fn spawn(&self, owner: Owner, work: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().spawned.push(Task {
            owner,
            work: Box::pin(work),
            woken: Arc::new(Woken(AtomicBool::new(true))),
        });
    }

    /// Its tasks are dropped before any of them is polled again.
    pub(crate) fn kill(&self, owner: Owner) {
        self.0.borrow_mut().killed.insert(owner);
    }

    /// Its tasks stand still until it is thawed.
    pub(crate) fn freeze(&self, owner: Owner) {
        self.0.borrow_mut().frozen.insert(owner);
    }

    pub(crate) fn thaw(&self, owner: Owner) {
        self.0.borrow_mut().frozen.remove(&owner);
    }

    /// So that nobody stands still any more.
    pub(crate) fn thaw_all(&self) {
        self.0.borrow_mut().frozen.clear();
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    pub(crate) async fn sleep_until(&self, due: DateTime<Utc>) {
        let mut is_set = false;
        poll_fn(|context| {
            let mut state = self.0.borrow_mut();
            if state.now >= due {
                return Poll::Ready(());
            }
            if !is_set {
                is_set = true;
                state.seq += 1;
                let key = (due, state.seq);
                state.timers.insert(key, context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// None when the time was over first.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let until = self.now() + limit;
        match select(pin!(work), pin!(self.sleep_until(until))).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(((), _)) => None,
        }
    }

    /// Lets everything happen that is due until then.
    pub(crate) fn run_until(&self, tasks: &mut Tasks, until: DateTime<Utc>) {
        loop {
            while self.poll_woken(tasks) {}
            let mut state = self.0.borrow_mut();
            let Some(entry) = state.timers.first_entry() else {
                state.now = until;
                return;
            };
            let due = entry.key().0;
            if due > until {
                state.now = until;
                return;
            }
            let waker = entry.remove();
            state.now = state.now.max(due);
            drop(state);
            waker.wake();
        }
    }

    /// Polls each task that was woken. False when none was.
    fn poll_woken(&self, tasks: &mut Tasks) -> bool {
        let mut state = self.0.borrow_mut();
        tasks.0.append(&mut state.spawned);
        drop(state);
        let mut polled = false;
        tasks.0.retain_mut(|task| {
            let state = self.0.borrow();
            let is_killed = state.killed.contains(&task.owner);
            let is_frozen = state.frozen.contains(&task.owner);
            drop(state);
            if is_killed {
                return false;
            }
            if is_frozen || !task.woken.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            polled = true;
            let waker = Waker::from(Arc::clone(&task.woken));
            let poll = task.work.as_mut().poll(&mut Context::from_waker(&waker));
            poll.is_pending()
        });
        polled
    }
}
