//! The domains that agents have: a port of this machine for each, `127.0.0.1:PORT`, or a name that
//! only callers in this process know.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::agents::{Agent, Agents};
use super::connection::{self, CONNECTIONS_MAX};
use super::files::Capacity;
use crate::SimulatorError;

/// The domains that are taken, and what may be.
#[derive(Debug)]
pub(super) struct Domains {
    taken: Mutex<BTreeMap<String, CancellationToken>>,
    kind: Kind,
    stop: CancellationToken,
}

#[derive(Debug)]
enum Kind {
    Ports {
        capacity: Capacity,
        connections: Arc<Semaphore>,
    },
    Names {
        made: AtomicU64,
    },
}

impl Domains {
    /// Domains that are served at ports, until told to stop.
    pub(super) fn at_ports(capacity: Capacity, stop: CancellationToken) -> Self {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self::new(
            Kind::Ports {
                capacity,
                connections,
            },
            stop,
        )
    }

    /// Domains that are names, which hold no file open.
    pub(super) fn by_name(stop: CancellationToken) -> Self {
        let made = AtomicU64::new(0);
        Self::new(Kind::Names { made }, stop)
    }

    fn new(kind: Kind, stop: CancellationToken) -> Self {
        Self {
            taken: Mutex::default(),
            kind,
            stop,
        }
    }

    /// Serves a new domain, which this gives, until it is given up. Refused when as many agents as may
    /// be have a port.
    pub(super) fn open(&self, agents: Arc<dyn Agents>) -> Result<String, SimulatorError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let stop = self.stop.child_token();
        let domain = match &self.kind {
            Kind::Names { made } => {
                let number = made.fetch_add(1, Ordering::Relaxed) + 1;
                format!("agent-{number}.up.simulated")
            }
            Kind::Ports { capacity, .. } if taken.len() >= capacity.agents => {
                return Err(SimulatorError::TooManyAgents {
                    at_most: capacity.agents,
                    limit: capacity.limit,
                });
            }
            Kind::Ports { connections, .. } => {
                let (listener, domain) = bind().map_err(|source| SimulatorError::Listen {
                    address: (Ipv4Addr::LOCALHOST, 0).into(),
                    source,
                })?;
                let agent = Arc::new(Agent::at(agents, &domain));
                let connections = Arc::clone(connections);
                // No connection is kept open, so that a thousand agents hold a thousand files and
                // not two.
                let serving = connection::serve(listener, agent, connections, false, stop.clone());
                tokio::spawn(serving);
                domain
            }
        };
        taken.insert(domain.clone(), stop);
        Ok(domain)
    }

    /// What says that this domain was given up; none if nobody has it.
    pub(super) fn stop_of(&self, domain: &str) -> Option<CancellationToken> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(domain).cloned()
    }

    /// Gives these domains up.
    pub(super) fn close(&self, domains: &[String]) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for domain in domains {
            if let Some(stop) = taken.remove(domain) {
                stop.cancel();
            }
        }
    }
}

fn bind() -> std::io::Result<(TcpListener, String)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let domain = listener.local_addr()?.to_string();
    Ok((TcpListener::from_std(listener)?, domain))
}
