//! Services and their instances, as queries show them. Fields that Railway has and the world does
//! not model are left out.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use pool_domain::{EnvironmentId, ProjectId, ServiceId};
use serde_json::Value;

use super::connections::{ServiceDeploymentsConnection, ServiceServiceInstancesConnection};
use super::deployment::{self, Deployment};
use super::domain::AllDomains;
use super::project::Project;
use super::scalars::DateTime;
use super::{Place, refusal, scope, shared};
use crate::Refusal;
use crate::world::{self, DeploymentFilter, PageArgs, View};

#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(super) struct ServiceInstance {
    active_deployments: Vec<Deployment>,
    build_command: Option<String>,
    builder: Builder,
    created_at: DateTime,
    cron_schedule: Option<String>,
    deleted_at: Option<DateTime>,
    dockerfile_path: Option<String>,
    environment_id: String,
    healthcheck_path: Option<String>,
    healthcheck_timeout: Option<i32>,
    id: ID,
    is_updatable: bool,
    next_cron_run_at: Option<DateTime>,
    num_replicas: Option<i32>,
    railway_config_file: Option<String>,
    region: Option<String>,
    restart_policy_max_retries: i32,
    restart_policy_type: RestartPolicyType,
    root_directory: Option<String>,
    service_id: String,
    service_name: String,
    sleep_application: Option<bool>,
    source: Option<ServiceSource>,
    start_command: Option<String>,
    updated_at: DateTime,
    watch_patterns: Vec<String>,
    #[graphql(skip)]
    shown_domains: Option<AllDomains>,
    #[graphql(skip)]
    shown_deployment: Result<Option<Deployment>, Refusal>,
}

#[ComplexObject]
impl ServiceInstance {
    async fn domains(&self) -> Result<&AllDomains> {
        let domains = self.shown_domains.as_ref();
        domains.ok_or_else(|| refusal(Refusal::ProblemProcessing))
    }

    /// A failure stands as null, since null may stand there.
    async fn latest_deployment(&self) -> Option<Result<&Deployment>> {
        let latest = self.shown_deployment.as_ref();
        let latest = latest.map_err(|said| refusal(said.clone()));
        latest.map(Option::as_ref).transpose()
    }

    async fn service(&self, context: &Context<'_>) -> Result<Service> {
        Service::find_nested(context, &ServiceId::new(self.service_id.as_str()))
    }
}

impl ServiceInstance {
    /// What is shown of the one at this place of its page.
    pub(super) fn of(
        index: usize,
        service: &world::Service,
        instance: &world::ServiceInstance,
        environment: &EnvironmentId,
        view: &View,
    ) -> Self {
        let place = Place {
            service,
            environment,
        };
        let strikes = |every: Option<usize>| every.is_some_and(|every| index.is_multiple_of(every));
        let config = &instance.config;
        let text = |path: &str| config.setting(path)?.as_str().map(str::to_owned);
        let number = |path: &str| {
            config
                .setting(path)?
                .as_i64()
                .and_then(|n| n.try_into().ok())
        };
        let (image, repo) = (config.image(), config.repo());
        let has_source = image.is_some() || repo.is_some();
        let show = |deployment: &world::Deployment| Deployment::of(deployment, place, view);
        Self {
            active_deployments: (instance.active().filter(|_| !view.says_over()))
                .map(show)
                .collect(),
            build_command: text("/build/buildCommand"),
            builder: Builder::Railpack,
            created_at: DateTime(instance.created_at),
            cron_schedule: text("/deploy/cronSchedule"),
            // A listing that lags behind a deletion knows nothing of it.
            deleted_at: None,
            dockerfile_path: text("/build/dockerfilePath"),
            environment_id: environment.to_string(),
            healthcheck_path: text("/deploy/healthcheckPath"),
            healthcheck_timeout: number("/deploy/healthcheckTimeout"),
            id: ID(instance.id.clone()),
            is_updatable: true,
            next_cron_run_at: None,
            num_replicas: number("/deploy/numReplicas"),
            railway_config_file: text("/build/railwayConfigFile"),
            region: text("/deploy/region"),
            restart_policy_max_retries: number("/deploy/restartPolicyMaxRetries").unwrap_or(10),
            restart_policy_type: RestartPolicyType::of(config.setting("/deploy/restartPolicyType")),
            root_directory: text("/build/rootDirectory"),
            service_id: service.id.to_string(),
            service_name: service.name.clone(),
            sleep_application: config.sleep_application(),
            source: has_source.then(|| ServiceSource {
                image: image.map(str::to_owned),
                repo: repo.map(str::to_owned),
            }),
            start_command: config.start_command().map(str::to_owned),
            updated_at: DateTime(instance.updated_at),
            watch_patterns: texts(config.setting("/build/watchPatterns")),
            shown_domains: (!strikes(view.null_answer_every))
                .then(|| AllDomains::of(instance, place)),
            shown_deployment: if strikes(view.null_deployment_every) {
                Err(Refusal::ProblemProcessing)
            } else {
                Ok(instance.latest().map(show))
            },
        }
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice);
    let texts = list.unwrap_or_default().iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

#[derive(Debug, SimpleObject)]
struct ServiceSource {
    image: Option<String>,
    repo: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum Builder {
    Heroku,
    Nixpacks,
    Paketo,
    Railpack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum RestartPolicyType {
    Always,
    Never,
    OnFailure,
}

impl RestartPolicyType {
    fn of(setting: Option<&Value>) -> Self {
        match setting.and_then(Value::as_str) {
            Some("ALWAYS") => Self::Always,
            Some("NEVER") => Self::Never,
            _ => Self::OnFailure,
        }
    }

    /// As the configuration spells it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "ALWAYS",
            Self::Never => "NEVER",
            Self::OnFailure => "ON_FAILURE",
        }
    }
}

#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(super) struct Service {
    created_at: DateTime,
    deleted_at: Option<DateTime>,
    icon: Option<String>,
    id: ID,
    name: String,
    project_id: String,
    template_id: Option<String>,
    template_service_id: Option<String>,
    updated_at: DateTime,
}

