//! What goes wrong: with services and agents, with requests and listings, and with servers.

use std::sync::Arc;

use pool_domain::{DeploymentStatus, ServiceId};
use pool_simulator::faults::{Chaos, draw_any};
use pool_simulator::operations::{Weights, draw};
use pool_simulator::world::{AgentConversation, InstanceKey};
use pool_simulator::{AgentFault, Caller, Fault, FaultRule, SeedServices};

use crate::node::Blow;
use crate::pool::{API_KEY, PREFIX};
use crate::scenario::seconds;
use crate::stage::Stage;
use crate::trace::Kind;
use crate::troubles::Trouble;
use crate::workload::{next, person};

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

/// Services of ours that run already and have no row.
pub(crate) fn seed_adoptees(stage: &Stage) -> anyhow::Result<()> {
    let scenario = &stage.scenario;
    let seeded = stage.simulator.seed_services(&SeedServices {
        count: scenario.adoptees,
        prefix: PREFIX.to_owned(),
        variables: [("POOL_API_KEY".to_owned(), API_KEY.to_owned())].into(),
        ..SeedServices::default()
    })?;
    for (number, service) in seeded
        .iter()
        .take(scenario.adoptees_in_conversation)
        .enumerate()
    {
        stage.simulator.world(|world| {
            let home = world.home().environment.clone();
            let key = (ServiceId::new(&service.service_id), home);
            if let Some(agent) = world.agent_mut(&key) {
                agent.conversation = Some(AgentConversation {
                    id: format!("older-{number}"),
                    agent_name: "Somebody's".to_owned(),
                    invite_url: None,
                });
            }
        });
    }
    Ok(())
}

/// Everything that goes wrong, until it is over.
pub(crate) async fn strikes(stage: Arc<Stage>) {
    let rates = stage.scenario.rates;
    if rates.chaos > 0.0 {
        let probability = rates.chaos;
        stage
            .simulator
            .world(|world| world.faults.set_chaos(Some(Chaos { probability })));
    }
    let weights = rates.nemesis();
    let sum = weights.iter().sum();
    while next(&stage, sum).await {
        let mut left = stage.random(fastrand::Rng::f64) * sum;
        let kind = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        match kind.unwrap_or(0) {
            0 => person(&stage),
            1 => befall(&stage),
            2 => fault(&stage),
            3 => lie(&stage),
            4 => outage(&stage),
            5 => strike(&stage, true),
            _ => strike(&stage, false),
        }
    }
}

/// Ends all of it, also what agents suffer from.
pub(crate) fn end(stage: &Stage) {
    stage.heal();
    stage.oracle.troubles.end();
    stage.tell(Kind::Outside, || "the trouble is over".to_owned());
    stage.simulator.world(|world| {
        world.faults.clear();
        world.settings_mut().volumes_per_project = None;
        let home = world.home().environment.clone();
        let live = world.live_services();
        let keys: Vec<InstanceKey> = live
            .iter()
            .map(|service| (service.id.clone(), home.clone()))
            .collect();
        for key in keys {
            if let Some(agent) = world.agent_mut(&key) {
                agent.fault = None;
            }
        }
    });
}

/// Something befalls a service, its agent, or the next deployment.
fn befall(stage: &Stage) {
    let told = match stage.random(|rng| rng.u8(..12)) {
        0 => delete_outside(stage),
        1 | 2 => {
            let fault = provision_fault(stage);
            ail(stage, fault)
        }
        3 => {
            let rule = FaultRule::once(Fault::BornBroken {
                fault: provision_fault(stage),
            });
            let told = format!("the next agent is born with {:?}", rule.fault);
            switch_on(stage, rule);
            told
        }
        _ => {
            let operation = stage.random(|rng| draw(rng, &Weights::by_themselves()));
            stage.simulator.world(|world| operation.apply(world))
        }
    };
    stage.oracle.troubles.note(Trouble::Services);
    stage.tell(Kind::Outside, || told);
}

