//! Which agents to ask: whom a probe could tell something of at all, and whose turn it is.

use std::cmp::Reverse;
use std::time::Duration;

use pool_domain::{
    DeployClass, DeploymentStatus, Epoch, Instance, InstanceId, Listing, Policy, Stage, Status,
};

use crate::{Identity, Index};

/// An agent to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The instance that the agent is of.
    pub id: InstanceId,
    /// The status that its row had,
    pub status: Status,
    /// and epoch, of which the answer tells something.
    pub epoch: Epoch,
    /// The agent's address, with its scheme.
    pub url: String,
    /// A first failure is repeated at once: an idle one is not given up for one lost packet.
    pub repeat: bool,
}

impl ProbeTarget {
    fn of(row: &Instance, index: &Index<'_>, identity: &Identity) -> Option<Self> {
        Some(Self {
            id: row.id.clone(),
            status: row.status,
            epoch: row.epoch,
            url: url_of(row, index, identity)?,
            repeat: row.status == Status::Idle,
        })
    }
}

/// The agents that may be probed: idle ones, starting ones that are up, asleep or unknown, or in their
/// first deployment, crashed ones that are up, claimed ones only where their deployment died. Never
/// claiming or dead ones.
#[must_use]
pub fn probes(
    rows: &[Instance],
    index: &Index<'_>,
    listing: &Listing,
    identity: &Identity,
) -> Vec<ProbeTarget> {
    rows.iter()
        .filter(|row| is_probed(row, index, listing))
        .filter_map(|row| ProbeTarget::of(row, index, identity))
        .collect()
}

/// The agents of instances of unverified ownership, which are to be asked for a conversation.
#[must_use]
pub fn conversations_to_ask(
    rows: &[Instance],
    index: &Index<'_>,
    listing: &Listing,
    identity: &Identity,
) -> Vec<ProbeTarget> {
    rows.iter()
        .filter(|row| row.unasked && matches!(row.status, Status::Starting | Status::Crashed))
        .filter(|row| is_probed(row, index, listing))
        .filter_map(|row| ProbeTarget::of(row, index, identity))
        .collect()
}

fn is_probed(row: &Instance, index: &Index<'_>, listing: &Listing) -> bool {
    // What a complete listing lacks has no agent that could answer for it, once that counts: reads lag,
    // and a new one may be ready before any listing shows it. An idle one that is idle still is held by
    // the fuse, and its agent tells whether it is of use.
    let is_lacked = listing.is_complete() && index.service(&row.service_id).is_none();
    if is_lacked && row.missing_since.is_some() && row.status != Status::Idle {
        return false;
    }
    let being_made = index
        .provision(&row.id)
        .is_some_and(|provision| matches!(provision.stage, Stage::Creating(_)));
    let class = class_of(row, index);
    match row.status {
        _ if row.is_to_be_destroyed() || being_made => false,
        // Whatever Railway says of it: what the fuse holds back is asked on.
        Status::Idle => true,
        Status::Starting => match class {
            DeployClass::Up | DeployClass::Asleep | DeployClass::Unknown => true,
            DeployClass::InProgress => is_first_deployment(row, index),
            _ => false,
        },
        Status::Crashed => class == DeployClass::Up,
        Status::Claimed => matches!(class, DeployClass::Failed | DeployClass::Stopped),
        Status::Claiming | Status::Dead => false,
    }
}

/// Whether whoever answers at its url can only be the deployment that is in progress: we made it,
/// whole, and it was never proven. One that is deployed anew is answered for by the old container.
pub(crate) fn is_first_deployment(row: &Instance, index: &Index<'_>) -> bool {
    let provision = index.provision(&row.id);
    row.epoch == Epoch(0) && provision.is_some_and(|it| it.stage == Stage::Created)
}

/// The class that Railway shows; where it shows nothing, the stored status stands in, but never as
/// a reason to give anything up: what had failed when it was stored was dealt with then.
pub(crate) fn class_of(row: &Instance, index: &Index<'_>) -> DeployClass {
    match index.detailed(&row.service_id) {
        Some(service) => service.class(),
        None => row
            .deploy_status
            .as_ref()
            .map_or(DeployClass::Unknown, |status: &DeploymentStatus| {
                status.class(false, true)
            }),
    }
}

/// Where its agent answers: as Railway says, else as stored. A known one is never replaced by none.
pub(crate) fn url_of(row: &Instance, index: &Index<'_>, identity: &Identity) -> Option<String> {
    index
        .service(&row.service_id)
        .and_then(|service| service.host.as_deref())
        .map(|host| identity.url_of(host))
        .or_else(|| row.url.clone())
}

