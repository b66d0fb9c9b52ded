//! One life of one server, as the simulation sees it: every statement and every request is a step,
//! before and after which it may be struck.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_server::Suspend;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::time::SimulatedClock;
use crate::trace::{Kind, Trace};

/// What may happen to a server at one of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// kill -9; the database notices at once, or only so much later.
    Kill { noticed_after: Duration },
    /// It stands still for so long.
    Freeze { lasts: Duration },
}

/// A server's life. Its streams and its requests ask it before they go on.
pub(crate) struct Node {
    /// Which server, from 0.
    pub(crate) number: usize,
    clock: Arc<SimulatedClock>,
    trace: Arc<Trace>,
    /// Cancelled when it is killed.
    pub(crate) killed: CancellationToken,
    state: Mutex<State>,
}

struct State {
    rng: fastrand::Rng,
    frozen_until: Option<Instant>,
    /// Until when the database takes a killed one for alive.
    unnoticed_until: Option<Instant>,
    waiting: Vec<Waker>,
    /// After how many more steps it is struck.
    blow: Option<(u32, Blow)>,
    /// How likely a statement's connection breaks.
    cuts: f64,
    statement_takes_max: Duration,
}

impl Node {
    pub(crate) fn new(
        number: usize,
        seed: u64,
        clock: Arc<SimulatedClock>,
        trace: Arc<Trace>,
        cuts: f64,
        statement_takes_max: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            clock,
            trace,
            killed: CancellationToken::new(),
            state: Mutex::new(State {
                rng: fastrand::Rng::with_seed(seed),
                frozen_until: None,
                unnoticed_until: None,
                waiting: Vec::new(),
                blow: None,
                cuts,
                statement_takes_max,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is to be struck at its `steps`-th step from now.
    pub(crate) fn strike(&self, steps: u32, blow: Blow) {
        self.state().blow = Some((steps, blow));
    }

    /// No more blows, and what stands still goes on.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.blow = None;
        state.cuts = 0.0;
        state.frozen_until = None;
        state.wake();
    }

    /// A step: ready once the server may go on, which a killed one never may. True when the
    /// connection of this step is to break.
    pub(crate) fn poll_step(&self, cx: &mut Context<'_>, at: &str) -> Poll<bool> {
        if self.poll_alive(cx).is_pending() {
            return Poll::Pending;
        }
        let mut state = self.state();
        let blow = match &mut state.blow {
            Some((0, blow)) => Some(*blow),
            Some((steps, _)) => {
                *steps -= 1;
                None
            }
            None => None,
        };
        if blow.is_some() {
            state.blow = None;
        }
        match blow {
            Some(Blow::Kill { noticed_after }) => {
                self.tell(Kind::Outside, || format!("is killed {at}"));
                self.trace.count(|counts| counts.kills += 1);
                if !noticed_after.is_zero() {
                    state.unnoticed_until = Some(Instant::now() + noticed_after);
                }
                drop(state);
                self.killed.cancel();
                Poll::Pending
            }
            Some(Blow::Freeze { lasts }) => {
                self.tell(Kind::Outside, || {
                    format!("stands still for {} s {at}", lasts.as_secs())
                });
                self.trace.count(|counts| counts.freezes += 1);
                state.frozen_until = Some(Instant::now() + lasts);
                state.waiting.push(cx.waker().clone());
                Poll::Pending
            }
            None => {
                let cuts = state.cuts;
                Poll::Ready(cuts > 0.0 && state.rng.f64() < cuts)
            }
        }
    }

    /// Ready while the server lives and does not stand still.
    pub(crate) fn poll_alive(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.killed.is_cancelled() {
            return Poll::Pending;
        }
        let mut state = self.state();
        if state
            .frozen_until
            .is_some_and(|until| until > Instant::now())
        {
            state.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        state.frozen_until = None;
        Poll::Ready(())
    }

    /// Whether it stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.state()
            .frozen_until
            .is_some_and(|until| until > Instant::now())
    }

    /// Wakes what waits, if it stands still no longer. To be called every now and then.
    pub(crate) fn thaw(&self) {
        let mut state = self.state();
        if state
            .frozen_until
            .is_some_and(|until| until <= Instant::now())
        {
            state.frozen_until = None;
            state.wake();
        }
    }

    /// Whether it was killed, and the database has noticed.
    pub(crate) fn is_noticed_dead(&self) -> bool {
        self.killed.is_cancelled()
            && self
                .state()
                .unnoticed_until
                .is_none_or(|until| until <= Instant::now())
    }

    /// How long the next statement takes, with its way there and back.
    pub(crate) fn statement_takes(&self) -> Duration {
        let mut state = self.state();
        let most = u64::try_from(state.statement_takes_max.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(state.rng.u64(1..=most.max(1)))
    }

    /// A connection of its to the database breaks.
    pub(crate) fn cut(&self, at: &str) {
        self.tell(Kind::Outside, || {
            format!("a connection breaks {at} a statement")
        });
        self.trace.count(|counts| counts.cuts += 1);
    }

    /// A number by chance.
    pub(crate) fn draw(&self, range: std::ops::Range<u64>) -> u64 {
        self.state().rng.u64(range)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now_utc()
    }

    pub(crate) fn tell(&self, kind: Kind, text: impl FnOnce() -> String) {
        self.trace
            .tell(kind, || format!("{}: {}", self.number + 1, text()));
    }

    pub(crate) fn fingerprint(&self, bytes: &[u8]) {
        self.trace.fingerprint(bytes);
    }

    /// The database refused a statement of this server.
    pub(crate) fn refused(&self, code: &str, said: &str) {
        self.trace.refused(code, said);
    }
}

impl Suspend for Node {
    fn poll_running(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_alive(context)
    }
}

impl State {
    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
