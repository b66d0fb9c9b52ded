//! Which event, if any, the observation makes of one row.

use chrono::TimeDelta;
use pool_domain::status::Next;
use pool_domain::write::{FoundConversation, StatusChange};
use pool_domain::{
    Conversation, DeployClass, Event, Instance, Listing, Policy, Probe, State, Status,
};

use crate::probing::{class_of, has_url, is_first_deployment};
use crate::resume::may_go_on;
use crate::{History, Index, Snapshot, fuse};

/// What happened to a row, with the reason in words for the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObservedEvent {
    pub(crate) event: Event,
    pub(crate) reason: String,
    pub(crate) conversation: Option<FoundConversation>,
}

impl ObservedEvent {
    fn new(event: Event, reason: impl Into<String>) -> Self {
        Self {
            event,
            reason: reason.into(),
            conversation: None,
        }
    }
}

/// What the observation says happened to this row. The state machine decides where that leads.
pub(crate) fn observed_event(
    row: &Instance,
    snapshot: &Snapshot,
    index: &Index<'_>,
    history: &History,
    policy: &Policy,
) -> Option<ObservedEvent> {
    if row.status == Status::Claiming || row.is_to_be_destroyed() {
        return None;
    }
    if is_missing(row, snapshot, index, policy) {
        return Some(ObservedEvent::new(Event::Missing, "service gone"));
    }
    let seen_class = index
        .detailed(&row.service_id)
        .map(pool_domain::ObservedService::class);
    let probe = snapshot.probes.get(&row.id);
    match row.status {
        Status::Starting => starting(row, seen_class, snapshot, index, history, policy),
        Status::Idle => failed(row, seen_class, index)
            .or_else(|| not_serving(seen_class, row, snapshot, index, policy))
            .or_else(|| unhealthy(row, history, policy)),
        // Only once its agent was asked: not probed is neither. Without a url there is none to ask.
        Status::Claimed => {
            let is_silent = history.failing(&row.id).is_some();
            let has_none = !has_url(row, index);
            failed(row, seen_class, index).filter(|_| is_silent || has_none)
        }
        Status::Crashed => bound(row, snapshot.conversations.get(&row.id)).or_else(|| {
            (seen_class == Some(DeployClass::Up) && probe == Some(&Probe::Ready))
                .then(|| ObservedEvent::new(Event::Ready, "up and ready again"))
        }),
        Status::Claiming | Status::Dead => None,
    }
}

/// Where the state machine lets it go, if anywhere.
pub(crate) fn decided(
    row: &Instance,
    said: Option<&Conversation>,
    observed_event: ObservedEvent,
) -> Option<StatusChange> {
    let Ok(Next::To(to)) = state_of(row, said).apply(observed_event.event) else {
        return None;
    };
    (to.status != row.status).then(|| StatusChange {
        id: row.id.clone(),
        from: row.status,
        epoch: row.epoch,
        to: to.status,
        is_loss: fuse::is_loss(row, observed_event.event),
        reason: observed_event.reason,
        conversation: observed_event.conversation,
    })
}

/// The state that decides where it may go: an unasked one whose agent says that it is in no
/// conversation is asked. One that was given up waits for a person, whatever it says then: it may have
/// forgotten whose it was.
fn state_of(row: &Instance, said: Option<&Conversation>) -> State {
    let answered = row.status == Status::Starting && matches!(said, Some(Conversation::None));
    State {
        unasked: row.unasked && !answered,
        ..row.state()
    }
}

/// Whether absence from this listing may be noted against the row.
pub(crate) fn is_absent(
    row: &Instance,
    listing: &Listing,
    index: &Index<'_>,
    policy: &Policy,
) -> bool {
    listing.is_complete()
        && index.service(&row.service_id).is_none()
        && listing.started_at > counts_from(row, policy)
}

/// Absent from two complete listings, each begun more than the grace after the status changed.
pub(crate) fn is_missing(
    row: &Instance,
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
) -> bool {
    is_absent(row, &snapshot.listing, index, policy)
        && row.missing_since.is_some_and(|since| {
            since > counts_from(row, policy) && since < snapshot.listing.started_at
        })
}

/// From when on absence counts: reads lag writes, and a status that just changed was just true.
pub(crate) fn counts_from(row: &Instance, policy: &Policy) -> chrono::DateTime<chrono::Utc> {
    let grace = TimeDelta::from_std(policy.missing_grace).unwrap_or(TimeDelta::MAX);
    row.status_changed_at
        .checked_add_signed(grace)
        .unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC)
}

fn starting(
    row: &Instance,
    seen_class: Option<DeployClass>,
    snapshot: &Snapshot,
    index: &Index<'_>,
    history: &History,
    policy: &Policy,
) -> Option<ObservedEvent> {
    let said = snapshot.conversations.get(&row.id);
    bound(row, said)
        .or_else(|| failed(row, seen_class, index))
        .or_else(|| ready(row, index, snapshot.probes.get(&row.id)))
        .or_else(|| stuck(row, seen_class, snapshot, index, history, policy))
}

