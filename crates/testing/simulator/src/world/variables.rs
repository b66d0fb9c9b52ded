//! The older ways to read and change variables. Whoever changes them one way sees them the other.

use std::collections::BTreeMap;

use pool_domain::{EnvironmentId, ProjectId, ServiceId};
use serde_json::{Map, Value, json};

use super::model::{Cause, InstanceKey};
use super::{Caller, Refusal, World};

/// Which variables: a service's in an environment, or without a service the environment's own.
#[derive(Debug, Clone)]
pub struct VariableScope {
    pub project: ProjectId,
    pub environment: EnvironmentId,
    /// The service; none are those that services may share.
    pub service: Option<ServiceId>,
}

impl VariableScope {
    fn key(&self) -> Option<InstanceKey> {
        Some((self.service.clone()?, self.environment.clone()))
    }
}

impl World {
    /// `variables`. Unless `unrendered`, with those that Railway adds by itself.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`] or [`Refusal::ServiceInstanceNotFound`] where the caller sees no
    /// such environment or service in it.
    pub fn variables(
        &self,
        caller: &Caller,
        scope: &VariableScope,
        unrendered: bool,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        self.environment(caller, &scope.environment, Some(&scope.project))?;
        let Some(key) = scope.key() else {
            let shared = self.shared_variables.get(&scope.environment);
            return Ok(shared.cloned().unwrap_or_default());
        };
        self.check_instance(caller, &key)?;
        let instance = self.instance(&key);
        let instance = instance.ok_or(Refusal::ServiceInstanceNotFound)?;
        let mut variables = instance.config.variables();
        if !unrendered {
            let given = self.given_variables(&key);
            variables.extend(given.into_iter().map(|(k, v)| (k.to_owned(), v)));
        }
        Ok(variables)
    }

    /// `variableUpsert` and `variableCollectionUpsert`: those named are set, and the others removed
    /// where `replace`. What changed is deployed unless `skip_deploys`.
    ///
    /// # Errors
    ///
    /// As [`Self::variables`].
    pub fn variables_upsert(
        &mut self,
        caller: &Caller,
        scope: &VariableScope,
        variables: &BTreeMap<String, String>,
        replace: bool,
        skip_deploys: bool,
    ) -> Result<(), Refusal> {
        let present = self.variables(caller, scope, true)?;
        let gone = present
            .keys()
            .filter(|name| replace && !variables.contains_key(*name));
        let gone = gone.map(|name| (name.clone(), None));
        let set = variables.iter().map(|(k, v)| (k.clone(), Some(v.clone())));
        self.change_variables(scope, gone.chain(set).collect(), skip_deploys)
    }

    pub(crate) fn variable_delete(
        &mut self,
        caller: &Caller,
        scope: &VariableScope,
        name: &str,
    ) -> Result<(), Refusal> {
        self.variables(caller, scope, true)?;
        self.change_variables(scope, BTreeMap::from([(name.to_owned(), None)]), false)
    }

    fn change_variables(
        &mut self,
        scope: &VariableScope,
        changes: BTreeMap<String, Option<String>>,
        skip_deploys: bool,
    ) -> Result<(), Refusal> {
        let Some(key) = scope.key() else {
            let shared = self
                .shared_variables
                .entry(scope.environment.clone())
                .or_default();
            for (name, value) in changes {
                match value {
                    Some(value) => shared.insert(name, value),
                    None => shared.remove(&name),
                };
            }
            return Ok(());
        };
        let value = |value: Option<String>| value.map_or(Value::Null, |v| json!({ "value": v }));
        let patch: Map<_, _> = changes.into_iter().map(|(k, v)| (k, value(v))).collect();
        let now = self.now;
        let instance = self.instance_mut(&key);
        let instance = instance.ok_or(Refusal::ServiceInstanceNotFound)?;
        let is_new = instance.config.patch(&json!({ "variables": patch }))?;
        instance.updated_at = now;
        let has_source = instance.config.image().is_some() || instance.config.repo().is_some();
        if is_new && has_source && !skip_deploys {
            self.deploy(&key, Cause::Updated)?;
        }
        Ok(())
    }

    /// The variables that Railway adds by itself.
    fn given_variables(&self, key: &InstanceKey) -> BTreeMap<&'static str, String> {
        let mut given = BTreeMap::from([
            ("RAILWAY_PROJECT_ID", self.home.project.to_string()),
            ("RAILWAY_ENVIRONMENT_ID", key.1.to_string()),
            ("RAILWAY_SERVICE_ID", key.0.to_string()),
        ]);
        if let Some((_, environment)) = self.find_environment(&key.1) {
            given.insert("RAILWAY_ENVIRONMENT_NAME", environment.name.clone());
        }
        if let Some(service) = self.services.get(&key.0) {
            given.insert("RAILWAY_PROJECT_ID", service.project.to_string());
            given.insert("RAILWAY_SERVICE_NAME", service.name.clone());
        }
        let domain = self
            .instance(key)
            .and_then(|instance| instance.domains.first());
        if let Some(domain) = domain {
            given.insert("RAILWAY_PUBLIC_DOMAIN", domain.domain.clone());
        }
        let mounted = self
            .volume_of(key)
            .and_then(|volume| volume.instances.get(&key.1));
        if let Some(mounted) = mounted {
            given.insert("RAILWAY_VOLUME_MOUNT_PATH", mounted.mount_path.clone());
        }
        given
    }
}
