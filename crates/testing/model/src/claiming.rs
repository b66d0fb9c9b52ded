//! What a claim does, and what the database does for it. Follows `crates/claims/src/attempts.rs` and
//! the statements beside `crates/db/src/claims/mod.rs`.

use pool_domain::{Event, State, Status};

use crate::action::{Action, Verb};
use crate::rules::Rules;
use crate::state::Code;
use crate::world::{Claim, Harm, INSTANCES, RESTORED, Set, Statement, TRIES_MAX, Token, World};

type Steps = Vec<(Action, World)>;

/// Every step that the claim of this server can take.
pub(crate) fn steps(world: &World, server: usize, rules: &Rules, late: bool, out: &mut Steps) {
    let first = out.len();
    let claim = world.servers[server].claim;
    match claim {
        Claim::Leasing(tried) if rules.lease_is_one_statement => {
            lease(world, server, tried, out);
        }
        Claim::Leasing(tried) => look(world, server, tried, out),
        Claim::Picked(instance, tried) => take_what_was_seen(world, server, instance, tried, out),
        Claim::Holding(instance, tried) => call_agent(world, server, instance, tried, out),
        Claim::Provisioned(instance, tried) => {
            confirm(world, server, (instance, tried), rules, out);
        }
        Claim::Failed(instance, tried) => release(world, server, instance, tried, out),
        Claim::Bound(instance, tried) => bind(world, server, (instance, tried), rules, out),
        Claim::Unknown(_, tried) => abandon(world, server, tried, rules, out),
        Claim::Answered(..) | Claim::Over => {}
    }
    if !late {
        let waits = |step: &(Action, World)| step.1.servers[server].sent.is_some();
        let kept = out.split_off(first).into_iter();
        out.extend(kept.filter(|step| !waits(step)));
    }
    if let Some(statement) = world.servers[server].sent {
        for mut later in effects(world, statement, rules) {
            later.servers[server].sent = None;
            out.push((Verb::AStatementThatWaitedTakesEffect.of(server), later));
        }
        let mut lost = *world;
        lost.servers[server].sent = None;
        out.push((Verb::AStatementThatWaitedIsLost.of(server), lost));
    }
}

/// The statements of everybody but the leader, wherever they come from.
pub(crate) fn effects(world: &World, statement: Statement, rules: &Rules) -> Vec<World> {
    match statement {
        Statement::Lease(token, tried) => {
            let leased = lease_effects(world, token, tried);
            leased.into_iter().map(|(after, _)| after).collect()
        }
        Statement::Confirm(token, instance) => {
            vec![confirm_effect(world, token, instance, rules).0]
        }
        Statement::Bind(token, instance) => vec![bind_effect(world, token, instance, rules)],
        Statement::Release(token) => release_effects(world, token),
        Statement::Abandon(token) => vec![abandon_effect(world, token, rules)],
    }
}

/// Ends the lease of an instance that ran out, as any server does.
pub(crate) fn expire(world: &World, instance: usize, rules: &Rules) -> Option<World> {
    let row = world.rows[instance];
    if !row.code.is(Status::Claiming) || !rules.leases_run_out {
        return None;
    }
    let mut after = *world;
    after.rows[instance].token = None;
    after.set(instance, given_up(row.code, rules.expired_is_dead)?);
    Some(after)
}

fn token_of(server: usize, tried: Set) -> Token {
    Token {
        server: u8::try_from(server).unwrap_or_default(),
        attempt: u8::try_from(tried.count_ones()).unwrap_or_default(),
    }
}

fn with_claim(world: &World, server: usize, claim: Claim) -> World {
    let mut after = *world;
    after.servers[server].claim = claim;
    after
}

/// Sends a statement of which nobody hears again, if none is on its way already.
fn with_sent(world: &World, server: usize, statement: Statement) -> Option<World> {
    let mut after = *world;
    let sent = &mut after.servers[server].sent;
    if sent.is_some() {
        return None;
    }
    *sent = Some(statement);
    Some(after)
}