#[ComplexObject]
impl Service {
    #[graphql(deprecation = "Use environment.deployments for properly scoped access control")]
    async fn deployments(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<ServiceDeploymentsConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let filter = DeploymentFilter {
            service: Some(ServiceId::new(self.id.as_str())),
            ..DeploymentFilter::default()
        };
        deployment::page_of(context, &filter, &args, |page, view| {
            ServiceDeploymentsConnection::of(page, |found| Deployment::found(found, view))
        })
    }

    async fn project(&self, context: &Context<'_>) -> Result<Project> {
        Project::find(context, &ProjectId::new(self.project_id.as_str()))
    }

    #[graphql(deprecation = "Use environment.serviceInstances for properly scoped access control")]
    async fn service_instances(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<ServiceServiceInstancesConnection> {
        let args = PageArgs {
            after,
            before,
            first,
            last,
        };
        let (id, scope) = (ServiceId::new(self.id.as_str()), scope(context)?);
        shared(context)?.world(|world| {
            // One that a listing still shows may be gone by now.
            let service = world.services().get(&id);
            let service = service.ok_or_else(|| refusal(Refusal::ProblemProcessing))?;
            let page = world.instances_of_service(&scope.caller, service, &args, &scope.view);
            let mut index = 0;
            let show = |(environment, instance)| {
                index += 1;
                ServiceInstance::of(index - 1, service, instance, environment, &scope.view)
            };
            let page = page.map_err(refusal)?;
            Ok(ServiceServiceInstancesConnection::of(page, show))
        })
    }
}

impl Service {
    pub(super) fn of(service: &world::Service) -> Self {
        Self {
            created_at: DateTime(service.created_at),
            deleted_at: service.deleted_at.map(DateTime),
            icon: None,
            id: ID(service.id.to_string()),
            name: service.name.clone(),
            project_id: service.project.to_string(),
            template_id: None,
            template_service_id: None,
            updated_at: DateTime(service.created_at),
        }
    }

    /// The service of that id.
    pub(super) fn find(context: &Context<'_>, id: &ServiceId) -> Result<Self> {
        let caller = &scope(context)?.caller;
        let found = shared(context)?.world(|w| w.service(caller, id).map(Self::of));
        found.map_err(refusal)
    }

    /// The service that something else belongs to, which may be gone.
    pub(super) fn find_nested(context: &Context<'_>, id: &ServiceId) -> Result<Self> {
        Self::find(context, id).map_err(|_| refusal(Refusal::ProblemProcessing))
    }
}
