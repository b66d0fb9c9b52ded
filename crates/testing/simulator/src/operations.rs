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

/// Something that happens. Where it happens to a service (or a volume), its first number chooses among
/// the live ones that there are, by remainder.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// `serviceCreate`, from so small a set of names that they collide.
    CreateService {
        name: u8,
        /// With an image, so that it is deployed at once.
        with_image: bool,
    },
    /// `environmentPatchCommit` of one service, to one of a few versions, so that some change nothing.
    PatchService(u32, u8),
    DeleteService(u32),
    /// `volumeCreate`, attached.
    CreateVolume(u32),
    DeleteVolume(u32),
    /// `serviceDomainCreate`.
    CreateDomain(u32),
    /// A call to an agent to be provisioned.
    Provision(u32),
    /// Something befalls a service by itself.
    Befall(u32, Incident),
    /// An agent begins to misbehave; none heals it.
    Ail(u32, Option<AgentFault>),
    /// The next deployment sticks, or else fails.
    SpoilNextDeploy {
        sticks: bool,
    },
    /// The next requests meet a fault, once the world is served over HTTP.
    Trouble {
        fault: Fault,
        times: u32,
    },
    TimePasses {
        ms: u64,
    },
}

/// Draws one operation of a kind, for the service of this number.
type Draw = fn(&mut fastrand::Rng, u32) -> Operation;

/// What befalls services by itself, and how often each is drawn against the others.
const BY_THEMSELVES: [(u32, Draw); 8] = [
    (3, |_, nth| Operation::Befall(nth, Incident::Crash)),
    (1, |_, nth| Operation::Befall(nth, Incident::Stop)),
    (1, |_, nth| Operation::Befall(nth, Incident::Sleep)),
    (2, |_, nth| Operation::Befall(nth, Incident::Redeploy)),
    (1, |_, nth| Operation::Befall(nth, Incident::Fail)),
    (3, |rng, nth| Operation::Ail(nth, Some(draw_ailment(rng)))),
    (3, |_, nth| Operation::Ail(nth, None)),
    (1, |rng, _| Operation::SpoilNextDeploy {
        sticks: rng.bool(),
    }),
];

/// What a client does.
const BY_A_CLIENT: [(u32, Draw); 7] = [
    (8, |rng, _| Operation::CreateService {
        name: rng.u8(..24),
        with_image: rng.bool(),
    }),
    (8, |rng, nth| Operation::PatchService(nth, rng.u8(..3))),
    (2, |_, nth| Operation::DeleteService(nth)),
    (4, |_, nth| Operation::CreateVolume(nth)),
    (2, |_, nth| Operation::DeleteVolume(nth)),
    (6, |_, nth| Operation::CreateDomain(nth)),
    (4, |_, nth| Operation::Provision(nth)),
];

/// Faults of requests and listings.
const TROUBLE: (u32, Draw) = (6, |rng, _| Operation::Trouble {
    fault: draw_any(rng),
    times: rng.u32(1..5),
});

const TIME: (u32, Draw) = (12, |rng, _| Operation::TimePasses {
    ms: rng.u64(1..120_000),
});

/// Kinds of operations, each with how often it is drawn against the others.
#[derive(Debug, Clone)]
pub struct Weights(Vec<(u32, Draw)>);

impl Weights {
    /// All that a client does and all that happens by itself.
    #[must_use]
    pub fn everything() -> Self {
        Self([&BY_A_CLIENT[..], &BY_THEMSELVES, &[TIME]].concat())
    }

    /// Only what befalls services by itself, to be mixed with a real client's doings.
    #[must_use]
    pub fn by_themselves() -> Self {
        Self(BY_THEMSELVES.to_vec())
    }

    /// What befalls services by itself, and faults of requests and listings.
    pub(crate) fn with_trouble() -> Self {
        Self([&BY_THEMSELVES[..], &[TROUBLE]].concat())
    }
}

/// Draws one operation.
pub fn draw(rng: &mut fastrand::Rng, Weights(weights): &Weights) -> Operation {
    let mut left = rng.u32(..weights.iter().map(|(weight, _)| weight).sum::<u32>());
    let nth = rng.u32(..);
    let drawn = weights.iter().find(|(weight, _)| {
        let is_drawn = left < *weight;
        left = left.saturating_sub(*weight);
        is_drawn
    });
    let (_, draw) = drawn.unwrap_or(&TIME);
    draw(rng, nth)
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
            Self::DeleteVolume(nth) => delete_volume(world, *nth),
            Self::PatchService(nth, _)
            | Self::DeleteService(nth)
            | Self::CreateVolume(nth)
            | Self::CreateDomain(nth)
            | Self::Provision(nth)
            | Self::Befall(nth, _)
            | Self::Ail(nth, _) => match nth_service(world, *nth) {
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
            Self::PatchService(_, version) => {
                let patch = patch_of(key, *version);
                world.environment_patch_commit(&Caller::Account, &key.1, &patch)?;
                format!("{name} is patched to version {version}")
            }
            Self::DeleteService(_) => {
                world.service_delete(&Caller::Account, &key.0, None)?;
                format!("{name} is deleted")
            }
            Self::CreateVolume(_) => {
                let volume = world.volume_create(&Caller::Account, volume_of(world, key))?;
                format!("volume {volume} is attached to {name}")
            }
            Self::CreateDomain(_) => {
                let domain = world.synthetic_domain();
                world.service_domain_create(&Caller::Account, key, domain.clone())?;
                format!("{name} is reached at {domain}")
            }
            Self::Provision(_) => return Ok(provision(world, key, name)),
            Self::Befall(_, what) => {
                let happened = world.happen(key, *what);
                return Ok(happened.then(|| format!("{what:?} befalls {name}")));
            }
            Self::Ail(_, fault) => {
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
    let volumes = world.volumes().values();
    let mut volumes: Vec<_> = volumes.map(|it| (it.seq, it.id.clone())).collect();
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
    pub world: World,
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
