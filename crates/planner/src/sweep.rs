//! What outside is left over: made for an instance that is gone, as our records say, and needed by
//! nobody; and what only looks like ours, which is reported and never touched. Pure: what was listed
//! and what is recorded go in, and nothing that a row or an open provision needs ever comes out.

use std::collections::{HashMap, HashSet};

use pool_domain::sweep::{Belonging, Found, ListedInbox, ListedKey, Thing};
use pool_domain::{
    InboxId, Instance, InstanceId, KeyHash, LastEvent, Listing, ObservedService, ObservedVolume,
    Policy, ResourceRecord, ServiceId, Stage, VolumeId,
};

use crate::{Identity, Index};

/// A list of one of the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed<T> {
    /// There is no such account.
    NotConfigured,
    /// It is not whole, for this reason.
    Incomplete(String),
    /// Every page of it.
    Complete(Vec<T>),
}

impl<T> Listed<T> {
    fn items(&self) -> &[T] {
        match self {
            Self::Complete(items) => items,
            Self::NotConfigured | Self::Incomplete(_) => &[],
        }
    }

    /// How many there are; none where nobody knows.
    #[must_use]
    pub const fn count(&self) -> Option<usize> {
        match self {
            Self::Complete(items) => Some(items.len()),
            Self::NotConfigured | Self::Incomplete(_) => None,
        }
    }
}

/// What was listed outside. Rows, provisions and records are read after it, so that whatever is in it
/// and is ours is recorded in them: each is recorded before it is made.
#[derive(Debug, Clone)]
pub struct Sight {
    /// Railway's services and volumes.
    pub listing: Listing,
    /// OpenRouter's keys, all or as many as were read.
    pub keys: Listed<ListedKey>,
    /// AgentMail's inboxes, likewise.
    pub inboxes: Listed<ListedInbox>,
}

/// What our records say of what was seen.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Whose each thing is or was, by kind and id.
    pub owners: HashMap<(Belonging, String), InstanceId>,
    /// Instances that had a row which was removed.
    pub removed: HashSet<InstanceId>,
    /// What the event log last said of a service.
    pub last_events: HashMap<ServiceId, LastEvent>,
    /// Instances whose rows the migration set aside, and why.
    pub set_aside: HashMap<InstanceId, String>,
}

/// What to ask the records of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// Things by kind and id, whose owner is to be found.
    pub owners: Vec<(Belonging, String)>,
    /// Whether these had a row, and were set aside.
    pub ids: Vec<InstanceId>,
    /// What became of these.
    pub services: Vec<ServiceId>,
}

/// What a sweep does, and what it only says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepPlan {
    /// To be removed, volumes before services.
    pub remove: Vec<Found>,
    /// How many more there are, for the next sweeps.
    pub left_for_later: usize,
    /// What only looks like ours.
    pub report: Vec<Found>,
    /// Which lists are not whole, and why.
    pub incomplete: Vec<String>,
}

/// Volumes attached to the service of a row or a provision, and whose. Noted at every tick: once
/// detached, a volume says no more whose it was.
#[must_use]
pub fn attached_volumes(index: &Index<'_>, listing: &Listing) -> Vec<(VolumeId, InstanceId)> {
    let owner_of = |service: &ServiceId| {
        let row = index.row_of_service(service).map(|row| &row.id);
        let provision = || index.provision_with_service(service).map(|it| &it.id);
        row.or_else(provision).cloned()
    };
    let volumes = listing.volumes.iter().filter(|it| !it.pending_deletion);
    volumes
        .filter_map(|volume| {
            let owner = owner_of(volume.service_id.as_ref()?)?;
            Some((volume.volume_id.clone(), owner))
        })
        .collect()
}

/// What has to be known of the records before [`sweep`] can decide.
#[must_use]
pub fn questions(sight: &Sight, identity: &Identity) -> Questions {
    let mut questions = Questions::default();
    let mut ask = |kind, id: &str| questions.owners.push((kind, id.to_owned()));
    let mut names = Vec::new();
    for service in &sight.listing.services {
        ask(Belonging::Service, service.service_id.as_str());
        names.push(service.name.as_str());
    }
    for volume in &sight.listing.volumes {
        ask(Belonging::Volume, volume.volume_id.as_str());
        if let Some(service) = &volume.service_id {
            ask(Belonging::Service, service.as_str());
            questions.services.push(service.clone());
        }
    }
    for key in sight.keys.items() {
        ask(Belonging::Key, key.hash.as_str());
        names.extend(key.name.as_deref());
    }
    for inbox in sight.inboxes.items() {
        ask(Belonging::Inbox, inbox.inbox_id.as_str());
        names.extend(inbox.client_id.as_deref());
    }
    for name in &names {
        ask(Belonging::Name, name);
    }
    let services = sight.listing.services.iter();
    questions
        .services
        .extend(services.map(|service| service.service_id.clone()));
    let ids = names.iter().filter_map(|name| id_in(name, identity));
    questions.ids = ids.collect();
    questions
}

