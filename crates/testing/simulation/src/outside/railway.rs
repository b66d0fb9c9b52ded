//! Railway's client: one function for each call that the executor makes.

use std::collections::HashMap;
use std::time::Duration;

use pool_domain::{Secret, ServiceId, VolumeId};
use pool_simulator::world::{Credential, NewService, NewVolume, Reach, View};
use pool_simulator::{Caller, Fault, Refusal, World};
use serde_json::{Value, json};

use super::{CallError, Class, transport_after, transport_before};
use crate::place::Place;
use crate::story::Kind;

/// A read, or a write and how it may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Read,
    Make,
    Destroy,
}

/// How often a call is repeated that may be.
const RETRIES: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest block by Railway that a call sits out.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// One attempt of a call, as the world sees it.
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) field: &'static str,
    pub(super) task: Task,
}

impl Place {
    /// The variables of every service in the environment.
    pub(crate) async fn variables(
        &self,
    ) -> Result<HashMap<ServiceId, HashMap<String, Secret>>, CallError> {
        let call = Call {
            operation: "EnvironmentConfig",
            field: "environment",
            task: Task::Read,
        };
        let config = self
            .send(&call, "", |world, caller, _| {
                let environment = world.home().environment.clone();
                world.environment_config(caller, &environment, true)
            })
            .await?;
        Ok(variables_of(&config))
    }

    pub(crate) async fn create_service(&self, name: &str) -> Result<ServiceId, CallError> {
        let call = make("ServiceCreate", "serviceCreate");
        self.send(&call, name, |world, caller, _| {
            let new = NewService::named(world.home().project.clone(), name);
            world.service_create(caller, new)
        })
        .await
    }

    pub(crate) async fn create_volume(&self, service: &ServiceId) -> Result<VolumeId, CallError> {
        let call = make("VolumeCreate", "volumeCreate");
        self.send(&call, service.as_str(), |world, caller, _| {
            let new = NewVolume {
                project: world.home().project.clone(),
                reach: Reach::One(world.home().environment.clone()),
                service: Some(service.clone()),
                mount_path: "/data".to_owned(),
            };
            world.volume_create(caller, new)
        })
        .await
    }

    pub(crate) async fn create_domain(&self, service: &ServiceId) -> Result<(), CallError> {
        let call = make("ServiceDomainCreate", "serviceDomainCreate");
        self.send(&call, service.as_str(), |world, caller, _| {
            let key = (service.clone(), world.home().environment.clone());
            let domain = world.synthetic_domain();
            world
                .service_domain_create(caller, &key, None, domain)
                .map(drop)
        })
        .await
    }

    /// One commit for these services, whose patches are given.
    pub(crate) async fn commit(&self, patches: &[(ServiceId, Value)]) -> Result<(), CallError> {
        let call = make("EnvironmentPatchCommit", "environmentPatchCommit");
        let services: serde_json::Map<_, _> = patches
            .iter()
            .map(|(id, patch)| (id.as_str().to_owned(), patch.clone()))
            .collect();
        let patch = json!({ "services": services });
        let what = format!("{} services", patches.len());
        self.send(&call, &what, |world, caller, _| {
            let environment = world.home().environment.clone();
            world
                .environment_patch_commit(caller, &environment, &patch)
                .map(drop)
        })
        .await
    }

    pub(crate) async fn delete_service(&self, service: &ServiceId) -> Result<(), CallError> {
        let call = Call {
            operation: "ServiceDelete",
            field: "serviceDelete",
            task: Task::Destroy,
        };
        self.send(&call, service.as_str(), |world, caller, _| {
            self.sim.database(|db| {
                let row = db.row_of_service(service).cloned();
                db.ledger.deletes("service", row.as_ref());
            });
            let environment = world.home().environment.clone();
            world.service_delete(caller, service, Some(&environment))
        })
        .await
    }

    pub(crate) async fn delete_volume(&self, volume: &VolumeId) -> Result<(), CallError> {
        let call = Call {
            operation: "VolumeDelete",
            field: "volumeDelete",
            task: Task::Destroy,
        };
        self.send(&call, volume.as_str(), |world, caller, _| {
            let environment = &world.home().environment;
            let found = world.volumes().get(volume);
            let instance = found.and_then(|found| found.instances.get(environment));
            let service = instance.and_then(|instance| instance.service.clone());
            self.sim.database(|db| {
                let row = service.and_then(|id| db.row_of_service(&id).cloned());
                db.ledger.deletes("volume", row.as_ref());
            });
            world.volume_delete(caller, volume)
        })
        .await
    }

    /// Sends a call, and repeats it where pool-railway does.
    pub(super) async fn send<T>(
        &self,
        call: &Call,
        about: &str,
        carry_out: impl Fn(&mut World, &Caller, &View) -> Result<T, Refusal>,
    ) -> Result<T, CallError> {
        let mut pause = FIRST_PAUSE;
        let mut tries_left = RETRIES;
        loop {
            let answered = self.attempt(call, &carry_out).await;
            let Err(error) = &answered else {
                if call.task != Task::Read {
                    self.tell_call(call, about, "done");
                }
                return answered;
            };
            self.sim.count(|counts| counts.failed_calls += 1);
            self.tell_call(call, about, &error.to_string());
            if tries_left == 0 || !may_repeat(call.task, error) {
                return answered;
            }
            tries_left -= 1;
            let wait = error.again_in.unwrap_or(pause);
            pause *= 2;
            self.sim.scheduler.sleep(wait).await;
        }
    }