fn lease(world: &World, server: usize, tried: Set, out: &mut Steps) {
    let token = token_of(server, tried);
    for (after, leased) in lease_effects(world, token, tried) {
        if let Some(instance) = leased {
            let holding = Claim::Holding(instance, tried);
            let holding = with_claim(&after, server, holding);
            out.push((Verb::ServerLeases.of(server), holding));
            if after != *world {
                out.push((Verb::ServerLeasesAndTheAnswerIsLost.of(server), after));
            }
        } else {
            let over = with_claim(world, server, Claim::Over);
            out.push((Verb::ServerFindsNothingIdle.of(server), over));
        }
    }
    let over = with_claim(world, server, Claim::Over);
    out.push((Verb::ServerGivesUp.of(server), over));
    if let Some(sent) = with_sent(world, server, Statement::Lease(token, tried)) {
        out.push((Verb::ServerSendsAStatementThatWaits.of(server), sent));
    }
}

/// Any idle row may be the oldest. What the token holds already is found again.
fn lease_effects(world: &World, token: Token, tried: Set) -> Vec<(World, Option<u8>)> {
    let held = world.rows.iter().position(|row| row.token == Some(token));
    if let Some(held) = held {
        let leased = world.rows[held].code.is(Status::Claiming);
        return vec![(
            *world,
            leased.then(|| u8::try_from(held).unwrap_or_default()),
        )];
    }
    let mut leased = Vec::new();
    for instance in idle(world, tried) {
        let mut after = *world;
        let code = world.rows[usize::from(instance)].code;
        if let Some(code) = code.after(Event::Lease) {
            after.rows[usize::from(instance)].token = Some(token);
            after.set(usize::from(instance), code);
            leased.push((after, Some(instance)));
        }
    }
    if leased.is_empty() {
        leased.push((*world, None));
    }
    leased
}

fn idle(world: &World, tried: Set) -> impl Iterator<Item = u8> + '_ {
    (0..u8::try_from(INSTANCES).unwrap_or_default()).filter(move |instance| {
        tried & 1 << instance == 0 && world.rows[usize::from(*instance)].code.is(Status::Idle)
    })
}

/// Without the one statement: first a look,
fn look(world: &World, server: usize, tried: Set, out: &mut Steps) {
    for instance in idle(world, tried) {
        let picked = with_claim(world, server, Claim::Picked(instance, tried));
        out.push((Verb::ServerSeesOneThatIsIdle.of(server), picked));
    }
}

/// then a write, which the trigger has nothing against: claiming stays claiming.
fn take_what_was_seen(world: &World, server: usize, instance: u8, tried: Set, out: &mut Steps) {
    let mut after = *world;
    let row = usize::from(instance);
    let code = Code::new(Status::Claiming);
    if world.rows[row].code.may_become(code) {
        after.rows[row].token = Some(token_of(server, tried));
        after.set(row, code);
        let holding = with_claim(&after, server, Claim::Holding(instance, tried));
        out.push((Verb::ServerTakesWhatItSaw.of(server), holding));
    } else {
        let over = with_claim(world, server, Claim::Over);
        out.push((Verb::ServerGivesUp.of(server), over));
    }
}

