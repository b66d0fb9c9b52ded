//! Every state of two servers, two claims and two instances. All steps of all parts together have
//! more states than a test can visit; each of these tests takes apart what it is about.

use pool_domain::Status;
use pool_model::protocol::Scope;
use pool_model::state::Code;
use pool_model::world::{Claim, Lead, Plan, Row, Server, Statement};

use crate::check::{ALL, CLAIMS, LEADERS, adopted, holds, idle, reached, unasked};

#[test]
fn what_must_hold_holds_in_every_state_of_two_claims_and_two_instances() {
    holds(
        "two claims, two instances",
        CLAIMS,
        &[[idle(), idle()]],
        200_000,
    );
}

#[test]
fn what_must_hold_holds_in_every_state_of_two_leaders_and_two_instances() {
    holds(
        "two leaders, two instances",
        LEADERS,
        &[[idle(), idle()]],
        250_000,
    );
}

#[test]
fn what_must_hold_holds_in_every_state_of_everything_about_one_instance() {
    let begins = [[idle(), Code::GONE]];
    holds(
        "two claims, two leaders, one instance",
        ALL,
        &begins,
        300_000,
    );
}

#[test]
fn what_must_hold_holds_in_every_state_of_adopted_instances() {
    let scope = Scope {
        late_statements: false,
        ..CLAIMS
    };
    let begins = [
        [adopted(), idle()],
        [adopted(), adopted()],
        [unasked(Status::Claiming), idle()],
        [unasked(Status::Crashed), unasked(Status::Claiming)],
    ];
    holds("two claims, unverified instances", scope, &begins, 1_000);
}

#[test]
fn what_must_hold_holds_in_every_state_after_a_restore() {
    let scope = Scope {
        restored: true,
        ..CLAIMS
    };
    holds(
        "two claims, a restored row",
        scope,
        &[[idle(), idle()]],
        50_000,
    );
}

/// Otherwise the sentences would hold of nothing.
#[test]
fn everything_that_the_sentences_are_about_is_reached() {
    reached(CLAIMS, "two callers are answered 200", |world| {
        let claims = world.servers.map(|server| server.claim);
        claims
            .iter()
            .all(|claim| matches!(claim, Claim::Answered(..)))
    });
    reached(CLAIMS, "a second try is answered 200", |world| {
        let second = |row: &Row| row.token.is_some_and(|token| token.attempt == 1);
        let claimed = |row: &Row| row.code.is(Status::Claimed);
        world.rows.iter().any(|row| second(row) && claimed(row))
    });
    reached(CLAIMS, "one crashed, and a person ended another", |world| {
        let codes = world.rows.map(|row| row.code);
        codes.contains(&Code::GONE_BY_A_PERSON) && codes.contains(&Code::new(Status::Crashed))
    });
    reached(
        CLAIMS,
        "a confirmation waits longer than its lease",
        |world| {
            let waits = |sent| matches!(sent, Some(Statement::Confirm(_, 0)));
            let dead = world.rows[0].code.is(Status::Dead);
            dead && world.servers.iter().any(|server| waits(server.sent))
        },
    );
    reached(CLAIMS, "a request outlives its claim", |world| {
        let over = world.servers.iter().all(|it| it.claim == Claim::Over);
        over && world.agents.iter().any(|agent| agent.on_its_way != 0)
    });
    reached(LEADERS, "a stale leader is about to write", |world| {
        let writes = |it: &Server| matches!(it.plan, Plan::Change { fresh: true, .. });
        let stale = |it: &Server| it.lead == Lead::Stale;
        world.servers.iter().any(|it| stale(it) && writes(it))
    });
    reached(LEADERS, "a decision is old before it is done", |world| {
        let old = |it: &Server| matches!(it.plan, Plan::Change { fresh: false, .. });
        let leads = |it: &Server| it.lead == Lead::Newest;
        world.servers.iter().any(|it| leads(it) && old(it))
    });
}
