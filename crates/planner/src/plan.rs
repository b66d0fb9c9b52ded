//! The decision: every part's, in order, and what the parts have to know of one another.

use pool_domain::report::{ChangeReport, ListingReport, ProbeReport, UnverifiedReport};
use pool_domain::write::{Refresh, StatusChange};
use pool_domain::{
    Conversation, Instance, InstanceId, Policy, Probe, Report, ResourceRecord, Stage, Status,
};

use crate::open::open_work;
use crate::replenish::{Counting, Stock};
use crate::transition::{counts_from, decided, is_absent, observed_event};
use crate::{
    History, Identity, Index, Plan, Resume, Snapshot, adoption, destroy, enrich, fuse, resume,
};

/// Decides. The same input always gives the same plan. The index is of this snapshot's rows,
/// provisions and listing.
#[must_use]
pub fn plan(
    snapshot: &Snapshot,
    index: &Index<'_>,
    history: &History,
    policy: &Policy,
    identity: &Identity,
) -> Plan {
    let mut plan = Plan {
        report: Report {
            open: open_work(snapshot, identity.accounts),
            ..observed(snapshot)
        },
        ..Plan::default()
    };
    for row in &snapshot.rows {
        plan.refreshes
            .extend(refresh(row, snapshot, index, policy, identity));
        plan.changes
            .extend(change(row, snapshot, index, history, policy));
    }
    plan.died = died(&plan.changes, history);
    // What is held back changes nothing, but it is no stock either.
    let held = fuse::hold_back(&mut plan.changes, snapshot, index, policy, &mut plan.report);
    let counting = Counting {
        snapshot,
        index,
        history,
        held: &held,
    };
    plan.put_last = counting.silent_ones_held();
    plan.report.changes = plan.changes.iter().map(ChangeReport::from).collect();

    let report = &mut plan.report;
    let mut adopted = adoption::decide(
        index,
        &snapshot.listing,
        &snapshot.evidence,
        &snapshot.managers,
        identity,
        report,
    );
    let ends = destroy::ends(snapshot, index, policy, identity, report);
    let making = snapshot.in_flight.making.len();
    let allowed = history
        .pace()
        .allows(snapshot.now, |id| is_under_way(id, snapshot, index))
        .min(Policy::CREATES_PER_TICK_MAX.saturating_sub(making));
    plan.resumes = resume::resumes(snapshot, index, policy, allowed, report);
    let resumed = plan.resumes.iter().filter(|it| !it.is_committed).count();
    report.adopted = adopted
        .adoptions
        .iter()
        .map(|a| a.service_id.clone())
        .collect();
    report.hold_back(
        "adopting services",
        "their variables are not known yet",
        adopted.undecided.len(),
    );

    let crashed = adopted
        .adoptions
        .iter()
        .filter(|a| a.status == Status::Crashed)
        .count();
    let stock = Stock {
        counting,
        adopted_starting: adopted.adoptions.len() - crashed,
        adopted_crashed: crashed,
        undecided: &adopted.undecided,
        given_up: given_up(&plan.changes, counting),
        proven_late: proven_late(&plan.changes, counting),
        allowed: allowed - resumed,
    };
    let wanted = stock.wanted(policy, report);
    plan.create = wanted.create;
    plan.pace_holds_back = wanted.held_back > 0 || has_open_creations(snapshot, &plan.resumes);
    plan.make_now = match history.pace().stopped {
        None => wanted
            .create
            .min(Policy::CREATES_PER_TICK_MAX.saturating_sub(resumed + making)),
        Some(_) => wanted.create.min(allowed - resumed),
    };
    report.hold_back(
        "making intended instances",
        "no more of them in this tick",
        wanted.create - plan.make_now,
    );
    plan.adoptions = adopted.adoptions;
    plan.destructions = ends.destructions;
    adopted
        .again
        .retain(|it| !snapshot.in_flight.contains(&it.owned.id));
    plan.destructions.append(&mut adopted.again);
    plan.removals = ends.removals;
    plan
}

