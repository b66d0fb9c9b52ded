//! One round: observe, plan, write, hand over, record.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pool_db::commands::{self, PendingCommand};
use pool_db::provisions::NewProvision;
use pool_db::{belongings, events, fuse, record, ticks};
use pool_domain::{InstanceId, Pace, Policy, Report, Spent, fuse::counted_rows};
use pool_planner::{
    Destruction, History, Index, Occasion, Plan, Resume, moves, plan, sweep_is_due,
    try_creating_in, watches_in,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Duration, Instant};
use tracing::{error, warn};

use super::commands::{answer_round, confirmed_losses, is_sweep, requested_creates};
use super::evidence::Foreign;
use super::log::log;
use super::observe::{Observed, observe};
use super::write::{fail, intend, remove, settle, write_rows};
use crate::leading::{DoneSince, Leading, Place, Work};
use crate::sweeping::{SweepOrder, Volumes};
use crate::working::{Draft, Order};
use crate::{Error, budget};

/// How often what is old is pruned, and of belongings how many at once: far more than a busy pool writes.
const PRUNE_EVERY_ROUNDS: u64 = 20;
const PRUNE_AT_MOST: usize = 5_000;

/// What a leader keeps from round to round.
#[derive(Debug)]
pub(crate) struct Reconciler {
    leading: Arc<Leading>,
    history: History,
    foreign: Foreign,
    volumes: Volumes,
    orders: UnboundedSender<Order>,
    sweeps: UnboundedSender<SweepOrder>,
    keep_events: Duration,
    rounds: u64,
    spent_before: Spent,
}

/// A round that was carried through.
pub(crate) struct Went {
    /// Whether Railway was asked what there is.
    pub(crate) is_listed_anew: bool,
    /// Within which time to go round again, where that is sooner than the period: creating was held
    /// back or failed, or what was made is not proven yet.
    pub(crate) again_in: Option<Duration>,
}

impl Reconciler {
    /// A leader of this term. `last_complete_at` is when any leader last saw a complete listing;
    /// `pace` the one at which the last leader made instances; `keep_events` how long the event
    /// log is kept.
    pub(crate) fn new(
        leading: Arc<Leading>,
        last_complete_at: Option<DateTime<Utc>>,
        pace: Pace,
        orders: UnboundedSender<Order>,
        sweeps: UnboundedSender<SweepOrder>,
        keep_events: Duration,
    ) -> Self {
        let spent_before = leading.context.railway.spent();
        Self {
            leading,
            history: History::new(last_complete_at).at_pace(pace),
            foreign: Foreign::default(),
            volumes: Volumes::default(),
            orders,
            sweeps,
            keep_events,
            rounds: 0,
            spent_before,
        }
    }

    /// One round, and its record.
    pub(crate) async fn go_round(&mut self, occasion: Occasion) -> Result<Went, Error> {
        let began = Instant::now();
        let leading = Arc::clone(&self.leading);
        let (db, term) = (&leading.context.db, leading.term);
        if let Some(doubted) = record::verify(db).await? {
            error!("{doubted}");
        }
        let started_at = db.now().await?;
        let mut asked = commands::pending(db, term).await?;
        asked.retain(|command| !leading.last_sweep().handed_over.contains(&command.id));

        let (mut report, went, sweep) = match self.round(occasion, &asked).await {
            Ok(round) => round,
            Err(error) => {
                budget::share_after_failure(&leading).await;
                return Err(error);
            }
        };

        leading.loops.reconciling.at("recording");
        let since = std::mem::take(&mut leading.tally().done);
        let recorded = self.record(&mut report, &since, began, started_at).await;
        // What no report told stays to be told by the next one.
        let tick = recorded.inspect_err(|_| leading.tally().done.put_back(since))?;
        answer_round(&leading.context, term, &asked, tick, &report).await?;
        if let Some(order) = sweep {
            leading
                .last_sweep()
                .hand_over(order.due_at(), order.asked());
            // Its loop ends only with this one.
            let _ = self.sweeps.send(order.of_tick(tick));
        }
        self.prune().await;
        log(&report, term);
        Ok(went)
    }

