//! Everything that one plan is made from.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{
    Conversation, FuseRecord, Instance, InstanceId, LastEvent, Listing, Managers, ObservedService,
    ObservedVolume, Probe, ResourceRecord, ServiceId, ServicePrefix, ServiceVariables, VolumeId,
};

/// What is recorded and what was observed, of one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The database's time when the rows were read.
    pub now: DateTime<Utc>,
    /// Every row that this build can read.
    pub rows: Vec<Instance>,
    /// The services of rows that it cannot read: they are somebody's, and no stock.
    pub unreadable: Vec<ServiceId>,
    /// Every record of what was made outside for an instance.
    pub provisions: Vec<ResourceRecord>,
    /// What Railway listed, and whether that is all.
    pub listing: Listing,
    /// What the probed agents answered. Not probed is neither ready nor failed.
    pub probes: HashMap<InstanceId, Probe>,
    /// What the agents of unasked instances said of their conversations.
    pub conversations: HashMap<InstanceId, Conversation>,
    /// What is known of services that may be ours. A candidate that is not in here is undecided.
    pub evidence: HashMap<ServiceId, Evidence>,
    /// Whose services may be ours.
    pub managers: Managers,
    /// How many instances a person asked to create.
    pub requested_creates: usize,
    /// What is recorded of the fuse.
    pub fuse: FuseRecord,
    /// What is worked on while this is planned. Read before rows and provisions, so that these tell
    /// how that ended which is not in it.
    pub in_flight: InFlight,
}

impl Snapshot {
    /// Whether it was begun before the records were last found to be possibly older than the world: then
    /// it may be further than it says, and its agent somebody's.
    pub(crate) fn is_unverified(&self, provision: &ResourceRecord) -> bool {
        provision.created_at < self.managers.recorded_since
    }
}

/// Instances that somebody works on at this moment: no plan is made for these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Those that are being made.
    pub making: BTreeSet<InstanceId>,
    /// Those that are being destroyed.
    pub ending: BTreeSet<InstanceId>,
}

impl InFlight {
    /// Whether nobody works on anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.making.is_empty() && self.ending.is_empty()
    }

    /// Whether anybody works on it.
    #[must_use]
    pub fn contains(&self, id: &InstanceId) -> bool {
        self.making.contains(id) || self.ending.contains(id)
    }
}

/// What is known of a service that may be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The variables that Railway has for it, as far as they are known.
    pub variables: ServiceVariables,
    /// What the event log last said of it.
    pub last_event: Option<LastEvent>,
    /// Why its id or service was set aside by the migration, where it was.
    pub set_aside: Option<String>,
}

/// Who we are, and how our services are named and reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What the names of our services begin with.
    pub prefix: ServicePrefix,
    /// `https`, or `http` for local use.
    pub agent_scheme: String,
    /// This server's own service, which is never taken for an instance.
    pub own_service: Option<ServiceId>,
    /// The accounts that are configured.
    pub accounts: Accounts,
}

impl Identity {
    /// Where an agent at this host answers.
    #[must_use]
    pub fn url_of(&self, host: &str) -> String {
        format!("{}://{host}", self.agent_scheme)
    }
}

/// Which accounts outside Railway are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accounts {
    /// Keys can be made and deleted.
    pub openrouter: bool,
    /// Inboxes can be made and deleted.
    pub agentmail: bool,
}

/// By how much Railway's clock may be behind the database's.
const CLOCKS_DIFFER_BY_MAX: TimeDelta = TimeDelta::hours(1);

/// Whether a service that bears a provision's name may be the one whose answer was lost: made after
/// the intent, with nothing but its name. Nothing of ours is deployed before its id is recorded, so one
/// that is listed by its name alone is taken for that.
fn is_made_for(service: &ObservedService, provision: &ResourceRecord) -> bool {
    provision.service_id.is_none()
        && service.image.is_none()
        && service.deployment.is_none()
        && service.created_at > provision.created_at - CLOCKS_DIFFER_BY_MAX
}

/// What is recorded and listed, by whatever it may be known by: built once a tick, and handed to
/// everything that looks something up, so that nothing in a tick is quadratic.
#[derive(Debug)]
pub struct Index<'a> {
    rows: HashMap<&'a InstanceId, &'a Instance>,
    rows_by_service: HashMap<&'a ServiceId, &'a Instance>,
    provisions: HashMap<&'a InstanceId, &'a ResourceRecord>,
    provisions_by_service: HashMap<&'a ServiceId, &'a ResourceRecord>,
    provisions_by_name: HashMap<&'a str, &'a ResourceRecord>,
    services: HashMap<&'a ServiceId, &'a ObservedService>,
    services_by_name: HashMap<&'a str, &'a ObservedService>,
    volumes: HashMap<&'a VolumeId, &'a ObservedVolume>,
    volumes_by_service: HashMap<&'a ServiceId, Vec<&'a ObservedVolume>>,
    unreadable: HashSet<&'a ServiceId>,
}

