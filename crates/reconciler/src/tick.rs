//! One tick: observe, plan, execute, record. It takes no input and is idempotent: the next tick is
//! the retry.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pool_db::commands::{CommandKind, PendingCommand};
use pool_db::{belongings, commands, events, fuse, ticks};
use pool_domain::{InstanceId, Pace, Policy, Report, SweepReport, Term, fuse::counted_rows};
use pool_planner::{History, Index, plan};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use tracing::{error, info, warn};

use crate::execute::{create_all, destroy_all, fail, intend, remove, write_rows};
use crate::observe::{Foreign, ask, list_and_read};
use crate::sweep::{Sweeper, is_sweep};
use crate::{Error, Outside, budget};

/// How often old events are pruned, and how many at once: far more than a busy pool writes.
const PRUNE_EVERY_TICKS: u64 = 20;
const PRUNE_AT_MOST: usize = 5_000;

/// What a leader keeps from tick to tick.
#[derive(Debug)]
pub struct Reconciler {
    outside: Arc<Outside>,
    term: Term,
    history: History,
    foreign: Foreign,
    sweeper: Sweeper,
    keep_events: Duration,
    ticks: u64,
    again_in: Option<Duration>,
}

/// A tick that was carried through.
#[derive(Debug)]
pub struct Ticked {
    /// What it saw and did.
    pub report: Report,
    /// Within which time to tick again, where that is sooner than the period: creating was held
    /// back, or failed.
    pub again_in: Option<Duration>,
}

impl Reconciler {
    /// A leader of this term. `last_complete_at` is when any leader last saw a complete listing;
    /// `pace` the one at which the last leader made instances; `keep_events` how long the event
    /// log is kept.
    #[must_use]
    pub fn new(
        outside: Arc<Outside>,
        term: Term,
        last_complete_at: Option<DateTime<Utc>>,
        pace: Pace,
        keep_events: Duration,
    ) -> Self {
        let history = History::new(last_complete_at).at_pace(pace);
        Self {
            outside,
            term,
            history,
            foreign: Foreign::default(),
            sweeper: Sweeper::default(),
            keep_events,
            ticks: 0,
            again_in: None,
        }
    }

    /// With what the last sweep of any leader found, so that the next one is due when it would be.
    #[must_use]
    pub fn last_swept(mut self, last: Option<SweepReport>) -> Self {
        self.sweeper = Sweeper::after(last);
        self
    }

    /// One round.
    ///
    /// # Errors
    ///
    /// Where the database refuses: another leads, or nothing can be recorded. The next tick is the
    /// retry.
    pub async fn tick(&mut self) -> Result<Ticked, Error> {
        let began = Instant::now();
        let outside = Arc::clone(&self.outside);
        let started_at = outside.db.now().await?;
        let spent_before = outside.railway.spent();
        let asked = commands::pending(&outside.db, self.term).await?;

        let mut report = match self.round(&outside, &asked).await {
            Ok(report) => report,
            Err(error) => {
                budget::share_after_failure(&outside, self.term).await;
                return Err(error);
            }
        };

        budget::share(&outside, self.term).await?;
        let now = outside.db.now().await?;
        let budget = outside.railway.budget_report(now, spent_before);
        report.done.requests = clamp_u32(budget.spent_by_tick.total());
        report.budget = Some(budget);
        report.sweep = self.sweeper.last().cloned();
        report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.redact(&outside.redactor);
        report.bound();
        let tick = ticks::record(&outside.db, self.term, started_at, &report).await?;
        for command in asked.iter().filter(|it| wants_whole_tick(it)) {
            let result = outcome(command, &report);
            commands::finish(&outside.db, self.term, &[command.id], Some(tick), &result).await?;
        }
        self.sweeper
            .answer(&outside, self.term, &asked, tick)
            .await?;
        self.prune().await;
        log(&report, self.term);
        Ok(Ticked {
            report,
            again_in: self.again_in,
        })
    }

    async fn round(
        &mut self,
        outside: &Outside,
        asked: &[PendingCommand],
    ) -> Result<Report, Error> {
        let requested = asked.iter().map(requested_creates).sum();
        let by_a_person = !asked.is_empty();
        let listed = list_and_read(outside, requested, by_a_person).await?;
        let mut snapshot = listed.snapshot;
        let index = Index::new(&snapshot.rows, &snapshot.provisions, &snapshot.listing);
        let answers = ask(outside, &snapshot, &index, &mut self.foreign).await?;
        snapshot.evidence = answers.evidence;
        snapshot.probes = answers.probes;
        snapshot.conversations = answers.conversations;
        snapshot.fuse.confirmed = asked.iter().flat_map(confirmed_losses).collect();
        budget::share_block(outside, self.term).await?;
        let (policy, identity) = (&outside.policy, &outside.identity);
        self.history.record(&snapshot, &index, policy, identity);
        self.sweeper
            .remember_volumes(outside, self.term, &index, &snapshot.listing)
            .await?;
        let mut plan = plan(&snapshot, &index, &self.history, policy, identity);
        let mut report = std::mem::take(&mut plan.report);
        report.unreadable = listed.unreadable;
        for (action, error) in answers.failures {
            fail(&mut report, None, action, error);
        }

        budget::hold_back_creates(outside, requested, &mut plan, &mut report);

        write_rows(outside, self.term, &plan, &mut report).await?;
        // Only now: as long as nothing was written, what was confirmed still stands in the list.
        let rows = counted_rows(&snapshot.rows);
        fuse::save(&outside.db, self.term, report.fuse.as_ref(), rows).await?;
        let intents = intend(outside, self.term, &plan, &mut report).await?;
        self.answer_replenish(outside, asked, report.done.intended)
            .await?;
        remove(outside, self.term, &plan.removals, &mut report).await?;
        let destructions = std::mem::take(&mut plan.destructions);
        destroy_all(outside, self.term, destructions, &mut report).await?;
        let creations = create_all(outside, self.term, &plan, intents, &mut report).await?;
        self.sweeper
            .sweep_if_due(outside, self.term, &snapshot.listing, asked)
            .await?;
        let now = outside.db.now().await?;
        self.history.record_creations(&creations, now);
        report.replenish.pace = self.history.pace().clone();
        let waits = creations.failed > 0 || plan.pace_holds_back;
        self.again_in = waits.then(|| self.try_creating_in(now));
        Ok(report)
    }

