//! One state of everything: the rows, the agents, the claims, and the servers.
//!
//! Epochs, terms and tokens are unbounded numbers in the database. All that ever matters of them is
//! whether they are the same as the one that somebody remembers, so that is what is kept here, and
//! the states are finitely many without a bound on how often anything happens.

use pool_domain::Status;

use crate::state::Code;

/// Instances, and of each a row and an agent.
pub const INSTANCES: usize = 2;
/// Servers; each runs one claim and may lead.
pub const SERVERS: usize = 2;
/// Instances that one claim tries. The code tries three; the second differs from the first, the
/// third not from the second.
pub const TRIES_MAX: u32 = 2;

/// A set of small numbers: of servers (by their claims) or instances.
pub type Set = u8;

/// In [`Agent::holds`]: somebody from before the pool knew of this agent.
pub const STRANGER: Set = 1 << 7;

/// In [`Agent::holds`]: somebody from before the records were restored; the row does not know of him.
pub const RESTORED: Set = 1 << 6;

/// Names a lease: which server's claim, and which of its tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    pub server: u8,
    /// Its first, or a later one.
    pub attempt: u8,
}

/// One row of the `instances` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    pub code: Code,
    pub token: Option<Token>,
}

/// One agent on Railway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Agent {
    pub exists: bool,
    /// For whose claims it was provisioned, whoever knows it.
    pub holds: Set,
    /// From whose claims a request is still on its way to it.
    pub on_its_way: Set,
}

/// How far a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    /// About to lease, or leasing, having tried these.
    Leasing(Set),
    /// Has read that this one is idle, and is about to take it. Only where a lease is not one
    /// statement.
    Picked(u8, Set),
    /// Holds the lease of one, having tried others; is about to call its agent, or is calling.
    Holding(u8, Set),
    /// The agent said that it is provisioned.
    Provisioned(u8, Set),
    /// The agent was surely not provisioned.
    Failed(u8, Set),
    /// The agent said that it is somebody's already.
    Bound(u8, Set),
    Unknown(u8, Set),
    /// The caller was answered 200, with this instance.
    Answered(u8, Set),
    /// The caller was told otherwise, or nothing.
    Over,
}

/// A statement that was sent, and of which its sender knows no more: it takes effect at any later
/// time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Statement {
    Lease(Token, Set),
    Confirm(Token, u8),
    /// Keep this instance for somebody.
    Bind(Token, u8),
    Release(Token),
    Abandon(Token),
}

/// What a leader has decided and not yet done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Plan {
    None,
    /// Change the state of an instance's row. `fresh`: the row's epoch is still the one it saw.
    Change {
        instance: u8,
        from: Code,
        to: Code,
        /// Whether the row has not moved on since.
        fresh: bool,
    },
    Destroy(u8),
    Remove(u8),
}

/// Whether a server leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lead {
    /// It does not, and knows it.
    Standby,
    /// It does: its term is the newest.
    Newest,
    /// It thinks so, but another one has begun a newer term.
    Stale,
}

/// One server. One that is down differs from one that does nothing only by having forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    pub lead: Lead,
    /// What it has decided as leader.
    pub plan: Plan,
    pub claim: Claim,
    /// A statement of its claim that may still take effect.
    pub sent: Option<Statement>,
}

/// Something that must not happen, seen as it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Harm {
    /// A leader whose term is not the newest changed a row.
    StaleLeaderWrote,
    /// A decision took effect on a row that had moved on since.
    OldDecisionTookEffect,
    /// An instance became somebody's whose agent is nobody's.
    KeptForNobody,
    /// An instance was given up, or put back, whose agent had said that it is somebody's.
    GaveUpWhatIsSomebodys,
    /// A service was destroyed whose row was neither dead nor asked for by a person.
    DestroyedWhatHadNotEnded,
}

/// One state of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct World {
    pub rows: [Row; INSTANCES],
    pub agents: [Agent; INSTANCES],
    pub servers: [Server; SERVERS],
    /// Who holds the advisory lock.
    pub lock: Option<u8>,
    /// What went wrong in the last step.
    pub harm: Option<Harm>,
}