/// What the agent of a starting one, or of one that was given up unverified, proves of it as soon as it
/// answers.
pub(crate) fn proven(
    row: &Instance,
    index: &Index<'_>,
    probe: Option<&Probe>,
    said: Option<&Conversation>,
) -> Option<ObservedEvent> {
    if row.is_to_be_destroyed() {
        return None;
    }
    match row.status {
        Status::Starting => bound(row, said).or_else(|| ready(row, index, probe)),
        Status::Crashed => bound(row, said),
        _ => None,
    }
}

fn bound(row: &Instance, said: Option<&Conversation>) -> Option<ObservedEvent> {
    let named = said.filter(|_| row.unasked)?.clone().named()?;
    Some(ObservedEvent {
        conversation: Some(named),
        ..ObservedEvent::new(Event::ConversationFound, "its agent is in a conversation")
    })
}

fn ready(row: &Instance, index: &Index<'_>, probe: Option<&Probe>) -> Option<ObservedEvent> {
    let serves = match class_of(row, index) {
        DeployClass::Up | DeployClass::Unknown => true,
        DeployClass::InProgress => is_first_deployment(row, index),
        _ => false,
    };
    (serves && probe == Some(&Probe::Ready)).then(|| ObservedEvent::new(Event::Ready, "ready"))
}

fn failed(row: &Instance, seen: Option<DeployClass>, index: &Index<'_>) -> Option<ObservedEvent> {
    let word = match seen? {
        DeployClass::Failed => "failed",
        DeployClass::Stopped => "stopped",
        _ => return None,
    };
    let said = index.service(&row.service_id)?.deploy_status()?;
    Some(ObservedEvent::new(
        Event::DeploymentFailed,
        format!("deployment {word}: {said}"),
    ))
}

/// A listing says nothing of what its agent proved later; and since Railway's reads lag, one that
/// still shows the deployment that was just proven says nothing within the grace.
fn not_serving(
    seen: Option<DeployClass>,
    row: &Instance,
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
) -> Option<ObservedEvent> {
    let began = snapshot.listing.started_at;
    let counts = match seen? {
        DeployClass::InProgress => began > counts_from(row, policy),
        DeployClass::Going | DeployClass::Asleep => began > row.status_changed_at,
        _ => false,
    };
    if !counts {
        return None;
    }
    let said = index.service(&row.service_id)?.deploy_status()?;
    Some(ObservedEvent::new(
        Event::NotServing,
        format!("deployment is {said}"),
    ))
}

fn unhealthy(row: &Instance, history: &History, policy: &Policy) -> Option<ObservedEvent> {
    let (times, reason) = history.failing(&row.id)?;
    (times >= policy.unhealthy_after).then(|| {
        ObservedEvent::new(
            Event::ProbesFailed,
            format!("{times} probes in a row failed: {reason}"),
        )
    })
}

/// What is in progress has its own, longer limit: it waits for Railway, and another one in its place
/// would wait at the end of the queue. What is still being made is not stuck while that may go on.
fn stuck(
    row: &Instance,
    seen_class: Option<DeployClass>,
    snapshot: &Snapshot,
    index: &Index<'_>,
    history: &History,
    policy: &Policy,
) -> Option<ObservedEvent> {
    let may_be_stuck = snapshot.listing.is_complete()
        && snapshot.probes.get(&row.id) != Some(&Probe::Ready)
        && history.not_ready(&row.id) >= policy.unhealthy_after
        && index.provision(&row.id).is_none_or(|it| !may_go_on(it));
    if !may_be_stuck {
        return None;
    }
    let is_in_progress = seen_class == Some(DeployClass::InProgress);
    let (since, limit) = if is_in_progress {
        (row.status_changed_at, policy.in_progress_timeout)
    } else {
        (history.could_be_ready_since(row), policy.stuck_timeout)
    };
    let age = history.observed_since(since, snapshot.now);
    let last = last_words(row, is_in_progress, index, history);
    let reason = format!("not ready after {} s{last}", age.as_secs());
    (age > limit).then(|| ObservedEvent::new(Event::Stuck, reason))
}

/// What Railway or the agent last said of one that does not get ready.
fn last_words(
    row: &Instance,
    is_in_progress: bool,
    index: &Index<'_>,
    history: &History,
) -> String {
    let service = index.service(&row.service_id).filter(|_| is_in_progress);
    let status = service.and_then(pool_domain::ObservedService::deploy_status);
    let deployment = status.map(|status| format!(": deployment is {status}"));
    let said = || Some(format!(": {}", history.failing(&row.id)?.1));
    deployment.or_else(said).unwrap_or_default()
}
