//! The client of one environment: one method for each call that the pool makes there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use chrono::{DateTime, Utc};
use cynic::Operation;
use pool_domain::budget::Heard;
use pool_domain::{BudgetReport, EnvironmentId, ProjectId, Secret, ServiceId, Spent, VolumeId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Sent;
use crate::fallback::Fallback;
use crate::governor::Task;
use crate::operations::{
    Config, environment_config, environment_patch_commit, service_create, service_delete,
    service_domain_create, volume_create, volume_delete,
};
use crate::patch::{ServicePatch, environment_patch};
use crate::wire::{Call, Wire};
use crate::{Error, ErrorClass};

/// A client of one environment. Cheap to clone; clones share connections, spacing and budget.
#[derive(Debug, Clone)]
pub struct EnvironmentClient {
    pub(crate) wire: Arc<Wire>,
    pub(crate) fallback: Arc<Fallback>,
    pub(crate) project_id: ProjectId,
    pub(crate) id: EnvironmentId,
}

impl EnvironmentClient {
    /// The environment that all requests of this client are about.
    #[must_use]
    pub fn id(&self) -> &EnvironmentId {
        &self.id
    }

    /// The variables of every service in the environment, in plain text, in one request.
    ///
    /// # Errors
    ///
    /// [`Error`] where not all of them arrived. What passes by itself was tried again already; the
    /// next tick may ask again.
    pub async fn variables(&self) -> Result<HashMap<ServiceId, HashMap<String, Secret>>, Error> {
        let operation = environment_config::build(environment_config::Variables {
            environment_id: self.environment(),
            project_id: self.project(),
        });
        let config = self.send(&operation, "EnvironmentConfig", Task::Adoption);
        let Config(config) = config.await?.environment.config;
        Ok(variables_of(&config))
    }

    /// Makes a service with nothing but a name. The name is unique in the project, so a lost answer
    /// is found again by it ([`ErrorClass::NameTaken`]).
    ///
    /// # Errors
    ///
    /// [`Error`] of class `NameTaken` where a service of that name is there, `CreationThrottled`
    /// and `RateLimited` where a later try may do, `ResourceLimit` where the plan allows no more.
    /// Where [`Error::may_have_happened`], the name tells.
    pub async fn create_service(&self, name: &str) -> Result<ServiceId, Error> {
        let operation = service_create::build(service_create::ServiceCreateInput {
            environment_id: self.environment(),
            name: name.to_owned(),
            project_id: self.project(),
        });
        let made = self.send(&operation, "ServiceCreate", Task::Begin);
        Ok(ServiceId::new(made.await?.service_create.id.into_inner()))
    }

    /// Makes a volume for a service, mounted at `mount_path`.
    ///
    /// # Errors
    ///
    /// [`Error`] of class `TooEarly` while Railway does not know the service everywhere, which
    /// passes; `ResourceLimit`; where [`Error::may_have_happened`], a later listing tells.
    pub async fn create_volume(
        &self,
        service: &ServiceId,
        mount_path: &str,
    ) -> Result<VolumeId, Error> {
        let operation = volume_create::build(volume_create::VolumeCreateInput {
            environment_id: self.environment(),
            mount_path: mount_path.to_owned(),
            project_id: self.project(),
            service_id: service.as_str().to_owned(),
        });
        let made = self.send(&operation, "VolumeCreate", Task::Finish);
        Ok(VolumeId::new(made.await?.volume_create.id.into_inner()))
    }

    /// Makes a public domain for a service, without a target port, and gives it back (no scheme).
    ///
    /// # Errors
    ///
    /// As [`Self::create_volume`].
    pub async fn create_domain(&self, service: &ServiceId) -> Result<String, Error> {
        let operation =
            service_domain_create::build(service_domain_create::ServiceDomainCreateInput {
                environment_id: self.environment(),
                service_id: service.as_str().to_owned(),
            });
        let made = self.send(&operation, "ServiceDomainCreate", Task::Finish);
        Ok(made.await?.service_domain_create.domain)
    }

    /// Sets what these services run, all in one commit, which deploys each of them once. Nothing is
    /// sent for none.
    ///
    /// # Errors
    ///
    /// [`Error`]. Where [`Error::may_have_happened`], only a later listing tells whether these
    /// services are deployed; `BadRequest` and `NotFound` hold for all of them, though one may be
    /// at fault.
    pub async fn commit(&self, patches: &[ServicePatch]) -> Result<(), Error> {
        if patches.is_empty() {
            return Ok(());
        }
        let count = patches.len();
        let operation = environment_patch_commit::build(environment_patch_commit::Variables {
            environment_id: self.environment(),
            patch: Config(environment_patch(patches)),
            commit_message: format!("Warm pool: start {count} agents"),
        });
        // A refusal may quote the patch.
        let variables = patches.iter().flat_map(|patch| &patch.variables);
        let secrets: Vec<Secret> = variables
            .map(|(_, value)| value)
            .filter(|value| value.expose().len() >= VARIABLE_BYTES_MIN)
            .cloned()
            .collect();
        let requests = AtomicU32::new(0);
        let call = Call {
            task: Task::Finish,
            secrets: &secrets,
            requests: &requests,
        };
        let committed = self
            .wire
            .send(&operation, "EnvironmentPatchCommit", &call)
            .await?;
        committed.into_whole().map(|_| ())
    }

    /// Deletes a service in this environment. Its volumes stay.
    ///
    /// # Errors
    ///
    /// [`Error`] of class `NotAuthorized` or `NotFound` where it is gone already, `RateLimited` or
    /// `EdgeBlocked` where nothing was sent; asking again does no harm.
    pub async fn delete_service(&self, service: &ServiceId) -> Result<(), Error> {
        let operation = service_delete::build(service_delete::Variables {
            id: service.as_str().to_owned(),
            environment_id: self.environment(),
        });
        let deleted = self.send(&operation, "ServiceDelete", Task::Destroy);
        let deleted = deleted.await?.service_delete;
        self.done("ServiceDelete", deleted)
    }

    /// Deletes a volume. Railway shows it as pending deletion for 48 hours more.
    ///
    /// # Errors
    ///
    /// As [`Self::delete_service`].
    pub async fn delete_volume(&self, volume: &VolumeId) -> Result<(), Error> {
        let operation = volume_delete::build(volume_delete::Variables {
            volume_id: volume.as_str().to_owned(),
        });
        let deleted = self.send(&operation, "VolumeDelete", Task::Destroy);
        let deleted = deleted.await?.volume_delete;
        self.done("VolumeDelete", deleted)
    }

    /// How many HTTP requests were sent since the start, repeated ones and those of every clone
    /// too.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.wire.governor.requests_sent()
    }

    /// What was sent since the start, by what it was for.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.wire.governor.spent_by_us()
    }

    /// How many instances may be begun now: with more, the first calls of some would not be sent.
    #[must_use]
    pub fn creates_left(&self) -> u64 {
        self.wire.governor.creates_left()
    }

    /// Whether Railway, or the edge in front of it, wants nothing to be sent at the moment.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.wire.governor.is_blocked()
    }

    /// Why a listing that no person asked for should wait; none when it is due. [`Self::list`] itself
    /// refuses only what would take the last of the budget.
    #[must_use]
    pub fn listing_not_due(&self) -> Option<String> {
        self.wire.governor.listing_not_due()
    }

    /// How the budget stands. `spent_before` is what [`Self::spent`] said when the tick began; `now`
    /// is the database's time.
    #[must_use]
    pub fn budget_report(&self, now: DateTime<Utc>, spent_before: Spent) -> BudgetReport {
        self.wire.governor.report(now, spent_before)
    }

    /// What is known of Railway's limits, to be stored for other processes; none before the first
    /// call. `now` is the database's time.
    #[must_use]
    pub fn heard(&self, now: DateTime<Utc>) -> Option<Heard> {
        self.wire.governor.heard(now)
    }

    /// Takes over what another process stored, unless this one heard something later.
    pub fn load(&self, stored: &Heard, now: DateTime<Utc>) {
        self.wire.governor.load(stored, now);
    }

    async fn send<T, V>(
        &self,
        operation: &Operation<T, V>,
        name: &'static str,
        task: Task,
    ) -> Result<T, Error>
    where
        T: DeserializeOwned,
        V: Serialize,
    {
        let requests = AtomicU32::new(0);
        let call = Call {
            task,
            secrets: &[],
            requests: &requests,
        };
        self.wire.send(operation, name, &call).await?.into_whole()
    }

    fn done(&self, operation: &'static str, done: bool) -> Result<(), Error> {
        if done {
            return Ok(());
        }
        let message = "Railway answered false";
        let class = ErrorClass::Unknown;
        Err(self.wire.error(operation, class, Sent::Perhaps, message))
    }

    fn environment(&self) -> String {
        self.id.as_str().to_owned()
    }

    fn project(&self) -> String {
        self.project_id.as_str().to_owned()
    }
}