fn call_agent(world: &World, server: usize, instance: u8, tried: Set, out: &mut Steps) {
    let agent = usize::from(instance);
    let me: Set = 1 << server;
    let failed = with_claim(world, server, Claim::Failed(instance, tried));
    out.push((Verb::AgentIsNotProvisionedAndSaysSo.of(agent), failed));
    let unknown = with_claim(world, server, Claim::Unknown(instance, tried));
    out.push((Verb::RequestToAnAgentIsLost.of(agent), unknown));
    if !world.agents[agent].exists {
        return;
    }
    if world.agents[agent].holds & RESTORED != 0 {
        let bound = with_claim(world, server, Claim::Bound(instance, tried));
        out.push((Verb::AgentSaysThatItIsSomebodys.of(agent), bound));
        return;
    }
    let mut late = unknown;
    late.agents[agent].on_its_way |= me;
    out.push((Verb::AgentIsSlowAndTheCallIsGivenUp.of(agent), late));
    let mut provisioned = *world;
    provisioned.agents[agent].holds |= me;
    let lost = with_claim(&provisioned, server, Claim::Unknown(instance, tried));
    out.push((Verb::AgentIsProvisionedAndTheAnswerIsLost.of(agent), lost));
    let heard = with_claim(&provisioned, server, Claim::Provisioned(instance, tried));
    out.push((Verb::AgentIsProvisionedAndSaysSo.of(agent), heard));
}

/// What a request that was given up does to an agent later, if anything.
pub(crate) fn late_requests(world: &World, agent: usize, out: &mut Steps) {
    for server in 0..world.servers.len() {
        let bit: Set = 1 << server;
        if world.agents[agent].on_its_way & bit == 0 {
            continue;
        }
        let mut lost = *world;
        lost.agents[agent].on_its_way &= !bit;
        out.push((Verb::RequestToAnAgentIsLost.of(agent), lost));
        if world.agents[agent].exists {
            lost.agents[agent].holds |= bit;
            out.push((
                Verb::AgentIsProvisionedAfterTheCallWasGivenUp.of(agent),
                lost,
            ));
        }
    }
}

/// Repeated until the database answers. `claimed` is what it says.
fn confirm(world: &World, server: usize, held: (u8, Set), rules: &Rules, out: &mut Steps) {
    let (instance, tried) = held;
    let token = token_of(server, tried);
    let (after, mut claimed) = confirm_effect(world, token, instance, rules);
    if !rules.confirmed_by_token {
        let row = after.rows[usize::from(instance)].code;
        claimed = row
            .status()
            .is_some_and(|status| status != Status::Claiming);
    }
    let answered = claimed || !rules.overtaken_is_told;
    let next = if answered {
        Claim::Answered(instance, 0)
    } else {
        Claim::Over
    };
    out.push((
        Verb::ServerConfirms.of(server),
        with_claim(&after, server, next),
    ));
    if after != *world {
        out.push((Verb::ServerConfirmsAndTheAnswerIsLost.of(server), after));
    }
    // The database refuses again and again.
    let over = with_claim(world, server, Claim::Over);
    out.push((Verb::ServerGivesUp.of(server), over));
    if let Some(sent) = with_sent(world, server, Statement::Confirm(token, instance)) {
        out.push((Verb::ServerSendsAStatementThatWaits.of(server), sent));
    }
}

fn confirm_effect(world: &World, token: Token, instance: u8, rules: &Rules) -> (World, bool) {
    let row = world.rows.iter().position(|row| row.token == Some(token));
    let named = |row: &usize| *row == usize::from(instance) || !rules.confirm_names_the_instance;
    let Some(row) = row.filter(named) else {
        return (*world, false);
    };
    let mut after = *world;
    // Only a claim that succeeded leaves its token on a row that is claiming no more.
    if let Some(code) = world.rows[row].code.after(Event::Confirm) {
        after.set(row, code);
    }
    (after, true)
}

/// Repeated until the database answers; then another instance is tried.
fn bind(world: &World, server: usize, held: (u8, Set), rules: &Rules, out: &mut Steps) {
    let (instance, tried) = held;
    let token = token_of(server, tried);
    let next = next_try(instance, tried);
    let after = if rules.bound_is_kept {
        bind_effect(world, token, instance, rules)
    } else {
        let mut released = release_effects(world, token)[0];
        if released != *world {
            released.harm = Some(Harm::GaveUpWhatIsSomebodys);
        }
        released
    };
    out.push((
        Verb::ServerBinds.of(server),
        with_claim(&after, server, next),
    ));
    let failed = with_claim(world, server, next);
    out.push((Verb::ServerFailsToBind.of(server), failed));
    if let Some(sent) = with_sent(&failed, server, Statement::Bind(token, instance)) {
        out.push((Verb::ServerSendsAStatementThatWaits.of(server), sent));
    }
}

