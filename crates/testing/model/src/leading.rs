//! What a leader decides and does, and how the lead changes hands. What a leader *sees* is anything
//! at all: a listing may lie, a probe may be wrong. Follows `crates/planner` and
//! `crates/db/src/instances/change_statuses.sql`, `crates/db/src/fencing.rs`.

use pool_domain::{Event, State, Status};

use crate::action::{Action, Verb};
use crate::rules::Rules;
use crate::state::Code;
use crate::world::{Harm, INSTANCES, Lead, Plan, STRANGER, World};

type Steps = Vec<(Action, World)>;

/// What an observation, true or not, may say of any instance.
const SEEN: [Event; 6] = [
    Event::Ready,
    Event::Stuck,
    Event::DeploymentFailed,
    Event::ProbesFailed,
    Event::NotServing,
    Event::Missing,
];

/// Every step of this server as a leader, or towards becoming one.
pub(crate) fn steps(world: &World, server: usize, rules: &Rules, out: &mut Steps) {
    if let Some(leads) = take_lead(world, server) {
        out.push((Verb::ServerTakesTheLead.of(server), leads));
    }
    if world.servers[server].lead == Lead::Standby {
        return;
    }
    let mut noticed = *world;
    noticed.servers[server].lead = Lead::Standby;
    noticed.servers[server].plan = Plan::None;
    out.push((Verb::ServerNoticesThatItLeadsNoMore.of(server), noticed));
    if world.servers[server].plan == Plan::None {
        for instance in 0..INSTANCES {
            plan(world, server, instance, rules, out);
        }
    } else {
        let done = execute(world, server, rules);
        out.push((Verb::LeaderDoesWhatItPlanned.of(server), done));
    }
}

/// Every whole tick, seen, planned and done in one step, of the one leader: the first server.
pub(crate) fn at_once(world: &World, rules: &Rules, out: &mut Steps) {
    let mut plans = Vec::new();
    for instance in 0..INSTANCES {
        plan(world, 0, instance, rules, &mut plans);
    }
    for (_, planned) in plans {
        let done = execute(&planned, 0, rules);
        out.push((Verb::LeaderPlansAndDoesIt.of(0), done));
    }
}

/// Takes the lock, if it is free, and begins a new term: whoever led before is stale.
pub(crate) fn take_lead(world: &World, server: usize) -> Option<World> {
    let free = world.lock.is_none() && world.servers[server].lead == Lead::Standby;
    let holder = u8::try_from(server).ok().filter(|_| free)?;
    let mut after = *world;
    for other in &mut after.servers {
        if other.lead == Lead::Newest {
            other.lead = Lead::Stale;
        }
    }
    after.servers[server].lead = Lead::Newest;
    after.lock = Some(holder);
    Some(after)
}

fn plan(world: &World, server: usize, instance: usize, rules: &Rules, out: &mut Steps) {
    let from = world.rows[instance].code;
    let index = u8::try_from(instance).unwrap_or_default();
    let mut plans = Vec::with_capacity(4);
    for to in decisions(world, instance, rules) {
        let change = Plan::Change {
            instance: index,
            from,
            to,
            fresh: true,
        };
        if !plans.contains(&change) {
            plans.push(change);
        }
    }
    plans.extend(destruction(world, instance, rules));
    for plan in plans {
        let mut after = *world;
        after.servers[server].plan = plan;
        out.push((Verb::LeaderPlans.of(server), after));
    }
}

fn decisions(world: &World, instance: usize, rules: &Rules) -> impl Iterator<Item = Code> {
    let from = world.rows[instance].code;
    let by_events = SEEN.into_iter().filter_map(move |event| {
        let lost_row = event == Event::Missing && from.is(Status::Claimed);
        if lost_row && !rules.missing_claimed_is_crashed {
            return Some(Code::new(Status::Dead));
        }
        from.after(event)
    });
    // An agent that is asked tells the truth about its conversation.
    let in_conversation = world.agents[instance].holds & STRANGER != 0;
    let unasked = from.state().filter(|state| state.unasked);
    let asked = unasked.and_then(|state| {
        if in_conversation && rules.adopted_are_asked {
            return from.after(Event::ConversationFound);
        }
        // One that was given up waits for a person, and a claim is never observed.
        if state.status != Status::Starting {
            return None;
        }
        Some(Code::of(State {
            unasked: false,
            ..state
        }))
    });
    by_events.chain(asked)
}

/// What is to be destroyed outside, and once it is, which row may go.
pub(crate) fn destruction(world: &World, instance: usize, rules: &Rules) -> Option<Plan> {
    let index = u8::try_from(instance).ok()?;
    let row = world.rows[instance].code;
    row.state()?;
    let exists = world.agents[instance].exists;
    if row.is_to_be_destroyed() {
        return Some(if exists {
            Plan::Destroy(index)
        } else {
            Plan::Remove(index)
        });
    }
    (exists && !rules.destroys_only_what_ended).then_some(Plan::Destroy(index))
}

/// Does what was planned, as far as the database lets it.
pub(crate) fn execute(world: &World, server: usize, rules: &Rules) -> World {
    let mut after = *world;
    let lead = world.servers[server].lead;
    let plan = std::mem::replace(&mut after.servers[server].plan, Plan::None);
    let before = after;
    let may_write = lead == Lead::Newest || !rules.writes_check_the_term;
    match plan {
        // Railway knows no terms: what was decided to be destroyed is destroyed.
        Plan::Destroy(instance) => {
            let instance = usize::from(instance);
            after.agents[instance].exists = false;
            after.agents[instance].on_its_way = 0;
            let row = world.rows[instance].code;
            if row.state().is_some() && !row.is_to_be_destroyed() {
                after.harm = Some(Harm::DestroyedWhatHadNotEnded);
            }
        }
        Plan::Remove(instance) if may_write => {
            let instance = usize::from(instance);
            if let Some(gone) = world.rows[instance].code.after(Event::Remove) {
                after.set(instance, gone);
            }
        }
        Plan::Change {
            instance,
            from,
            to,
            fresh,
        } if may_write => {
            let instance = usize::from(instance);
            let row = world.rows[instance].code;
            if is_as_it_was(row, from, fresh, rules) && (row.may_become(to) || !rules.trigger) {
                after.set(instance, to);
                if !fresh && rules.writes_name_what_they_saw {
                    after.harm = Some(Harm::OldDecisionTookEffect);
                }
            }
        }
        Plan::None | Plan::Remove(_) | Plan::Change { .. } => {}
    }
    if after.rows != before.rows && lead != Lead::Newest {
        after.harm = Some(Harm::StaleLeaderWrote);
    }
    after
}

fn is_as_it_was(row: Code, from: Code, fresh: bool, rules: &Rules) -> bool {
    if row.state().is_none() {
        return false;
    }
    let same_status = row.status() == from.status();
    let same_epoch = fresh || !rules.writes_name_the_epoch;
    (same_status && same_epoch) || !rules.writes_name_what_they_saw
}