/// Decides. The same input always gives the same plan.
#[must_use]
pub fn sweep(
    rows: &[Instance],
    provisions: &[ResourceRecord],
    sight: &Sight,
    records: &Records,
    identity: &Identity,
) -> SweepPlan {
    let mut plan = SweepPlan::default();
    if let Some(why) = sight.listing.lacks() {
        // A key or an inbox is needed as long as its service stands, so nothing is known at all.
        plan.incomplete
            .push(format!("Railway's services and volumes: {why}"));
        return plan;
    }
    let index = Index::new(rows, provisions, &sight.listing);
    let look = Look::new(rows, provisions, index, records, identity);
    let services: Vec<_> = (sight.listing.services.iter())
        .filter_map(|service| Some((&service.service_id, look.service(service)?)))
        .collect();
    let ending: HashSet<_> = (services.iter())
        .filter(|(_, verdict)| matches!(verdict, Verdict::Remove(_)))
        .map(|(id, _)| *id)
        .collect();
    let standing = look.standing(&sight.listing.services, &ending);
    let volumes = (sight.listing.volumes.iter())
        .filter_map(|volume| look.volume(volume, &ending, &standing))
        .collect::<Vec<_>>();
    for verdict in volumes
        .into_iter()
        .chain(services.into_iter().map(|it| it.1))
    {
        plan.take(verdict);
    }
    if let Listed::Incomplete(why) = &sight.keys {
        plan.incomplete.push(format!("OpenRouter's keys: {why}"));
    }
    for verdict in (sight.keys.items().iter()).filter_map(|key| look.key(key, &standing)) {
        plan.take(verdict);
    }
    if let Listed::Incomplete(why) = &sight.inboxes {
        plan.incomplete.push(format!("AgentMail's inboxes: {why}"));
    }
    for verdict in (sight.inboxes.items().iter()).filter_map(|inbox| look.inbox(inbox, &standing)) {
        plan.take(verdict);
    }
    plan.left_for_later = plan.remove.len().saturating_sub(Policy::SWEEP_REMOVALS_MAX);
    plan.remove.truncate(Policy::SWEEP_REMOVALS_MAX);
    plan
}

impl SweepPlan {
    fn take(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Remove(found) => self.remove.push(found),
            Verdict::Report(found) => self.report.push(found),
        }
    }
}

/// What becomes of something. Most things are none of our business, or needed.
enum Verdict {
    Remove(Found),
    Report(Found),
}

/// Who our records name for something.
enum Owner<'a> {
    /// An instance of ours.
    Recorded(&'a InstanceId),
    /// An instance whose row the migration set aside: it may be somebody's still.
    SetAside(&'a InstanceId, &'a str),
    Unknown,
}

const GONE: &str = "made for an instance that is gone";
const REPLACED: &str = "a later key took its place";
const ONLY_PREFIX: &str = "it only bears our prefix: in no record of ours";

/// What is recorded, by whatever something may be known by.
struct Look<'a> {
    index: Index<'a>,
    records: &'a Records,
    identity: &'a Identity,
    /// Keys, inboxes and volumes that a row or a provision names.
    keys: HashSet<&'a KeyHash>,
    inboxes: HashSet<&'a str>,
    volumes: HashSet<&'a VolumeId>,
    /// Instances with a row or a provision, by the name of either.
    by_name: HashMap<&'a str, &'a InstanceId>,
}

impl<'a> Look<'a> {
    fn new(
        rows: &'a [Instance],
        provisions: &'a [ResourceRecord],
        index: Index<'a>,
        records: &'a Records,
        identity: &'a Identity,
    ) -> Self {
        let row_keys = rows.iter().filter_map(|it| it.openrouter_key_hash.as_ref());
        let keys = provisions
            .iter()
            .filter_map(|it| it.openrouter_key_hash.as_ref());
        let row_inboxes = rows.iter().filter_map(|it| it.agentmail_inbox_id.as_ref());
        let inboxes = provisions
            .iter()
            .filter_map(|it| it.agentmail_inbox_id.as_ref());
        let row_names = rows.iter().map(|it| (it.name.as_str(), &it.id));
        let names = provisions.iter().map(|it| (it.name.as_str(), &it.id));
        Self {
            index,
            records,
            identity,
            keys: row_keys.chain(keys).collect(),
            inboxes: row_inboxes.chain(inboxes).map(InboxId::as_str).collect(),
            volumes: provisions
                .iter()
                .filter_map(|it| it.volume_id.as_ref())
                .collect(),
            by_name: row_names.chain(names).collect(),
        }
    }

