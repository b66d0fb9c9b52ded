//! The whole protocol: every step from a state, and what must hold in each.

use pool_domain::{Event, Status};

use crate::action::{Action, Verb};
use crate::explore::System;
use crate::rules::Rules;
use crate::state::Code;
use crate::world::{Claim, Harm, INSTANCES, Lead, Plan, RESTORED, SERVERS, Set, World};
use crate::{claiming, leading};

/// Which steps there are. All of them together have more states than a test can visit, so each test
/// takes those apart that it is about, and the others as one.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// How many claims there are.
    pub claims: usize,
    /// A leader plans, and acts later; the lead changes hands between. Otherwise one leader always
    /// leads, and sees, plans and acts at once.
    pub leaders_apart: bool,
    /// A statement may take effect after its sender has given it up.
    pub late_statements: bool,
    /// The first instance's agent is somebody's, of whom its row does not know: as after a restore.
    pub restored: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Search {
    /// A state in which any sentence does not hold.
    Violation,
    /// A state in which this sentence does not hold.
    ViolationOf(&'static str),
    /// Such a state, to show that it can be.
    State(fn(&World) -> bool),
}

/// The protocol under some rules, from some beginnings.
#[derive(Debug, Clone)]
pub struct Protocol {
    pub scope: Scope,
    pub rules: Rules,
    /// The states of the rows at the beginning.
    pub begins: Vec<[Code; INSTANCES]>,
    pub search: Search,
}

impl System for Protocol {
    type State = World;
    type Action = Action;

    fn begins(&self) -> Vec<World> {
        let world = |rows: &[Code; INSTANCES]| {
            let mut world = World::new(*rows);
            for server in world.servers.iter_mut().skip(self.scope.claims) {
                server.claim = Claim::Over;
            }
            if self.scope.restored {
                world.agents[0].holds = RESTORED;
            }
            if !self.scope.leaders_apart {
                world.servers[0].lead = Lead::Newest;
            }
            world
        };
        self.begins.iter().map(world).collect()
    }

    fn steps(&self, world: &World, out: &mut Vec<(Action, World)>) {
        for server in 0..SERVERS {
            claiming::steps(world, server, &self.rules, self.scope.late_statements, out);
            if self.scope.leaders_apart {
                leading::steps(world, server, &self.rules, out);
            }
            out.extend(kill_server(world, server, self.scope.leaders_apart));
        }
        if !self.scope.leaders_apart {
            leading::at_once(world, &self.rules, out);
        }
        for instance in 0..INSTANCES {
            claiming::late_requests(world, instance, out);
            if let Some(expired) = claiming::expire(world, instance, &self.rules) {
                out.push((Verb::LeaseRunsOut.of(instance), expired));
            }
            let kill = world.rows[instance].code.after(Event::Kill);
            if let Some(killed) = kill.filter(|code| *code != world.rows[instance].code) {
                let mut after = *world;
                after.set(instance, killed);
                out.push((Verb::PersonKills.of(instance), after));
            }
        }
        if let Some(holder) = world.lock {
            let mut after = *world;
            after.lock = None;
            out.push((Verb::LockIsLost.of(usize::from(holder)), after));
        }
    }

    fn violation(&self, world: &World) -> Option<&'static str> {
        let broken = [
            harm(world),
            callers(world),
            stock(world),
            (!self.heals(*world)).then_some(HEALS),
        ];
        match self.search {
            Search::Violation => broken.into_iter().flatten().next(),
            Search::ViolationOf(sentence) => {
                broken.into_iter().flatten().find(|it| *it == sentence)
            }
            Search::State(wanted) => wanted(world).then_some("this can be"),
        }
    }

    fn canonical(&self, world: World) -> World {
        world.canonical()
    }
}

/// No agent is handed to two callers.
pub const TWICE: &str = "an agent that was handed out is in nobody else's conversation";
/// A caller who got 200 has a claimed row, or one that a person ended.
pub const ANSWERED: &str =
    "a caller who was answered 200 has a claimed row, unless a person ended it";
