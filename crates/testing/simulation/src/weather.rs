//! Everything that happens to the pool from outside: callers, people, and when something goes
//! wrong.

use std::rc::Rc;
use std::time::Duration;

use pool_domain::{InstanceId, Status};
use pool_simulator::Caller;
use pool_simulator::faults::Chaos;
use pool_simulator::world::InstanceKey;

use crate::database::Command;
use crate::place::Place;
use crate::scheduler::OUTSIDE;
use crate::server::claim;
use crate::sim::{POOL_API_KEY, PREFIX, Sim};
use crate::story::Kind;
use crate::trouble;

/// Services of ours that run already and have no row.
pub(crate) fn seed_adoptees(sim: &Sim) {
    let character = &sim.character;
    for number in 0..character.adoptees {
        let is_talking = number < character.adoptees_in_conversation;
        sim.world(|world| {
            let name = world.free_name(PREFIX, InstanceId::LENGTH);
            let home = world.home().environment.clone();
            let variables = [("POOL_API_KEY".to_owned(), POOL_API_KEY.to_owned())];
            let Ok(id) = world.seed_running(&home, name, "image", variables.into()) else {
                return;
            };
            let key = (id, home);
            let domain = world.synthetic_domain();
            let _ = world.service_domain_create(&Caller::Account, &key, None, domain);
            if is_talking && let Some(agent) = world.agent_mut(&key) {
                agent.conversation = Some(pool_simulator::world::AgentConversation {
                    id: format!("older-{number}"),
                    agent_name: "Somebody's".to_owned(),
                    invite_url: None,
                });
            }
        });
    }
}

/// Begins all of it.
pub(crate) fn begin(sim: &Rc<Sim>) {
    let rates = sim.character.rates;
    sim.world(|world| {
        if rates.chaos > 0.0 {
            let probability = rates.chaos;
            world.faults.set_chaos(Some(Chaos { probability }));
        }
    });
    let callers = Rc::clone(sim);
    sim.scheduler.spawn(OUTSIDE, async move {
        while wait(&callers, callers.character.rates.claims).await {
            call(&callers);
        }
    });
    let weather = Rc::clone(sim);
    sim.scheduler.spawn(OUTSIDE, async move {
        let weights = weather.character.rates.weather();
        while wait(&weather, weights.iter().sum()).await {
            let mut left = weather.random(fastrand::Rng::f64) * weights.iter().sum::<f64>();
            let kind = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            change(&weather, kind.unwrap_or(0));
        }
    });
}

/// Ends all of it, also what agents suffer from.
pub(crate) fn end(sim: &Sim) {
    sim.heal();
    sim.tell(Kind::Outside, || "the trouble is over".to_owned());
    sim.world(|world| {
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

/// Waits for the next of what happens so often in an interval. False when there is no more of it.
async fn wait(sim: &Sim, rate: f64) -> bool {
    if rate <= 0.0 {
        return false;
    }
    let mean = sim.character.policy.tick_interval.as_secs_f64() / rate;
    let factor = sim.random(|rng| rng.f64() * 2.0);
    sim.scheduler
        .sleep(Duration::from_secs_f64(mean * factor))
        .await;
    !sim.is_healed()
}

/// A caller asks one of the servers for an agent.
pub(crate) fn call(sim: &Rc<Sim>) {
    let Some(place) = some_server(sim) else {
        return;
    };
    sim.count(|counts| counts.claims += 1);
    let number = sim.counts.borrow().claims;
    let name = format!("Agent {number}");
    let breaker = sim.breaker_of(place.owner);
    sim.tell(Kind::People, || {
        format!("caller {number} asks server {}", place.server + 1)
    });
    sim.scheduler.spawn(place.owner, async move {
        let answer = claim(&place, &breaker, &name).await;
        let sim = &place.sim;
        sim.tell(Kind::People, || match &answer {
            Ok((id, _)) => format!("caller {number} is given {id}"),
            Err(why) => format!("caller {number} is answered {why}"),
        });
        if let Ok((id, confirmation)) = answer {
            sim.count(|counts| counts.claimed += 1);
            sim.database(|db| {
                let row = db.row(&id).cloned();
                db.ledger.promise(row.as_ref(), &id, &confirmation);
            });
        }
    });
}

pub(crate) fn some_server(sim: &Rc<Sim>) -> Option<Place> {
    let lives = sim.lives.borrow();
    let alive: Vec<_> = lives
        .iter()
        .enumerate()
        .filter_map(|(server, owner)| Some((server, (*owner)?)))
        .collect();
    if alive.is_empty() {
        return None;
    }
    let (server, owner) = alive[sim.random(|rng| rng.usize(..alive.len()))];
    Some(Place {
        sim: Rc::clone(sim),
        owner,
        server,
    })
}

fn change(sim: &Rc<Sim>, kind: usize) {
    match kind {
        0 => people(sim),
        1 => trouble::befall(sim),
        2 => trouble::fault(sim),
        3 => trouble::lie(sim),
        4 => trouble::outage(sim),
        5 | 6 => trouble::strike(sim, kind == 5),
        _ => {}
    }
}

fn people(sim: &Sim) {
    let told = sim.database(|db| match sim.random(|rng| rng.u8(..10)) {
        0..=2 => {
            let count = sim.random(|rng| rng.usize(1..3));
            format!("drains {count}: {:?}", db.drain(count))
        }
        3..=6 => {
            let rows: Vec<_> = db.rows().map(|row| row.instance.id.clone()).collect();
            let Some(id) = some(sim, &rows) else {
                return "looks at nothing".to_owned();
            };
            format!("kills {id}: {:?}", db.kill(&id))
        }
        7 => {
            let crashed = db
                .rows()
                .filter(|row| row.instance.status == Status::Crashed);
            let crashed: Vec<_> = crashed.map(|row| row.instance.id.clone()).collect();
            let Some(id) = some(sim, &crashed) else {
                return "finds nothing crashed".to_owned();
            };
            format!("dismisses {id}: {}", db.dismiss(&id))
        }
        8 => {
            let count = sim.random(|rng| rng.usize(1..4));
            db.ask(Command::Replenish(count));
            format!("asks for {count} more")
        }
        _ => {
            db.ask(Command::Reconcile);
            "asks for a tick".to_owned()
        }
    });
    sim.tell(Kind::People, || format!("a person {told}"));
}

/// A person looks whether the fuse is right by now, and lets through what it holds back: where the
/// last service is really gone, nobody else can know it.
pub(crate) fn confirm_fuse(sim: &Sim) {
    let held = sim.database(|db| {
        let held: Vec<_> = db.load_fuse().tripped?.held;
        let held: Vec<_> = held.into_iter().map(|loss| loss.id).collect();
        db.ask(Command::ConfirmFuse(held.clone()));
        Some(held)
    });
    if let Some(held) = held {
        sim.tell(Kind::People, || {
            format!("a person confirms what the fuse holds back: {held:?}")
        });
    }
}

pub(crate) fn some<T: Clone>(sim: &Sim, all: &[T]) -> Option<T> {
    let index = sim.random(|rng| rng.usize(..)).checked_rem(all.len())?;
    all.get(index).cloned()
}
