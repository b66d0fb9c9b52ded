//! The project's own listings, which many clients still read: services, volumes and deployments of
//! every environment that the caller sees.

use pool_domain::{EnvironmentId, ProjectId, ServiceId, VolumeId};

use super::listing::paged;
use super::{
    Caller, Deployment, Environment, Page, PageArgs, Project, Refusal, Service, ServiceInstance,
    View, Volume, VolumeInstance, World,
};

/// Which deployments are wanted; what is none is not asked about.
#[derive(Debug, Clone, Default)]
pub struct DeploymentFilter {
    pub project: Option<ProjectId>,
    pub environment: Option<EnvironmentId>,
    pub service: Option<ServiceId>,
    /// With one of these statuses.
    pub status_in: Option<Vec<pool_domain::DeploymentStatus>>,
    /// With none of these statuses.
    pub status_not_in: Option<Vec<pool_domain::DeploymentStatus>>,
}

impl DeploymentFilter {
    fn fits(&self, found: &FoundDeployment<'_>) -> bool {
        let FoundDeployment(service, environment, deployment) = found;
        self.project.as_ref().is_none_or(|p| *p == service.project)
            && self.environment.as_ref().is_none_or(|e| e == *environment)
            && self.service.as_ref().is_none_or(|s| *s == service.id)
            && (self.status_in.as_ref()).is_none_or(|all| all.contains(&deployment.status))
            && (self.status_not_in.as_ref()).is_none_or(|all| !all.contains(&deployment.status))
    }
}

/// A deployment, with the service and the environment that it is of.
#[derive(Debug, Clone, Copy)]
pub struct FoundDeployment<'a>(pub &'a Service, pub &'a EnvironmentId, pub &'a Deployment);

impl World {
    /// `project`.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProjectNotFound`] where there is none of that id, [`Refusal::NotAuthorized`]
    /// where the caller has a token for another.
    pub fn project(&self, caller: &Caller, id: &ProjectId) -> Result<&Project, Refusal> {
        if let Caller::Project { project, .. } = caller
            && project != id
        {
            return Err(Refusal::NotAuthorized);
        }
        self.projects.get(id).ok_or(Refusal::ProjectNotFound)
    }

    /// `service`: a live one that the caller sees.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`] where the caller may not see it, or it is gone.
    pub fn service(&self, caller: &Caller, id: &ServiceId) -> Result<&Service, Refusal> {
        let service = self.services.get(id).filter(|service| service.is_live());
        let service = service.ok_or(Refusal::NotAuthorized)?;
        self.project(caller, &service.project)?;
        if service.instances.keys().any(|e| caller.may_see(e)) {
            Ok(service)
        } else {
            Err(Refusal::NotAuthorized)
        }
    }

    /// `project.services`, oldest first, of all environments together.
    pub(crate) fn services_of_project(
        &self,
        caller: &Caller,
        project: &ProjectId,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<&Service>, Refusal> {
        let shown = self.services.values().filter(|service| {
            let is_seen = service.instances.keys().any(|e| caller.may_see(e));
            service.project == *project
                && is_seen
                && self.shows(service.created_at, service.deleted_at, view)
        });
        let items = shown.map(|service| (service.seq, service)).collect();
        paged(view.bend(items), args, self.settings.default_page, view)
    }

    /// `service.serviceInstances`, one for each environment that the caller sees.
    pub(crate) fn instances_of_service<'a>(
        &'a self,
        caller: &Caller,
        service: &'a Service,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<(&'a EnvironmentId, &'a ServiceInstance)>, Refusal> {
        let seen = self.environments_seen(caller, &service.project);
        let found = seen.filter_map(|(n, e)| Some((n, (e, service.instances.get(e)?))));
        paged(found.collect(), args, self.settings.default_page, view)
    }

