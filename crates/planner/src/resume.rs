//! Which interrupted creations go on in this tick, and what the listing shows of them already.

use std::cmp::Reverse;

use chrono::TimeDelta;
use pool_domain::{CreateStep, ObservedService, Policy, Report, ResourceRecord, Stage, Status};

use crate::{Index, Resume, Snapshot};

/// Plans the creations that were interrupted and may go on, at most so many that still need a
/// request. Whichever failed least often goes first, so that one that always fails keeps back no
/// other; of these, whichever came furthest.
pub(crate) fn resumes(
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
    at_most: usize,
    report: &mut Report,
) -> Vec<Resume> {
    let mut resumes = Vec::new();
    let mut waiting = 0;
    for provision in &snapshot.provisions {
        let Stage::Creating(step) = provision.stage else {
            continue;
        };
        if snapshot.in_flight.contains(&provision.id) {
            continue;
        }
        if index.is_name_taken(provision) || is_given_up(provision, step, snapshot, index, policy) {
            continue;
        }
        let may_be_there = snapshot.is_unverified(provision) && !snapshot.listing.is_complete();
        if !may_be_there && is_settled(provision, step, snapshot, index, policy) {
            resumes.push(resume(provision, step, index));
        } else {
            waiting += 1;
        }
    }
    let why = "it failed a moment ago, or the answer to its last step may still show";
    report.hold_back(FINISHING, why, waiting);
    // Those that are committed come first, and are free: they only have to be recorded.
    resumes.sort_by_key(|it| (!it.is_committed, it.provision.attempts, Reverse(it.step)));
    let free = resumes.iter().filter(|it| it.is_committed).count();
    let over = resumes.len().saturating_sub(free + at_most);
    report.hold_back(FINISHING, "no more of them in this tick", over);
    resumes.truncate(free + at_most);
    resumes
}

const FINISHING: &str = "finishing an interrupted creation";

/// Whether a creation may go on, however old it is. What waits for a limit, for its turn or for an
/// answer is not given up for it, since its parts would only be made anew; what failed again and again
/// by itself is, once it is older than a start may be.
pub(crate) fn may_go_on(provision: &ResourceRecord) -> bool {
    let failed = usize::try_from(provision.attempts).unwrap_or(usize::MAX);
    matches!(provision.stage, Stage::Creating(_)) && failed < Policy::CREATE_FAILURES_MAX
}

/// Its row is to be destroyed or was taken away, or it has no row, is too old and failed too often:
/// then `crate::destroy` has it.
fn is_given_up(
    provision: &ResourceRecord,
    step: CreateStep,
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
) -> bool {
    if let Some(row) = index.row(&provision.id) {
        return row.is_to_be_destroyed();
    }
    let too_old = TimeDelta::from_std(policy.stuck_timeout).unwrap_or(TimeDelta::MAX);
    let is_old = snapshot.now - provision.created_at > too_old;
    step > CreateStep::Row || (is_old && !may_go_on(provision))
}

/// Whether the step may be taken now: its last try surely ended, or a complete listing begun more
/// than the grace after it shows what became of it. Names are unique, so `serviceCreate` is safe
/// to repeat at once, and so are the steps before it but one: a key is looked for by its name, and
/// the list of keys may lag as Railway's do.
fn is_settled(
    provision: &ResourceRecord,
    step: CreateStep,
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
) -> bool {
    let is_due_by = |time| provision.next_attempt_at.is_none_or(|due| due <= time);
    let grace = TimeDelta::from_std(policy.missing_grace).unwrap_or(TimeDelta::MAX);
    if step <= CreateStep::Row {
        let has_answer = provision.next_attempt_at.is_some();
        let is_listed = snapshot.now - provision.step_began_at > grace;
        return is_due_by(snapshot.now) && (step != CreateStep::Key || has_answer || is_listed);
    }
    // The listing decides, so it is the listing that must not have begun too early; and what lists no
    // service, or its name alone, says nothing of its volume, its domain or its deployment. One that is
    // really gone is missing soon.
    let listing = &snapshot.listing;
    let service = index.service_of(provision);
    if !listing.is_complete() || service.is_none_or(|service| !service.has_details) {
        return false;
    }
    // What shows has happened: only what does not show yet has to be waited for.
    if shows_result(provision, step, index) {
        return true;
    }
    is_due_by(listing.started_at)
        && (provision.next_attempt_at.is_some()
            || listing.started_at - provision.step_began_at > grace)
}

/// Whether the listing shows what the step was to make.
fn shows_result(provision: &ResourceRecord, step: CreateStep, index: &Index<'_>) -> bool {
    let Some(service) = index.service_of(provision) else {
        return false;
    };
    match step {
        CreateStep::Volume => !index.volumes_of(&service.service_id).is_empty(),
        CreateStep::Domain => service.host.is_some(),
        CreateStep::Commit => service.image.is_some() || service.deployment.is_some(),
        CreateStep::Key | CreateStep::Inbox | CreateStep::Service | CreateStep::Row => false,
    }
}

fn resume(provision: &ResourceRecord, step: CreateStep, index: &Index<'_>) -> Resume {
    let service = index.service_of(provision);
    let service_id = provision
        .service_id
        .clone()
        .or_else(|| service.map(|s| s.service_id.clone()));
    let volume = service_id
        .as_ref()
        .and_then(|id| index.volumes_of(id).first());
    Resume {
        provision: provision.clone(),
        step,
        service_id,
        volume_id: provision
            .volume_id
            .clone()
            .or_else(|| volume.map(|volume| volume.volume_id.clone())),
        has_domain: service.is_some_and(|service| service.host.is_some()),
        is_committed: is_committed(provision, service, index),
    }
}

/// Whether it was deployed, as the listing shows it or as its row says: the listing may lag, and the
/// agent may have answered meanwhile.
fn is_committed(
    provision: &ResourceRecord,
    service: Option<&ObservedService>,
    index: &Index<'_>,
) -> bool {
    let row = index.row(&provision.id);
    service.is_some_and(|service| service.image.is_some() || service.deployment.is_some())
        || row.is_some_and(|row| row.status != Status::Starting || row.deploy_status.is_some())
}