    async fn attempt<T>(
        &self,
        call: &Call,
        carry_out: impl Fn(&mut World, &Caller, &View) -> Result<T, Refusal>,
    ) -> Result<T, CallError> {
        let timeout = if call.task == Task::Read {
            READ_TIMEOUT
        } else {
            WRITE_TIMEOUT
        };
        self.step().await;
        self.pause(20, 300).await;
        let now = self.sim.now();
        let admission = self.sim.world(|world| {
            let token = world.tokens().account.clone();
            let fields = [call.field.to_owned()];
            let credential = Credential::Bearer(&token);
            world.admit(now, Some(call.operation), &fields, credential)
        });
        let faults = admission.faults;
        let (delay, failed) = transport_before(&faults, timeout);
        self.sim.scheduler.sleep(delay).await;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if let Some(refused) = faults.iter().find_map(|fault| refused_by(fault, call)) {
            return Err(refused);
        }
        let caller = admission.caller.map_err(|refusal| refused(&refusal))?;
        let view = View::through(&faults);
        let done = self
            .sim
            .world(|world| carry_out(world, &caller, &view))
            .map_err(|refusal| refused(&refusal));
        let (delay, failed) = transport_after(&faults, timeout);
        self.sim.scheduler.sleep(delay).await;
        self.pause(20, 300).await;
        self.step().await;
        if let Some(failed) = failed {
            return Err(failed);
        }
        let done = done?;
        match faults.iter().find_map(beside_data) {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    fn tell_call(&self, call: &Call, about: &str, end: &str) {
        self.sim.tell(Kind::Call, || {
            format!(
                "server {}: {} {about}: {end}",
                self.server + 1,
                call.operation
            )
        });
    }
}

const fn make(operation: &'static str, field: &'static str) -> Call {
    Call {
        operation,
        field,
        task: Task::Make,
    }
}

/// pool-railway's `may_repeat`.
fn may_repeat(task: Task, error: &CallError) -> bool {
    match error.class {
        Class::RateLimited => {
            error.again_in.is_some_and(|wait| wait <= LONGEST_WAIT)
                && (task == Task::Read || error.is_page)
        }
        Class::Transient | Class::Network | Class::Timeout if task == Task::Read => true,
        Class::Transient => task == Task::Destroy && error.is_page,
        _ => false,
    }
}

/// What stops a request at Railway itself.
fn refused_by(fault: &Fault, call: &Call) -> Option<CallError> {
    let refusal = match fault {
        Fault::RateLimited { retry_after_s, .. } => {
            let mut error = CallError::new(Class::RateLimited, false, "HTTP 429").page();
            error.again_in = Some(Duration::from_secs(*retry_after_s));
            return Some(error);
        }
        Fault::HtmlOk => return Some(CallError::new(Class::Undecodable, true, "a page of HTML")),
        Fault::BadRequest | Fault::Drift => {
            return Some(CallError::new(Class::BadRequest, false, "HTTP 400"));
        }
        Fault::Error { message, .. } => Refusal::said(message.clone()),
        Fault::ProblemProcessing => Refusal::ProblemProcessing,
        Fault::NotAuthorized => Refusal::NotAuthorized,
        Fault::TooEarly => Refusal::ServiceInstanceNotFound,
        Fault::CreationThrottle if call.task == Task::Make && call.field.ends_with("Create") => {
            Refusal::TooQuickly("things")
        }
        Fault::ProvisionLimit if call.field.ends_with("Create") => Refusal::ProvisionLimit,
        Fault::DomainFlaky if call.field == "serviceDomainCreate" => Refusal::DomainFailed,
        Fault::TwoFactor if call.task == Task::Destroy => Refusal::TwoFactorRequired,
        Fault::Busy => Refusal::Busy,
        _ => return None,
    };
    Some(refused(&refusal))
}

/// An error beside the data: the client trusts neither.
fn beside_data(fault: &Fault) -> Option<CallError> {
    match fault {
        Fault::ErrorBesideData { message } => Some(refused(&Refusal::said(message.clone()))),
        _ => None,
    }
}

/// Railway's words, as pool-railway classifies them.
fn refused(refusal: &Refusal) -> CallError {
    let message = refusal.to_string();
    let class = match refusal {
        Refusal::NotAuthorized | Refusal::TwoFactorRequired => Class::NotAuthorized,
        Refusal::NameTaken(_) => Class::NameTaken,
        Refusal::ProvisionLimit => Class::Limit,
        Refusal::TooQuickly(_) => Class::Throttled,
        Refusal::ServiceInstanceNotFound | Refusal::DomainFailed | Refusal::Busy => Class::TooEarly,
        Refusal::ProjectNotFound
        | Refusal::DeploymentNotFound
        | Refusal::VolumeInstanceNotFound => Class::NotFound,
        Refusal::ProblemProcessing => Class::Transient,
        Refusal::Said { .. } => {
            let text = message.to_lowercase();
            let passes = ["problem processing request", "internal server error"];
            if passes.iter().any(|words| text.contains(words)) {
                Class::Transient
            } else {
                Class::Unknown
            }
        }
        _ => Class::Unknown,
    };
    CallError::new(class, class == Class::Transient, message)
}

fn variables_of(config: &Value) -> HashMap<ServiceId, HashMap<String, Secret>> {
    let services = config["services"].as_object().into_iter().flatten();
    services
        .map(|(id, service)| {
            let variables = service["variables"].as_object().into_iter().flatten();
            let variables = variables.filter_map(|(name, variable)| {
                Some((name.clone(), Secret::new(variable["value"].as_str()?)))
            });
            (ServiceId::new(id.as_str()), variables.collect())
        })
        .collect()
}
