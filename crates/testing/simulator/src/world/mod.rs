//! The modelled Railway: pure and deterministic. It does no I/O and reads no clock; time and the
//! seed come in, and everything that happens by itself happens in [`World::step`].

mod agent;
mod callers;
mod config;
mod counts;
mod gate;
mod incidents;
mod limiter;
mod listing;
mod model;
mod mutations;
mod patch;
mod refusal;
mod settings;
mod time;
mod timer;
mod view;
mod volumes;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{EnvironmentId, ProjectId, ServiceId, VolumeId};

pub use agent::{
    Agent, AgentBody, AgentCall, AgentConversation, AgentReply, Ending, Outcome, Provision,
};
pub use callers::{Caller, Credential, Tokens};
pub use config::Config;
pub use counts::RequestCounts;
pub(crate) use counts::bump;
pub use gate::Admission;
pub use incidents::Incident;
pub use limiter::RateHeaders;
pub use listing::{Page, PageArgs};
pub use model::{
    Cause, Deployment, Domain, Environment, InstanceKey, Service, ServiceInstance, Volume,
};
pub use mutations::NewService;
pub use refusal::Refusal;
pub use settings::{EdgeLimit, LimitBody, RateLimits, ResetFormat, Settings};
pub use view::View;
pub use volumes::NewVolume;

use crate::accounts::{Accounts, AgentMail, OpenRouter};
use crate::faults::Faults;
use limiter::{Edge, Limiter};
use timer::Timer;

/// The name of the environment that the pool lives in.
pub const HOME_ENVIRONMENT: &str = "production";

/// How many deleted services are remembered, so that a test can see what became of them: more than
/// an hour of the hardest test deletes, and a bound to the memory of a simulator left running.
const DELETED_KEPT: usize = 10_000;

/// All of it: one project with its services, volumes, agents, the limits, and the faults that are switched on.
#[derive(Debug, Clone)]
pub struct World {
    settings: Settings,
    rng: fastrand::Rng,
    now: DateTime<Utc>,
    seq: u64,
    environments: Vec<Environment>,
    services: BTreeMap<ServiceId, Service>,
    volumes: BTreeMap<VolumeId, Volume>,
    domains: BTreeMap<String, InstanceKey>,
    freed_domains: Vec<String>,
    deleted: VecDeque<ServiceId>,
    timers: BTreeMap<(DateTime<Utc>, u64), Timer>,
    home: Home,
    tokens: Tokens,
    limiter: Limiter,
    edge: Edge,
    requests: RequestCounts,
    last_volume_at: Option<DateTime<Utc>>,
    accounts: Accounts,
    /// The faults that are switched on.
    pub faults: Faults,
}

/// The project and environment that the pool lives in.
#[derive(Debug, Clone)]
pub struct Home {
    pub project: ProjectId,
    /// The environment, by the name of `production`.
    pub environment: EnvironmentId,
    /// Another environment of the same project, by the name of `staging`.
    pub other_environment: EnvironmentId,
}

impl World {
    /// A world with one project of two environments, `production` and `staging`, and nothing in it.
    #[must_use]
    pub fn new(seed: u64, settings: Settings, now: DateTime<Utc>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let home = Home {
            project: ProjectId::new(uuid(&mut rng)),
            environment: EnvironmentId::new(uuid(&mut rng)),
            other_environment: EnvironmentId::new(uuid(&mut rng)),
        };
        let environment = |id: &EnvironmentId, name: &str| Environment {
            id: id.clone(),
            name: name.to_owned(),
            is_fork: false,
        };
        let environments = vec![
            environment(&home.environment, HOME_ENVIRONMENT),
            environment(&home.other_environment, "staging"),
        ];
        let tokens = Tokens::draw(&mut rng);
        Self {
            settings,
            rng,
            now,
            seq: 0,
            environments,
            services: BTreeMap::new(),
            volumes: BTreeMap::new(),
            domains: BTreeMap::new(),
            freed_domains: Vec::new(),
            deleted: VecDeque::new(),
            timers: BTreeMap::new(),
            home,
            tokens,
            limiter: Limiter::default(),
            edge: Edge::default(),
            requests: RequestCounts::default(),
            last_volume_at: None,
            accounts: Accounts::new(seed),
            faults: Faults::default(),
        }
    }

