//! What goes wrong: with services and agents, with requests and listings, and with servers.

use std::rc::Rc;

use pool_domain::{DeploymentStatus, Status};
use pool_simulator::faults::draw_any;
use pool_simulator::operations::{Weights, draw};
use pool_simulator::{AgentFault, Caller, Fault, FaultRule};

use crate::character::seconds;
use crate::sim::{Blow, Sim};
use crate::story::Kind;
use crate::weather::{some, some_server};

/// The requests that a fault may be about, when it is about one.
const FIELDS: [&str; 8] = [
    "environment",
    "serviceCreate",
    "volumeCreate",
    "serviceDomainCreate",
    "environmentPatchCommit",
    "serviceDelete",
    "volumeDelete",
    "environment",
];

/// The requests to the accounts.
const ACCOUNT_FIELDS: [&str; 6] = [
    "keyCreate",
    "keyList",
    "keyDelete",
    "inboxCreate",
    "inboxList",
    "inboxDelete",
];

/// Something befalls a service, its agent, or the next deployment.
pub(crate) fn befall(sim: &Sim) {
    let told = match sim.random(|rng| rng.u8(..12)) {
        0 => delete_outside(sim),
        1 | 2 => {
            let fault = provision_fault(sim);
            ail(sim, fault)
        }
        3 => {
            let rule = FaultRule::once(Fault::BornBroken {
                fault: provision_fault(sim),
            });
            let told = format!("the next agent is born with {:?}", rule.fault);
            sim.world(|world| world.faults.add(rule));
            told
        }
        _ => {
            let operation = sim.random(|rng| draw(rng, &Weights::by_themselves()));
            sim.world(|world| operation.apply(world))
        }
    };
    sim.tell(Kind::Outside, || told);
}

/// What agents do to whoever provisions them.
fn provision_fault(sim: &Sim) -> AgentFault {
    sim.random(|rng| match rng.u8(..8) {
        0 => AgentFault::RefuseProvision { status: 400 },
        1 => AgentFault::RefuseProvision { status: 503 },
        2 => AgentFault::RefuseProvision { status: 500 },
        3 => AgentFault::ErrorAfterProvision,
        4 => AgentFault::LoseProvision,
        5 => AgentFault::HangAfterProvision,
        6 => AgentFault::Slow {
            ms: rng.u64(500..90_000),
        },
        _ => AgentFault::Huge,
    })
}

fn ail(sim: &Sim, fault: AgentFault) -> String {
    sim.world(|world| {
        let home = world.home().environment.clone();
        let live = world.live_services();
        let live: Vec<_> = live
            .iter()
            .map(|s| (s.id.clone(), s.name.clone()))
            .collect();
        let Some((id, name)) = some(sim, &live) else {
            return "no agent is there to ail".to_owned();
        };
        if let Some(agent) = world.agent_mut(&(id, home)) {
            agent.fault = Some(fault);
        }
        format!("the agent of {name} has fault {fault:?}")
    })
}

/// Somebody deletes a service of nobody's on Railway's own page.
fn delete_outside(sim: &Sim) -> String {
    let free = sim.database(|db| {
        let rows = db.rows().map(|row| &row.instance);
        let free = rows.filter(|row| matches!(row.status, Status::Idle | Status::Starting));
        free.map(|row| row.service_id.clone()).collect::<Vec<_>>()
    });
    let Some(service) = some(sim, &free) else {
        return "nobody's service is there to be deleted".to_owned();
    };
    let deleted = sim.world(|world| world.service_delete(&Caller::Account, &service, None));
    format!("somebody deletes service {service} on Railway's page: {deleted:?}")
}

/// The next requests go wrong, or the connection to one of the accounts.
pub(crate) fn fault(sim: &Sim) {
    let rule = sim.random(|rng| {
        let times = rng.u32(1..5);
        let fault = honest(rng);
        let rule = FaultRule::always(fault).times(times);
        match rng.u8(..3) {
            0 => rule,
            1 => rule.on(FIELDS[rng.usize(..FIELDS.len())]),
            _ => rule.on(ACCOUNT_FIELDS[rng.usize(..ACCOUNT_FIELDS.len())]),
        }
    });
    sim.tell(Kind::Outside, || {
        let whose = rule.operations.first().map_or("requests", String::as_str);
        format!("the next {:?} {whose} meet {:?}", rule.count, rule.fault)
    });
    sim.world(|world| world.faults.add(rule));
}

/// Any fault but a lie.
fn honest(rng: &mut fastrand::Rng) -> Fault {
    loop {
        let fault = draw_any(rng);
        if !is_lie(&fault) {
            return fault;
        }
    }
}

const fn is_lie(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::EmptyListing
            | Fault::PartialListing { .. }
            | Fault::StaleListing { .. }
            | Fault::BackAgain { .. }
            | Fault::UnknownStatus
            | Fault::EveryStatus { .. }
            | Fault::NotAuthorized
    )
}

/// Listings that are whole and wrong.
pub(crate) fn lie(sim: &Sim) {
    let rule = sim.random(|rng| {
        loop {
            let fault = if rng.u8(..12) == 0 {
                let status = DeploymentStatus::Crashed;
                Fault::EveryStatus { status }
            } else {
                draw_any(rng)
            };
            if is_lie(&fault) && fault != Fault::NotAuthorized {
                return FaultRule::always(fault)
                    .on("environment")
                    .times(rng.u32(1..5));
            }
        }
    });
    sim.tell(Kind::Outside, || {
        format!("the next {:?} listings meet {:?}", rule.count, rule.fault)
    });
    sim.world(|world| world.faults.add(rule));
}

/// Nothing works for a while; or no more volumes may be made.
pub(crate) fn outage(sim: &Sim) {
    let (rule, ms) = sim.random(|rng| {
        let ms = rng.u64(60_000..600_000);
        let rule = match rng.u8(..5) {
            0 => FaultRule::always(Fault::Gateway { status: 503 }),
            1 => FaultRule::always(Fault::EdgeBlock),
            2 => FaultRule::always(Fault::ProvisionLimit),
            3 => FaultRule::always(Fault::Hang).on("openrouter"),
            _ => FaultRule::always(Fault::Dropped).on("agentmail"),
        };
        (rule.lasting(ms), ms)
    });
    sim.tell(Kind::Outside, || {
        let whose = rule.operations.first().map_or("Railway", String::as_str);
        format!("for {} s {whose} is in {:?}", ms / 1_000, rule.fault)
    });
    sim.world(|world| world.faults.add(rule));
}

/// A server is to be struck at one of its next steps.
pub(crate) fn strike(sim: &Rc<Sim>, is_kill: bool) {
    let Some(place) = some_server(sim) else {
        return;
    };
    let (steps, blow) = sim.random(|rng| {
        let blow = if is_kill {
            let noticed_after = seconds(if rng.bool() { 0 } else { 9 });
            Blow::Kill { noticed_after }
        } else {
            // Longer than the grace would be another world: see docs/TESTING.md.
            let lasts = seconds(rng.u64(1..60));
            Blow::Freeze { lasts }
        };
        (rng.u32(..80), blow)
    });
    sim.strike(place.owner, steps, blow);
}
