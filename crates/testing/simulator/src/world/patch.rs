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
        self.environment(caller, environment)?;
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
        self.environment(caller, environment)?;
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
            let deploys = config.image().is_some();
            if let Some(instance) = self.instance_mut(&key) {
                instance.config = config;
            }
            if deploys {
                self.deploy(&key, Cause::Patched)?;
            }
        }
        Ok(self.new_id())
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
