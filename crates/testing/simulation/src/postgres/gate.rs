//! One transaction at a time: who may talk to the database now. A statement whose answer depended
//! on what another session does meanwhile would make a seed another run each time, so sessions take
//! turns, a transaction each, in an order that the seed draws.
//!
//! The database's own limits for silent sessions are kept here, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::backends::{Backend, Backends};
use crate::node::Node;

/// How long a session may be silent in a transaction: `Session::silence_limit` of pool-db.
const SILENT_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// How long the session that holds the leader's lock may be silent: `Session::LEADER` of pool-db.
const SILENT_LEADER: Duration = Duration::from_secs(8);
/// How long one that migrates may be: `Session::MIGRATION` of pool-db.
const SILENT_MIGRATION: Duration = Duration::from_secs(60);

/// A session's number.
pub(crate) type SessionId = u32;

/// The database's side of all sessions.
#[derive(Debug)]
pub(crate) struct Gate {
    backends: Arc<Backends>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: SessionId,
    rng: fastrand::Rng,
    holder: Option<SessionId>,
    waiting: Vec<(SessionId, Waker)>,
    sessions: BTreeMap<SessionId, Session>,
    /// Ended ones whose clients hear of it only when they say something.
    unheard: BTreeSet<SessionId>,
    /// Until when sessions that begin can only read, for all their life.
    reads_until: Option<Instant>,
}

/// What the database knows of a session.
#[derive(Debug)]
struct Session {
    backend: Arc<Backend>,
    /// Whose.
    node: Arc<Node>,
    /// How long it may be silent, if there is a limit.
    silent_for: Option<Duration>,
    is_listening: bool,
    heard_at: Instant,
    reader: Option<Waker>,
    /// What came unasked, to be read by the client.
    unasked: Vec<u8>,
    /// It can only read.
    only_reads: bool,
}

impl Gate {
    /// A gate to these, whose order is drawn from `seed`.
    pub(crate) fn new(seed: u64, backends: Arc<Backends>) -> Arc<Self> {
        let inner = Inner {
            rng: fastrand::Rng::with_seed(seed),
            ..Inner::default()
        };
        Arc::new(Self {
            backends,
            inner: Mutex::new(inner),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session of this name begins.
    pub(super) fn enter(
        &self,
        node: Arc<Node>,
        name: &str,
    ) -> io::Result<(SessionId, Arc<Backend>)> {
        let backend = self.backends.take()?;
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        let session = Session {
            backend: Arc::clone(&backend),
            node,
            silent_for: match name {
                "pool-server leader" => Some(SILENT_LEADER),
                "pool-migrate" => Some(SILENT_MIGRATION),
                _ => None,
            },
            is_listening: false,
            heard_at: Instant::now(),
            reader: None,
            unasked: Vec::new(),
            only_reads: inner
                .reads_until
                .is_some_and(|until| Instant::now() < until),
        };
        inner.sessions.insert(id, session);
        Ok((id, backend))
    }

    /// Every session ends.
    pub(crate) fn end_all(&self) {
        let all: Vec<_> = self.lock().sessions.keys().copied().collect();
        for id in all {
            self.leave(id);
        }
    }

    /// Every session ends, and those that begin within this time can only read.
    pub(crate) fn fail_over(&self, reads_for: Duration) {
        self.lock().reads_until = Some(Instant::now() + reads_for);
        self.end_all();
    }

    /// Whether the session can only read.
    pub(super) fn only_reads(&self, id: SessionId) -> bool {
        let inner = self.lock();
        inner.sessions.get(&id).is_some_and(|it| it.only_reads)
    }

    /// Whether the session stands.
    pub(super) fn stands(&self, id: SessionId) -> bool {
        self.lock().sessions.contains_key(&id)
    }

    /// Whether the session has ended, and its client's network has not told.
    pub(super) fn ended_unheard(&self, id: SessionId) -> bool {
        self.lock().unheard.contains(&id)
    }

    /// Whether it is this session's turn. If not, `waker` is woken when it may be.
    pub(super) fn take(&self, id: SessionId, waker: &Waker) -> bool {
        let mut inner = self.lock();
        match inner.holder {
            Some(holder) if holder != id => {
                inner.waiting.retain(|(waiting, _)| *waiting != id);
                inner.waiting.push((id, waker.clone()));
                false
            }
            _ => {
                inner.holder = Some(id);
                inner.heard(id);
                true
            }
        }
    }

    /// The session said something.
    pub(super) fn heard(&self, id: SessionId) {
        self.lock().heard(id);
    }

    pub(super) fn listens(&self, id: SessionId) {
        if let Some(session) = self.lock().sessions.get_mut(&id) {
            session.is_listening = true;
        }
    }

    /// Its transaction has ended.
    pub(super) fn release(&self, id: SessionId) {
        self.lock().release(id);
    }

    /// What came for the session without its asking; else its `waker` is kept.
    pub(super) fn unasked(&self, id: SessionId, waker: &Waker) -> Vec<u8> {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(&id) else {
            return Vec::new();
        };
        if session.unasked.is_empty() {
            session.reader = Some(waker.clone());
        }
        std::mem::take(&mut session.unasked)
    }

    /// The sessions that listen.
    pub(super) fn listening(&self) -> Vec<(SessionId, Arc<Backend>)> {
        let inner = self.lock();
        let listening = inner.sessions.iter().filter(|(_, it)| it.is_listening);
        listening
            .map(|(id, session)| (*id, Arc::clone(&session.backend)))
            .collect()
    }

    pub(super) fn tell(&self, id: SessionId, bytes: &[u8]) {
        let mut inner = self.lock();
        if let Some(session) = inner.sessions.get_mut(&id) {
            session.unasked.extend(bytes);
            if let Some(waker) = session.reader.take() {
                waker.wake();
            }
        }
    }

    /// The client is gone, and the database knows.
    pub(super) fn leave(&self, id: SessionId) {
        self.lock().end(id, &self.backends);
    }

    /// Ends the sessions of servers that were killed, and those that have been silent for too long,
    /// as the database does. To be called every now and then.
    pub(crate) fn end_silent(&self) {
        let now = Instant::now();
        let mut inner = self.lock();
        let holder = inner.holder;
        let silent: Vec<_> = inner
            .sessions
            .iter()
            .filter(|(id, session)| {
                let silent_for = now - session.heard_at;
                session.node.is_noticed_dead()
                    || (holder == Some(**id) && silent_for >= SILENT_IN_TRANSACTION)
                    || session.silent_for.is_some_and(|limit| silent_for >= limit)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            if inner.rng.bool() {
                inner.unheard.insert(id);
            }
            inner.end(id, &self.backends);
        }
    }
}

impl Inner {
    fn heard(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard_at = Instant::now();
        }
    }

    fn release(&mut self, id: SessionId) {
        if self.holder != Some(id) {
            return;
        }
        self.holder = None;
        if self.waiting.is_empty() {
            return;
        }
        let count = self.waiting.len();
        let drawn = self.rng.usize(..count);
        let (_, waker) = self.waiting.swap_remove(drawn);
        waker.wake();
    }

    /// Ends a session, and waits until the database has let go of all that it held.
    fn end(&mut self, id: SessionId, backends: &Backends) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        backends.give_back(session.backend);
        if let Some(waker) = session.reader.filter(|_| !self.unheard.contains(&id)) {
            waker.wake();
        }
        self.waiting.retain(|(waiting, waker)| {
            let is_it = *waiting == id;
            if is_it {
                waker.wake_by_ref();
            }
            !is_it
        });
        self.release(id);
    }
}
