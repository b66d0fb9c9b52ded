//! What the GraphQL server, the control API, the agents and the typed handle share: the
//! world behind a lock, and the domains that are served.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use pool_domain::{Clock, DeploymentStatus, EnvironmentId, ServiceId};
use serde::{Deserialize, Serialize};

use super::agents::Agents;
use super::domains::Domains;
use crate::faults::{FaultRule, RULES_MAX};
use crate::world::{
    AgentCall, AgentReply, Caller, Domain, Incident, InstanceKey, NewVolume, World,
};
use crate::{AgentFault, SimulatorError};

#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    clock: Arc<dyn Clock>,
    pub(super) domains: Domains,
}

/// Services to put there which run already, as a manager finds them that starts beside an old pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SeedServices {
    pub count: usize,
    /// What their names begin with.
    pub prefix: String,
    /// How many random characters of `[A-Za-z0-9_-]` follow.
    pub id_length: usize,
    pub variables: BTreeMap<String, String>,
    /// The image that they run.
    pub image: String,
    /// Where each has a volume; none is no volume.
    pub mount_path: Option<String>,
    /// In which environment they run; none is the pool's.
    pub environment_id: Option<String>,
}

impl Default for SeedServices {
    fn default() -> Self {
        Self {
            count: 1,
            prefix: "convos-agent-".to_owned(),
            id_length: pool_domain::InstanceId::LENGTH,
            variables: BTreeMap::new(),
            image: "ghcr.io/xmtplabs/convos-runtime:latest".to_owned(),
            mount_path: None,
            environment_id: None,
        }
    }
}

/// A service that was put there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeededService {
    pub service_id: String,
    pub name: String,
    /// Its domain: `127.0.0.1:PORT`, or a name in process.
    pub domain: String,
}

impl Agents for Shared {
    fn call(&self, domain: &str, call: AgentCall<'_>) -> AgentReply {
        self.world(|world| world.agent_call(domain, call))
    }

    fn fault_at(&self, domain: &str) -> Option<AgentFault> {
        self.world(|world| world.agent_fault_at(domain))
    }
}

impl Shared {
    pub(super) fn new(world: World, clock: Arc<dyn Clock>, domains: Domains) -> Self {
        Self {
            world: Mutex::new(world),
            clock,
            domains,
        }
    }

    /// Looks at the world as it is now, or changes it. Never await inside.
    pub(super) fn world<R>(&self, look: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.step(self.clock.now());
        let seen = look(&mut world);
        let freed = world.take_freed_domains();
        if !freed.is_empty() {
            self.domains.close(&freed);
        }
        seen
    }

    pub(super) fn create_domain(
        self: &Arc<Self>,
        caller: &Caller,
        key: &InstanceKey,
    ) -> Result<Domain, SimulatorError> {
        // It is served first, so that a deletion which comes right after closes it.
        let domain = self.domains.open(Arc::<Self>::clone(self))?;
        let made = self.world(|world| world.service_domain_create(caller, key, domain.clone()));
        if made.is_err() {
            self.domains.close(&[domain]);
        }
        Ok(made?)
    }

    pub(super) fn seed(
        self: &Arc<Self>,
        seed: &SeedServices,
    ) -> Result<Vec<SeededService>, SimulatorError> {
        let environment = self.world(|world| match &seed.environment_id {
            Some(id) => EnvironmentId::new(id),
            None => world.home().environment.clone(),
        });
        (0..seed.count)
            .map(|_| self.seed_one(seed, &environment))
            .collect()
    }

    fn seed_one(
        self: &Arc<Self>,
        seed: &SeedServices,
        environment: &EnvironmentId,
    ) -> Result<SeededService, SimulatorError> {
        let (id, name) = self.world(|world| {
            let name = world.free_name(&seed.prefix, seed.id_length);
            let variables = seed.variables.clone();
            let id = world.seed_running(environment, name.clone(), &seed.image, variables)?;
            if let Some(mount_path) = &seed.mount_path {
                let new = NewVolume {
                    project: world.home().project.clone(),
                    environment: environment.clone(),
                    service: Some(id.clone()),
                    mount_path: mount_path.clone(),
                };
                world.volume_create(&Caller::Account, new)?;
            }
            Ok::<_, SimulatorError>((id, name))
        })?;
        let key = (id.clone(), environment.clone());
        let domain = self.create_domain(&Caller::Account, &key)?.domain;
        Ok(SeededService {
            service_id: id.into_string(),
            name,
            domain,
        })
    }

    pub(super) fn inject(&self, rule: FaultRule) -> Result<(), SimulatorError> {
        if self.world(|world| world.faults.add(rule)) {
            Ok(())
        } else {
            Err(SimulatorError::TooManyFaults { at_most: RULES_MAX })
        }
    }

    /// Lets something befall a service's instance in the pool's environment.
    pub(super) fn happen(&self, id: &ServiceId, what: Incident) -> Result<(), SimulatorError> {
        self.world(|world| {
            let key = (id.clone(), world.home().environment.clone());
            if world.instance(&key).is_none() {
                return Err(SimulatorError::UnknownService(id.clone()));
            }
            if world.happen(&key, what) {
                return Ok(());
            }
            let (verb, reason) = match what {
                Incident::Crash => ("crash", "nothing runs"),
                Incident::Stop => ("stop", "nothing runs"),
                Incident::Sleep => ("sleep", "nothing runs"),
                Incident::Redeploy => ("be redeployed", "it was never deployed"),
                Incident::Fail => ("fail", "nothing runs or is on its way up"),
            };
            Err(SimulatorError::Impossible {
                service_id: id.clone(),
                verb,
                reason,
            })
        })
    }

    /// Gives a service's latest deployment a status, in the pool's environment.
    pub(super) fn set_status(
        &self,
        id: &ServiceId,
        status: &DeploymentStatus,
        stopped: bool,
    ) -> Result<(), SimulatorError> {
        self.world(|world| {
            let key = (id.clone(), world.home().environment.clone());
            if world.instance(&key).is_none() {
                return Err(SimulatorError::UnknownService(id.clone()));
            }
            let given = world.set_deploy_status(&key, status, stopped);
            given
                .then_some(())
                .ok_or_else(|| SimulatorError::Impossible {
                    service_id: id.clone(),
                    verb: "have a status",
                    reason: "it was never deployed",
                })
        })
    }

    pub(super) fn delete(&self, id: &ServiceId) -> Result<(), SimulatorError> {
        self.world(|world| {
            let deleted = world.service_delete(&Caller::Account, id, None);
            deleted.map_err(|_| SimulatorError::UnknownService(id.clone()))
        })
    }

    pub(super) fn set_agent_fault(
        &self,
        id: &ServiceId,
        fault: Option<AgentFault>,
    ) -> Result<(), SimulatorError> {
        self.world(|world| {
            let key = (id.clone(), world.home().environment.clone());
            let agent = world.agent_mut(&key);
            agent
                .ok_or_else(|| SimulatorError::UnknownService(id.clone()))?
                .fault = fault;
            Ok(())
        })
    }
}
