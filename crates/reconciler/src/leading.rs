//! What the loops of one term share: the evidence, the last listing, what is worked on, and what is
//! to be told of it. Each is held for a moment only, and never across an await.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use pool_db::commands::CommandId;
use pool_domain::report::{ChangeReport, Failure};
use pool_domain::{
    Creations, InstanceId, Listing, LoopReport, LoopsReport, ManagerId, Report, ResourceRecord,
    SweepReport, Term,
};
use pool_planner::{InFlight, ProbeBook, is_more_wanted};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Context;

/// One term of this server's leadership.
#[derive(Debug)]
pub(crate) struct Leading {
    pub(crate) context: Arc<Context>,
    pub(crate) term: Term,
    /// Whose services we make.
    pub(crate) manager: ManagerId,
    pub(crate) wake: Arc<Notify>,
    /// Wakes promoting: Railway was listed.
    pub(crate) listed: Notify,
    pub(crate) loops: Arc<Loops>,
    book: Mutex<ProbeBook>,
    seen: Mutex<Option<Arc<Seen>>>,
    in_flight: Mutex<InFlight>,
    tally: Mutex<Tally>,
    last_sweep: Mutex<LastSweep>,
    /// Whether more instances are wanted as soon as those that were made are ready.
    making_waits: AtomicBool,
}

/// What the last round listed and read.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) listing: Listing,
    pub(crate) provisions: Vec<ResourceRecord>,
    /// Claimed and crashed ones of which a probe may tell something.
    pub(crate) to_confirm: Vec<InstanceId>,
}

/// What is known of sweeps.
#[derive(Debug, Default)]
pub(crate) struct LastSweep {
    /// What the last one found that did not only look, of any leader.
    pub(crate) report: Option<SweepReport>,
    /// When it began, or the one that goes on now.
    pub(crate) at: Option<DateTime<Utc>>,
    /// What people asked for that is handed over and not answered yet.
    pub(crate) handed_over: Vec<CommandId>,
}

impl LastSweep {
    pub(crate) fn of(report: Option<SweepReport>) -> Self {
        let at = report.as_ref().map(|report| report.at);
        Self {
            report,
            at,
            handed_over: Vec::new(),
        }
    }
}

impl LastSweep {
    /// Notes that this one is done now, and for whom.
    pub(crate) fn hand_over(
        &mut self,
        due_at: Option<DateTime<Utc>>,
        asked: impl IntoIterator<Item = CommandId>,
    ) {
        self.at = due_at.or(self.at);
        self.handed_over.extend(asked);
    }
}

/// What was done since somebody last asked.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What was made and what failed, for the pace.
    pub(crate) creations: Creations,
    /// What the loops did, for the report.
    pub(crate) done: DoneSince,
}

/// What the other loops did since the last report.
#[derive(Debug, Default)]
pub(crate) struct DoneSince {
    pub(crate) created: usize,
    pub(crate) destroyed: usize,
    pub(crate) held_back: usize,
    pub(crate) promoted: Vec<ChangeReport>,
    pub(crate) failures: Vec<Failure>,
}

impl DoneSince {
    /// Adds what was taken out before, and could not be told.
    pub(crate) fn put_back(&mut self, earlier: Self) {
        self.created += earlier.created;
        self.destroyed += earlier.destroyed;
        self.held_back += earlier.held_back;
        self.promoted.splice(0..0, earlier.promoted);
        self.failures.splice(0..0, earlier.failures);
        self.promoted.truncate(Report::ENTRIES_MAX);
        self.failures.truncate(Report::ENTRIES_MAX);
    }

    pub(crate) fn fail(
        &mut self,
        id: Option<&InstanceId>,
        action: impl Into<String>,
        error: impl Into<String>,
    ) {
        if self.failures.len() < Report::ENTRIES_MAX {
            self.failures.push(Failure {
                id: id.cloned(),
                action: action.into(),
                error: error.into(),
            });
        }
    }
}

impl Leading {
    pub(crate) fn new(
        context: Arc<Context>,
        term: Term,
        manager: ManagerId,
        wake: Arc<Notify>,
        loops: Arc<Loops>,
        last_sweep: Option<SweepReport>,
    ) -> Self {
        Self {
            context,
            term,
            manager,
            wake,
            listed: Notify::new(),
            loops,
            book: Mutex::default(),
            seen: Mutex::default(),
            in_flight: Mutex::default(),
            tally: Mutex::default(),
            last_sweep: Mutex::new(LastSweep::of(last_sweep)),
            making_waits: AtomicBool::new(false),
        }
    }

