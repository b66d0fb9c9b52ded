//! What a seed is like: its pool, its world, and how much goes wrong of which kind. Most seeds have
//! little of most and much of something.

use std::fmt;
use std::time::Duration;

use pool_simulator::{RateLimits, Settings};

use crate::day::BadDay;

/// Everything that is drawn once.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How many idle ones to keep.
    pub target: usize,
    /// How many there may be.
    pub cap: usize,
    /// From one round to the next.
    pub tick_interval: Duration,
    /// How long a start may take.
    pub stuck_timeout: Duration,
    /// Whether instances have a volume.
    pub has_volume: bool,
    /// Whether each instance gets a key.
    pub has_openrouter: bool,
    /// Whether each instance gets an inbox.
    pub has_agentmail: bool,
    /// How Railway behaves.
    pub world: Settings,
    /// How many servers share the database.
    pub servers: usize,
    /// Services of ours that are there already and have no row.
    pub adoptees: usize,
    /// Of these, how many are in a conversation.
    pub adoptees_in_conversation: usize,
    /// How long a statement takes at most, with its way there and back.
    pub statement_takes_max: Duration,
    /// What happens, and how often.
    pub rates: Rates,
    /// What a person does about a fuse that has tripped.
    pub person: Person,
    /// The one thing that goes wrong, where it is only one.
    pub day: Option<BadDay>,
}

/// A person who is told that the fuse holds something back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// Confirms when the trouble is over.
    Careful,
    /// Confirms what it holds at any moment, right or wrong.
    Hasty,
    /// Confirms other instances than it holds.
    Wrong,
    /// Does nothing.
    Away,
}

/// How often things happen in one tick interval, on average; and how likely one is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Claims.
    pub claims: f64,
    /// What people ask for.
    pub people: f64,
    /// What befalls services and agents.
    pub befalls: f64,
    /// Faults of single requests.
    pub faults: f64,
    /// Listings that lie, and answers that lie.
    pub lies: f64,
    /// Minutes in which nothing works, or one account hangs.
    pub outages: f64,
    /// Servers killed at some step.
    pub kills: f64,
    /// Servers that stand still for a while at some step.
    pub freezes: f64,
    /// How likely a statement's connection breaks.
    pub cuts: f64,
    /// How likely any request meets a fault of the transport.
    pub chaos: f64,
}

impl Rates {
    /// How often something comes up at all, by kind.
    pub(crate) fn nemesis(&self) -> [f64; 7] {
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

    /// Nothing goes wrong but what callers and people do.
    fn is_calm(&self) -> bool {
        self.nemesis()[1..].iter().all(|rate| *rate == 0.0) && self.cuts == 0.0 && self.chaos == 0.0
    }
}

/// One seed in so many has a pool so large that every limit of a round is met.
const LARGE_ONE_IN: u64 = 25;

impl Scenario {
    /// The one of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let rng = &mut fastrand::Rng::with_seed(seed ^ 0x00C4_A4AC_7E40);
        let target = match seed % LARGE_ONE_IN {
            LARGE => [60, 120, 200][rng.usize(..3)],
            _ => rng.usize(1..=6),
        };
        let servers = [1, 1, 2, 3][rng.usize(..4)];
        let adoptees = if rng.u8(..5) == 0 { rng.usize(1..4) } else { 0 };
        let rates = rates(rng);
        // An agent that answers rubbish instead of its conversation is taken for free, as decided.
        let may_converse = rates.befalls == 0.0 && rates.chaos == 0.0 && adoptees > 0;
        Self {
            target,
            cap: target + adoptees + rng.usize(0..12),
            tick_interval: seconds([10, 10, 20, 30][rng.usize(..4)]),
            stuck_timeout: seconds([300, 600][rng.usize(..2)]),
            has_volume: rng.u8(..5) > 0,
            world: world(rng, target),
            servers,
            adoptees,
            adoptees_in_conversation: if may_converse {
                rng.usize(0..=adoptees)
            } else {
                0
            },
            has_openrouter: rng.u8(..4) > 0,
            has_agentmail: rng.u8(..4) > 0,
            statement_takes_max: Duration::from_millis([1, 5, 20][rng.usize(..3)]),
            rates,
            day: None,
            person: [
                Person::Careful,
                Person::Careful,
                Person::Hasty,
                Person::Wrong,
                Person::Away,
            ][rng.usize(..5)],
        }
    }
}

