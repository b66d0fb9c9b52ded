//! How a connection is made: the address, TLS, and what every session is set to.

mod address;
mod dialer;
mod hosts;
pub(crate) mod pooler;
mod session;
mod tls;
pub(crate) mod version;

pub use address::AddressError;
pub(crate) use address::{Address, Roots, TlsMode};
pub use dialer::Dialer;
pub(crate) use session::Connector;
pub(crate) use session::Session;

use pool_domain::Secret;

/// Where the database is, and how many connections to hold.
#[derive(Debug, Clone)]
pub struct DbSettings {
    /// `DATABASE_URL`, with its password.
    pub url: Secret,
    /// Connections for the API, but for claims.
    pub pool_size: usize,
    /// Connections for the leader's loops, so that nobody who asks the API keeps them waiting.
    pub leader_pool_size: usize,
    /// Connections for claims alone, so that no tick and no list can keep a claim waiting.
    pub claim_pool_size: usize,
    /// What makes the connections, where it is not the network.
    pub dialer: Option<Dialer>,
}

impl DbSettings {
    /// What lists and people ask for is read once for all, or takes a moment.
    pub const POOL_SIZE: usize = 5;
    /// A round reads and writes on one or two, promoting on another; workers share the rest.
    pub const LEADER_POOL_SIZE: usize = 7;
    /// Sixteen gave 6,000 claims a second with 32 callers; more gain nothing on few cores.
    pub const CLAIM_POOL_SIZE: usize = 16;

    /// [`Self::POOL_SIZE`] and [`Self::CLAIM_POOL_SIZE`], over the network.
    #[must_use]
    pub fn new(url: Secret) -> Self {
        Self {
            url,
            pool_size: Self::POOL_SIZE,
            leader_pool_size: Self::LEADER_POOL_SIZE,
            claim_pool_size: Self::CLAIM_POOL_SIZE,
            dialer: None,
        }
    }

    /// What one server takes of the database's connections at most: its pools, the one that leads or
    /// would, and one that contracts while it leads.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.pool_size + self.leader_pool_size + self.claim_pool_size + 2
    }

    /// The password in the URL, as it is sent: what nobody may be told, even by those who quote it.
    #[must_use]
    pub fn password(url: &Secret) -> Option<Secret> {
        let address = Address::parse(url).ok()?;
        let password = address.config.get_password()?;
        Some(Secret::new(String::from_utf8_lossy(password)))
    }
}
