//! `environment.config` and `environmentPatchCommit`: many services in one request, one deployment
//! for each whose configuration changed, and none for the others.

use std::collections::BTreeMap;

use pool_domain::EnvironmentId;
use serde_json::{Map, Value, json};

use super::model::Cause;
use super::{Caller, InstanceKey, Refusal, World};

impl World {
    /// `environment.config`. Without `decrypt` the values of variables are masked.
    pub(crate) fn environment_config(
        &self,
        caller: &Caller,
        environment: &EnvironmentId,
        decrypt: bool,
    ) -> Result<Value, Refusal> {
        self.environment(caller, environment, None)?;
        let services = self.live_services();
        let entries = services.iter().filter_map(|service| {
            let instance = service.instances.get(environment)?;
            let mut config = instance.config.as_json().clone();
            if !decrypt {
                mask(&mut config);
            }
            Some((service.id.as_str().to_owned(), config))
        });
        Ok(json!({ "services": entries.collect::<Map<_, _>>() }))
    }

    /// `environmentPatchCommit`: all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProblemProcessing`] for a patch that does not fit or names a service that is not
    /// there: none of it is done then. Else as [`Self::environment`].
    pub fn environment_patch_commit(
        &mut self,
        caller: &Caller,
        environment: &EnvironmentId,
        patch: &Value,
    ) -> Result<String, Refusal> {
        self.environment(caller, environment, None)?;
        let services = match patch.get("services") {
            None => &Map::new(),
            Some(services) => services.as_object().ok_or(Refusal::ProblemProcessing)?,
        };
        let mut changed = BTreeMap::new();
        for (id, patch) in services {
            let key: InstanceKey = (id.as_str().into(), environment.clone());
            // A service that is gone is said no better than bad input is.
            let instance = self.instance(&key).ok_or(Refusal::ProblemProcessing)?;
            let mut config = instance.config.clone();
            if config.patch(patch)? {
                changed.insert(key, config);
            }
        }
        for (key, config) in changed {
            let deploys = config.image().is_some() || config.repo().is_some();
            let now = self.now;
            if let Some(instance) = self.instance_mut(&key) {
                instance.config = config;
                instance.updated_at = now;
            }
            if deploys {
                self.deploy(&key, Cause::Patched)?;
            }
        }
        Ok(self.new_id())
    }

    /// `serviceInstanceLimitsUpdate`: changes the limits, and deploys nothing.
    pub(crate) fn limits_update(
        &mut self,
        caller: &Caller,
        key: &InstanceKey,
        cpu: Option<f64>,
        memory_gb: Option<f64>,
    ) -> Result<(), Refusal> {
        self.check_instance(caller, key)?;
        let mut containers = Map::new();
        if let Some(cpu) = cpu {
            containers.insert("cpu".to_owned(), json!(cpu));
        }
        if let Some(gb) = memory_gb {
            containers.insert("memoryBytes".to_owned(), json!(gb * 1_073_741_824.0));
        }
        let patch = json!({"deploy": {"limitOverride": {"containers": containers}}});
        let instance = self
            .instance_mut(key)
            .ok_or(Refusal::ServiceInstanceNotFound)?;
        instance.config.patch(&patch)?;
        Ok(())
    }
}

fn mask(config: &mut Value) {
    let Some(variables) = config.get_mut("variables").and_then(Value::as_object_mut) else {
        return;
    };
    for variable in variables.values_mut() {
        *variable = json!({"value": "*****"});
    }
}
