//! The connection to the database is cut at one statement of a claim, before it arrives or after it was
//! carried out: every lease is settled all the same, and no key is used up for nothing.

use std::time::Duration;

use pool_claims::{ClaimError, ClaimRequest};
use tokio::time::Instant;

use crate::agents::Behaviour;
use crate::stage::{Stage, keyed, request};
use crate::wire::{Cut, Wire};

const CUTS: [Cut; 2] = [Cut::Before, Cut::After];

/// Two idle instances, and connections that are in use already.
async fn stage() -> (Stage, Wire) {
    let (stage, wire) = Stage::wired().await;
    stage.stock(&["first", "a", "b"]).await;
    assert!(stage.claim().await.is_ok());
    (stage, wire)
}

/// Cuts a statement, and the next ones that ask the same.
fn cut_each(wire: &Wire, name: &'static str, cuts: &[Cut]) {
    for cut in cuts {
        wire.cut(name, *cut);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_answer_is_lost_is_asked_for_again_and_is_the_same() {
    for cut in CUTS {
        let (stage, wire) = stage().await;
        wire.cut("claims::lease_idle", cut);
        let claimed = stage.claims.claim(keyed("k")).await.unwrap();
        assert!(wire.is_cut());
        assert_eq!(claimed.instance_id.as_str(), "a");
        assert_eq!(stage.status("b").await, "idle");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_hears_of_costs_neither_the_instance_nor_the_key() {
    for request in [request(), keyed("k")] {
        let (stage, wire) = stage().await;
        cut_each(&wire, "claims::lease_idle", &[Cut::After; 3]);
        // That it is given back must reach the database, too.
        cut_each(&wire, "claims::release", &CUTS);
        unheard(&stage, &request).await;
        assert!(wire.is_cut());
        stage.until("a", "idle").await;
        assert_eq!(stage.failed_claims("a").await, "0", "nobody is to blame");
        let again = stage.claims.claim(request).await.unwrap();
        assert_eq!(
            again.instance_id.as_str(),
            "b",
            "it went to the end of the queue"
        );
        assert_eq!(stage.agents.asked(), ["first", "b"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_takes_effect_when_nobody_waits_for_it_any_more_is_given_back() {
    let (stage, wire) = stage().await;
    wire.cut("claims::lease_idle", Cut::Late(Duration::from_secs(3)));
    cut_each(&wire, "claims::lease_idle", &[Cut::Before; 2]);
    unheard(&stage, &keyed("k")).await;
    assert!(wire.is_cut());
    stage.until("a", "claiming").await;
    stage.until("a", "idle").await;
    stage.claims.claim(keyed("k")).await.unwrap();
}

async fn unheard(stage: &Stage, request: &ClaimRequest) {
    let told = stage.claims.claim(request.clone()).await;
    assert!(
        matches!(&told, Err(ClaimError::Lease(error)) if error.is_indeterminate()),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_is_repeated_until_the_database_answers() {
    let (stage, wire) = stage().await;
    cut_each(
        &wire,
        "claims::confirm",
        &[Cut::Before, Cut::Before, Cut::After],
    );
    let claimed = stage.claims.claim(keyed("k")).await.unwrap();
    assert!(wire.is_cut());
    assert_eq!(stage.status("a").await, "claimed");
    let again = stage.claims.claim(keyed("k")).await.unwrap();
    assert_eq!(again.instance_id, claimed.instance_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_repeated_until_the_database_answers_and_blames_once() {
    for cut in CUTS {
        let (stage, wire) = stage().await;
        stage.agents.tell("a", Behaviour::Refuse(503));
        cut_each(&wire, "claims::release", &[Cut::Before, cut]);
        let claimed = stage.claims.claim(keyed("k")).await.unwrap();
        assert_eq!(claimed.instance_id.as_str(), "b");
        stage.until("a", "idle").await;
        assert!(wire.is_cut());
        assert_eq!(stage.failed_claims("a").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandon_is_repeated_until_the_database_answers() {
    for cut in CUTS {
        let (stage, wire) = stage().await;
        stage.agents.tell("a", Behaviour::Refuse(500));
        cut_each(&wire, "claims::abandon", &[Cut::Before, cut]);
        stage.claims.claim(keyed("k")).await.unwrap_err();
        stage.until("a", "dead").await;
        assert!(wire.is_cut());
        let again = stage.claims.claim(keyed("k")).await;
        assert!(
            matches!(again, Err(ClaimError::Indeterminate { .. })),
            "{again:?}"
        );
        assert_eq!(stage.agents.asked(), ["first", "a"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_hears_what_his_claim_came_to_also_while_the_database_is_away() {
    let (stage, wire) = stage().await;
    stage.agents.tell("a", Behaviour::Refuse(500));
    cut_each(&wire, "claims::abandon", &[Cut::Before; 8]);
    let began = Instant::now();
    stage.claims.claim(request()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(!wire.is_cut(), "it goes on without him");
    assert_eq!(stage.claims.drain(Duration::from_secs(30)).await, 0);
    assert_eq!(stage.status("a").await, "dead");
}
