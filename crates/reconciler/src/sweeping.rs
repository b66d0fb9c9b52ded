//! Sweeping: lists keys and inboxes, asks the records whose everything is, and records as what is to be
//! destroyed what the planner says is left over. It goes on beside the other loops, which wait for none
//! of it: whatever is recorded before it is made, and is being made, is somebody's.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pool_db::commands::{CommandId, CommandKind, PendingCommand};
use pool_db::{belongings, commands, events, instances, provisions, set_aside};
use pool_domain::sweep::Found;
use pool_domain::{InstanceId, Listing, SweepReport, VolumeId, chain};
use pool_planner::sweep::{Listed, Questions, Records, Sight, attached_volumes, questions, sweep};
use pool_planner::{Index, leftovers};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::leading::Leading;
use crate::{Context, Error, limits};

/// Volumes of which it is recorded whose they are.
#[derive(Debug, Default)]
pub(crate) struct Volumes(HashSet<VolumeId>);

impl Volumes {
    /// Records whose the volumes in the listing are, while they say so themselves.
    pub(crate) async fn remember(
        &mut self,
        leading: &Leading,
        index: &Index<'_>,
        listing: &Listing,
    ) -> Result<(), Error> {
        let seen = attached_volumes(index, listing);
        let is_new = |(volume, _): &&(VolumeId, _)| !self.0.contains(volume);
        let new: Vec<_> = seen.iter().filter(is_new).cloned().collect();
        if !new.is_empty() {
            belongings::remember_volumes(&leading.context.db, leading.term, &new).await?;
        }
        let seen = seen.into_iter().map(|(volume, _)| volume);
        if listing.is_complete() {
            self.0 = seen.collect();
        } else {
            self.0.extend(seen);
        }
        Ok(())
    }
}

/// A sweep that is to be done.
#[derive(Debug)]
pub(crate) struct SweepOrder {
    listing: Listing,
    at: DateTime<Utc>,
    /// Whoever asked for it.
    asked: Vec<PendingCommand>,
    /// Whether it is time for one, whoever asked.
    is_due: bool,
    dry_run: bool,
    tick: Option<i64>,
}

impl SweepOrder {
    pub(crate) fn new(
        listing: Listing,
        at: DateTime<Utc>,
        asked: Vec<PendingCommand>,
        is_due: bool,
    ) -> Self {
        // One that only looks is a part of one that does not.
        let dry_run = !is_due && asked.iter().all(only_looks);
        Self {
            listing,
            at,
            asked,
            is_due,
            dry_run,
            tick: None,
        }
    }

    /// When the time for it had come; none where only people asked.
    pub(crate) fn due_at(&self) -> Option<DateTime<Utc>> {
        self.is_due.then_some(self.at)
    }

    /// What people asked for that it does.
    pub(crate) fn asked(&self) -> Vec<CommandId> {
        self.asked.iter().map(|command| command.id).collect()
    }

    /// Of the round that was recorded as this tick.
    pub(crate) fn of_tick(self, tick: i64) -> Self {
        Self {
            tick: Some(tick),
            ..self
        }
    }
}

fn only_looks(command: &PendingCommand) -> bool {
    matches!(command.command.kind, CommandKind::Sweep { dry_run: true })
}

/// Sweeps as the rounds say, until `shutdown`. Only another leader ends it early.
pub(crate) async fn run(
    leading: Arc<Leading>,
    mut orders: UnboundedReceiver<SweepOrder>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    loop {
        let order = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            order = orders.recv() => order,
        };
        let Some(order) = order else {
            return Ok(());
        };
        let asked = order.asked();
        let swept = carry_out(&leading, order).await;
        let mut last = leading.last_sweep();
        last.handed_over.retain(|id| !asked.contains(id));
        match swept {
            Ok(()) => {}
            Err(error) if error.is_stale_term() => return Err(error),
            Err(error) => {
                warn!(error = %chain(&error), "the sweep failed; the next one is the retry");
                last.at = last.report.as_ref().map(|report| report.at);
            }
        }
    }
}

async fn carry_out(leading: &Leading, order: SweepOrder) -> Result<(), Error> {
    let SweepOrder {
        listing,
        at,
        asked,
        is_due: _,
        dry_run,
        tick,
    } = order;
    let report = sweep_now(leading, &listing, at, dry_run).await?;
    {
        let mut last = leading.last_sweep();
        log(&report, last.report.as_ref());
        if !dry_run && listing.lacks().is_none() {
            last.at = Some(report.at);
            last.report = Some(report.clone());
        }
    }
    for command in &asked {
        let report = if only_looks(command) && !report.dry_run {
            as_if_it_only_looked(report.clone())
        } else {
            report.clone()
        };
        let result = json!({ "sweep": report });
        let (db, term) = (&leading.context.db, leading.term);
        commands::finish(db, term, &[command.id], tick, &result).await?;
    }
    Ok(())
}

/// What one that only looked would have said, where another was asked for in the same round.
fn as_if_it_only_looked(mut report: SweepReport) -> SweepReport {
    report.dry_run = true;
    report.would_remove = std::mem::take(&mut report.handed_over);
    report
}