/// Whether creations are open beside those that go on in this tick.
fn has_open_creations(snapshot: &Snapshot, resumes: &[Resume]) -> bool {
    let is_open = |provision: &&ResourceRecord| {
        matches!(provision.stage, Stage::Creating(_)) && !snapshot.in_flight.contains(&provision.id)
    };
    snapshot.provisions.iter().filter(is_open).count() > resumes.len()
}

fn observed(snapshot: &Snapshot) -> Report {
    let unverified = |status: &[Status]| {
        let rows = snapshot.rows.iter();
        rows.filter(|row| row.unasked && status.contains(&row.status))
            .count()
    };
    let listing = &snapshot.listing;
    let ready = snapshot
        .probes
        .values()
        .filter(|probe| **probe == Probe::Ready)
        .count();
    Report {
        listing: ListingReport {
            complete: listing.is_complete(),
            reason: listing.lacks().map(str::to_owned),
            services: listing.services.len(),
            volumes: listing.volumes.len(),
            requests: listing.requests,
        },
        probes: ProbeReport {
            probed: snapshot.probes.len(),
            ready,
            failed: snapshot.probes.len() - ready,
        },
        unverified: UnverifiedReport::of(unverified(&Status::ALL), unverified(&[Status::Crashed])),
        ..Report::default()
    }
}

fn change(
    row: &Instance,
    snapshot: &Snapshot,
    index: &Index<'_>,
    history: &History,
    policy: &Policy,
) -> Option<StatusChange> {
    let observed_event = observed_event(row, snapshot, index, history, policy)?;
    decided(row, snapshot.conversations.get(&row.id), observed_event)
}

/// New values of the observed columns, where any differs. Observation never touches a claim.
fn refresh(
    row: &Instance,
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
    identity: &Identity,
) -> Option<Refresh> {
    if row.status == Status::Claiming {
        return None;
    }
    let seen = index.service(&row.service_id);
    let mut refresh = enrich::enriched(row, seen, None, identity);
    if seen.is_some() {
        refresh.missing_since = None;
    } else if is_absent(row, &snapshot.listing, index, policy) {
        let counts = refresh
            .missing_since
            .filter(|since| *since > counts_from(row, policy));
        refresh.missing_since = counts.or(Some(snapshot.listing.started_at));
    }
    let said = snapshot.conversations.get(&row.id);
    if row.status == Status::Starting && said == Some(&Conversation::None) {
        refresh.unasked = false;
    }
    (refresh != enrich::stored(row)).then_some(refresh)
}

/// Which of these changes give up what was made for the stock and never ready, and why.
fn died(changes: &[StatusChange], history: &History) -> Vec<(InstanceId, String)> {
    let died = changes
        .iter()
        .filter(|change| change.to == Status::Dead && history.is_unproven(&change.id));
    died.map(|change| (change.id.clone(), change.reason.clone()))
        .collect()
}

/// Whether it is being made, or deployed and not given up: then what becomes of it is yet to be seen.
fn is_under_way(id: &InstanceId, snapshot: &Snapshot, index: &Index<'_>) -> bool {
    let is_deployed = index
        .provision(id)
        .is_some_and(|provision| provision.stage == Stage::Created);
    is_deployed || snapshot.in_flight.making.contains(id)
}

/// How many rows that counted towards the target this plan takes out of it: also those that are idle
/// no more because their agents do not answer.
fn given_up(changes: &[StatusChange], counting: Counting<'_>) -> usize {
    let is_silent = |id| counting.history.failing(id).is_some();
    changes
        .iter()
        .filter(|change| match change.to {
            Status::Dead | Status::Claimed | Status::Crashed => true,
            Status::Starting => is_silent(&change.id),
            Status::Idle | Status::Claiming => false,
        })
        .filter_map(|change| counting.index.row(&change.id))
        .filter(|row| counting.is_stock(row))
        .count()
}

/// How many rows this plan makes idle that no longer counted towards the target: they took longer
/// than a start may take.
fn proven_late(changes: &[StatusChange], counting: Counting<'_>) -> usize {
    changes
        .iter()
        .filter(|change| change.to == Status::Idle)
        .filter_map(|change| counting.index.row(&change.id))
        .filter(|row| !counting.is_stock(row))
        .count()
}