impl<'a> Index<'a> {
    /// Indexes rows, provisions and a listing.
    #[must_use]
    pub fn new(
        rows: &'a [Instance],
        provisions: &'a [ResourceRecord],
        listing: &'a Listing,
    ) -> Self {
        let mut volumes_by_service: HashMap<_, Vec<_>> = HashMap::new();
        for volume in &listing.volumes {
            if let Some(service) = &volume.service_id {
                volumes_by_service.entry(service).or_default().push(volume);
            }
        }
        Self {
            rows: rows.iter().map(|row| (&row.id, row)).collect(),
            rows_by_service: rows.iter().map(|row| (&row.service_id, row)).collect(),
            provisions: provisions.iter().map(|p| (&p.id, p)).collect(),
            provisions_by_service: provisions
                .iter()
                .filter_map(|p| Some((p.service_id.as_ref()?, p)))
                .collect(),
            provisions_by_name: provisions.iter().map(|p| (p.name.as_str(), p)).collect(),
            services: listing
                .services
                .iter()
                .map(|s| (&s.service_id, s))
                .collect(),
            services_by_name: listing
                .services
                .iter()
                .map(|s| (s.name.as_str(), s))
                .collect(),
            volumes: listing.volumes.iter().map(|v| (&v.volume_id, v)).collect(),
            volumes_by_service,
            unreadable: HashSet::new(),
        }
    }

    /// With the services of rows that this build cannot read.
    #[must_use]
    pub fn with_unreadable(mut self, services: &'a [ServiceId]) -> Self {
        self.unreadable = services.iter().collect();
        self
    }

    /// Whether it has a row that this build cannot read.
    pub(crate) fn is_unreadable(&self, id: &ServiceId) -> bool {
        self.unreadable.contains(id)
    }

    /// The row of this instance.
    #[must_use]
    pub fn row(&self, id: &InstanceId) -> Option<&'a Instance> {
        self.rows.get(id).copied()
    }

    pub(crate) fn row_of_service(&self, id: &ServiceId) -> Option<&'a Instance> {
        self.rows_by_service.get(id).copied()
    }

    pub(crate) fn provision(&self, id: &InstanceId) -> Option<&'a ResourceRecord> {
        self.provisions.get(id).copied()
    }

    /// The provision that a service belongs to: by its id, else by its name, where it is what that
    /// provision set out to make.
    pub(crate) fn provision_of_service(
        &self,
        service: &ObservedService,
    ) -> Option<&'a ResourceRecord> {
        let by_id = self.provisions_by_service.get(&service.service_id).copied();
        by_id.or_else(|| {
            let named = self.provisions_by_name.get(service.name.as_str()).copied();
            named.filter(|provision| is_made_for(service, provision))
        })
    }

    pub(crate) fn provision_with_service(&self, id: &ServiceId) -> Option<&'a ResourceRecord> {
        self.provisions_by_service.get(id).copied()
    }

    pub(crate) fn service(&self, id: &ServiceId) -> Option<&'a ObservedService> {
        self.services.get(id).copied()
    }

    /// The service, where the listing says more of it than its name.
    pub(crate) fn detailed(&self, id: &ServiceId) -> Option<&'a ObservedService> {
        self.service(id).filter(|service| service.has_details)
    }

    /// The service of a provision: by its id, else by its name, where the answer was lost.
    pub(crate) fn service_of(&self, provision: &ResourceRecord) -> Option<&'a ObservedService> {
        match &provision.service_id {
            Some(id) => self.service(id),
            None => self
                .named(provision)
                .filter(|service| is_made_for(service, provision)),
        }
    }

    /// Whether somebody else's service has the name that a provision's is to have.
    pub(crate) fn is_name_taken(&self, provision: &ResourceRecord) -> bool {
        provision.service_id.is_none()
            && self
                .named(provision)
                .is_some_and(|service| !is_made_for(service, provision))
    }

    fn named(&self, provision: &ResourceRecord) -> Option<&'a ObservedService> {
        self.services_by_name.get(provision.name.as_str()).copied()
    }

    pub(crate) fn volume(&self, id: &VolumeId) -> Option<&'a ObservedVolume> {
        self.volumes.get(id).copied()
    }

    /// In the order of the listing.
    pub(crate) fn volumes_of(&self, service: &ServiceId) -> &[&'a ObservedVolume] {
        self.volumes_by_service
            .get(service)
            .map_or(&[], Vec::as_slice)
    }
}
