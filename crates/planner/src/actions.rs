//! What a plan holds: actions, and a report of what was decided, held back, capped or skipped, and why.

use pool_domain::write::{Adoption, OwnedResources, Refresh, StatusChange};
use pool_domain::{
    CreateStep, DestroyStep, Epoch, InstanceId, Report, ResourceRecord, ServiceId, VolumeId,
};

/// What is to be done, in the order in which it is executed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// New values of observed columns. Written first, since a change of status ends their epoch.
    pub refreshes: Vec<Refresh>,
    /// Changes of status, each of the row as it was seen.
    pub changes: Vec<StatusChange>,
    /// Idle ones that wait behind the fuse and do not answer: claims take them last.
    pub put_last: Vec<(InstanceId, Epoch)>,
    /// Rows for services of ours that have none.
    pub adoptions: Vec<Adoption>,
    /// What is left to destroy, an instance each.
    pub destructions: Vec<Destruction>,
    /// Rows and provisions of which nothing is left outside.
    pub removals: Vec<Removal>,
    /// Creations that were interrupted and go on.
    pub resumes: Vec<Resume>,
    /// How many creations to begin: intents to write.
    pub create: usize,
    /// How many of these to make in this tick; the others wait for a later one.
    pub make_now: usize,
    /// Whether instances are wanted that the pace holds back.
    pub pace_holds_back: bool,
    /// Those that were made for the stock and are given up without ever having been ready, and why:
    /// the fuse may hold that back, and the pace learns from it all the same.
    pub died: Vec<(InstanceId, String)>,
    /// What was decided and what was not, and why.
    pub report: Report,
}

/// The destruction of one instance, as far as it goes in this tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// What is known to belong to it, to be recorded before the first step.
    pub owned: OwnedResources,
    /// The steps to take.
    pub steps: Vec<DestroyStep>,
    /// The steps that have nothing to do, to be recorded as done.
    pub already_gone: Vec<DestroyStep>,
    /// How often it failed in a row until now.
    pub attempts: u32,
    /// Whether its last step began so lately that a list may not show yet what it made: then a key
    /// or an inbox that is not found is not gone.
    pub may_still_show: bool,
}

/// A row, or a provision, or both, of which nothing is left outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The instance that they are of.
    pub id: InstanceId,
    /// The epoch of its row, where it has one.
    pub row: Option<Epoch>,
    /// Whether its provision goes too: not while a step of it is open.
    pub provision: bool,
}

/// A creation that was interrupted, with what the listing shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Its record, as far as it got.
    pub provision: ResourceRecord,
    /// The step to take next, or to settle.
    pub step: CreateStep,
    /// Its service, as recorded or as found by its name.
    pub service_id: Option<ServiceId>,
    /// Its volume, as recorded or as seen attached.
    pub volume_id: Option<VolumeId>,
    /// Whether it is seen with a domain.
    pub has_domain: bool,
    /// Whether it is seen with an image or a deployment: then the commit happened, and it is never
    /// patched again.
    pub is_committed: bool,
}

impl Plan {
    /// Whether nothing is to be done, and nothing waits for its turn or behind the fuse.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.refreshes.is_empty()
            && self.changes.is_empty()
            && self.adoptions.is_empty()
            && self.destructions.is_empty()
            && self.removals.is_empty()
            && self.resumes.is_empty()
            && self.create == 0
            && !self.pace_holds_back
            && self.report.fuse.is_none()
    }

    /// Takes out what Railway's budget would refuse, which allows `left` more instances; but not what
    /// a person asked for: its intents are made when there is a budget again.
    pub fn hold_back_creates(&mut self, left: usize, requested: usize) {
        let create = self.create.min(left.max(requested));
        self.report.hold_back(
            "creating instances",
            "the rest of Railway's budget is kept for listing and destroying",
            self.create - create,
        );
        self.create = create;
    }
}
