//! A running simulator, and everything that a test does with one.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{Clock, EnvironmentId, ProjectId, ServiceId};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection::{self, CONNECTIONS_MAX, Routes};
use super::domains::Domains;
use super::files::Capacity;
use super::in_process::{self, InProcess};
use super::shared::{SeedServices, SeededService, Shared};
use super::view::WorldView;
use super::{accounts, control, http};
use crate::faults::{AgentFault, FaultRule};
use crate::world::{Incident, RequestCounts, World};
use crate::{Options, SimulatorError};

/// How often the world goes on when nobody asks it anything. Every request brings it up to date
/// first, so that this only keeps the queue of what is due short.
const TICK: Duration = Duration::from_millis(250);

/// A Railway of our own with its agents, served until it is dropped: over HTTP, or in process.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    /// Where all but the agents is.
    host: String,
    _stop: DropGuard,
}

impl Simulator {
    /// Starts one at ports of this machine. Needs a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// [`SimulatorError::NotLoopback`] and [`SimulatorError::Listen`] for an address,
    /// [`SimulatorError::OpenFileLimit`] for more agents than this process may hold.
    pub async fn start(options: Options) -> Result<Self, SimulatorError> {
        if !options.listen.ip().is_loopback() {
            return Err(SimulatorError::NotLoopback(options.listen));
        }
        let capacity = Capacity::claim(options.agents_max)?;
        let refused = |source| SimulatorError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let stop = CancellationToken::new();
        let domains = Domains::at_ports(capacity, stop.child_token());
        let shared = shared(options, domains);
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        tokio::spawn(connection::serve(
            listener,
            Arc::new(Routes(routes(&shared))),
            connections,
            true,
            stop.child_token(),
        ));
        tokio::spawn(tick(Arc::clone(&shared), stop.child_token()));
        Ok(Self {
            shared,
            host: address.to_string(),
            _stop: stop.drop_guard(),
        })
    }

    /// One without sockets and without a task of its own, and what answers in place of the network.
    /// Agents have names such as `agent-7.up.simulated`, as many as there are, and the world goes on
    /// whenever somebody looks at it.
    #[must_use]
    pub fn in_process(options: Options) -> (Self, InProcess) {
        let stop = CancellationToken::new();
        let shared = shared(options, Domains::by_name(stop.child_token()));
        let service = in_process::service(&shared, routes(&shared), stop.child_token());
        let simulator = Self {
            shared,
            host: in_process::API_HOST.to_owned(),
            _stop: stop.drop_guard(),
        };
        (simulator, service)
    }

    /// Where GraphQL is served; a query string is tolerated.
    #[must_use]
    pub fn graphql_url(&self) -> String {
        format!("http://{}/graphql/v2", self.host)
    }