    /// Says whether more are wanted than may be begun now: then one that is proven ready, and half of the
    /// making that has ended, wake the round.
    pub(crate) fn set_making_waits(&self, waits: bool) {
        self.making_waits.store(waits, Ordering::Relaxed);
    }

    /// Some were proven ready: the rounds go on with making where that waited for it.
    pub(crate) fn note_proven(&self) {
        if self.making_waits.load(Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, ProbeBook> {
        lock(&self.book)
    }

    /// None before the first round of this term.
    pub(crate) fn seen(&self) -> Option<Arc<Seen>> {
        lock(&self.seen).clone()
    }

    /// Tells promoting what there is.
    pub(crate) fn show(&self, seen: Seen) {
        *lock(&self.seen) = Some(Arc::new(seen));
        self.listed.notify_one();
    }

    pub(crate) fn in_flight(&self) -> InFlight {
        lock(&self.in_flight).clone()
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    pub(crate) fn last_sweep(&self) -> MutexGuard<'_, LastSweep> {
        lock(&self.last_sweep)
    }
}

/// What is done with an instance in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Making,
    Ending,
}

/// Says that somebody works on an instance, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    leading: Arc<Leading>,
    work: Work,
    id: InstanceId,
}

impl Place {
    pub(crate) fn take(leading: &Arc<Leading>, work: Work, id: &InstanceId) -> Self {
        let place = Self {
            leading: Arc::clone(leading),
            work,
            id: id.clone(),
        };
        place.change(|ids| ids.insert(id.clone()));
        place
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeSet<InstanceId>) -> T) -> T {
        let mut in_flight = lock(&self.leading.in_flight);
        change(match self.work {
            Work::Making => &mut in_flight.making,
            Work::Ending => &mut in_flight.ending,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.change(|ids| {
            ids.remove(&self.id);
            ids.len()
        });
        let waits = self.leading.making_waits.load(Ordering::Relaxed);
        if self.work == Work::Making && is_more_wanted(left, waits) {
            self.leading.wake.notify_one();
        }
    }
}

/// When each loop of this server last went round, and what keeps it. Told by /readyz.
#[derive(Debug, Default)]
pub struct Loops {
    is_leading: Mutex<bool>,
    hindrance: Mutex<Option<String>>,
    pub(crate) promoting: Rounds,
    pub(crate) reconciling: Rounds,
    pub(crate) building: Rounds,
}

impl Loops {
    /// None where this server does not lead.
    #[must_use]
    pub fn report(&self) -> Option<LoopsReport> {
        lock(&self.is_leading).then(|| self.told())
    }

    /// What keeps this server from leading, beside another that does.
    #[must_use]
    pub fn hindrance(&self) -> Option<String> {
        lock(&self.hindrance).clone()
    }

    /// Says what keeps this server from leading; none when nothing does any more.
    pub fn hinder(&self, why: Option<String>) {
        *lock(&self.hindrance) = why;
    }

    /// Whether this server leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        *lock(&self.is_leading)
    }

    pub(crate) fn told(&self) -> LoopsReport {
        LoopsReport {
            promoting: self.promoting.told(),
            reconciling: self.reconciling.told(),
            building: self.building.told(),
        }
    }

    pub(crate) fn begin(&self) {
        for rounds in [&self.promoting, &self.reconciling, &self.building] {
            *lock(&rounds.0) = State::default();
        }
        *lock(&self.is_leading) = true;
    }

    pub(crate) fn end(&self) {
        *lock(&self.is_leading) = false;
    }
}

/// How one loop goes round.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    at: Option<String>,
    trouble: Option<String>,
}

impl Rounds {
    /// What it is at now.
    pub(crate) fn at(&self, what: impl Into<String>) {
        lock(&self.0).at = Some(what.into());
    }

    /// It went round, and nothing more is known.
    pub(crate) fn turned(&self) {
        let mut state = lock(&self.0);
        state.last = Some(Instant::now());
        state.at = None;
    }

    /// It went round, with or without trouble.
    pub(crate) fn went(&self, trouble: Option<String>) {
        let mut state = lock(&self.0);
        state.last = Some(Instant::now());
        state.at = None;
        state.trouble = trouble;
    }

    fn told(&self) -> LoopReport {
        let state = lock(&self.0);
        let age = state.last.map(|last| last.elapsed().as_millis());
        LoopReport {
            last_round_age_ms: age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
            at: state.at.clone(),
            trouble: state.trouble.clone(),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
