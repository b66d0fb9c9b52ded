//! What is left to destroy of each instance that is dead, was deleted by a person, or was never
//! finished; and which rows may go because nothing is left.

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::write::OwnedResources;
use pool_domain::{
    CreateStep, DestroyStep, Instance, ObservedVolume, Policy, Report, ResourceRecord, Stage,
};

use crate::resume::may_go_on;
use crate::transition::is_missing;
use crate::{Accounts, Destruction, Identity, Index, Removal, Snapshot};

/// What there is to destroy and to remove.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) destructions: Vec<Destruction>,
    pub(crate) removals: Vec<Removal>,
}

/// Plans every end: first of rows, then of provisions that have no row.
pub(crate) fn ends(
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
    identity: &Identity,
    report: &mut Report,
) -> Ends {
    let mut ends = Ends::default();
    let ending_rows = snapshot.rows.iter().filter(|row| row.is_to_be_destroyed());
    for row in ending_rows {
        let end = End::of_row(
            row,
            index.provision(&row.id),
            snapshot,
            index,
            policy,
            identity,
        );
        end.plan(&mut ends, report);
    }
    let orphans = snapshot
        .provisions
        .iter()
        .filter(|p| index.row(&p.id).is_none());
    for provision in orphans.filter(|p| is_ending(p, snapshot, index, policy)) {
        let end = End::of_provision(provision, snapshot, index, policy, identity);
        end.plan(&mut ends, report);
    }
    // Those that failed least come first, so that the ones which fail again and again starve nobody.
    ends.destructions.sort_by_key(|it| it.attempts);
    let free = Policy::DESTROYS_PER_TICK_MAX.saturating_sub(snapshot.in_flight.ending.len());
    let over = ends.destructions.len().saturating_sub(free);
    report.hold_back("destroying instances", "too many at once", over);
    ends.destructions.truncate(free);
    ends
}

/// Whether a provision without a row is to be destroyed: begun so, failed again and again in all the
/// time that a start may take, or its row was taken away and its service is gone.
fn is_ending(
    provision: &ResourceRecord,
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
) -> bool {
    match provision.stage {
        Stage::Destroying => true,
        // One that was begun before the records were restored may have been finished since.
        Stage::Creating(_) if index.is_name_taken(provision) => !snapshot.is_unverified(provision),
        Stage::Creating(step) if step > CreateStep::Row => true,
        Stage::Creating(_) => {
            !may_go_on(provision)
                && is_older(snapshot.now, provision.created_at, policy.stuck_timeout)
        }
        Stage::Created => {
            index.service_of(provision).is_none()
                && is_later(snapshot, provision.step_began_at, policy)
        }
    }
}

/// The end of one instance.
struct End<'a> {
    owned: OwnedResources,
    row: Option<&'a Instance>,
    provision: Option<&'a ResourceRecord>,
    snapshot: &'a Snapshot,
    /// Whether the listing shows the service.
    service_seen: bool,
    /// Whether a row's service has been absent for as long as makes it missing; or there is no row,
    /// and so nothing was attached to the service yet.
    is_missing: bool,
    /// The volumes that the listing shows and that nobody has deleted yet.
    live_volumes: Vec<&'a ObservedVolume>,
    policy: &'a Policy,
    accounts: Accounts,
}

impl<'a> End<'a> {
    fn of_row(
        row: &'a Instance,
        provision: Option<&'a ResourceRecord>,
        snapshot: &'a Snapshot,
        index: &Index<'a>,
        policy: &'a Policy,
        identity: &Identity,
    ) -> Self {
        let mut owned = OwnedResources {
            id: row.id.clone(),
            name: row.name.clone(),
            service_id: Some(row.service_id.clone()),
            openrouter_key_hash: row.openrouter_key_hash.clone(),
            agentmail_inbox_id: row.agentmail_inbox_id.clone(),
            volume_ids: Vec::new(),
        };
        if let Some(provision) = provision {
            let hash = provision.openrouter_key_hash.clone();
            owned.openrouter_key_hash = hash.or(owned.openrouter_key_hash);
            let inbox = provision.agentmail_inbox_id.clone();
            owned.agentmail_inbox_id = inbox.or(owned.agentmail_inbox_id);
        }
        Self::new(
            owned,
            Some(row),
            provision,
            snapshot,
            index,
            policy,
            identity,
        )
    }

    fn of_provision(
        provision: &'a ResourceRecord,
        snapshot: &'a Snapshot,
        index: &Index<'a>,
        policy: &'a Policy,
        identity: &Identity,
    ) -> Self {
        let seen = index
            .service_of(provision)
            .map(|service| service.service_id.clone());
        let owned = OwnedResources {
            id: provision.id.clone(),
            name: provision.name.clone(),
            service_id: provision.service_id.clone().or(seen),
            openrouter_key_hash: provision.openrouter_key_hash.clone(),
            agentmail_inbox_id: provision.agentmail_inbox_id.clone(),
            volume_ids: Vec::new(),
        };
        Self::new(
            owned,
            None,
            Some(provision),
            snapshot,
            index,
            policy,
            identity,
        )
    }

