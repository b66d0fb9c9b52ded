//! Things that happen, drawn from a seed: what a client does and what befalls services by itself.
//! An operation is plain data that names its service by a number, so that it fits any world and a
//! property test can make a failing list shorter.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::faults::{AgentFault, Fault, FaultRule, draw_any};
use crate::world::{AgentCall, Incident, InstanceKey, NewService, NewVolume, Settings, World};
use crate::{Caller, Refusal};

/// The key that operations give to the agents that they create.
pub const POOL_API_KEY: &str = "key-of-random-operations";

/// What the names of services that operations create begin with.
pub const PREFIX: &str = "convos-agent-";

/// Something that happens. `nth` chooses among the live services (or volumes) there are, by
/// remainder.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// `serviceCreate`, from so small a set of names that they collide.
    CreateService {
        name: u8,
        /// With an image, so that it is deployed at once.
        with_image: bool,
    },
    /// `environmentPatchCommit` of one service.
    PatchService {
        /// Which service.
        nth: u32,
        /// Which of a few configurations, so that some patches change nothing.
        version: u8,
    },
    DeleteService {
        /// Which service.
        nth: u32,
    },
    /// `volumeCreate`, attached.
    CreateVolume {
        /// Which service.
        nth: u32,
    },
    DeleteVolume {
        /// Which volume.
        nth: u32,
    },
    /// `serviceDomainCreate`.
    CreateDomain {
        /// Which service.
        nth: u32,
    },
    /// A call to an agent to be provisioned.
    Provision {
        /// Which service.
        nth: u32,
    },
    /// Something befalls a service by itself.
    Befall {
        /// Which service.
        nth: u32,
        what: Incident,
    },
    /// An agent begins to misbehave, or is well again.
    Ail {
        /// Which service.
        nth: u32,
        /// How; none heals it.
        fault: Option<AgentFault>,
    },
    /// The next deployment goes wrong.
    SpoilNextDeploy {
        /// Whether it sticks, rather than fails.
        sticks: bool,
    },
    /// The next requests meet a fault, once the world is served over HTTP.
    Trouble {
        fault: Fault,
        /// How many requests.
        times: u32,
    },
    TimePasses {
        /// Milliseconds.
        ms: u64,
    },
}

/// How often each kind of operation is drawn, against the others.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "named after the operations")]
pub struct Weights {
    pub create_service: u32,
    pub patch_service: u32,
    pub delete_service: u32,
    pub create_volume: u32,
    pub delete_volume: u32,
    pub create_domain: u32,
    pub provision: u32,
    pub crash: u32,
    pub stop: u32,
    pub sleep: u32,
    pub redeploy: u32,
    pub fail: u32,
    pub ail: u32,
    pub heal: u32,
    pub spoil_next_deploy: u32,
    pub trouble: u32,
    pub time_passes: u32,
}

impl Weights {
    /// All that a client does and all that happens by itself.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            create_service: 8,
            patch_service: 8,
            delete_service: 2,
            create_volume: 4,
            delete_volume: 2,
            create_domain: 6,
            provision: 4,
            time_passes: 12,
            ..Self::by_themselves()
        }
    }

    /// Only what befalls services by itself, to be mixed with a real client's doings.
    #[must_use]
    pub const fn by_themselves() -> Self {
        Self {
            create_service: 0,
            patch_service: 0,
            delete_service: 0,
            create_volume: 0,
            delete_volume: 0,
            create_domain: 0,
            provision: 0,
            crash: 3,
            stop: 1,
            sleep: 1,
            redeploy: 2,
            fail: 1,
            ail: 3,
            heal: 3,
            spoil_next_deploy: 1,
            trouble: 0,
            time_passes: 0,
        }
    }

    /// What befalls services by itself, and faults of requests and listings.
    pub(crate) const fn with_trouble() -> Self {
        Self {
            trouble: 6,
            ..Self::by_themselves()
        }
    }

    const fn in_order(&self) -> [u32; 17] {
        [
            self.create_service,
            self.patch_service,
            self.delete_service,
            self.create_volume,
            self.delete_volume,
            self.create_domain,
            self.provision,
            self.crash,
            self.stop,
            self.sleep,
            self.redeploy,
            self.fail,
            self.ail,
            self.heal,
            self.spoil_next_deploy,
            self.trouble,
            self.time_passes,
        ]
    }
}

