//! What a seed is like: its pool, its world, and how much goes wrong of which kind. Most seeds have
//! little of most and much of something.

use std::time::Duration;

use pool_domain::Policy;
use pool_simulator::{RateLimits, Settings};

/// Everything that is drawn once.
#[derive(Debug, Clone)]
pub(crate) struct Character {
    pub(crate) policy: Policy,
    pub(crate) world: Settings,
    /// How many servers share the database.
    pub(crate) servers: usize,
    /// Services of ours that are there already and have no row.
    pub(crate) adoptees: usize,
    /// Of these, how many are in a conversation.
    pub(crate) adoptees_in_conversation: usize,
    pub(crate) has_openrouter: bool,
    pub(crate) has_agentmail: bool,
    pub(crate) rates: Rates,
}

/// How often things happen in one tick interval, on average; and how likely one is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// Claims.
    pub(crate) claims: f64,
    /// What people ask for.
    pub(crate) people: f64,
    /// What befalls services and agents.
    pub(crate) befalls: f64,
    /// Faults of single requests.
    pub(crate) faults: f64,
    /// Listings that lie, and answers that lie.
    pub(crate) lies: f64,
    /// Hours in which nothing works, in short.
    pub(crate) outages: f64,
    /// Servers killed at some step.
    pub(crate) kills: f64,
    /// Servers that stand still for a while at some step.
    pub(crate) freezes: f64,
    /// How likely a statement's connection breaks.
    pub(crate) database: f64,
    /// How likely any request meets a fault of the transport.
    pub(crate) chaos: f64,
}

impl Rates {
    /// How often something comes up at all.
    pub(crate) fn weather(&self) -> [f64; 7] {
        [
            self.people,
            self.befalls,
            self.faults,
            self.lies,
            self.outages,
            self.kills,
            self.freezes,
        ]
    }
}

impl Character {
    pub(crate) fn of(seed: u64) -> Self {
        let rng = &mut fastrand::Rng::with_seed(seed ^ 0x00C4_A4AC_7E40);
        let min_idle = rng.usize(1..=6);
        let servers = [1, 1, 2, 3][rng.usize(..4)];
        let adoptees = if rng.u8(..5) == 0 { rng.usize(1..4) } else { 0 };
        let rates = rates(rng);
        // An agent that answers rubbish instead of its conversation is taken for free, as decided.
        let may_converse = rates.befalls == 0.0 && adoptees > 0;
        Self {
            policy: Policy {
                min_idle,
                max_total: min_idle + adoptees + rng.usize(0..12),
                tick_interval: seconds([10, 30, 30, 60][rng.usize(..4)]),
                stuck_timeout: seconds([300, 600][rng.usize(..2)]),
                has_volume: rng.u8(..5) > 0,
                ..Policy::default()
            },
            world: world(rng),
            servers,
            adoptees,
            adoptees_in_conversation: if may_converse {
                rng.usize(0..=adoptees)
            } else {
                0
            },
            has_openrouter: rng.u8(..4) > 0,
            has_agentmail: rng.u8(..4) > 0,
            rates,
        }
    }
}

fn rates(rng: &mut fastrand::Rng) -> Rates {
    let mut some = |most: f64| match rng.u8(..3) {
        0 => 0.0,
        1 => most * 0.3,
        _ => most,
    };
    Rates {
        claims: some(1.5),
        people: some(0.3),
        befalls: some(0.8),
        faults: some(0.8),
        lies: some(0.25),
        outages: some(0.05),
        kills: some(0.3),
        freezes: some(0.2),
        database: some(0.01),
        chaos: some(0.1),
    }
}

/// Reads lag less than the grace, as the grace assumes.
fn world(rng: &mut fastrand::Rng) -> Settings {
    let deploy_min = rng.u64(5..40);
    Settings {
        deploy_min: seconds(deploy_min),
        deploy_max: seconds(deploy_min + rng.u64(1..60)),
        boot: seconds(rng.u64(0..20)),
        read_lag: seconds([0, 5, 45][rng.usize(..3)]),
        delete_lag: seconds([0, 10, 60][rng.usize(..3)]),
        volume_cooldown: seconds(u64::from(rng.u8(..4) == 0)),
        instance_lag: seconds([0, 0, 2][rng.usize(..3)]),
        limits: RateLimits::none(),
        ..Settings::default()
    }
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