    fn new(
        mut owned: OwnedResources,
        row: Option<&'a Instance>,
        provision: Option<&'a ResourceRecord>,
        snapshot: &'a Snapshot,
        index: &Index<'a>,
        policy: &'a Policy,
        identity: &Identity,
    ) -> Self {
        let recorded = provision.and_then(|provision| provision.volume_id.as_ref());
        let service = owned.service_id.as_ref();
        let attached = service.map_or(&[][..], |id| index.volumes_of(id));
        let by_id = recorded.and_then(|id| index.volume(id));
        // One that is both recorded and attached is there twice, and goes once.
        let live_volumes: Vec<_> = by_id
            .into_iter()
            .chain(attached.iter().copied())
            .filter(|volume| !volume.pending_deletion)
            .collect();
        owned.volume_ids = recorded.cloned().into_iter().collect();
        for volume in &live_volumes {
            if !owned.volume_ids.contains(&volume.volume_id) {
                owned.volume_ids.push(volume.volume_id.clone());
            }
        }
        let service_seen = owned
            .service_id
            .as_ref()
            .is_some_and(|id| index.service(id).is_some());
        let is_missing = row.is_none_or(|row| is_missing(row, snapshot, index, policy));
        let accounts = identity.accounts;
        Self {
            owned,
            row,
            provision,
            snapshot,
            service_seen,
            is_missing,
            live_volumes,
            policy,
            accounts,
        }
    }

    fn plan(self, ends: &mut Ends, report: &mut Report) {
        if self.snapshot.listing.is_complete() && self.is_gone_outside() {
            ends.removals.push(self.removal(report));
            return;
        }
        if self.snapshot.in_flight.contains(&self.owned.id) {
            return;
        }
        let due = self
            .provision
            .and_then(|provision| provision.next_attempt_at);
        if due.is_some_and(|due| due > self.snapshot.now) {
            report.hold_back(
                "destroying an instance",
                "it failed and is tried again later",
                1,
            );
            return;
        }
        if self.volume_may_still_show() {
            report.hold_back("destroying an instance", "its volume may still show", 1);
            return;
        }
        let already_gone: Vec<_> = self.open().filter(|step| self.is_nothing(*step)).collect();
        let steps: Vec<_> = DestroyStep::ALL
            .into_iter()
            .filter(|step| !already_gone.contains(step) && self.is_to_do(*step))
            .collect();
        if !self.knows_its_volumes() {
            report.hold_back(
                "destroying an instance",
                "its volume and service: no listing shows its volumes",
                1,
            );
        }
        let hidden = self.open().filter(|step| self.is_hidden(*step)).count();
        report.hold_back(
            "deleting a key or an inbox",
            "nobody knows which it is, and a list may not show it yet",
            hidden,
        );
        let is_begun = self.provision.is_some_and(|p| p.stage == Stage::Destroying);
        let may_still_show = self.may_still_show();
        if !steps.is_empty() || !already_gone.is_empty() || !is_begun {
            let attempts = match self.provision {
                Some(provision) if is_begun => provision.attempts,
                _ => 0,
            };
            let owned = self.owned;
            ends.destructions.push(Destruction {
                owned,
                steps,
                already_gone,
                attempts,
                may_still_show,
            });
        }
    }