/// Draws one operation.
pub fn draw(rng: &mut fastrand::Rng, weights: &Weights) -> Operation {
    let weights = weights.in_order();
    let mut left = rng.u32(..weights.iter().sum::<u32>().max(1));
    let mut kind = 0;
    for (index, weight) in weights.iter().enumerate() {
        kind = index;
        if left < *weight {
            break;
        }
        left -= weight;
    }
    let nth = rng.u32(..);
    let befall = |what| Operation::Befall { nth, what };
    match kind {
        0 => Operation::CreateService {
            name: rng.u8(..24),
            with_image: rng.bool(),
        },
        1 => Operation::PatchService {
            nth,
            version: rng.u8(..3),
        },
        2 => Operation::DeleteService { nth },
        3 => Operation::CreateVolume { nth },
        4 => Operation::DeleteVolume { nth },
        5 => Operation::CreateDomain { nth },
        6 => Operation::Provision { nth },
        7 => befall(Incident::Crash),
        8 => befall(Incident::Stop),
        9 => befall(Incident::Sleep),
        10 => befall(Incident::Redeploy),
        11 => befall(Incident::Fail),
        12 => Operation::Ail {
            nth,
            fault: Some(draw_ailment(rng)),
        },
        13 => Operation::Ail { nth, fault: None },
        14 => Operation::SpoilNextDeploy { sticks: rng.bool() },
        15 => Operation::Trouble {
            fault: draw_any(rng),
            times: rng.u32(1..5),
        },
        _ => Operation::TimePasses {
            ms: rng.u64(1..120_000),
        },
    }
}

fn draw_ailment(rng: &mut fastrand::Rng) -> AgentFault {
    match rng.u8(..11) {
        0 => AgentFault::Unready,
        1 => AgentFault::Hang,
        2 => AgentFault::Slow {
            ms: rng.u64(100..3_000),
        },
        3 => AgentFault::Error,
        4 => AgentFault::Garbage,
        5 => AgentFault::Close,
        6 => AgentFault::RefuseProvision { status: 503 },
        7 => AgentFault::Mute,
        8 => AgentFault::Stall,
        9 => AgentFault::Redirect,
        _ => AgentFault::CloseMidAnswer,
    }
}

impl Operation {
    /// Lets it happen, and tells in a sentence what came of it.
    pub fn apply(&self, world: &mut World) -> String {
        match self.attempt(world) {
            Ok(Some(sentence)) => sentence,
            Ok(None) => format!("{self:?}: there is nothing that it could happen to"),
            Err(refusal) => format!("{self:?}: refused, {refusal}"),
        }
    }

    fn attempt(&self, world: &mut World) -> Result<Option<String>, Refusal> {
        match self {
            Self::CreateService { name, with_image } => create_service(world, *name, *with_image),
            Self::TimePasses { ms } => {
                world.step(world.now() + Duration::from_millis(*ms));
                Ok(Some(format!("{ms} ms pass")))
            }
            Self::SpoilNextDeploy { sticks } => {
                let fault = if *sticks {
                    Fault::DeploySticks
                } else {
                    Fault::DeployFails
                };
                let room = world.faults.add(FaultRule::once(fault));
                Ok(room.then(|| "the next deployment will go wrong".to_owned()))
            }
            Self::Trouble { fault, times } => {
                let rule = FaultRule::always(fault.clone()).times(*times);
                let room = world.faults.add(rule);
                Ok(room.then(|| format!("the next {times} requests meet {fault:?}")))
            }
            Self::DeleteVolume { nth } => delete_volume(world, *nth),
            Self::PatchService { nth, .. }
            | Self::DeleteService { nth }
            | Self::CreateVolume { nth }
            | Self::CreateDomain { nth }
            | Self::Provision { nth }
            | Self::Befall { nth, .. }
            | Self::Ail { nth, .. } => match nth_service(world, *nth) {
                Some((key, name)) => self.attempt_on(world, &key, &name),
                None => Ok(None),
            },
        }
    }