/// An agent that may be in a conversation is not in the stock.
pub const UNKNOWN: &str = "an agent that may be in a conversation never is, or becomes, idle";
/// Nothing in use, or in stock, is destroyed.
pub const DESTROYED: &str = "only what is dead, or what a person asked for, is destroyed";
/// A stale leader changes nothing.
pub const STALE_LEADER: &str = "a leader whose term is not the newest changes no row";
/// A decision takes effect on the row that it saw, or not at all.
pub const OLD_DECISION: &str = "a decision takes effect on a row as it was seen, or not at all";
/// What says that it is somebody's stays so.
pub const SOMEBODYS: &str = "an agent that says that it is somebody's is neither given up nor idle";
/// Nobody but its agent says so.
pub const KEPT_FOR_NOBODY: &str = "an instance is kept for somebody only where its agent said so";
/// Nothing stays half done.
pub const HEALS: &str = "one server that goes on ends every lease and removes all that ended";

fn harm(world: &World) -> Option<&'static str> {
    Some(match world.harm? {
        Harm::KeptForNobody => KEPT_FOR_NOBODY,
        Harm::GaveUpWhatIsSomebodys => SOMEBODYS,
        Harm::StaleLeaderWrote => STALE_LEADER,
        Harm::OldDecisionTookEffect => OLD_DECISION,
        Harm::DestroyedWhatHadNotEnded => DESTROYED,
    })
}

fn callers(world: &World) -> Option<&'static str> {
    for (index, server) in world.servers.iter().enumerate() {
        let Claim::Answered(instance, _) = server.claim else {
            continue;
        };
        let me: Set = 1 << index;
        let row = world.rows[usize::from(instance)];
        if world.agents[usize::from(instance)].holds & !me != 0 {
            return Some(TWICE);
        }
        let mine = row
            .token
            .is_some_and(|token| usize::from(token.server) == index);
        let kept = mine && (row.code.is(Status::Claimed) || row.code.is(Status::Crashed));
        if !kept && row.code != Code::GONE_BY_A_PERSON {
            return Some(ANSWERED);
        }
    }
    None
}

fn stock(world: &World) -> Option<&'static str> {
    let in_stock = |code: Code| {
        let state = code.state();
        state.is_some_and(|state| {
            !state.unasked && matches!(state.status, Status::Idle | Status::Starting)
        })
    };
    let pairs = world.rows.iter().zip(&world.agents);
    pairs
        .into_iter()
        .any(|(row, agent)| in_stock(row.code) && (agent.holds & !RESTORED | agent.on_its_way) != 0)
        .then_some(UNKNOWN)
}

/// Kill -9 at any point: what it knew is gone, and so is its connection, though the database may
/// notice later. What it has sent may still take effect.
fn kill_server(world: &World, server: usize, leads: bool) -> Option<(Action, World)> {
    let mut after = *world;
    let it = &mut after.servers[server];
    if leads {
        it.lead = Lead::Standby;
        it.plan = Plan::None;
    }
    if !matches!(it.claim, Claim::Answered(..)) {
        it.claim = Claim::Over;
    }
    (after != *world).then(|| (Verb::ServerIsKilledAndStartsAnew.of(server), after))
}

impl Protocol {
    /// Whether the first server alone, whatever the other does not do, brings everything in order:
    /// no lease is left, and nothing that ended. It is given as many steps as that takes.
    fn heals(&self, mut world: World) -> bool {
        for instance in 0..INSTANCES {
            if let Some(expired) = claiming::expire(&world, instance, &self.rules) {
                world = expired;
            }
        }
        world.lock = None;
        world.servers[0].lead = Lead::Standby;
        world.servers[0].plan = Plan::None;
        let Some(mut world) = leading::take_lead(&world, 0) else {
            return false;
        };
        for instance in 0..INSTANCES {
            // The service, then the row.
            for _ in 0..2 {
                if world.rows[instance].code.is_to_be_destroyed()
                    && let Some(plan) = leading::destruction(&world, instance, &self.rules)
                {
                    world.servers[0].plan = plan;
                    world = leading::execute(&world, 0, &self.rules);
                }
            }
        }
        let unfinished = |code: Code| code.is(Status::Claiming) || code.is_to_be_destroyed();
        !world.rows.iter().any(|row| unfinished(row.code))
    }
}