    async fn round(
        &mut self,
        occasion: Occasion,
        asked: &[PendingCommand],
    ) -> Result<(Report, Went, Option<SweepOrder>), Error> {
        let leading = Arc::clone(&self.leading);
        let (context, term) = (&*leading.context, leading.term);
        let requested = asked.iter().map(requested_creates).sum();
        let observed = self.observe(occasion, requested, asked).await?;
        let snapshot = &observed.snapshot;
        let index = Index::new(&snapshot.rows, &snapshot.provisions, &snapshot.listing)
            .with_unreadable(&snapshot.unreadable);
        let failed_lately = self.learn(&observed, &index).await?;

        let (policy, identity) = (&context.policy, &context.identity);
        let mut plan = plan(snapshot, &index, &self.history, policy, identity);
        self.history.record_died(&plan.died, snapshot.now);
        let left = usize::try_from(context.railway.creates_left()).unwrap_or(usize::MAX);
        // Those in the making may not have asked Railway yet.
        let left = left.saturating_sub(snapshot.in_flight.making.len());
        plan.hold_back_creates(left, requested);
        let moves = !asked.is_empty() || moves(snapshot, &plan);
        self.history.record_moves(moves, snapshot);
        let mut report = std::mem::take(&mut plan.report);
        report.unreadable.clone_from(&observed.unreadable);
        for (action, error) in &observed.failures {
            fail(&mut report, None, action, error);
        }

        leading.loops.reconciling.at("writing rows");
        write_rows(context, term, &plan, &mut report).await?;
        // Only now: as long as nothing was written, what was confirmed still stands in the list.
        let rows = counted_rows(&snapshot.rows);
        fuse::save(&context.db, term, report.fuse.as_ref(), rows).await?;
        let intents = intend(context, term, &plan, asked, &mut report).await?;
        remove(context, term, &plan.removals, &mut report).await?;
        let resumes = settle(
            context,
            term,
            std::mem::take(&mut plan.resumes),
            &mut report,
        )
        .await?;
        let made = self.hand_over(
            std::mem::take(&mut plan.destructions),
            resumes,
            intents,
            &plan,
        );
        self.history.record_begun(made, snapshot.now);
        leading.set_making_waits(plan.pace_holds_back);

        let waits = plan.pace_holds_back || failed_lately || !plan.died.is_empty();
        let (pace, now) = (self.history.pace(), snapshot.now);
        let tries_in = waits.then(|| try_creating_in(pace, now));
        let movement = self.history.movement(now);
        let watches_in = watches_in(movement, &snapshot.listing, now, policy);
        let went = Went {
            is_listed_anew: observed.is_listed_anew,
            again_in: tries_in.into_iter().chain(watches_in).min(),
        };
        Ok((report, went, self.sweep(&observed, asked)))
    }

    async fn observe(
        &mut self,
        occasion: Occasion,
        requested: usize,
        asked: &[PendingCommand],
    ) -> Result<Observed, Error> {
        let somebody_asked = !asked.is_empty();
        let foreign = &mut self.foreign;
        let why = (occasion, &self.history);
        let mut observed = observe(&self.leading, foreign, why, requested, somebody_asked).await?;
        observed.snapshot.fuse.confirmed = asked.iter().flat_map(confirmed_losses).collect();
        budget::share_block(&self.leading).await?;
        Ok(observed)
    }

    /// Takes in what was observed, and how the creations went that were handed over before: says
    /// whether any failed.
    async fn learn(&mut self, observed: &Observed, index: &Index<'_>) -> Result<bool, Error> {
        let snapshot = &observed.snapshot;
        let Self {
            leading, history, ..
        } = self;
        let (policy, identity) = (&leading.context.policy, &leading.context.identity);
        history.record_image(&leading.context.blueprint.image, snapshot.now);
        history.record(snapshot, index, policy, identity);
        let creations = std::mem::take(&mut leading.tally().creations);
        history.record_creations(&creations, snapshot.now);
        self.volumes
            .remember(leading, index, &snapshot.listing)
            .await?;
        Ok(creations.failed > 0)
    }