impl World {
    /// Servers that have just started, and rows in these states. One that is unasked holds a
    /// stranger's conversation.
    #[must_use]
    pub fn new(rows: [Code; INSTANCES]) -> Self {
        Self {
            rows: rows.map(|code| Row { code, token: None }),
            agents: rows.map(|code| Agent {
                exists: true,
                holds: match code.state() {
                    Some(state) if state.unasked => STRANGER,
                    _ => 0,
                },
                on_its_way: 0,
            }),
            servers: [Server {
                lead: Lead::Standby,
                plan: Plan::None,
                claim: Claim::Leasing(0),
                sent: None,
            }; SERVERS],
            lock: None,
            harm: None,
        }
    }

    /// Writes a row's state. Where that raises the epoch, every plan that saw the row before is old
    /// now. What only matters while the instance may be handed out is forgotten with its end.
    pub fn set(&mut self, instance: usize, code: Code) {
        let before = std::mem::replace(&mut self.rows[instance].code, code);
        let moved_on = before.status() != code.status()
            || before.delete_requested() != code.delete_requested()
            || (code.is_unasked() && !before.is_unasked());
        for server in &mut self.servers {
            if let Plan::Change {
                instance: planned,
                fresh,
                ..
            } = &mut server.plan
                && usize::from(*planned) == instance
            {
                *fresh &= !moved_on;
            }
        }
        if code.is(Status::Dead) || code.state().is_none() {
            self.agents[instance].holds = 0;
            self.agents[instance].on_its_way = 0;
            self.rows[instance].token = None;
        }
    }

    /// The same with instances, or servers, exchanged: what can happen to one can to the other.
    #[must_use]
    pub fn mirrored(&self, instances: bool, servers: bool) -> Self {
        let mut world = *self;
        if instances {
            world.rows.swap(0, 1);
            world.agents.swap(0, 1);
        }
        if servers {
            world.servers.swap(0, 1);
            world.lock = world.lock.map(|server| 1 - server);
        }
        let set = |set: Set, swap: bool| match (swap, set & 0b11) {
            (true, 0b01) => set & !0b11 | 0b10,
            (true, 0b10) => set & !0b11 | 0b01,
            _ => set,
        };
        let one = |index: u8| if instances { 1 - index } else { index };
        let token = |token: Token| Token {
            server: if servers {
                1 - token.server
            } else {
                token.server
            },
            ..token
        };
        for row in &mut world.rows {
            row.token = row.token.map(token);
        }
        for agent in &mut world.agents {
            agent.holds = set(agent.holds, servers);
            agent.on_its_way = set(agent.on_its_way, servers);
        }
        let tried = |tried: Set| set(tried, instances);
        for server in &mut world.servers {
            server.claim = match server.claim {
                Claim::Leasing(others) => Claim::Leasing(tried(others)),
                Claim::Picked(it, others) => Claim::Picked(one(it), tried(others)),
                Claim::Holding(it, others) => Claim::Holding(one(it), tried(others)),
                Claim::Provisioned(it, others) => Claim::Provisioned(one(it), tried(others)),
                Claim::Failed(it, others) => Claim::Failed(one(it), tried(others)),
                Claim::Bound(it, others) => Claim::Bound(one(it), tried(others)),
                Claim::Unknown(it, others) => Claim::Unknown(one(it), tried(others)),
                Claim::Answered(it, others) => Claim::Answered(one(it), tried(others)),
                Claim::Over => Claim::Over,
            };
            server.sent = server.sent.map(|sent| match sent {
                Statement::Lease(it, others) => Statement::Lease(token(it), tried(others)),
                Statement::Confirm(it, instance) => Statement::Confirm(token(it), one(instance)),
                Statement::Bind(it, instance) => Statement::Bind(token(it), one(instance)),
                Statement::Release(it) => Statement::Release(token(it)),
                Statement::Abandon(it) => Statement::Abandon(token(it)),
            });
            server.plan = match server.plan {
                Plan::None => Plan::None,
                Plan::Destroy(it) => Plan::Destroy(one(it)),
                Plan::Remove(it) => Plan::Remove(one(it)),
                Plan::Change {
                    instance,
                    from,
                    to,
                    fresh,
                } => Plan::Change {
                    instance: one(instance),
                    from,
                    to,
                    fresh,
                },
            };
        }
        world
    }

    /// One of all that are the same but for who is called what.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let others = [(true, false), (false, true), (true, true)];
        let others = others.map(|(instances, servers)| self.mirrored(instances, servers));
        others.into_iter().fold(*self, Self::min)
    }
}