    fn attempt_on(
        &self,
        world: &mut World,
        key: &InstanceKey,
        name: &str,
    ) -> Result<Option<String>, Refusal> {
        let told = match self {
            Self::PatchService { version, .. } => {
                let patch = patch_of(key, *version);
                world.environment_patch_commit(&Caller::Account, &key.1, &patch)?;
                format!("{name} is patched to version {version}")
            }
            Self::DeleteService { .. } => {
                world.service_delete(&Caller::Account, &key.0, None)?;
                format!("{name} is deleted")
            }
            Self::CreateVolume { .. } => {
                let volume = world.volume_create(&Caller::Account, volume_of(world, key))?;
                format!("volume {volume} is attached to {name}")
            }
            Self::CreateDomain { .. } => {
                let domain = world.synthetic_domain();
                world.service_domain_create(&Caller::Account, key, domain.clone())?;
                format!("{name} is reached at {domain}")
            }
            Self::Provision { .. } => return Ok(provision(world, key, name)),
            Self::Befall { what, .. } => {
                let happened = world.happen(key, *what);
                return Ok(happened.then(|| format!("{what:?} befalls {name}")));
            }
            Self::Ail { fault, .. } => {
                if let Some(agent) = world.agent_mut(key) {
                    agent.fault = *fault;
                }
                format!("the agent of {name} has fault {fault:?}")
            }
            _ => return Ok(None),
        };
        Ok(Some(told))
    }
}

fn nth_service(world: &World, nth: u32) -> Option<(InstanceKey, String)> {
    let live = world.live_services();
    let index = usize::try_from(nth).unwrap_or(0).checked_rem(live.len())?;
    let service = live.get(index)?;
    Some((
        (service.id.clone(), world.home().environment.clone()),
        service.name.clone(),
    ))
}

fn create_service(
    world: &mut World,
    name: u8,
    with_image: bool,
) -> Result<Option<String>, Refusal> {
    let name = format!("{PREFIX}random-{name:05}");
    let new = NewService {
        image: with_image.then(|| "image:0".to_owned()),
        variables: [("POOL_API_KEY".to_owned(), POOL_API_KEY.to_owned())].into(),
        ..NewService::named(world.home().project.clone(), name.clone())
    };
    world.service_create(&Caller::Account, new)?;
    Ok(Some(format!("{name} is created")))
}

fn delete_volume(world: &mut World, nth: u32) -> Result<Option<String>, Refusal> {
    let mut volumes: Vec<_> = world
        .volumes()
        .values()
        .map(|v| (v.seq, v.id.clone()))
        .collect();
    volumes.sort_unstable();
    let index = usize::try_from(nth).unwrap_or(0).checked_rem(volumes.len());
    let Some((_, id)) = index.and_then(|index| volumes.get(index)) else {
        return Ok(None);
    };
    world.volume_delete(&Caller::Account, id)?;
    Ok(Some(format!("volume {id} is deleted")))
}

fn patch_of((service, _): &InstanceKey, version: u8) -> serde_json::Value {
    json!({"services": {service.as_str(): {
        "source": {"image": format!("image:{version}")},
        "variables": {"POOL_API_KEY": {"value": POOL_API_KEY}},
    }}})
}

fn volume_of(world: &World, (service, environment): &InstanceKey) -> NewVolume {
    NewVolume {
        project: world.home().project.clone(),
        environment: environment.clone(),
        service: Some(service.clone()),
        mount_path: "/data".to_owned(),
    }
}

fn provision(world: &mut World, key: &InstanceKey, name: &str) -> Option<String> {
    let domain = world.instance(key)?.domains.first()?.domain.clone();
    let body = br#"{"agentName": "Random", "instructions": "Be random."}"#;
    let call = AgentCall {
        method: "POST",
        path: "/pool/provision",
        bearer: Some(POOL_API_KEY),
        body,
    };
    let reply = world.agent_call(&domain, call);
    Some(format!(
        "the agent of {name} is provisioned and answers {}",
        reply.status
    ))
}

/// A world after random operations, and what happened in it, a sentence each.
#[derive(Debug)]
pub struct Run {
    /// The world at the end.
    pub world: World,
    /// What happened.
    pub story: Vec<String>,
}

/// Runs so many operations drawn from a seed. The same seed is the same run.
#[must_use]
pub fn run(seed: u64, steps: usize, settings: Settings, start: DateTime<Utc>) -> Run {
    let mut world = World::new(seed, settings, start);
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5EED);
    let weights = Weights::everything();
    let story = (0..steps)
        .map(|_| draw(&mut rng, &weights).apply(&mut world))
        .collect();
    Run { world, story }
}
