//! How many statements a claim costs, counted on the wire to the database.

use crate::agents::Behaviour;
use crate::stage::{Stage, keyed};
use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_two_statements_and_one_with_a_key_takes_three() {
    let (stage, wire) = Stage::wired().await;
    stage.stock(&["first", "unkeyed", "keyed"]).await;
    // The first one also asks whether the database is contracted.
    stage.claim().await.unwrap();
    wire.seen();

    stage.claim().await.unwrap();
    assert_eq!(of_claims(&wire), ["claims::lease_idle", "claims::confirm"]);
    stage.claims.claim(keyed("k")).await.unwrap();
    assert_eq!(
        of_claims(&wire),
        [
            "claims::idempotency::look",
            "claims::lease_idle",
            "claims::confirm"
        ]
    );
    stage.claims.claim(keyed("k")).await.unwrap();
    assert_eq!(
        of_claims(&wire),
        ["claims::idempotency::look"],
        "a repetition"
    );
}

/// In one thread, where all have come before the first statement is sent.
#[tokio::test]
async fn claims_that_come_at_once_share_a_statement() {
    let (stage, wire) = Stage::wired().await;
    let names: Vec<String> = (0..9).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.stock(&names).await;
    stage.claim().await.unwrap();
    wire.seen();
    let claims = (0..8).map(|_| stage.claim());
    for claimed in futures_util::future::join_all(claims).await {
        claimed.unwrap();
    }
    let seen = of_claims(&wire);
    let leases = seen.iter().filter(|name| *name == "claims::lease_idle");
    assert_eq!(leases.count(), 1, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_claim_otherwise_is_one_statement_too() {
    for (behaviour, ending) in [
        (Behaviour::Refuse(503), "claims::release"),
        (Behaviour::Refuse(500), "claims::abandon"),
    ] {
        let (stage, wire) = Stage::wired().await;
        stage.stock(&["first", "odd"]).await;
        stage.claim().await.unwrap();
        stage.agents.tell("odd", behaviour);
        wire.seen();
        stage.claims.claim(keyed("k")).await.unwrap_err();
        let seen = of_claims(&wire);
        let lease = ["claims::idempotency::look", "claims::lease_idle", ending];
        assert_eq!(seen[..3], lease);
    }
}

/// Without what sets up a connection, which the pool may open beside a claim.
fn of_claims(wire: &Wire) -> Vec<String> {
    let mut seen = wire.seen();
    seen.retain(|name| name.starts_with("claims::"));
    seen
}