/// Shorter variables (`dev`, `/app`) are settings, without which a refusal could not be understood.
const VARIABLE_BYTES_MIN: usize = 8;

/// `{"services": {id: {"variables": {name: {"value": text}}}}}`. What has another shape is left out.
fn variables_of(config: &Value) -> HashMap<ServiceId, HashMap<String, Secret>> {
    let services = config["services"].as_object().into_iter().flatten();
    services
        .map(|(id, service)| {
            let variables = service["variables"].as_object().into_iter().flatten();
            let variables = variables.filter_map(|(name, variable)| {
                let value = variable["value"].as_str().or(variable.as_str())?;
                Some((name.clone(), Secret::new(value)))
            });
            (ServiceId::new(id.as_str()), variables.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_read_and_odd_shapes_left_out() {
        let config = json!({
            "services": {
                "s1": { "variables": {
                    "A": { "value": "1" },
                    "B": "2",
                    "C": { "value": null },
                    "D": null,
                    "E": { "value": "", "isSealed": false },
                }},
                "s2": { "variables": null },
                "s3": 7,
            },
            "volumes": {},
        });
        let variables = variables_of(&config);
        assert_eq!(variables.len(), 3);
        let first = &variables[&ServiceId::new("s1")];
        assert_eq!(first.len(), 3);
        assert_eq!(first["A"].expose(), "1");
        assert_eq!(first["B"].expose(), "2");
        assert_eq!(first["E"].expose(), "");
        assert!(variables[&ServiceId::new("s3")].is_empty());
        assert!(variables_of(&json!(null)).is_empty());
    }

    /// What may stand where a service, its variables or a value is expected.
    fn odd() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!([[], {}, 7])),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,9}".prop_map(Value::from),
            "\\PC{0,9}".prop_map(|text| json!({ "value": text })),
            "\\PC{0,9}".prop_map(|text| json!({ "variables": text })),
        ]
    }

    proptest! {
        #[test]
        fn no_config_makes_it_panic_and_what_is_a_variable_is_read_beside_what_is_odd(
            odd_config in odd(),
            odd_services in prop::collection::hash_map("[a-z]{1,3}", odd(), 0..4),
            odd_variables in prop::collection::hash_map("[A-Z]{1,3}", odd(), 0..4),
            value in "\\PC{0,20}",
        ) {
            let _ = variables_of(&odd_config);
            let _ = variables_of(&json!({ "services": odd_config }));
            let mut services = json!(odd_services);
            services["the-service"] = json!({ "variables": odd_variables });
            services["the-service"]["variables"]["THE_ONE"] = json!({ "value": value });
            let read = variables_of(&json!({ "services": services }));
            prop_assert_eq!(read.len(), odd_services.len() + 1);
            let variables = &read[&ServiceId::new("the-service")];
            prop_assert_eq!(variables["THE_ONE"].expose(), value);
        }
    }
}
