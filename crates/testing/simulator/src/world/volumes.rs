//! Volumes: made, attached, detached, and gone 48 hours after they were deleted.

use pool_domain::{EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::model::{Service, Volume, VolumeInstance};
use super::timer::Timer;
use super::{Caller, Refusal, World};

/// Which environments a new volume reaches: Railway tells "not said" from "null".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Not said: all that are no forks.
    All,
    /// Null: none.
    None,
    One(EnvironmentId),
}

/// What `volumeCreate` takes.
#[derive(Debug, Clone)]
pub struct NewVolume {
    pub project: ProjectId,
    /// Which environments it reaches.
    pub reach: Reach,
    /// The service to attach it to; none leaves it detached.
    pub service: Option<ServiceId>,
    /// Where in the container it is to be.
    pub mount_path: String,
}

/// What `volumeInstanceUpdate` changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeChanges {
    /// The service that it is attached to from now on; none detaches it.
    pub service: Option<ServiceId>,
    /// Where in the container it is to be; none leaves it.
    pub mount_path: Option<String>,
}

impl World {
    /// `volumeCreate`.
    ///
    /// # Errors
    ///
    /// [`Refusal::VolumeMounted`] where the service has one, [`Refusal::TooQuickly`] soon after the
    /// last, [`Refusal::ProvisionLimit`] beyond what the plan allows,
    /// [`Refusal::ProblemProcessing`] for a mount path that cannot be, [`Refusal::NotAuthorized`]
    /// for what the caller does not see.
    pub fn volume_create(&mut self, caller: &Caller, new: NewVolume) -> Result<VolumeId, Refusal> {
        let project = self.project(caller, &new.project)?;
        let reached: Vec<_> = match &new.reach {
            Reach::None => Vec::new(),
            Reach::All => {
                let all = project.environments.iter().filter(|e| !e.is_fork);
                all.map(|e| e.id.clone()).collect()
            }
            Reach::One(id) => {
                self.environment(caller, id, Some(&new.project))?;
                vec![id.clone()]
            }
        };
        self.check_room_for_volume(&new, &reached)?;
        let cooldown = self.settings.volume_cooldown;
        if self
            .last_volume_at
            .is_some_and(|at| self.now < at + cooldown)
        {
            return Err(Refusal::TooQuickly("volumes"));
        }
        self.last_volume_at = Some(self.now);
        let id = VolumeId::new(self.new_id());
        let name = format!("volume-{:08x}", self.rng.u32(..));
        let instances = reached.into_iter().map(|environment| {
            let mount_path = new.mount_path.clone();
            let instance = VolumeInstance {
                id: self.new_id(),
                service: new.service.clone(),
                mount_path,
            };
            (environment, instance)
        });
        let instances = instances.collect();
        let volume = Volume {
            id: id.clone(),
            project: new.project,
            name,
            seq: self.next_seq(),
            created_at: self.now,
            deleted_at: None,
            purged_at: None,
            instances,
        };
        self.volumes.insert(id.clone(), volume);
        Ok(id)
    }

    fn check_room_for_volume(
        &self,
        new: &NewVolume,
        reached: &[EnvironmentId],
    ) -> Result<(), Refusal> {
        if !new.mount_path.starts_with('/') {
            return Err(Refusal::ProblemProcessing);
        }
        if let Some(service) = &new.service {
            let live = self.services.get(service).is_some_and(Service::is_live);
            if !live {
                return Err(Refusal::NotAuthorized);
            }
            if reached
                .iter()
                .any(|e| self.volume_of(&(service.clone(), e.clone())).is_some())
            {
                return Err(Refusal::VolumeMounted);
            }
        }
        let pending_count = self.settings.pending_volumes_count;
        let kept = self
            .volumes
            .values()
            .filter(|v| v.project == new.project && (pending_count || !v.is_pending_deletion()))
            .count();
        if self
            .settings
            .volumes_per_project
            .is_some_and(|max| kept >= max)
        {
            return Err(Refusal::ProvisionLimit);
        }
        Ok(())
    }

    /// `volumeDelete`: pending deletion from now on, gone for good after the retention.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`] where the caller may not see it, or it is gone.
    pub fn volume_delete(&mut self, caller: &Caller, id: &VolumeId) -> Result<(), Refusal> {
        let volume = self.volumes.get(id).filter(|v| !v.is_pending_deletion());
        let volume = volume.ok_or(Refusal::NotAuthorized)?;
        self.project(caller, &volume.project)?;
        let visible =
            volume.instances.is_empty() || volume.instances.keys().any(|e| caller.may_see(e));
        if !visible {
            return Err(Refusal::NotAuthorized);
        }
        let now = self.now;
        let purged_at = now + self.settings.volume_retention;
        if let Some(volume) = self.volumes.get_mut(id) {
            volume.deleted_at = Some(now);
            volume.purged_at = Some(purged_at);
        }
        self.at(purged_at, Timer::Purge(id.clone()));
        Ok(())
    }

    /// `volumeUpdate`: another name.
    pub(crate) fn volume_rename(
        &mut self,
        caller: &Caller,
        id: &VolumeId,
        name: Option<String>,
    ) -> Result<(), Refusal> {
        let volume = self.volumes.get(id).ok_or(Refusal::NotAuthorized)?;
        self.project(caller, &volume.project)?;
        if let (Some(volume), Some(name)) = (self.volumes.get_mut(id), name) {
            volume.name = name;
        }
        Ok(())
    }

    /// `volumeInstanceUpdate`, in one environment or in all that it reaches. One that names no
    /// service is detached by it.
    pub(crate) fn volume_instance_update(
        &mut self,
        caller: &Caller,
        id: &VolumeId,
        environment: Option<&EnvironmentId>,
        changes: &VolumeChanges,
    ) -> Result<(), Refusal> {
        let volume = self.volumes.get(id).filter(|v| !v.is_pending_deletion());
        let volume = volume.ok_or(Refusal::NotAuthorized)?;
        self.project(caller, &volume.project)?;
        let reached = volume.instances.keys();
        let reached: Vec<_> = reached
            .filter(|e| caller.may_see(e) && environment.is_none_or(|asked| asked == *e))
            .cloned()
            .collect();
        if reached.is_empty() {
            return Err(Refusal::VolumeInstanceNotFound);
        }
        if let Some(service) = &changes.service {
            let live = self.services.get(service).is_some_and(Service::is_live);
            if !live {
                return Err(Refusal::NotAuthorized);
            }
            let mut there = reached
                .iter()
                .map(|e| self.volume_of(&(service.clone(), e.clone())));
            if there.any(|other| other.is_some_and(|other| other.id != *id)) {
                return Err(Refusal::VolumeMounted);
            }
        }
        let Some(volume) = self.volumes.get_mut(id) else {
            return Err(Refusal::NotAuthorized);
        };
        for environment in &reached {
            if let Some(instance) = volume.instances.get_mut(environment) {
                instance.service.clone_from(&changes.service);
                if let Some(path) = &changes.mount_path {
                    instance.mount_path.clone_from(path);
                }
            }
        }
        Ok(())
    }
}