async fn sweep_now(
    leading: &Leading,
    listing: &Listing,
    at: DateTime<Utc>,
    dry_run: bool,
) -> Result<SweepReport, Error> {
    let context = &*leading.context;
    let began = Instant::now();
    let mut report = SweepReport::begun(at, dry_run);
    let sight = look(context, listing).await;
    report.keys = sight.keys.count();
    report.inboxes = sight.inboxes.count();
    // Read after everything was listed: whatever was made until then is recorded.
    let rows = instances::load(&context.db).await?;
    let provisions = provisions::load(&context.db).await?;
    let records = recall(context, questions(&sight, &context.identity)).await?;
    let mut plan = if rows.unreadable.is_empty() {
        sweep(&rows.rows, &provisions, &sight, &records, &context.identity)
    } else {
        // What such a row needs is not known.
        let why = format!("our own rows: {} cannot be read", rows.unreadable.len());
        pool_planner::sweep::SweepPlan {
            incomplete: vec![why],
            ..Default::default()
        }
    };
    report.incomplete.append(&mut plan.incomplete);
    report.reported = plan.report;
    report.left_for_later = plan.left_for_later;
    if dry_run {
        report.would_remove = plan.remove;
    } else {
        let of_rows = rows.rows.iter().map(|row| &row.id);
        let in_hand: HashSet<_> = of_rows.chain(provisions.iter().map(|it| &it.id)).collect();
        hand_over(leading, &plan.remove, |id| in_hand.contains(id)).await?;
        report.handed_over = plan.remove;
    }
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.redact(&context.redactor);
    report.bound();
    Ok(report)
}

/// Lists keys and inboxes. Nothing can be said of them while the listing of services is not whole.
async fn look(context: &Context, listing: &Listing) -> Sight {
    let (keys, inboxes) = if let Some(why) = listing.lacks() {
        let why = || why.to_owned();
        (Listed::Incomplete(why()), Listed::Incomplete(why()))
    } else {
        tokio::join!(
            listed(
                context.credentials.has_openrouter(),
                context.credentials.list_keys()
            ),
            listed(
                context.credentials.has_agentmail(),
                context.credentials.list_inboxes()
            ),
        )
    };
    Sight {
        listing: listing.clone(),
        keys,
        inboxes,
    }
}

async fn listed<T>(
    is_configured: bool,
    list: impl Future<Output = Result<Vec<T>, pool_credentials::Error>>,
) -> Listed<T> {
    if !is_configured {
        return Listed::NotConfigured;
    }
    match timeout(limits::SWEEP_LIST, list).await {
        Ok(Ok(items)) => Listed::Complete(items),
        Ok(Err(error)) => Listed::Incomplete(error.to_string()),
        Err(_elapsed) => Listed::Incomplete(format!(
            "not listed within {} s",
            limits::SWEEP_LIST.as_secs()
        )),
    }
}

/// What our records say of everything that was seen.
async fn recall(context: &Context, questions: Questions) -> Result<Records, Error> {
    let db = &context.db;
    let owners = belongings::owners(db, &questions.owners).await?;
    let removed = events::removed(db, &questions.ids).await?;
    let last_events = events::last_by_service(db, &questions.services).await?;
    let set_aside = set_aside::reasons(db, &questions.ids, &[]).await?;
    Ok(Records {
        owners,
        removed,
        last_events,
        set_aside: set_aside.into_iter().map(|it| (it.id, it.reason)).collect(),
    })
}

/// Records what was found as what is to be destroyed, which the rounds plan and the building loop does.
async fn hand_over(
    leading: &Leading,
    found: &[Found],
    is_in_hand: impl Fn(&InstanceId) -> bool,
) -> Result<(), Error> {
    let context = &leading.context;
    let new_id = || InstanceId::generate(&*context.entropy);
    for owned in leftovers(found, &context.identity.prefix, is_in_hand, new_id) {
        // This also checks the term: a leader of old hands nothing over.
        provisions::begin_destruction(&context.db, leading.term, &owned).await?;
    }
    if !found.is_empty() {
        leading.wake.notify_one();
    }
    Ok(())
}

/// What was done each time; what is only reported, the first time.
fn log(report: &SweepReport, before: Option<&SweepReport>) {
    info!(
        sweep.dry_run = report.dry_run,
        sweep.handed_over = report.handed_over.len(),
        sweep.would_remove = report.would_remove.len(),
        sweep.reported = report.reported.len(),
        sweep.left_for_later = report.left_for_later,
        sweep.duration_ms = report.duration_ms,
        "sweep"
    );
    for found in &report.handed_over {
        info!(
            kind = found.thing.kind(),
            outside.id = found.thing.id(),
            name = found.name,
            why = %found.why,
            "left over, and is to be destroyed"
        );
    }
    for why in &report.incomplete {
        warn!(reason = %why, "a list is not whole: nothing of what it holds is swept");
    }
    let known: HashSet<_> = before
        .into_iter()
        .flat_map(|before| &before.reported)
        .map(|found| &found.thing)
        .collect();
    for found in report
        .reported
        .iter()
        .filter(|it| !known.contains(&it.thing))
    {
        info!(
            kind = found.thing.kind(),
            outside.id = found.thing.id(),
            name = found.name,
            why = %found.why,
            "left alone by the sweep"
        );
    }
}
