//! Promoting: probes agents and makes those idle that are ready, as soon as they are. What it hears
//! goes into the book, from which the rounds judge who is given up.

mod probe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use pool_db::instances::{self, Place, Probed};
use pool_domain::report::ChangeReport;
use pool_domain::{Conversation, Instance, InstanceId, Policy, Probe, chain};
use pool_planner::{
    Candidate, Index, Lane, LastProbe, ProbeTarget, conversations_to_ask, probes, promotions, turns,
};
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::probe::{Asked, ask};
use crate::Error;
use crate::leading::{Leading, Seen};
use crate::reconciling::ACTOR;

/// Goes round until `shutdown`. Only another leader ends it early.
pub(crate) async fn run(leading: Arc<Leading>, shutdown: CancellationToken) -> Result<(), Error> {
    let mut promoter = Promoter::new(leading);
    let leading = Arc::clone(&promoter.leading);
    loop {
        let went = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            Some(asked) = promoter.asking.next(), if !promoter.asking.is_empty() => {
                promoter.answered.push(asked);
                promoter.take().await
            }
            () = leading.listed.notified() => promoter.look().await,
            () = sleep_until(promoter.next_look) => promoter.look().await,
        };
        match went {
            Ok(()) => {}
            Err(error) if error.is_stale_term() => return Err(error),
            Err(error) => {
                let why = chain(&error);
                warn!(error = %why, "promoting failed; the next look tries again");
                leading.loops.promoting.went(Some(why));
            }
        }
    }
}

struct Promoter {
    leading: Arc<Leading>,
    asking: FuturesUnordered<BoxFuture<'static, Asked>>,
    /// What was answered, and is not taken in yet.
    answered: Vec<Asked>,
    /// Whom somebody asks at this moment, and in which lane.
    in_flight: BTreeMap<InstanceId, Lane>,
    /// When the last probe of each ended that is still looked at, and how long it was waited for in
    /// vain.
    last: BTreeMap<InstanceId, (Instant, Option<Duration>)>,
    /// The rows of those that are asked, as they were read.
    rows: BTreeMap<InstanceId, Instance>,
    /// Where the look at the rest of the stock goes on.
    after: Option<Place>,
    /// When to look again, whatever happens.
    next_look: Instant,
}

impl Promoter {
    fn new(leading: Arc<Leading>) -> Self {
        Self {
            leading,
            asking: FuturesUnordered::new(),
            answered: Vec::new(),
            in_flight: BTreeMap::new(),
            last: BTreeMap::new(),
            rows: BTreeMap::new(),
            after: None,
            next_look: Instant::now(),
        }
    }

    /// Reads whom a probe could tell something of, and begins as many as have their turn.
    async fn look(&mut self) -> Result<(), Error> {
        let leading = Arc::clone(&self.leading);
        self.next_look = Instant::now() + leading.context.policy.probe_every();
        // Before the first listing nothing is known of what is up.
        let Some(seen) = leading.seen() else {
            return Ok(());
        };
        leading.loops.promoting.at("reading rows");
        let read = self.read(&seen).await?;
        self.begin(read, &seen);
        leading.loops.promoting.went(None);
        self.take().await
    }

    async fn read(&mut self, seen: &Seen) -> Result<Probed, Error> {
        let leading = Arc::clone(&self.leading);
        let (next, others) = (Policy::NEXT_CHECKED, Policy::STOCK_CHECKED_AT_ONCE);
        let (db, after, named) = (&leading.context.db, self.after.clone(), &seen.to_confirm);
        let read = instances::load_probed(db, next, after.as_ref(), others, named);
        let read = self.beside_answers(read).await?;
        let is_end = read.others.len() < others;
        self.after = read.ends_at.clone().filter(|_| !is_end);
        Ok(read)
    }

