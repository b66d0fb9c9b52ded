//! What a client can ask Railway to do: services, volumes, domains, deployments.

use std::collections::{BTreeMap, VecDeque};

use pool_domain::{DeploymentId, EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::model::{
    Cause, Deployment, Domain, InstanceKey, Service, ServiceInstance, Volume, VolumeInstance,
};
use super::time::Timer;
use super::{Agent, Caller, Config, DELETED_KEPT, Refusal, World};

/// How long a service's name may be. Railway does not say; its own interface cuts off far below.
const NAME_MAX_CHARS: usize = 100;

/// What `serviceCreate` takes.
#[derive(Debug, Clone)]
pub struct NewService {
    /// The project.
    pub project: ProjectId,
    /// Its name; Railway makes one up where there is none.
    pub name: Option<String>,
    /// A fork: the service is made in it only. Otherwise it is made in all that are no forks.
    pub environment: Option<EnvironmentId>,
    /// With an image it is deployed at once.
    pub image: Option<String>,
    /// With a repository it is built and deployed at once.
    pub repo: Option<String>,
    /// Its variables.
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
            repo: None,
            variables: BTreeMap::new(),
        }
    }
}

/// Which environments a new volume reaches: Railway tells "not said" from "null".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Not said: all that are no forks.
    All,
    /// Null: none.
    None,
    /// This one.
    One(EnvironmentId),
}

/// What `volumeCreate` takes.
#[derive(Debug, Clone)]
pub struct NewVolume {
    /// The project.
    pub project: ProjectId,
    /// Which environments it reaches.
    pub reach: Reach,
    /// The service to attach it to; none leaves it detached.
    pub service: Option<ServiceId>,
    /// Where in the container it is to be.
    pub mount_path: String,
}

impl World {
    /// `serviceCreate`.
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
        if name.is_empty() || name.chars().count() > NAME_MAX_CHARS {
            return Err(Refusal::ProblemProcessing);
        }
        let taken = self
            .services
            .values()
            .any(|s| s.is_live() && s.project == new.project && s.name == name);
        if taken {
            return Err(Refusal::NameTaken(name));
        }
        let config = Config::new(new.image.as_deref(), new.repo.as_deref(), &new.variables);
        let deploys = config.image().is_some() || config.repo().is_some();
        let id = ServiceId::new(self.new_id());
        let instances = environments
            .iter()
            .map(|e| (e.clone(), self.new_instance(&config)))
            .collect();
        let service = Service {
            id: id.clone(),
            project: new.project,
            name,
            seq: self.next_seq(),
            created_at: self.now,
            deleted_at: None,
            instances,
        };
        self.services.insert(id.clone(), service);
        if deploys {
            for environment in environments {
                self.deploy(&(id.clone(), environment), Cause::Created)?;
            }
        }
        Ok(id)
    }

    fn reach_of_service(
        &self,
        caller: &Caller,
        new: &NewService,
    ) -> Result<Vec<EnvironmentId>, Refusal> {
        let project = self.project(caller, &new.project)?;
        if let Some(asked) = &new.environment {
            let environment = project
                .environments
                .iter()
                .find(|e| e.id == *asked)
                .ok_or(Refusal::NotAuthorized)?;
            if !caller.may_see(asked) {
                return Err(Refusal::NotAuthorized);
            }
            if environment.is_fork {
                return Ok(vec![asked.clone()]);
            }
        }
        let reached = project.environments.iter().filter(|e| !e.is_fork);
        Ok(reached.map(|e| e.id.clone()).collect())
    }

    fn new_instance(&mut self, config: &Config) -> ServiceInstance {
        ServiceInstance {
            id: self.new_id(),
            created_at: self.now,
            updated_at: self.now,
            config: config.clone(),
            domains: Vec::new(),
            custom_domains: Vec::new(),
            deployments: VecDeque::new(),
            deploys_by_cause: BTreeMap::new(),
            agent: Agent::default(),
        }
    }

    /// `serviceDelete`: the service goes, its volumes stay. A project token has to name its
    /// environment. A fork named loses its instance only.
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
        let service = self
            .services
            .get(id)
            .filter(|s| s.is_live())
            .ok_or(Refusal::NotAuthorized)?;
        self.project(caller, &service.project)?;
        let fork = match environment {
            Some(asked) => {
                let (_, found) = self.environment(caller, asked, Some(&service.project))?;
                found.is_fork.then(|| asked.clone())
            }
            None => None,
        };
        let Some(service) = self.services.get_mut(id) else {
            return Err(Refusal::NotAuthorized);
        };
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
        for domain in gone
            .iter()
            .flat_map(|i| i.domains.iter().chain(&i.custom_domains))
        {
            self.domains.remove(&domain.domain);
            self.freed_domains.push(domain.domain.clone());
        }
        Ok(())
    }

    /// `serviceDomainCreate`. The domain is the caller's to choose: an address that it listens on.
    pub fn service_domain_create(
        &mut self,
        caller: &Caller,
        key: &InstanceKey,
        target_port: Option<i32>,
        domain: String,
    ) -> Result<Domain, Refusal> {
        self.check_instance(caller, key)?;
        let made = Domain {
            id: self.new_id(),
            domain,
            target_port,
            created_at: self.now,
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

    /// `volumeCreate`.
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
        let kept = self
            .volumes
            .values()
            .filter(|v| v.project == new.project)
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

    /// `deploymentRedeploy`.
    pub fn deployment_redeploy(
        &mut self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<DeploymentId, Refusal> {
        let (service, environment, deployment) = self.find_deployment(caller, id)?;
        if deployment.is_in_progress() {
            return Err(Refusal::RedeployTooEarly);
        }
        let key = (service.id.clone(), environment.clone());
        self.deploy(&key, Cause::Asked)
    }

    /// A deployment of a live service by its id, with where it runs.
    pub fn find_deployment(
        &self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(&Service, &EnvironmentId, &Deployment), Refusal> {
        let live = self.services.values().filter(|service| service.is_live());
        let (service, environment, deployment) = live
            .flat_map(|service| service.instances.iter().map(move |(e, i)| (service, e, i)))
            .find_map(|(service, environment, instance)| {
                let found = instance.deployments.iter().find(|d| d.id == *id)?;
                Some((service, environment, found))
            })
            .ok_or(Refusal::DeploymentNotFound)?;
        self.environment(caller, environment, None)?;
        Ok((service, environment, deployment))
    }

    /// That the caller may see the environment and that the service has an instance in it.
    pub(super) fn check_instance(&self, caller: &Caller, key: &InstanceKey) -> Result<(), Refusal> {
        self.environment(caller, &key.1, None)?;
        match self.services.get(&key.0) {
            Some(service) if service.is_live() => {
                let found = service.instances.contains_key(&key.1);
                if found {
                    Ok(())
                } else {
                    Err(Refusal::ServiceInstanceNotFound)
                }
            }
            _ => Err(Refusal::NotAuthorized),
        }
    }
}
