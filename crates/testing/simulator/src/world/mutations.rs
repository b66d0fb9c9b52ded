//! What makes and ends services, and gives them domains.

use std::collections::{BTreeMap, VecDeque};

use pool_domain::{EnvironmentId, ProjectId, ServiceId};

use super::model::{Cause, Domain, InstanceKey, Service, ServiceInstance};
use super::{Agent, Caller, Config, DELETED_KEPT, Refusal, World};

/// How long a service's name may be. Railway does not say; its own interface cuts off far below.
const NAME_MAX_CHARS: usize = 100;

/// What `serviceCreate` takes.
#[derive(Debug, Clone)]
pub struct NewService {
    pub project: ProjectId,
    /// Its name; Railway makes one up where there is none.
    pub name: Option<String>,
    /// A fork: the service is made in it only. Otherwise it is made in all that are no forks.
    pub environment: Option<EnvironmentId>,
    /// With an image it is deployed at once.
    pub image: Option<String>,
    pub variables: BTreeMap<String, String>,
}

impl NewService {
    /// A service with nothing but its name.
    #[must_use]
    pub fn named(project: ProjectId, name: impl Into<String>) -> Self {
        Self {
            project,
            name: Some(name.into()),
            environment: None,
            image: None,
            variables: BTreeMap::new(),
        }
    }
}

impl World {
    /// `serviceCreate`.
    ///
    /// # Errors
    ///
    /// [`Refusal::NameTaken`], [`Refusal::ProvisionLimit`] beyond what the plan allows,
    /// [`Refusal::ProblemProcessing`] for a name that cannot be, [`Refusal::NotAuthorized`] for an
    /// environment that the caller does not see.
    pub fn service_create(
        &mut self,
        caller: &Caller,
        new: NewService,
    ) -> Result<ServiceId, Refusal> {
        let environments = self.reach_of_service(caller, &new)?;
        let name = match new.name {
            Some(name) => name,
            None => format!("service-{:08x}", self.rng.u32(..)),
        };
        self.check_name(&name)?;
        let live = self.services.values().filter(|service| service.is_live());
        let room = self.settings.services_per_project;
        if room.is_some_and(|max| live.count() >= max) {
            return Err(Refusal::ProvisionLimit);
        }
        let config = Config::new(new.image.as_deref(), &new.variables);
        let id = ServiceId::new(self.new_id());
        let instances = environments
            .iter()
            .map(|e| (e.clone(), self.new_instance(&config)))
            .collect();
        let service = Service {
            id: id.clone(),
            name,
            seq: self.next_seq(),
            created_at: self.now,
            deleted_at: None,
            instances,
        };
        self.services.insert(id.clone(), service);
        if new.image.is_some() {
            for environment in environments {
                self.deploy(&(id.clone(), environment), Cause::Created)?;
            }
        }
        Ok(id)
    }

    /// That a service may have this name.
    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() || name.chars().count() > NAME_MAX_CHARS {
            return Err(Refusal::ProblemProcessing);
        }
        let mut live = self.services.values().filter(|service| service.is_live());
        if live.any(|service| service.name == name) {
            return Err(Refusal::NameTaken(name.to_owned()));
        }
        Ok(())
    }

    fn reach_of_service(
        &self,
        caller: &Caller,
        new: &NewService,
    ) -> Result<Vec<EnvironmentId>, Refusal> {
        self.check_project(&new.project)?;
        if let Some(asked) = &new.environment
            && self.environment(caller, asked)?.is_fork
        {
            return Ok(vec![asked.clone()]);
        }
        let reached = self.environments.iter().filter(|e| !e.is_fork);
        Ok(reached.map(|e| e.id.clone()).collect())
    }

    fn new_instance(&mut self, config: &Config) -> ServiceInstance {
        ServiceInstance {
            id: self.new_id(),
            created_at: self.now,
            config: config.clone(),
            domains: Vec::new(),
            deployments: VecDeque::new(),
            deploys_by_cause: BTreeMap::new(),
            agent: Agent::default(),
        }
    }

    /// `serviceDelete`: the service goes, its volumes stay. A project token has to name its
    /// environment. A fork named loses its instance only.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`] where the caller may not see it, or it is gone, or has a project
    /// token and names no environment.
    pub fn service_delete(
        &mut self,
        caller: &Caller,
        id: &ServiceId,
        environment: Option<&EnvironmentId>,
    ) -> Result<(), Refusal> {
        let now = self.now;
        if matches!(caller, Caller::Project { .. }) && environment.is_none() {
            return Err(Refusal::NotAuthorized);
        }
        let asked = environment.map(|asked| self.environment(caller, asked));
        let asked = asked.transpose()?.filter(|asked| asked.is_fork);
        let fork = asked.map(|fork| fork.id.clone());
        let live = self.services.get_mut(id).filter(|s| s.is_live());
        let service = live.ok_or(Refusal::NotAuthorized)?;
        let gone: Vec<_> = if let Some(fork) = fork {
            service.instances.remove(&fork).into_iter().collect()
        } else {
            service.deleted_at = Some(now);
            service.instances.values().cloned().collect()
        };
        if service.deleted_at.is_some() {
            self.deleted.push_back(id.clone());
        }
        if self.deleted.len() > DELETED_KEPT
            && let Some(oldest) = self.deleted.pop_front()
        {
            self.services.remove(&oldest);
        }
        for domain in gone.iter().flat_map(|instance| &instance.domains) {
            self.domains.remove(&domain.domain);
            self.freed_domains.push(domain.domain.clone());
        }
        Ok(())
    }

    /// `serviceDomainCreate`. The domain is the caller's to choose: an address that it listens on.
    ///
    /// # Errors
    ///
    /// [`Refusal::ServiceInstanceNotFound`] where the service is not in that environment, or not
    /// yet, [`Refusal::NotAuthorized`] where the caller sees no such environment or service.
    pub fn service_domain_create(
        &mut self,
        caller: &Caller,
        key: &InstanceKey,
        domain: String,
    ) -> Result<Domain, Refusal> {
        self.check_instance(caller, key)?;
        let lag = self.settings.instance_lag;
        let instance = self.instance(key);
        if instance.is_some_and(|i| self.now < i.created_at + lag) {
            return Err(Refusal::ServiceInstanceNotFound);
        }
        let made = Domain {
            id: self.new_id(),
            domain,
        };
        let instance = self
            .instance_mut(key)
            .ok_or(Refusal::ServiceInstanceNotFound)?;
        instance.domains.push(made.clone());
        self.domains.insert(made.domain.clone(), key.clone());
        Ok(made)
    }

    /// An address that nobody listens on, for a world without a server.
    pub fn synthetic_domain(&mut self) -> String {
        let seq = self.next_seq();
        format!("127.0.0.1:{}", 1024 + seq % 64_000)
    }

    /// That the caller may see the environment and that the service has an instance in it.
    fn check_instance(&self, caller: &Caller, key: &InstanceKey) -> Result<(), Refusal> {
        self.environment(caller, &key.1)?;
        let live = self.services.get(&key.0).filter(|s| s.is_live());
        if live
            .ok_or(Refusal::NotAuthorized)?
            .instances
            .contains_key(&key.1)
        {
            Ok(())
        } else {
            Err(Refusal::ServiceInstanceNotFound)
        }
    }
}