    /// From here on these are in flight, and the building loop's. Says which are made.
    fn hand_over(
        &self,
        destructions: Vec<Destruction>,
        resumes: Vec<Resume>,
        mut intents: Vec<NewProvision>,
        plan: &Plan,
    ) -> Vec<InstanceId> {
        // The others are finished by the next rounds.
        intents.truncate(plan.make_now);
        let going_on = resumes.iter().map(|it| it.provision.id.clone());
        let made = going_on
            .chain(intents.iter().map(|it| it.id.clone()))
            .collect();
        let leading = &self.leading;
        let entropy = &*leading.context.entropy;
        let endings = destructions.into_iter().map(|destruction| {
            let place = Place::take(leading, Work::Ending, &destruction.owned.id);
            (destruction, place)
        });
        let begun = resumes
            .into_iter()
            .map(|it| Draft::resumed(it, leading, entropy));
        let fresh = intents.into_iter().map(|it| Draft::fresh(it, leading));
        let order = Order {
            endings: endings.collect(),
            drafts: begun.chain(fresh).collect(),
        };
        if !order.is_empty() {
            // Its loop ends only with this one.
            let _ = self.orders.send(order);
        }
        made
    }

    fn sweep(&self, observed: &Observed, asked: &[PendingCommand]) -> Option<SweepOrder> {
        let snapshot = &observed.snapshot;
        let asked_for: Vec<_> = asked.iter().filter(|it| is_sweep(it)).cloned().collect();
        let last = self.leading.last_sweep();
        let is_due = observed.is_listed_anew
            && snapshot.listing.lacks().is_none()
            && sweep_is_due(last.at, snapshot.now, !asked.is_empty());
        if asked_for.is_empty() && !is_due {
            return None;
        }
        Some(SweepOrder::new(
            snapshot.listing.clone(),
            snapshot.now,
            asked_for,
            is_due,
        ))
    }

    /// Tells what there is to tell beside the plan: what the other loops did since the last report, how
    /// the budget stands, and the last sweep; and records it.
    async fn record(
        &mut self,
        report: &mut Report,
        since: &DoneSince,
        began: Instant,
        started_at: DateTime<Utc>,
    ) -> Result<i64, Error> {
        let leading = &self.leading;
        let railway = &leading.context.railway;
        budget::share(leading).await?;
        let now = leading.context.db.now().await?;
        let budget = railway.budget_report(now, self.spent_before);
        let (spent, spent_by_now) = (budget.spent_by_tick, railway.spent());
        report.budget = Some(budget);
        report.sweep.clone_from(&leading.last_sweep().report);
        report.loops = Some(leading.loops.told());
        report.agents = leading.context.agents_answer.report();
        report.replenish.pace = self.history.pace().clone();

        let done = &mut report.done;
        done.requests = clamp_u32(spent.total());
        done.creating_requests = clamp_u32(spent.creating);
        done.created += since.created;
        done.destroyed = since.destroyed;
        done.promoted = since.promoted.len();
        done.failures.extend(since.failures.iter().cloned());
        report.changes.extend(since.promoted.iter().cloned());
        report.hold_back(
            "making intended instances",
            "no more of them are wanted for now",
            since.held_back,
        );
        report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.redact(&leading.context.redactor);
        report.bound();
        let tick = ticks::record(&leading.context.db, leading.term, started_at, report).await?;
        self.spent_before = spent_by_now;
        Ok(tick)
    }

    async fn prune(&mut self) {
        self.rounds += 1;
        if self.rounds % PRUNE_EVERY_ROUNDS != 1 {
            return;
        }
        let (db, term) = (&self.leading.context.db, self.leading.term);
        if let Err(error) = events::prune(db, term, self.keep_events).await {
            warn!(error = %error, "the event log was not pruned; later rounds try again");
        }
        let keep = Policy::BELONGINGS_KEPT_FOR;
        if let Err(error) = belongings::prune(db, term, keep, PRUNE_AT_MOST).await {
            warn!(error = %error, "old belongings were not pruned; later rounds try again");
        }
    }
}

fn clamp_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
