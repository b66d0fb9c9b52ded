//! Which agents to ask in a tick.

use pool_domain::{DeployClass, DeploymentStatus, Instance, InstanceId, Listing, Stage, Status};

use crate::{Identity, Index};

/// An agent to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// Whose.
    pub id: InstanceId,
    /// Where it answers.
    pub url: String,
    /// A first failure is repeated within the tick: an idle one is not given up for one lost packet.
    pub repeat: bool,
}

/// The agents to probe: starting and idle ones that are up, asleep or unknown, crashed ones that
/// are up, claimed ones only where their deployment died. Never claiming or dead ones.
#[must_use]
pub fn probes(
    rows: &[Instance],
    index: &Index<'_>,
    listing: &Listing,
    identity: &Identity,
) -> Vec<ProbeTarget> {
    rows.iter()
        .filter(|row| is_probed(row, index, listing))
        .filter_map(|row| {
            let url = url_of(row, index, identity)?;
            Some(ProbeTarget {
                id: row.id.clone(),
                url,
                repeat: row.status == Status::Idle,
            })
        })
        .collect()
}

/// The agents of adopted instances that were not yet asked for a conversation.
#[must_use]
pub fn conversations_to_ask(
    rows: &[Instance],
    index: &Index<'_>,
    listing: &Listing,
    identity: &Identity,
) -> Vec<ProbeTarget> {
    rows.iter()
        .filter(|row| row.unasked && row.status == Status::Starting)
        .filter(|row| is_probed(row, index, listing))
        .filter_map(|row| {
            let url = url_of(row, index, identity)?;
            Some(ProbeTarget {
                id: row.id.clone(),
                url,
                repeat: false,
            })
        })
        .collect()
}

fn is_probed(row: &Instance, index: &Index<'_>, listing: &Listing) -> bool {
    // What a complete listing lacks has no agent that could answer for it.
    if listing.is_complete() && index.service(&row.service_id).is_none() {
        return false;
    }
    let being_made = index
        .provision(&row.id)
        .is_some_and(|provision| matches!(provision.stage, Stage::Creating(_)));
    let class = class_of(row, index);
    match row.status {
        _ if row.is_to_be_destroyed() || being_made => false,
        Status::Starting | Status::Idle => {
            matches!(
                class,
                DeployClass::Up | DeployClass::Asleep | DeployClass::Unknown
            )
        }
        Status::Crashed => class == DeployClass::Up,
        Status::Claimed => matches!(class, DeployClass::Failed | DeployClass::Stopped),
        Status::Claiming | Status::Dead => false,
    }
}

/// The class that Railway shows; where it shows nothing, the stored status stands in, but never as
/// a reason to give anything up: what had failed when it was stored was dealt with then.
pub(crate) fn class_of(row: &Instance, index: &Index<'_>) -> DeployClass {
    match index.service(&row.service_id) {
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
