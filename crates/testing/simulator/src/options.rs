//! What a simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pool_domain::{Clock, SystemClock};

use crate::faults::Chaos;
use crate::world::Settings;

/// How to start a [`crate::Simulator`]. The default is quick enough for tests: deploys take 50 to
/// 150 ms, an agent boots in 50 ms, and listings do not lag.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where GraphQL and the control API listen. Loopback only.
    pub listen: SocketAddr,
    /// What randomness starts from.
    pub seed: u64,
    pub settings: Settings,
    /// How many agents may have a port at once. None is as many as the limit of open files allows;
    /// more than it allows is refused at the start.
    pub agents_max: Option<usize>,
    /// Faults drawn at random, none by default.
    pub chaos: Option<Chaos>,
    pub clock: Arc<dyn Clock>,
    /// How far the simulator's clock is ahead of that, in milliseconds; behind it when negative.
    pub clock_skew_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 0,
            settings: Settings::default(),
            agents_max: None,
            chaos: None,
            clock: Arc::new(SystemClock),
            clock_skew_ms: 0,
        }
    }
}