impl Scenario {
    /// The same pool on such a day, on which nothing else goes wrong.
    #[must_use]
    pub fn on(self, day: BadDay) -> Self {
        let rates = Rates {
            claims: 1.5,
            // Where it is counted what servers throw away, people throw nothing away.
            people: match day {
                BadDay::AgentsRefuse | BadDay::BadImage => 0.0,
                _ => 0.5,
            },
            ..Rates::default()
        };
        let is_small = self.world.limits.per_hour.is_some();
        let limits = if is_small {
            RateLimits::none()
        } else {
            self.world.limits
        };
        Self {
            day: Some(day),
            tick_interval: self.tick_interval.min(seconds(30)),
            has_openrouter: true,
            has_agentmail: true,
            world: Settings {
                limits,
                ..self.world
            },
            rates,
            ..self
        }
    }

    /// Nothing goes wrong but what callers and people do.
    pub(crate) fn is_calm(&self) -> bool {
        self.day.is_none() && self.rates.is_calm()
    }

    /// Whether Railway counts requests so that a pool has to wait for the next hour.
    pub(crate) fn has_budget(&self) -> bool {
        let per_hour = self.world.limits.per_hour;
        per_hour.is_some_and(|limit| limit <= SMALL_BUDGET)
    }
}

/// How soon an instance whose agent is ready has to be idle, where nothing goes wrong: starting ones are
/// probed each two seconds or so, and their address is known as soon as they have one.
pub(crate) const PROMOTED_WITHIN: Duration = Duration::from_secs(10);

/// Which of the remainders has the large pools: not 0, so that the first seeds are quick.
const LARGE: u64 = 7;

fn rates(rng: &mut fastrand::Rng) -> Rates {
    if rng.u8(..10) == 0 {
        // Nothing but load: then everything has to be prompt.
        return Rates {
            claims: 3.0,
            ..Rates::default()
        };
    }
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
        cuts: some(0.003),
        chaos: some(0.1),
    }
}

/// What the smallest plan allows in an hour.
const SMALL_BUDGET: u32 = 1_000;

/// Reads lag less than the grace, as the grace assumes.
fn world(rng: &mut fastrand::Rng, target: usize) -> Settings {
    let deploy_min = rng.u64(5..40);
    // The hour's budget of a small plan would make the filling of a large pool take hours; and that is
    // what is assumed where Railway says nothing.
    let limits = match rng.u8(..4) {
        _ if target > 6 => RateLimits::default(),
        0 => RateLimits {
            per_hour: Some(SMALL_BUDGET),
            per_second: Some(10),
            ..RateLimits::default()
        },
        1 => RateLimits::default(),
        _ => RateLimits::none(),
    };
    Settings {
        deploy_min: seconds(deploy_min),
        deploy_max: seconds(deploy_min + rng.u64(1..60)),
        boot: seconds(rng.u64(0..20)),
        read_lag: seconds([0, 5, 45][rng.usize(..3)]),
        delete_lag: seconds([0, 10, 60][rng.usize(..3)]),
        volume_cooldown: seconds(u64::from(target <= 6 && rng.u8(..4) == 0)),
        instance_lag: seconds([0, 0, 2][rng.usize(..3)]),
        limits,
        ..Settings::default()
    }
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} server(s); target {}, cap {}, tick {:?}, stuck after {:?}, reads lag {:?}, \
             deletions {:?}, {:?} requests an hour",
            self.servers,
            self.target,
            self.cap,
            self.tick_interval,
            self.stuck_timeout,
            self.world.read_lag,
            self.world.delete_lag,
            self.world.limits.per_hour,
        )?;
        for (is_so, what) in [
            (self.has_volume, "volumes"),
            (self.has_openrouter, "keys"),
            (self.has_agentmail, "inboxes"),
        ] {
            if is_so {
                write!(f, ", {what}")?;
            }
        }
        if self.adoptees > 0 {
            write!(f, ", {} to adopt", self.adoptees)?;
        }
        if let Some(day) = self.day {
            write!(f, "; a day of {day}")?;
        }
        write!(f, "; {:?}; in an interval: {:?}", self.person, self.rates)
    }
}