    /// The world's time: that of the last step.
    #[must_use]
    pub const fn now(&self) -> DateTime<Utc> {
        self.now
    }

    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// How the world behaves; may be changed at any time.
    pub const fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The tokens that it accepts.
    pub(crate) const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Every service there ever was, by id; of the deleted ones the last 10,000.
    #[must_use]
    pub const fn services(&self) -> &BTreeMap<ServiceId, Service> {
        &self.services
    }

    /// Every live service, oldest first.
    #[must_use]
    pub fn live_services(&self) -> Vec<&Service> {
        let mut live: Vec<_> = self.services.values().filter(|s| s.is_live()).collect();
        live.sort_unstable_by_key(|service| service.seq);
        live
    }

    /// Every volume, those pending deletion too, by id.
    #[must_use]
    pub const fn volumes(&self) -> &BTreeMap<VolumeId, Volume> {
        &self.volumes
    }

    /// A live service by its name.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Service> {
        self.services
            .values()
            .find(|service| service.is_live() && service.name == name)
    }

    /// The instance of a live service in an environment.
    #[must_use]
    pub fn instance(&self, (service, environment): &InstanceKey) -> Option<&ServiceInstance> {
        self.services
            .get(service)
            .filter(|s| s.is_live())?
            .instances
            .get(environment)
    }

    /// The volume attached to an instance, unless it is pending deletion.
    #[must_use]
    pub fn volume_of(&self, (service, environment): &InstanceKey) -> Option<&Volume> {
        self.volumes.values().find(|volume| {
            !volume.is_pending_deletion()
                && volume.environment == *environment
                && volume.service.as_ref() == Some(service)
        })
    }

    /// The account with OpenRouter.
    #[must_use]
    pub const fn openrouter(&self) -> &OpenRouter {
        &self.accounts.openrouter
    }

    /// The account with AgentMail.
    #[must_use]
    pub const fn agentmail(&self) -> &AgentMail {
        &self.accounts.agentmail
    }

    /// How many requests OpenRouter and AgentMail got.
    #[must_use]
    pub const fn account_request_counts(&self) -> &RequestCounts {
        self.accounts.request_counts()
    }

    /// Both accounts, to be changed as their own interfaces change them.
    pub const fn accounts_mut(&mut self) -> &mut Accounts {
        &mut self.accounts
    }

    /// The agent in an instance of a live service.
    pub fn agent_mut(&mut self, key: &InstanceKey) -> Option<&mut Agent> {
        Some(&mut self.instance_mut(key)?.agent)
    }

    /// The domains that became free since this was last asked, for whoever listens on their ports.
    pub(crate) fn take_freed_domains(&mut self) -> Vec<String> {
        std::mem::take(&mut self.freed_domains)
    }

    fn instance_mut(
        &mut self,
        (service, environment): &InstanceKey,
    ) -> Option<&mut ServiceInstance> {
        self.services
            .get_mut(service)
            .filter(|s| s.is_live())?
            .instances
            .get_mut(environment)
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn new_id(&mut self) -> String {
        uuid(&mut self.rng)
    }

    fn random_duration(&mut self, min: Duration, max: Duration) -> Duration {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (min, max) = (millis(min), millis(max));
        Duration::from_millis(self.rng.u64(min..=max.max(min)))
    }
}

/// A random id that looks like Railway's.
fn uuid(rng: &mut fastrand::Rng) -> String {
    let hex = format!("{:032x}", rng.u128(..));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