fn bind_effect(world: &World, token: Token, instance: u8, rules: &Rules) -> World {
    let mut after = *world;
    let row = world.rows.iter().position(|row| row.token == Some(token));
    let named = |row: &usize| *row == usize::from(instance) || !rules.bind_names_the_instance;
    if let Some(row) = row.filter(named)
        && let Some(code) = world.rows[row].code.after(Event::Bound)
    {
        after.rows[row].token = None;
        after.set(row, code);
        if world.agents[row].holds & RESTORED == 0 {
            after.harm = Some(Harm::KeptForNobody);
        }
    }
    after
}

fn next_try(instance: u8, tried: Set) -> Claim {
    let tried = tried | 1 << instance;
    if tried.count_ones() < TRIES_MAX {
        Claim::Leasing(tried)
    } else {
        Claim::Over
    }
}

fn release(world: &World, server: usize, instance: u8, tried: Set, out: &mut Steps) {
    let token = token_of(server, tried);
    let next = next_try(instance, tried);
    for after in release_effects(world, token) {
        out.push((
            Verb::ServerReleases.of(server),
            with_claim(&after, server, next),
        ));
    }
    let failed = with_claim(world, server, next);
    out.push((Verb::ServerFailsToRelease.of(server), failed));
    if let Some(sent) = with_sent(&failed, server, Statement::Release(token)) {
        out.push((Verb::ServerSendsAStatementThatWaits.of(server), sent));
    }
}

/// With blame, and without.
fn release_effects(world: &World, token: Token) -> Vec<World> {
    let leased = |code: Code| code.is(Status::Claiming);
    let held = |row: &crate::world::Row| row.token == Some(token) && leased(row.code);
    let Some(row) = world.rows.iter().position(held) else {
        return vec![*world];
    };
    let code = world.rows[row].code;
    let put_back = code.state().map(|state| State {
        status: if state.unasked {
            Status::Starting
        } else {
            Status::Idle
        },
        ..state
    });
    let codes = [code.after(Event::Release), put_back.map(Code::of)];
    let mut released = Vec::with_capacity(2);
    for code in codes.into_iter().flatten() {
        let mut after = *world;
        after.rows[row].token = None;
        after.set(row, code);
        released.push(after);
    }
    released
}

fn abandon(world: &World, server: usize, tried: Set, rules: &Rules, out: &mut Steps) {
    let token = token_of(server, tried);
    let over = with_claim(world, server, Claim::Over);
    out.push((
        Verb::ServerAbandons.of(server),
        abandon_effect(&over, token, rules),
    ));
    out.push((Verb::ServerFailsToAbandon.of(server), over));
    if let Some(sent) = with_sent(&over, server, Statement::Abandon(token)) {
        out.push((Verb::ServerSendsAStatementThatWaits.of(server), sent));
    }
}

fn abandon_effect(world: &World, token: Token, rules: &Rules) -> World {
    let mut after = *world;
    let row = world.rows.iter().position(|row| row.token == Some(token));
    let abandoned = row.and_then(|row| {
        let code = given_up(world.rows[row].code, rules.unknown_is_dead)?;
        Some((row, code))
    });
    if let Some((row, code)) = abandoned {
        after.rows[row].token = None;
        after.set(row, code);
    }
    after
}

/// Dead, by the state machine; without the rule idle, as if nothing had happened.
fn given_up(code: Code, is_dead: bool) -> Option<Code> {
    let dead = code.after(Event::Abandon)?;
    Some(if is_dead {
        dead
    } else {
        Code::new(Status::Idle)
    })
}
