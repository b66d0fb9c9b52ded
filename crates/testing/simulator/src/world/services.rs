//! The older ways to change a service: its name, its source, and the settings of its instances.

use pool_domain::{EnvironmentId, ServiceId};
use serde_json::{Map, Value, json};

use super::model::{Cause, InstanceKey};
use super::{Caller, Refusal, World};

/// What `serviceInstanceUpdate` changes; what is none stays as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InstanceChanges {
    /// Another image.
    pub image: Option<String>,
    /// Another repository.
    pub repo: Option<String>,
    /// What stands under `deploy` in the configuration, by its names there. An empty text or list
    /// removes a setting.
    pub deploy: Map<String, Value>,
    /// What stands under `build` in the configuration, likewise.
    pub build: Map<String, Value>,
}

impl InstanceChanges {
    fn patch(&self) -> Value {
        let mut patch = json!({});
        for (section, settings) in [("deploy", &self.deploy), ("build", &self.build)] {
            let mut settings = settings.clone();
            for setting in settings.values_mut() {
                let is_cleared = setting.as_str() == Some("") || *setting == json!([]);
                if is_cleared {
                    *setting = Value::Null;
                }
            }
            if !settings.is_empty() {
                patch[section] = Value::Object(settings);
            }
        }
        // An image takes the repository's place, and the other way round.
        match (&self.image, &self.repo) {
            (Some(image), _) => patch["source"] = json!({"image": image, "repo": null}),
            (None, Some(repo)) => patch["source"] = json!({"image": null, "repo": repo}),
            (None, None) => {}
        }
        patch
    }
}

impl World {
    /// `serviceUpdate`: another name.
    pub(crate) fn service_rename(
        &mut self,
        caller: &Caller,
        id: &ServiceId,
        name: Option<String>,
    ) -> Result<(), Refusal> {
        let service = self.service(caller, id)?;
        let Some(name) = name.filter(|name| *name != service.name) else {
            return Ok(());
        };
        self.check_name(&service.project, &name)?;
        if let Some(service) = self.services.get_mut(id) {
            service.name = name;
        }
        Ok(())
    }

    /// `serviceInstanceUpdate`, in one environment or in all that the caller sees. A new source is
    /// deployed where the world is set so.
    pub(crate) fn service_instance_update(
        &mut self,
        caller: &Caller,
        id: &ServiceId,
        environment: Option<&EnvironmentId>,
        changes: &InstanceChanges,
    ) -> Result<(), Refusal> {
        let deploys = self.settings.update_deploys;
        for key in self.instances_of(caller, id, environment)? {
            let is_new = self.change(&key, &changes.patch())?;
            if is_new && deploys {
                self.deploy(&key, Cause::Updated)?;
            }
        }
        Ok(())
    }

    /// `serviceConnect`: a source for all environments, deployed at once. A project token may not.
    pub(crate) fn service_connect(
        &mut self,
        caller: &Caller,
        id: &ServiceId,
        changes: &InstanceChanges,
    ) -> Result<(), Refusal> {
        if matches!(caller, Caller::Project { .. }) {
            return Err(Refusal::NotAuthorized);
        }
        for key in self.instances_of(caller, id, None)? {
            self.change(&key, &changes.patch())?;
            self.deploy(&key, Cause::Updated)?;
        }
        Ok(())
    }

    /// `serviceDisconnect`: no source any more; what runs goes on.
    pub(crate) fn service_disconnect(
        &mut self,
        caller: &Caller,
        id: &ServiceId,
    ) -> Result<(), Refusal> {
        for key in self.instances_of(caller, id, None)? {
            self.change(&key, &json!({ "source": null }))?;
        }
        Ok(())
    }

    /// Lays a patch over an instance's configuration. Says whether it has a new source.
    fn change(&mut self, key: &InstanceKey, patch: &Value) -> Result<bool, Refusal> {
        let now = self.now;
        let instance = self.instance_mut(key);
        let instance = instance.ok_or(Refusal::ServiceInstanceNotFound)?;
        let source = |config: &super::Config| {
            let (image, repo) = (config.image(), config.repo());
            (image.map(str::to_owned), repo.map(str::to_owned))
        };
        let before = source(&instance.config);
        instance.config.patch(patch)?;
        instance.updated_at = now;
        let after = source(&instance.config);
        Ok(after != before && after != (None, None))
    }

    /// The instances of a live service that a caller means.
    pub(super) fn instances_of(
        &self,
        caller: &Caller,
        id: &ServiceId,
        environment: Option<&EnvironmentId>,
    ) -> Result<Vec<InstanceKey>, Refusal> {
        if let Some(environment) = environment {
            let key = (id.clone(), environment.clone());
            self.check_instance(caller, &key)?;
            return Ok(vec![key]);
        }
        let seen = self.service(caller, id)?.instances.keys();
        let seen = seen.filter(|environment| caller.may_see(environment));
        Ok(seen
            .map(|environment| (id.clone(), environment.clone()))
            .collect())
    }
}
