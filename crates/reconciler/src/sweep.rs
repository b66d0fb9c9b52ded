//! Sweeps, at the end of a tick and less often than that: lists keys and inboxes, asks the records
//! whose everything is, and removes what the planner says is left over. One failure never stops the
//! others; the next sweep is the retry.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use pool_db::commands::{CommandKind, PendingCommand};
use pool_db::{belongings, commands, events, instances, provisions, set_aside};
use pool_domain::sweep::{Found, NotRemoved, Thing};
use pool_domain::{Completeness, Listing, Policy, SweepReport, Term, VolumeId};
use pool_planner::Index;
use pool_planner::sweep::{Listed, Questions, Records, Sight, attached_volumes, questions, sweep};
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use crate::destroy::accepted;
use crate::{Error, Outside, phase};

/// What a leader keeps from sweep to sweep.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    /// What the last one found that did not only look, of any leader.
    last: Option<SweepReport>,
    /// What this tick's found.
    latest: Option<SweepReport>,
    /// Volumes of which it is recorded whose they are.
    remembered: HashSet<VolumeId>,
}

/// Whether it asks for a sweep.
pub(crate) fn is_sweep(command: &PendingCommand) -> bool {
    matches!(command.command.kind, CommandKind::Sweep { .. })
}

impl Sweeper {
    pub(crate) fn after(last: Option<SweepReport>) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }

    pub(crate) const fn last(&self) -> Option<&SweepReport> {
        self.last.as_ref()
    }

    /// Records whose the volumes in the listing are, while they say so themselves.
    pub(crate) async fn remember_volumes(
        &mut self,
        outside: &Outside,
        term: Term,
        index: &Index<'_>,
        listing: &Listing,
    ) -> Result<(), Error> {
        let seen = attached_volumes(index, listing);
        let new: Vec<_> = seen
            .iter()
            .filter(|(volume, _)| !self.remembered.contains(volume))
            .cloned()
            .collect();
        if !new.is_empty() {
            belongings::remember_volumes(&outside.db, term, &new).await?;
        }
        let seen = seen.into_iter().map(|(volume, _)| volume);
        if listing.is_complete() {
            self.remembered = seen.collect();
        } else {
            self.remembered.extend(seen);
        }
        Ok(())
    }

    /// Sweeps where a person asked for it, or where it is time and the listing is complete.
    pub(crate) async fn sweep_if_due(
        &mut self,
        outside: &Outside,
        term: Term,
        listing: &Listing,
        asked: &[PendingCommand],
    ) -> Result<(), Error> {
        self.latest = None;
        let kinds = asked.iter().map(|it| &it.command.kind);
        let dry_runs: Vec<_> = kinds
            .filter_map(|kind| match kind {
                CommandKind::Sweep { dry_run } => Some(*dry_run),
                _ => None,
            })
            .collect();
        let now = outside.db.now().await?;
        let is_due = listing.is_complete() && self.is_due(now, !asked.is_empty());
        if dry_runs.is_empty() && !is_due {
            return Ok(());
        }
        // One that only looks is a part of one that does not.
        let dry_run = !is_due && dry_runs.iter().all(|dry_run| *dry_run);
        let report = sweep_now(outside, term, listing, now, dry_run).await?;
        log(&report, self.last.as_ref());
        if !dry_run && listing.is_complete() {
            self.last = Some(report.clone());
        }
        self.latest = Some(report);
        Ok(())
    }

    /// People who wait for this tick are not kept waiting, unless that has gone on for long.
    fn is_due(&self, now: DateTime<Utc>, somebody_waits: bool) -> bool {
        let Some(last) = &self.last else {
            return true;
        };
        let every = TimeDelta::from_std(Policy::SWEEP_EVERY).unwrap_or(TimeDelta::MAX);
        let patience = if somebody_waits {
            every
        } else {
            TimeDelta::zero()
        };
        now - last.at > every + patience
    }

    /// Answers whoever asked for a sweep, once the tick that did it is recorded.
    pub(crate) async fn answer(
        &mut self,
        outside: &Outside,
        term: Term,
        asked: &[PendingCommand],
        tick: i64,
    ) -> Result<(), Error> {
        let Some(report) = self.latest.take() else {
            return Ok(());
        };
        for command in asked {
            let CommandKind::Sweep { dry_run } = command.command.kind else {
                continue;
            };
            let report = if dry_run && !report.dry_run {
                as_if_it_only_looked(report.clone())
            } else {
                report.clone()
            };
            let result = json!({ "sweep": report });
            commands::finish(&outside.db, term, &[command.id], Some(tick), &result).await?;
        }
        Ok(())
    }
}

/// What one that only looked would have said, where another was asked for in the same tick.
fn as_if_it_only_looked(mut report: SweepReport) -> SweepReport {
    report.dry_run = true;
    let failed = report.failed.drain(..).map(|it| it.found);
    report.would_remove = report.removed.drain(..).chain(failed).collect();
    report
}