    /// `project.volumes`, oldest first; those pending deletion too.
    pub(crate) fn volumes_of_project(
        &self,
        caller: &Caller,
        project: &ProjectId,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<&Volume>, Refusal> {
        let shown = self.volumes.values().filter(|volume| {
            let is_seen = match caller {
                Caller::Project { environment, .. } => volume.instances.contains_key(environment),
                Caller::Account | Caller::Workspace => true,
            };
            volume.project == *project && is_seen && self.shows(volume.created_at, None, view)
        });
        let items = shown.map(|volume| (volume.seq, volume)).collect();
        paged(view.bend(items), args, self.settings.default_page, view)
    }

    /// `volume.volumeInstances`, one for each environment that the caller sees.
    pub(crate) fn instances_of_volume<'a>(
        &'a self,
        caller: &Caller,
        volume: &'a Volume,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<(&'a EnvironmentId, &'a VolumeInstance)>, Refusal> {
        let seen = self.environments_seen(caller, &volume.project);
        let found = seen.filter_map(|(n, e)| Some((n, (e, volume.instances.get(e)?))));
        paged(found.collect(), args, self.settings.default_page, view)
    }

    /// A volume by its id, those pending deletion too.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`] where there is none of that id; else as [`Self::project`].
    pub fn volume(&self, caller: &Caller, id: &VolumeId) -> Result<&Volume, Refusal> {
        let volume = self.volumes.get(id).ok_or(Refusal::NotAuthorized)?;
        self.project(caller, &volume.project)?;
        Ok(volume)
    }

    /// `deployments`, the latest first, of all environments that the caller sees unless one is
    /// named: whoever takes the first may get another environment's.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProblemProcessing`] for a page that nobody can give: a negative size, a cursor
    /// that is none; else as [`Self::project`] and [`Self::environment`] for what the filter names.
    pub fn deployments(
        &self,
        caller: &Caller,
        filter: &DeploymentFilter,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<FoundDeployment<'_>>, Refusal> {
        if let Some(project) = &filter.project {
            self.project(caller, project)?;
        }
        if let Some(environment) = &filter.environment {
            self.environment(caller, environment, None)?;
        }
        let of_one = filter.service.as_ref().and_then(|id| self.services.get(id));
        let all = filter.service.is_none().then(|| self.services.values());
        let services = of_one.into_iter().chain(all.into_iter().flatten());
        let found = services
            .filter(|service| service.is_live())
            .flat_map(|service| service.instances.iter().map(move |(e, i)| (service, e, i)))
            .filter(|(_, environment, _)| caller.may_see(environment))
            .flat_map(|(service, environment, instance)| {
                let all = instance.deployments.iter();
                all.map(move |deployment| FoundDeployment(service, environment, deployment))
            })
            .filter(|found| filter.fits(found));
        let items = found.map(|found| (u64::MAX - found.2.seq, found)).collect();
        paged(sorted(items), args, self.settings.default_page, view)
    }

    /// The environments that the caller sees, each with its place in the order in which they were
    /// made.
    fn environments_seen<'a>(
        &'a self,
        caller: &Caller,
        project: &ProjectId,
    ) -> impl Iterator<Item = (u64, &'a EnvironmentId)> {
        let project = self.projects.get(project);
        let all = project
            .into_iter()
            .flat_map(|project| &project.environments);
        let numbered = (1..).zip(all.map(|environment| &environment.id));
        numbered.filter(|(_, environment)| caller.may_see(environment))
    }

    /// The environments of a project that the caller sees.
    pub(crate) fn environments_of<'a>(
        &'a self,
        caller: &Caller,
        project: &'a Project,
        is_ephemeral: Option<bool>,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<&'a Environment>, Refusal> {
        let visible = project.environments.iter().filter(|environment| {
            let fits = is_ephemeral.is_none_or(|asked| asked == environment.is_fork);
            fits && caller.may_see(&environment.id)
        });
        paged(
            (1..).zip(visible).collect(),
            args,
            self.settings.default_page,
            view,
        )
    }
}

fn sorted<T>(mut items: Vec<(u64, T)>) -> Vec<(u64, T)> {
    items.sort_unstable_by_key(|(number, _)| *number);
    items
}
