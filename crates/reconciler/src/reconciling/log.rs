//! What a round says in the logs.

use pool_domain::{Report, Term};
use tracing::{error, info, warn};

pub(super) fn log(report: &Report, term: Term) {
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
        instances.promoted = done.promoted,
        "round"
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
    if let Some(unverified) = &report.unverified {
        warn!("{}", unverified.why);
    }
    for row in &report.unreadable {
        warn!(row = %row, "a row cannot be read and was skipped");
    }
    if let Some(trouble) = &report.replenish.pace.trouble {
        warn!(
            reason = %trouble.last,
            since = %trouble.since,
            failed = trouble.failed,
            what_to_do = %trouble.what_to_do,
            "instances are made that do not get ready, or cannot be made"
        );
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
