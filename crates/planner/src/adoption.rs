//! Which services without a row are ours, and what becomes of them. A service is taken for ours
//! only on proof; anything else that bears our prefix is reported and never touched.

use pool_domain::report::ForeignService;
use pool_domain::write::Adoption;
use pool_domain::write::OwnedResources;
use pool_domain::{
    DestroyStep, InstanceId, LastEvent, Listing, Managers, ObservedService, Policy, Report, Status,
};

use crate::{Destruction, Evidence, Identity, Index};

/// The reason for which the migration sets aside what nobody ever claimed.
pub const NEVER_CLAIMED: &str = "never claimed";

/// Services without a row or a provision that may be ours: their variables must be read before
/// they can be decided.
#[must_use]
pub fn candidates<'a>(
    index: &Index<'a>,
    listing: &'a Listing,
    identity: &Identity,
) -> Vec<&'a ObservedService> {
    listing
        .services
        .iter()
        .filter(|service| bears_our_prefix(service, index, identity))
        .filter(|service| service.has_details && doubt(service, index, identity).is_none())
        .collect()
}

/// What adoption makes of a listing.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Rows for services that are ours.
    pub adoptions: Vec<Adoption>,
    /// Services that came back after their row was removed.
    pub(crate) again: Vec<Destruction>,
    /// Candidates that nothing is known of yet.
    pub undecided: Vec<pool_domain::ServiceId>,
}

/// Decides every service that bears our prefix and has neither row nor provision. What is not ours
/// is said in the report.
pub fn decide<S: std::hash::BuildHasher>(
    index: &Index<'_>,
    listing: &Listing,
    evidence: &std::collections::HashMap<pool_domain::ServiceId, Evidence, S>,
    managers: &Managers,
    identity: &Identity,
    report: &mut Report,
) -> Adopted {
    let mut adopted = Adopted::default();
    let bearing = listing
        .services
        .iter()
        .filter(|s| bears_our_prefix(s, index, identity));
    for service in bearing {
        if !service.has_details {
            let why = "Railway lists nothing but its name";
            report.hold_back("adopting a service", why, 1);
            continue;
        }
        if let Some(why) = doubt(service, index, identity) {
            report.foreign.push(foreign(service, why));
            continue;
        }
        match evidence.get(&service.service_id) {
            None => adopted.undecided.push(service.service_id.clone()),
            // Before its variables are looked at: those of a service that is gone are gone too.
            Some(known) if known.last_event == Some(LastEvent::Removed) => {
                report.hold_back(
                    format!("adopting {}", service.name),
                    "it was removed: destroyed again",
                    1,
                );
                adopted
                    .again
                    .extend(destroyed_again(service, index, identity));
            }
            Some(known) if !known.variables.has_our_key => {
                report
                    .foreign
                    .push(foreign(service, "its POOL_API_KEY is not ours"));
            }
            Some(known) => {
                let maker = known.variables.manager_id.as_ref();
                match managers.refuses(maker, service.created_at) {
                    Some(why) => report.foreign.push(foreign(service, &why)),
                    None => adopted.adoptions.extend(adoption(service, known, identity)),
                }
            }
        }
    }
    let over = adopted
        .adoptions
        .len()
        .saturating_sub(Policy::ADOPTIONS_PER_TICK_MAX);
    report.hold_back("adopting services", "too many for one tick", over);
    adopted.adoptions.truncate(Policy::ADOPTIONS_PER_TICK_MAX);
    adopted
}

fn bears_our_prefix(service: &ObservedService, index: &Index<'_>, identity: &Identity) -> bool {
    service.name.starts_with(identity.prefix.as_str())
        && service.name != InstanceId::MANAGER_SERVICE_NAME
        && identity.own_service.as_ref() != Some(&service.service_id)
        && index.row_of_service(&service.service_id).is_none()
        && !index.is_unreadable(&service.service_id)
        && index.provision_of_service(service).is_none()
}

/// Why it cannot be ours, whatever its variables say.
fn doubt(
    service: &ObservedService,
    index: &Index<'_>,
    identity: &Identity,
) -> Option<&'static str> {
    let Some(id) = InstanceId::from_service_name(&identity.prefix, &service.name) else {
        return Some("its name is not the prefix and 12 of [A-Za-z0-9_-]");
    };
    if index.provision(&id).is_some() {
        return Some("the id in its name is the id of an instance that another service is for");
    }
    if service.image.is_none() && service.deployment.is_none() {
        return Some("it has neither an image nor a deployment in this environment");
    }
    index
        .row(&id)
        .is_some()
        .then_some("the id in its name is the id of another service's row")
}

fn adoption(service: &ObservedService, known: &Evidence, identity: &Identity) -> Option<Adoption> {
    let set_aside = known
        .set_aside
        .as_deref()
        .filter(|reason| *reason != NEVER_CLAIMED);
    let was_claimed = known.last_event == Some(LastEvent::ClaimedOrCrashed);
    let (status, reason) = match (set_aside, was_claimed) {
        (Some(why), _) => (
            Status::Crashed,
            format!("adopted; its record was set aside: {why}"),
        ),
        (None, true) => (Status::Crashed, "adopted; it was last claimed".to_owned()),
        (None, false) => (Status::Starting, "adopted".to_owned()),
    };
    Some(Adoption {
        id: InstanceId::from_service_name(&identity.prefix, &service.name)?,
        service_id: service.service_id.clone(),
        name: service.name.clone(),
        url: service.host.as_deref().map(|host| identity.url_of(host)),
        status,
        deploy_status: service.deploy_status().cloned(),
        runtime_image: service.image.clone(),
        gateway_token: known.variables.gateway_token.clone(),
        agentmail_inbox_id: known.variables.inbox_id.clone(),
        created_at: service.created_at,
        claimed_at: (status == Status::Crashed).then_some(service.created_at),
        reason,
    })
}

/// A service that comes back after its row was removed: what the listing shows of it goes again.
fn destroyed_again(
    service: &ObservedService,
    index: &Index<'_>,
    identity: &Identity,
) -> Option<Destruction> {
    let volumes = index.volumes_of(&service.service_id);
    Some(Destruction {
        owned: OwnedResources {
            id: InstanceId::from_service_name(&identity.prefix, &service.name)?,
            name: service.name.clone(),
            service_id: Some(service.service_id.clone()),
            openrouter_key_hash: None,
            agentmail_inbox_id: None,
            volume_ids: volumes
                .iter()
                .map(|volume| volume.volume_id.clone())
                .collect(),
        },
        steps: vec![DestroyStep::Volumes, DestroyStep::Service],
        already_gone: vec![DestroyStep::Key, DestroyStep::Inbox],
        attempts: 0,
        may_still_show: false,
    })
}

fn foreign(service: &ObservedService, why: &str) -> ForeignService {
    ForeignService {
        service_id: service.service_id.clone(),
        name: service.name.clone(),
        why: why.to_owned(),
    }
}