    /// When to try creating again, once it was held back or failed.
    fn try_creating_in(&self, now: DateTime<Utc>) -> Duration {
        let longest = Policy::TRY_CREATING_EVERY;
        self.history
            .pace()
            .stopped
            .as_ref()
            .map_or(longest, |stopped| {
                (stopped.try_at - now).to_std().unwrap_or_default()
            })
            .clamp(Duration::from_secs(1), longest)
    }

    /// A person who asked for a number is answered when the intents are written; making them takes
    /// a minute or two.
    async fn answer_replenish(
        &self,
        outside: &Outside,
        asked: &[PendingCommand],
        intended: usize,
    ) -> Result<(), Error> {
        let mut left = intended;
        for command in asked.iter().filter(|it| requested_creates(it) > 0) {
            let created = requested_creates(command).min(left);
            left -= created;
            let result = json!({ "created": created });
            commands::finish(&outside.db, self.term, &[command.id], None, &result).await?;
        }
        Ok(())
    }

    async fn prune(&mut self) {
        self.ticks += 1;
        if self.ticks % PRUNE_EVERY_TICKS != 1 {
            return;
        }
        let db = &self.outside.db;
        let pruned = events::prune(db, self.term, self.keep_events, PRUNE_AT_MOST).await;
        if let Err(error) = pruned {
            warn!(error = %error, "the event log was not pruned; the next ticks try again");
        }
        let keep = Policy::BELONGINGS_KEPT_FOR;
        if let Err(error) = belongings::prune(db, self.term, keep, PRUNE_AT_MOST).await {
            warn!(error = %error, "old belongings were not pruned; the next ticks try again");
        }
    }
}

/// How many instances a command asks for; none where it asks for a tick.
fn requested_creates(command: &PendingCommand) -> usize {
    match &command.command.kind {
        CommandKind::Replenish { count } => count.unwrap_or(0).min(Policy::PERSON_COUNT_MAX),
        CommandKind::Reconcile | CommandKind::ConfirmFuse { .. } | CommandKind::Sweep { .. } => 0,
    }
}

/// The losses that a command lets through.
fn confirmed_losses(command: &PendingCommand) -> HashSet<InstanceId> {
    match &command.command.kind {
        CommandKind::ConfirmFuse { ids } => ids.iter().cloned().collect(),
        CommandKind::Reconcile | CommandKind::Replenish { .. } | CommandKind::Sweep { .. } => {
            HashSet::new()
        }
    }
}

/// What came of a command that a whole tick answers.
fn outcome(command: &PendingCommand, report: &Report) -> Value {
    match &command.command.kind {
        CommandKind::ConfirmFuse { ids } => {
            let done = report.confirmed.iter().filter(|id| ids.contains(id));
            json!({ "confirmed": done.collect::<Vec<_>>(), "report": report })
        }
        CommandKind::Reconcile | CommandKind::Replenish { .. } | CommandKind::Sweep { .. } => {
            json!({ "report": report })
        }
    }
}

fn wants_whole_tick(command: &PendingCommand) -> bool {
    requested_creates(command) == 0 && !is_sweep(command)
}

fn clamp_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn log(report: &Report, term: Term) {
    let done = &report.done;
    info!(
        leader.term = term.0,
        tick.duration_ms = report.duration_ms,
        listing.complete = report.listing.complete,
        listing.services = report.listing.services,
        railway.requests = done.requests,
        instances.changed = done.changed,
        instances.adopted = report.adopted.len(),
        instances.created = done.created,
        railway.creating_requests = done.creating_requests,
        instances.destroyed = done.destroyed,
        instances.removed = done.removed,
        actions.failed = done.failures.len(),
        "tick"
    );
    for change in &report.changes {
        info!(
            instance.id = %change.id,
            from = %change.from,
            to = %change.to,
            reason = %change.reason,
            "status changed"
        );
    }
    for failure in &done.failures {
        let id = failure.id.as_ref().map(pool_domain::InstanceId::as_str);
        warn!(instance.id = id, action = %failure.action, error = %failure.error, "action failed");
    }
    for id in &report.confirmed {
        info!(instance.id = %id, "a person let this loss through");
    }
    if let Some(tripped) = &report.fuse {
        error!(
            reason = %tripped.why,
            since = %tripped.tripped_at,
            losses.waiting = tripped.waiting,
            "the fuse has tripped: no instance is given up until it is whole or a person confirms"
        );
    }
    for row in &report.unreadable {
        warn!(row = %row, "a row cannot be read and was skipped");
    }
    if let Some(stopped) = &report.replenish.pace.stopped {
        warn!(
            reason = %stopped.why,
            since = %stopped.since,
            "no instances are made; a single one is tried again and again"
        );
    }
    if let Some(reason) = &report.listing.reason {
        warn!(reason = %reason, "the listing is incomplete: nothing is inferred from absence");
    }
}