    /// Whether it has a row or a provision: then the ticks look after all of it.
    fn is_in_hand(&self, id: &InstanceId) -> bool {
        self.index.row(id).is_some() || self.index.provision(id).is_some()
    }

    /// Whether it is the service of a row or of a provision.
    fn has_in_hand(&self, service: &ServiceId) -> bool {
        self.index.row_of_service(service).is_some()
            || self.index.provision_with_service(service).is_some()
    }

    fn owner(&self, kind: Belonging, id: &str, name: Option<&str>) -> Owner<'_> {
        let recorded = |kind, id: &str| self.records.owners.get(&(kind, id.to_owned()));
        let by_name = || {
            let name = name?;
            let in_hand = self.by_name.get(name).copied();
            in_hand.or_else(|| recorded(Belonging::Name, name))
        };
        if let Some(owner) = recorded(kind, id).or_else(by_name) {
            return Owner::Recorded(owner);
        }
        let Some(id) = name.and_then(|name| id_in(name, self.identity)) else {
            return Owner::Unknown;
        };
        let row = self.index.row(&id).map(|row| &row.id);
        let provision = || self.index.provision(&id).map(|it| &it.id);
        let removed = || self.records.removed.get(&id);
        if let Some(owner) = row.or_else(provision).or_else(removed) {
            return Owner::Recorded(owner);
        }
        match self.records.set_aside.get_key_value(&id) {
            Some((owner, why)) => Owner::SetAside(owner, why),
            None => Owner::Unknown,
        }
    }

    /// A service is removed when its instance is gone and the event log does not say otherwise.
    /// Whatever else bears our prefix is decided by adoption, and reported until it is.
    fn service(&self, service: &ObservedService) -> Option<Verdict> {
        let id = &service.service_id;
        let is_manager = service.name == InstanceId::MANAGER_SERVICE_NAME
            || self.identity.own_service.as_ref() == Some(id);
        let is_in_hand = self.has_in_hand(id) || self.index.provision_of_service(service).is_some();
        if is_manager || is_in_hand {
            return None;
        }
        let thing = Thing::Service(id.clone());
        let name = Some(service.name.as_str());
        let removed = self.records.last_events.get(id);
        match self.owner(Belonging::Service, id.as_str(), name) {
            Owner::Recorded(owner) if self.is_in_hand(owner) => {
                let why = "it bears the name of an instance that has another service";
                Some(Verdict::Report(found(thing, name, Some(owner), why)))
            }
            Owner::Recorded(owner) if removed.is_none_or(|it| *it == LastEvent::Removed) => {
                Some(Verdict::Remove(found(thing, name, Some(owner), GONE)))
            }
            Owner::Unknown if removed == Some(&LastEvent::Removed) => {
                Some(Verdict::Remove(found(thing, name, None, GONE)))
            }
            Owner::Recorded(_) | Owner::SetAside(..) | Owner::Unknown => {
                let why = "it bears our prefix, and is not proven ours";
                self.has_prefix(name)
                    .then(|| Verdict::Report(found(thing, name, None, why)))
            }
        }
    }

    /// Instances without a row whose service stands and is not to go: adoption may yet make a row.
    fn standing(
        &self,
        services: &[ObservedService],
        ending: &HashSet<&ServiceId>,
    ) -> HashSet<InstanceId> {
        let standing = services
            .iter()
            .filter(|it| !ending.contains(&it.service_id));
        standing
            .flat_map(|service| {
                let key = (Belonging::Service, service.service_id.as_str().to_owned());
                let recorded = self.records.owners.get(&key).cloned();
                [recorded, id_in(&service.name, self.identity)]
            })
            .flatten()
            .collect()
    }

    fn volume(
        &self,
        volume: &ObservedVolume,
        ending: &HashSet<&ServiceId>,
        standing: &HashSet<InstanceId>,
    ) -> Option<Verdict> {
        if volume.pending_deletion || self.volumes.contains(&volume.volume_id) {
            return None;
        }
        let thing = Thing::Volume(volume.volume_id.clone());
        let owner = self.owner_of_volume(volume);
        let remove = |owner| Some(Verdict::Remove(found(thing.clone(), None, owner, GONE)));
        let report = |owner, why| Some(Verdict::Report(found(thing.clone(), None, owner, why)));
        let service = volume.service_id.as_ref();
        if let Some(service) = service.and_then(|id| self.index.service(id)) {
            let is_in_hand = self.has_in_hand(&service.service_id)
                || self.index.provision_of_service(service).is_some();
            return if ending.contains(&service.service_id) {
                remove(owner)
            } else if is_in_hand {
                None
            } else if owner.is_some_and(|owner| !self.is_in_hand(owner)) {
                report(
                    owner,
                    "its instance is gone, and it is attached to another service",
                )
            } else if self.has_prefix(Some(&service.name)) {
                report(None, "attached to a service that is not proven ours")
            } else {
                None
            };
        }
        let was_removed =
            service.and_then(|id| self.records.last_events.get(id)) == Some(&LastEvent::Removed);
        match owner {
            Some(owner) if self.is_in_hand(owner) || standing.contains(owner) => None,
            Some(_) => remove(owner),
            None if service.is_some_and(|id| self.has_in_hand(id)) => None,
            None if was_removed => remove(None),
            None => report(None, "detached, and in no record of ours"),
        }
    }

    /// By its own id, else by the service that it says it is attached to.
    fn owner_of_volume(&self, volume: &ObservedVolume) -> Option<&InstanceId> {
        let by_id = (Belonging::Volume, volume.volume_id.as_str().to_owned());
        let by_service = || {
            let service = volume.service_id.as_ref()?.as_str().to_owned();
            self.records.owners.get(&(Belonging::Service, service))
        };
        self.records.owners.get(&by_id).or_else(by_service)
    }

    fn key(&self, key: &ListedKey, standing: &HashSet<InstanceId>) -> Option<Verdict> {
        if self.keys.contains(&key.hash) {
            return None;
        }
        let name = key.name.as_deref();
        let owner = self.owner(Belonging::Key, key.hash.as_str(), name);
        if let Owner::Recorded(owner) = owner
            && self.has_another_key(owner)
        {
            let thing = Thing::Key(key.hash.clone());
            return Some(Verdict::Remove(found(thing, name, Some(owner), REPLACED)));
        }
        self.credential(Thing::Key(key.hash.clone()), name, &owner, standing)
    }

    /// Whole, with a key that is recorded: no other can be its own. While it is being made or
    /// destroyed, whoever does that deletes by the name.
    fn has_another_key(&self, owner: &InstanceId) -> bool {
        self.index.provision(owner).is_some_and(|provision| {
            provision.stage == Stage::Created && provision.openrouter_key_hash.is_some()
        })
    }

    fn inbox(&self, inbox: &ListedInbox, standing: &HashSet<InstanceId>) -> Option<Verdict> {
        if self.inboxes.contains(inbox.inbox_id.as_str()) {
            return None;
        }
        let name = inbox.client_id.as_deref();
        let owner = self.owner(Belonging::Inbox, inbox.inbox_id.as_str(), name);
        let name = name.or(Some(inbox.inbox_id.as_str()));
        self.credential(Thing::Inbox(inbox.inbox_id.clone()), name, &owner, standing)
    }

    fn credential(
        &self,
        thing: Thing,
        name: Option<&str>,
        owner: &Owner<'_>,
        standing: &HashSet<InstanceId>,
    ) -> Option<Verdict> {
        match owner {
            Owner::Recorded(owner) if self.is_in_hand(owner) || standing.contains(*owner) => None,
            Owner::Recorded(owner) => Some(Verdict::Remove(found(thing, name, Some(owner), GONE))),
            Owner::SetAside(owner, _) if standing.contains(*owner) => None,
            Owner::SetAside(owner, why) => {
                let why = format!("its instance was set aside by the migration: {why}");
                Some(Verdict::Report(found(thing, name, Some(owner), &why)))
            }
            Owner::Unknown => self
                .has_prefix(name)
                .then(|| Verdict::Report(found(thing, name, None, ONLY_PREFIX))),
        }
    }

    fn has_prefix(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| name.starts_with(self.identity.prefix.as_str()))
    }
}

/// The id in a name that begins with our prefix; an old one may be any text.
fn id_in(name: &str, identity: &Identity) -> Option<InstanceId> {
    let id = name.strip_prefix(identity.prefix.as_str())?;
    (!id.is_empty()).then(|| InstanceId::from(id))
}

fn found(thing: Thing, name: Option<&str>, owner: Option<&InstanceId>, why: &str) -> Found {
    Found {
        thing,
        name: name.map(str::to_owned),
        instance_id: owner.cloned(),
        why: why.to_owned(),
    }
}