    fn begin(&mut self, read: Probed, seen: &Seen) {
        let context = Arc::clone(&self.leading.context);
        let next: BTreeSet<_> = read.next.iter().map(|row| row.id.clone()).collect();
        let mut rows = read.starting;
        rows.extend(read.next);
        let others = read
            .others
            .into_iter()
            .filter(|row| !next.contains(&row.id));
        rows.extend(others);
        rows.extend(read.named);
        let index = Index::new(&rows, &seen.provisions, &seen.listing);
        let targets = probes(&rows, &index, &seen.listing, &context.identity);
        let unasked = conversations_to_ask(&rows, &index, &seen.listing, &context.identity);
        let unasked: BTreeSet<_> = unasked.into_iter().map(|target| target.id).collect();
        let candidates = targets
            .into_iter()
            .filter(|target| !self.in_flight.contains_key(&target.id))
            .map(|target| Candidate {
                last: self.last_of(&target.id),
                is_next: next.contains(&target.id),
                target,
            })
            .collect();
        let busy = |lane| self.in_flight.values().filter(|it| **it == lane).count();
        let (turns, some_wait) = turns(candidates, busy, &context.policy);
        if some_wait {
            self.next_look = Instant::now() + context.policy.probe_again_after();
        }
        self.forget_old();
        let mut rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        for (lane, target) in turns {
            let Some(row) = rows.remove(&target.id) else {
                continue;
            };
            self.in_flight.insert(target.id.clone(), lane);
            self.ask(lane, target, &row, unasked.contains(&row.id));
            self.rows.insert(row.id.clone(), row);
        }
    }

    fn ask(&mut self, lane: Lane, target: ProbeTarget, row: &Instance, is_unasked: bool) {
        let context = Arc::clone(&self.leading.context);
        let token = row.gateway_token.clone();
        let patience = lane.patience();
        let asked = async move { ask(&context, target, patience, is_unasked, token).await };
        self.asking.push(Box::pin(asked));
    }

    fn last_of(&self, id: &InstanceId) -> Option<LastProbe> {
        let (ended, waited_in_vain) = *self.last.get(id)?;
        Some(LastProbe {
            ago: ended.elapsed(),
            waited_in_vain,
        })
    }

    /// What was asked so long ago is due in any case.
    fn forget_old(&mut self) {
        let kept = 2 * Policy::STOCK_CHECKED_EVERY;
        self.last.retain(|_, (ended, _)| ended.elapsed() < kept);
    }

    /// Waits for the database while agents go on to be heard: no answer is late for it.
    async fn beside_answers<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(asked) = self.asking.next(), if !self.asking.is_empty() => {
                    self.answered.push(asked);
                }
            }
        }
    }

    /// Takes in what was answered, and promotes those that are ready in one go; and so on, while
    /// others answer meanwhile.
    async fn take(&mut self) -> Result<(), Error> {
        while let Some(Some(asked)) = self.asking.next().now_or_never() {
            self.answered.push(asked);
        }
        while !self.answered.is_empty() {
            self.take_in().await?;
        }
        Ok(())
    }

    async fn take_in(&mut self) -> Result<(), Error> {
        let answers = std::mem::take(&mut self.answered);
        let mut rows = Vec::new();
        let (mut probes, mut said) = (BTreeMap::new(), BTreeMap::new());
        for asked in answers {
            let id = asked.target.id.clone();
            self.in_flight.remove(&id);
            let ended = (Instant::now(), asked.waited_in_vain);
            self.last.insert(id.clone(), ended);
            self.note(&asked);
            rows.extend(self.rows.remove(&id));
            probes.extend(asked.probe.map(|probe| (id.clone(), probe)));
            said.extend(asked.said.map(|said| (id, said)));
        }
        self.promote(&rows, &probes, &said).await
    }

    fn note(&self, asked: &Asked) {
        let (id, epoch) = (&asked.target.id, asked.target.epoch);
        let mut book = self.leading.book();
        if let Some(said) = &asked.said {
            book.note_conversation(id, epoch, said.clone());
        }
        if let Some(probe) = &asked.probe {
            book.note(id, epoch, probe.clone());
        }
    }

    async fn promote(
        &mut self,
        rows: &[Instance],
        probes: &BTreeMap<InstanceId, Probe>,
        said: &BTreeMap<InstanceId, Conversation>,
    ) -> Result<(), Error> {
        let leading = Arc::clone(&self.leading);
        let Some(seen) = leading.seen() else {
            return Ok(());
        };
        let index = Index::new(rows, &seen.provisions, &seen.listing);
        let proven = promotions(rows, &index, probes, said);
        if proven.is_empty() {
            return Ok(());
        }
        leading.loops.promoting.at("writing rows");
        let (db, term) = (&leading.context.db, leading.term);
        let changing = instances::change_statuses(db, term, &proven, ACTOR);
        let changed = self.beside_answers(changing).await?;
        let changed: BTreeSet<_> = changed.into_iter().collect();
        let mut tally = leading.tally();
        for change in proven.into_iter().filter(|it| changed.contains(&it.id)) {
            info!(instance.id = %change.id, to = %change.to, reason = %change.reason, "promoted");
            tally.done.promoted.push(ChangeReport::from(&change));
        }
        drop(tally);
        leading.note_proven();
        Ok(())
    }
}
