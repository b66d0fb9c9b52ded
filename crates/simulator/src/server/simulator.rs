//! A running simulator, and everything that a test does with one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pool_domain::{EnvironmentId, ProjectId, ServiceId};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::agents::Ports;
use super::connection::{self, CONNECTIONS_MAX, Routes};
use super::files::Capacity;
use super::shared::{SeedServices, SeededService, Shared};
use super::view::WorldView;
use super::{control, http};
use crate::faults::{AgentFault, FaultRule};
use crate::world::{Happening, RequestCounts, World};
use crate::{Options, SimulatorError};

/// How often the world goes on when nobody asks it anything. Every request brings it up to date
/// first, so that this only keeps the queue of what is due short.
const TICK: Duration = Duration::from_millis(250);

/// A Railway of our own with its agents, served over HTTP until it is dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    _stop: DropGuard,
}

impl Simulator {
    /// Starts one. Needs a tokio runtime around it.
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
        let mut world = World::new(options.seed, options.settings, options.clock.now());
        world.faults.set_chaos(options.chaos);
        let ports = Ports::new(capacity, stop.child_token());
        let shared = Arc::new(Shared::new(world, options.clock, ports));
        let routes = http::routes(&shared).nest("/control", control::routes(&shared));
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let routes = Arc::new(Routes(routes));
        tokio::spawn(connection::serve(
            listener,
            routes,
            connections,
            true,
            stop.child_token(),
        ));
        tokio::spawn(tick(Arc::clone(&shared), stop.child_token()));
        Ok(Self {
            shared,
            address,
            _stop: stop.drop_guard(),
        })
    }

    /// Where GraphQL is served; a query string is tolerated.
    #[must_use]
    pub fn graphql_url(&self) -> String {
        format!("http://{}/graphql/v2", self.address)
    }

    /// Where the control API is.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}/control", self.address)
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

    /// The name of that environment.
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

    /// Counts requests from zero again.
    pub fn reset_request_counts(&self) {
        self.world(World::reset_request_counts);
    }

    /// Switches a fault on.
    pub fn inject(&self, rule: FaultRule) -> Result<(), SimulatorError> {
        self.shared.inject(rule)
    }

    /// Switches all faults of Railway off. Agents keep theirs.
    pub fn clear_faults(&self) {
        self.world(|world| world.faults.clear());
    }

    /// Puts services there which run already and are ready.
    pub fn seed_services(&self, seed: &SeedServices) -> Result<Vec<SeededService>, SimulatorError> {
        self.shared.seed(seed)
    }

    /// Lets something befall a service in the pool's environment.
    pub fn happen(&self, service: &ServiceId, what: Happening) -> Result<(), SimulatorError> {
        self.shared.happen(service, what)
    }

    /// Deletes a service as a person does at the dashboard: its volume stays.
    pub fn delete_service(&self, service: &ServiceId) -> Result<(), SimulatorError> {
        self.shared.delete(service)
    }

    /// Gives an agent a fault, or heals it with None.
    pub fn set_agent_fault(
        &self,
        service: &ServiceId,
        fault: Option<AgentFault>,
    ) -> Result<(), SimulatorError> {
        self.shared.set_agent_fault(service, fault)
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