    /// Every step that is not recorded as done.
    fn open(&self) -> impl Iterator<Item = DestroyStep> + '_ {
        DestroyStep::ALL
            .into_iter()
            .filter(|step| !self.is_done(*step))
    }

    fn is_done(&self, step: DestroyStep) -> bool {
        self.provision
            .is_some_and(|p| p.stage == Stage::Destroying && p.is_destroyed(step))
    }

    /// Whether the step has nothing to do: there is no key, no inbox, no volume, no service.
    fn is_nothing(&self, step: DestroyStep) -> bool {
        match step {
            DestroyStep::Key => {
                self.owned.openrouter_key_hash.is_none()
                    && (!self.accounts.openrouter || !self.may_have_made(CreateStep::Key))
            }
            DestroyStep::Inbox => {
                self.owned.agentmail_inbox_id.is_none()
                    && (!self.accounts.agentmail || !self.may_have_made(CreateStep::Inbox))
            }
            DestroyStep::Volumes => {
                self.knows_its_volumes()
                    && self.lacks_service_surely()
                    && self.owned.volume_ids.is_empty()
            }
            // One that we know by its id is asked to go in any case: a listing that hides it once
            // would leave it there for ever, and what is gone already may be deleted again.
            DestroyStep::Service => self.owned.service_id.is_none() && self.lacks_service_surely(),
        }
    }

    /// Whether the step is to be taken now: it is open, or what it destroyed is still there long
    /// after.
    fn is_to_do(&self, step: DestroyStep) -> bool {
        match step {
            DestroyStep::Key => {
                !self.is_done(step) && self.accounts.openrouter && !self.is_hidden(step)
            }
            DestroyStep::Inbox => {
                !self.is_done(step) && self.accounts.agentmail && !self.is_hidden(step)
            }
            DestroyStep::Volumes => {
                self.knows_its_volumes()
                    && (!self.is_done(step) || (!self.live_volumes.is_empty() && self.is_late()))
            }
            DestroyStep::Service => {
                self.knows_its_volumes()
                    && self.owned.service_id.is_some()
                    && (!self.is_done(step) || (self.service_seen && self.is_late()))
            }
        }
    }

    /// It may have been made, nobody was told by which id, and a list may not show it yet.
    fn is_hidden(&self, step: DestroyStep) -> bool {
        let is_unknown = match step {
            DestroyStep::Key => {
                self.accounts.openrouter && self.owned.openrouter_key_hash.is_none()
            }
            DestroyStep::Inbox => {
                self.accounts.agentmail && self.owned.agentmail_inbox_id.is_none()
            }
            DestroyStep::Volumes | DestroyStep::Service => false,
        };
        is_unknown && !self.is_nothing(step) && self.may_still_show()
    }

    /// What its last step made may not be in any list yet.
    fn may_still_show(&self) -> bool {
        let now = self.snapshot.now;
        self.provision
            .is_some_and(|it| !is_older(now, it.step_began_at, self.policy.missing_grace))
    }

    /// The service goes only after its volumes are known: a volume that nobody recorded is found by
    /// the service that it is attached to, and no longer once that is gone. A listing that hides
    /// the service may hide the volume, too, unless the service is missing.
    fn knows_its_volumes(&self) -> bool {
        let is_recorded = self
            .provision
            .is_some_and(|provision| provision.volume_id.is_some());
        let is_shown = self.service_seen || self.is_missing;
        is_recorded || (self.snapshot.listing.is_complete() && is_shown)
    }

    /// A key or inbox may have been made although no answer told us which. Once the destruction has
    /// begun, what surely was not made is recorded as gone, so an open step may have been.
    fn may_have_made(&self, step: CreateStep) -> bool {
        self.provision.is_some_and(|provision| {
            matches!(provision.stage, Stage::Destroying) || provision.stage == Stage::Creating(step)
        })
    }

    /// A volume was asked for, nobody knows whether it was made, and it may still show.
    fn volume_may_still_show(&self) -> bool {
        self.provision.is_some_and(|provision| {
            provision.stage == Stage::Creating(CreateStep::Volume)
                && self.owned.volume_ids.is_empty()
                && !is_later(self.snapshot, provision.step_began_at, self.policy)
        })
    }

    /// A complete listing, late enough to show what was made last, lacks the service.
    fn lacks_service_surely(&self) -> bool {
        let since = match (self.provision, self.row) {
            (Some(provision), _) => provision.step_began_at,
            (None, Some(row)) => row.created_at,
            (None, None) => return false,
        };
        !self.service_seen && is_later(self.snapshot, since, self.policy)
    }

    /// The deletion was accepted so long ago that what the listing still shows is really there.
    fn is_late(&self) -> bool {
        let deleted_at = self
            .provision
            .and_then(|provision| provision.service_deleted_at);
        deleted_at.is_some_and(|at| is_later(self.snapshot, at, self.policy))
    }

    /// Everything is done that can be done, and this listing, begun after that, agrees.
    fn is_gone_outside(&self) -> bool {
        let Some(deleted_at) = self.provision.and_then(|p| p.service_deleted_at) else {
            return false;
        };
        deleted_at < self.snapshot.listing.started_at
            && !self.service_seen
            && self.live_volumes.is_empty()
            && self.open().all(|step| self.waits_for_account(step))
    }

    /// The account is not configured any more: the step stays open, and the row goes without it.
    fn waits_for_account(&self, step: DestroyStep) -> bool {
        match step {
            DestroyStep::Key => !self.accounts.openrouter,
            DestroyStep::Inbox => !self.accounts.agentmail,
            DestroyStep::Volumes | DestroyStep::Service => false,
        }
    }

    fn removal(&self, report: &mut Report) -> Removal {
        let waiting = self.open().count();
        report.hold_back(
            format!("deleting the key or inbox of {}", self.owned.id),
            "its account is not configured",
            waiting,
        );
        Removal {
            id: self.owned.id.clone(),
            row: self.row.map(|row| row.epoch),
            provision: waiting == 0,
        }
    }
}

/// Whether this complete listing began more than the grace after that time.
fn is_later(snapshot: &Snapshot, than: DateTime<Utc>, policy: &Policy) -> bool {
    snapshot.listing.is_complete()
        && is_older(snapshot.listing.started_at, than, policy.missing_grace)
}

fn is_older(now: DateTime<Utc>, than: DateTime<Utc>, age: std::time::Duration) -> bool {
    let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
    now - than > age
}
