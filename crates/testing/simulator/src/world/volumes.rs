//! Volumes: made, attached, detached, and gone 48 hours after they were deleted.

use pool_domain::{EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::model::{Service, Volume};
use super::timer::Timer;
use super::{Caller, Refusal, World};

/// What `volumeCreate` takes.
#[derive(Debug, Clone)]
pub struct NewVolume {
    pub project: ProjectId,
    pub environment: EnvironmentId,
    /// The service to attach it to; none leaves it detached.
    pub service: Option<ServiceId>,
    /// Where in the container it is to be.
    pub mount_path: String,
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
        self.check_project(&new.project)?;
        self.environment(caller, &new.environment)?;
        self.check_room_for_volume(&new)?;
        let free_at = self
            .last_volume_at
            .map(|at| at + self.settings.volume_cooldown);
        if free_at.is_some_and(|at| self.now < at) {
            return Err(Refusal::TooQuickly("volumes"));
        }
        self.last_volume_at = Some(self.now);
        let id = VolumeId::new(self.new_id());
        let volume = Volume {
            id: id.clone(),
            name: format!("volume-{:08x}", self.rng.u32(..)),
            instance_id: self.new_id(),
            seq: self.next_seq(),
            environment: new.environment,
            service: new.service,
            created_at: self.now,
            deleted_at: None,
            purged_at: None,
        };
        self.volumes.insert(id.clone(), volume);
        Ok(id)
    }

    fn check_room_for_volume(&self, new: &NewVolume) -> Result<(), Refusal> {
        if !new.mount_path.starts_with('/') {
            return Err(Refusal::ProblemProcessing);
        }
        if let Some(service) = &new.service {
            let live = self.services.get(service).is_some_and(Service::is_live);
            if !live {
                return Err(Refusal::NotAuthorized);
            }
            let key = (service.clone(), new.environment.clone());
            if self.volume_of(&key).is_some() {
                return Err(Refusal::VolumeMounted);
            }
        }
        let pending_count = self.settings.pending_volumes_count;
        let kept = self.volumes.values();
        let kept = kept.filter(|volume| pending_count || !volume.is_pending_deletion());
        let room = self.settings.volumes_per_project;
        if room.is_some_and(|max| kept.count() >= max) {
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
        self.environment(caller, &volume.environment)?;
        let now = self.now;
        let purged_at = now + self.settings.volume_retention;
        if let Some(volume) = self.volumes.get_mut(id) {
            volume.deleted_at = Some(now);
            volume.purged_at = Some(purged_at);
        }
        self.at(purged_at, Timer::Purge(id.clone()));
        Ok(())
    }
}