async fn sweep_now(
    outside: &Outside,
    term: Term,
    listing: &Listing,
    at: DateTime<Utc>,
    dry_run: bool,
) -> Result<SweepReport, Error> {
    let began = Instant::now();
    let mut report = SweepReport::begun(at, dry_run);
    let sight = look(outside, listing).await;
    report.keys = sight.keys.count();
    report.inboxes = sight.inboxes.count();
    // Read after everything was listed: whatever was made until then is recorded.
    let rows = instances::load(&outside.db).await?;
    let provisions = provisions::load(&outside.db).await?;
    let records = recall(outside, questions(&sight, &outside.identity)).await?;
    let mut plan = if rows.unreadable.is_empty() {
        sweep(&rows.rows, &provisions, &sight, &records, &outside.identity)
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
        remove_all(outside, term, plan.remove, &mut report).await?;
    }
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.redact(&outside.redactor);
    report.bound();
    Ok(report)
}

/// Lists keys and inboxes. Nothing can be said of them while the listing of services is not whole.
async fn look(outside: &Outside, listing: &Listing) -> Sight {
    let (keys, inboxes) = match &listing.completeness {
        Completeness::Incomplete(why) => (
            Listed::Incomplete(why.clone()),
            Listed::Incomplete(why.clone()),
        ),
        Completeness::Complete => tokio::join!(
            listed(
                outside.credentials.has_openrouter(),
                outside.credentials.list_keys()
            ),
            listed(
                outside.credentials.has_agentmail(),
                outside.credentials.list_inboxes()
            ),
        ),
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
    match timeout(phase::SWEEP_LIST, list).await {
        Ok(Ok(items)) => Listed::Complete(items),
        Ok(Err(error)) => Listed::Incomplete(error.to_string()),
        Err(_elapsed) => Listed::Incomplete(format!(
            "not listed within {} s",
            phase::SWEEP_LIST.as_secs()
        )),
    }
}

/// What our records say of everything that was seen.
async fn recall(outside: &Outside, questions: Questions) -> Result<Records, Error> {
    let db = &outside.db;
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

/// Removes what was found, so many at once.
async fn remove_all(
    outside: &Outside,
    term: Term,
    found: Vec<Found>,
    report: &mut SweepReport,
) -> Result<(), Error> {
    if found.is_empty() {
        return Ok(());
    }
    // A volume that outlives its service says no more whose it was. This also checks the term: a
    // leader of old removes nothing.
    let volumes: Vec<_> = found.iter().filter_map(volume_and_owner).collect();
    belongings::remember_volumes(&outside.db, term, &volumes).await?;
    let until = Instant::now() + phase::SWEEP;
    let mut ended = stream::iter(found)
        .map(|found| async move {
            let removed = timeout_at(until, remove(outside, &found.thing)).await;
            let removed = removed.unwrap_or_else(|_| Err("no time was left in this sweep".into()));
            (found, removed)
        })
        .buffered(phase::SWEEPS_IN_FLIGHT_MAX);
    while let Some((found, removed)) = ended.next().await {
        match removed {
            Ok(()) => report.removed.push(found),
            Err(error) => report.failed.push(NotRemoved { found, error }),
        }
    }
    Ok(())
}

fn volume_and_owner(found: &Found) -> Option<(VolumeId, pool_domain::InstanceId)> {
    match (&found.thing, &found.instance_id) {
        (Thing::Volume(volume), Some(owner)) => Some((volume.clone(), owner.clone())),
        _ => None,
    }
}

async fn remove(outside: &Outside, thing: &Thing) -> Result<(), String> {
    let (railway, credentials) = (&outside.railway, &outside.credentials);
    let deleted = match thing {
        Thing::Volume(id) => return accepted(railway.delete_volume(id).await),
        Thing::Service(id) => return accepted(railway.delete_service(id).await),
        Thing::Key(hash) => credentials.delete_key(hash).await,
        Thing::Inbox(id) => credentials.delete_inbox(id).await,
    };
    // What the account does not know any more is gone; if it is not, the next list shows it.
    deleted.map(drop).map_err(|error| error.to_string())
}

/// What was done each time; what is only reported, the first time.
fn log(report: &SweepReport, before: Option<&SweepReport>) {
    info!(
        sweep.dry_run = report.dry_run,
        sweep.removed = report.removed.len(),
        sweep.would_remove = report.would_remove.len(),
        sweep.failed = report.failed.len(),
        sweep.reported = report.reported.len(),
        sweep.left_for_later = report.left_for_later,
        sweep.duration_ms = report.duration_ms,
        "sweep"
    );
    for found in &report.removed {
        info!(
            kind = found.thing.kind(),
            outside.id = found.thing.id(),
            name = found.name,
            why = %found.why,
            "swept"
        );
    }
    for NotRemoved { found, error } in &report.failed {
        warn!(
            kind = found.thing.kind(),
            outside.id = found.thing.id(),
            name = found.name,
            error = %error,
            "not swept; the next sweep tries again"
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