    /// Where the control API is.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}/control", self.host)
    }

    /// The project that the pool lives in.
    #[must_use]
    pub fn project_id(&self) -> ProjectId {
        self.world(|world| world.home().project.clone())
    }

    /// The environment that the pool lives in.
    #[must_use]
    pub fn environment_id(&self) -> EnvironmentId {
        self.world(|world| world.home().environment.clone())
    }

    #[must_use]
    pub const fn environment_name(&self) -> &'static str {
        crate::world::HOME_ENVIRONMENT
    }

    /// The other environment of the same project.
    #[must_use]
    pub fn other_environment_id(&self) -> EnvironmentId {
        self.world(|world| world.home().other_environment.clone())
    }

    /// An account token, for `Authorization: Bearer`.
    #[must_use]
    pub fn token(&self) -> String {
        self.world(|world| world.tokens().account.clone())
    }

    /// A workspace token, for `Authorization: Bearer`.
    #[must_use]
    pub fn workspace_token(&self) -> String {
        self.world(|world| world.tokens().workspace.clone())
    }

    /// A token of the pool's environment, for `Project-Access-Token`.
    #[must_use]
    pub fn project_token(&self) -> String {
        self.world(|world| world.tokens().project.clone())
    }

    /// Where OpenRouter is: its paths begin with `/api/v1`.
    #[must_use]
    pub fn openrouter_url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// OpenRouter's management key.
    #[must_use]
    pub fn openrouter_key(&self) -> String {
        self.world(|world| world.openrouter().management_key().to_owned())
    }

    /// Where AgentMail is: its paths begin with `/v0`.
    #[must_use]
    pub fn agentmail_url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// AgentMail's key.
    #[must_use]
    pub fn agentmail_key(&self) -> String {
        self.world(|world| world.agentmail().api_key().to_owned())
    }

    /// Looks at the world as it is now, or changes it. The world is locked meanwhile. A domain made
    /// through this has no port; [`Self::seed_services`] makes services that have one.
    pub fn world<R>(&self, look: impl FnOnce(&mut World) -> R) -> R {
        self.shared.world(look)
    }

    /// Everything that there is to see.
    #[must_use]
    pub fn view(&self) -> WorldView {
        self.world(|world| WorldView::of(world))
    }

    /// How many requests Railway got, refused ones too; calls to agents are not among them.
    #[must_use]
    pub fn request_counts(&self) -> RequestCounts {
        self.world(|world| world.request_counts().clone())
    }

    /// How many requests OpenRouter and AgentMail got, refused ones too, by `openrouter`,
    /// `agentmail` and the names of their operations.
    #[must_use]
    pub fn account_request_counts(&self) -> RequestCounts {
        self.world(|world| world.account_request_counts().clone())
    }

    /// Counts requests from zero again.
    pub fn reset_request_counts(&self) {
        self.world(World::reset_request_counts);
    }

    /// Switches a fault on.
    ///
    /// # Errors
    ///
    /// [`SimulatorError::TooManyFaults`] where as many are on as it keeps.
    pub fn inject(&self, rule: FaultRule) -> Result<(), SimulatorError> {
        self.shared.inject(rule)
    }

    /// Switches all faults of Railway off. Agents keep theirs.
    pub fn clear_faults(&self) {
        self.world(|world| world.faults.clear());
    }

    /// Puts services there which run already and are ready.
    ///
    /// # Errors
    ///
    /// Where the world refuses one, for example since its name is taken.
    pub fn seed_services(&self, seed: &SeedServices) -> Result<Vec<SeededService>, SimulatorError> {
        self.shared.seed(seed)
    }

    /// Lets something befall a service in the pool's environment.
    ///
    /// # Errors
    ///
    /// Where there is no such service, or it is not in a state in which that could befall it.
    pub fn happen(&self, service: &ServiceId, what: Incident) -> Result<(), SimulatorError> {
        self.shared.happen(service, what)
    }

    /// Deletes a service as a person does at the dashboard: its volume stays.
    ///
    /// # Errors
    ///
    /// Where there is no such service.
    pub fn delete_service(&self, service: &ServiceId) -> Result<(), SimulatorError> {
        self.shared.delete(service)
    }

    /// Gives an agent a fault, or heals it with None.
    ///
    /// # Errors
    ///
    /// Where there is no such service.
    pub fn set_agent_fault(
        &self,
        service: &ServiceId,
        fault: Option<AgentFault>,
    ) -> Result<(), SimulatorError> {
        self.shared.set_agent_fault(service, fault)
    }
}

fn shared(options: Options, domains: Domains) -> Arc<Shared> {
    let clock: Arc<dyn Clock> = Arc::new(SkewedClock {
        clock: options.clock,
        skew: TimeDelta::milliseconds(options.clock_skew_ms),
    });
    let mut world = World::new(options.seed, options.settings, clock.now());
    world.faults.set_chaos(options.chaos);
    Arc::new(Shared::new(world, clock, domains))
}

fn routes(shared: &Arc<Shared>) -> axum::Router {
    http::routes(shared)
        .merge(accounts::routes(shared))
        .nest("/control", control::routes(shared))
}

/// A clock that is ahead of another, or behind it.
#[derive(Debug)]
struct SkewedClock {
    clock: Arc<dyn Clock>,
    skew: TimeDelta,
}

impl Clock for SkewedClock {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now() + self.skew
    }
}

async fn tick(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => shared.world(|_| ()),
        }
    }
}