/// Whether anybody knows where its agent answers.
pub(crate) fn has_url(row: &Instance, index: &Index<'_>) -> bool {
    let service = index.service(&row.service_id);
    row.url.is_some() || service.is_some_and(|service| service.host.is_some())
}

/// A target, and what is known of its last probe.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The agent to probe.
    pub target: ProbeTarget,
    /// Its last probe; none before the first.
    pub last: Option<LastProbe>,
    /// Whether a claim may soon take it: then its good probe must never be old.
    pub is_next: bool,
}

/// How the last probe of a target went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastProbe {
    /// How long ago it ended.
    pub ago: Duration,
    /// How long the agent was waited for in vain; none where it answered.
    pub waited_in_vain: Option<Duration>,
}

/// What a probe in flight takes a place of. None of them can take another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Starting ones that were never asked, which are given a moment: one that is ready answers in
    /// milliseconds.
    New,
    /// Starting ones that answered the last time, though they were not ready. Alike.
    Starting,
    /// Starting ones that left the last probe without an answer, which are given all of a probe's time.
    Hanging,
    /// Idle ones, whether a claim would find them well.
    Idle,
    /// Claimed and crashed ones.
    Confirming,
}

impl Lane {
    /// All lanes, each of which is filled on its own.
    pub const ALL: [Self; 5] = [
        Self::New,
        Self::Starting,
        Self::Hanging,
        Self::Idle,
        Self::Confirming,
    ];

    /// How many probes may be in flight in it.
    #[must_use]
    pub const fn places(self) -> usize {
        match self {
            Self::New | Self::Starting => Policy::STARTING_PROBES_IN_FLIGHT_MAX,
            Self::Hanging => Policy::HANGING_PROBES_IN_FLIGHT_MAX,
            Self::Idle => Policy::IDLE_PROBES_IN_FLIGHT_MAX,
            Self::Confirming => Policy::CONFIRMING_PROBES_IN_FLIGHT_MAX,
        }
    }

    /// How long an agent may take to answer.
    #[must_use]
    pub const fn patience(self) -> Duration {
        match self {
            Self::New | Self::Starting => Policy::STARTING_PROBE_TIMEOUT,
            Self::Hanging | Self::Idle | Self::Confirming => Policy::PROBE_TIMEOUT,
        }
    }

    fn of(candidate: &Candidate) -> Self {
        let is_silent = candidate.last.is_some_and(|it| it.waited_in_vain.is_some());
        match candidate.target.status {
            Status::Starting if candidate.last.is_none() => Self::New,
            Status::Starting if is_silent => Self::Hanging,
            Status::Starting => Self::Starting,
            Status::Idle => Self::Idle,
            Status::Claiming | Status::Claimed | Status::Crashed | Status::Dead => Self::Confirming,
        }
    }
}

/// Whose turn it is, and whether a starting one that may well be ready has no place: of those that are due whoever was not probed for the longest time first, as
/// many as have a place in their lane. Of those that were never probed, in the order in which they
/// are given. `busy` says how many places are taken.
#[must_use]
pub fn turns(
    candidates: Vec<Candidate>,
    busy: impl Fn(Lane) -> usize,
    policy: &Policy,
) -> (Vec<(Lane, ProbeTarget)>, bool) {
    let mut due: Vec<_> = candidates
        .into_iter()
        .filter(|it| is_due(it, policy))
        .collect();
    due.sort_by_key(|it| Reverse(it.last.map_or(Duration::MAX, |it| it.ago)));
    let mut free = Lane::ALL.map(|lane| lane.places().saturating_sub(busy(lane)));
    let (mut turns, mut some_wait) = (Vec::new(), false);
    for candidate in due {
        let lane = Lane::of(&candidate);
        let Some(place) = free.get_mut(lane as usize).filter(|free| **free > 0) else {
            some_wait |= matches!(lane, Lane::New | Lane::Starting);
            continue;
        };
        *place -= 1;
        turns.push((lane, candidate.target));
    }
    (turns, some_wait)
}

fn is_due(candidate: &Candidate, policy: &Policy) -> bool {
    let Some(last) = candidate.last else {
        return true;
    };
    let every = match (Lane::of(candidate), candidate.is_next) {
        // Whenever it is looked at.
        (Lane::New | Lane::Starting, _) => return true,
        // One that had no more than a moment is given its time at once.
        (Lane::Hanging, _) if last.waited_in_vain < Some(Policy::PROBE_TIMEOUT) => return true,
        (Lane::Hanging, _) => Policy::HANGING_PROBED_EVERY,
        (Lane::Idle, true) => policy.next_checked_every(),
        (Lane::Idle, false) => policy.stock_checked_every(),
        (Lane::Confirming, _) => policy.confirmed_every(),
    };
    last.ago >= every
}
