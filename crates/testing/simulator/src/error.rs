//! What can go wrong in the simulator itself. What it pretends to go wrong is in `faults`.

use std::net::SocketAddr;

use pool_domain::ServiceId;

use crate::world::Refusal;

/// Why the simulator could not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// Its tokens are no secrets, so nobody but this machine may reach it.
    #[error("the simulator listens on loopback only, and {0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    /// Each agent holds files open, and the process may not open so many.
    #[error(
        "{agents} agents need {needed} open files, and this process may open {limit}; \
         ask for at most {at_most} agents, or raise the limit with `ulimit -n {needed}`"
    )]
    OpenFileLimit {
        agents: usize,
        needed: u64,
        limit: u64,
        at_most: usize,
    },
    /// As many agents as allowed have their port already.
    #[error(
        "all {at_most} agents that this simulator may run have a port already \
         (limit of open files {limit}); delete services, or start it with a higher --agents-max"
    )]
    TooManyAgents { at_most: usize, limit: u64 },
    /// As many faults as may be are switched on already.
    #[error("{at_most} faults are switched on already, and more may not be")]
    TooManyFaults { at_most: usize },
    /// There is no such service, or it was deleted.
    #[error("there is no live service {0}")]
    UnknownService(ServiceId),
    /// The service is in no state in which that can happen to it.
    #[error("service {service_id} cannot {verb}: {reason}")]
    Impossible {
        service_id: ServiceId,
        verb: &'static str,
        reason: &'static str,
    },
    /// The modelled Railway refused, as Railway would.
    #[error("the modelled Railway refused: {0}")]
    Refused(#[from] Refusal),
}