/// What agents do to whoever provisions them.
fn provision_fault(stage: &Stage) -> AgentFault {
    stage.random(|rng| match rng.u8(..8) {
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

/// Every service that lives, with its name.
pub(crate) fn live_services(stage: &Stage) -> Vec<(ServiceId, String)> {
    stage.simulator.world(|world| {
        let live = world.live_services();
        let live = live.iter().map(|it| (it.id.clone(), it.name.clone()));
        live.collect()
    })
}

/// Its agent has this fault from now on, or none.
pub(crate) fn give_fault(stage: &Stage, service: &ServiceId, fault: Option<AgentFault>) {
    // One whose service is gone meanwhile has none.
    let _ = stage.simulator.set_agent_fault(service, fault);
}

fn ail(stage: &Stage, fault: AgentFault) -> String {
    let live = live_services(stage);
    let Some((id, name)) = stage.some(&live) else {
        return "no agent is there to ail".to_owned();
    };
    give_fault(stage, &id, Some(fault));
    format!("the agent of {name} has fault {fault:?}")
}

/// Somebody deletes a service of nobody's on Railway's own page.
fn delete_outside(stage: &Stage) -> String {
    let instances = stage.oracle.instances().unwrap_or_default();
    let free = instances
        .into_iter()
        .filter(|it| matches!(it.status.as_str(), "idle" | "starting"));
    let free: Vec<_> = free.map(|it| ServiceId::new(it.service_id)).collect();
    let Some(service) = stage.some(&free) else {
        return "nobody's service is there to be deleted".to_owned();
    };
    let deleted = stage
        .simulator
        .world(|world| world.service_delete(&Caller::Account, &service, None));
    format!("somebody deletes service {service} on Railway's page: {deleted:?}")
}

/// The next requests go wrong, or those to one of the accounts.
fn fault(stage: &Stage) {
    let rule = stage.random(|rng| {
        let times = rng.u32(1..5);
        let fault = honest(rng);
        let rule = FaultRule::always(fault).times(times);
        match rng.u8(..3) {
            0 => rule,
            1 => rule.on(FIELDS[rng.usize(..FIELDS.len())]),
            _ => rule.on(ACCOUNT_FIELDS[rng.usize(..ACCOUNT_FIELDS.len())]),
        }
    });
    stage.tell(Kind::Outside, || {
        let whose = rule.operations.first().map_or("requests", String::as_str);
        format!("the next {:?} {whose} meet {:?}", rule.count, rule.fault)
    });
    switch_on(stage, rule);
}

pub(crate) fn switch_on(stage: &Stage, rule: FaultRule) {
    stage.simulator.world(|world| world.faults.add(rule));
    stage.oracle.note_troubles();
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
fn lie(stage: &Stage) {
    let rule = stage.random(|rng| {
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
    stage.tell(Kind::Outside, || {
        format!("the next {:?} listings meet {:?}", rule.count, rule.fault)
    });
    switch_on(stage, rule);
}

/// Nothing works for a while; or an account hangs; or no more may be made.
fn outage(stage: &Stage) {
    let (rule, ms) = stage.random(|rng| {
        let ms = rng.u64(60_000..600_000);
        let rule = match rng.u8(..7) {
            0 => FaultRule::always(Fault::Gateway { status: 503 }),
            1 => FaultRule::always(Fault::EdgeBlock),
            2 => FaultRule::always(Fault::ProvisionLimit),
            3 => FaultRule::always(Fault::Hang).on("openrouter"),
            4 => FaultRule::always(Fault::Hang).on("agentmail"),
            5 => FaultRule::always(Fault::Hang).on("environmentPatchCommit"),
            _ => FaultRule::always(Fault::Dropped).on("agentmail"),
        };
        (rule.lasting(ms), ms)
    });
    stage.tell(Kind::Outside, || {
        let whose = rule.operations.first().map_or("Railway", String::as_str);
        format!("for {} s {whose} is in {:?}", ms / 1_000, rule.fault)
    });
    switch_on(stage, rule);
}

/// A server is to be struck at one of its next steps.
fn strike(stage: &Stage, is_kill: bool) {
    let Some(life) = stage.some_server() else {
        return;
    };
    let (steps, blow) = stage.random(|rng| {
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
    life.node.strike(steps, blow);
}
