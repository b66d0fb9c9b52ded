//! Claims under a key: the key's row moves with the lease, or not at all.

use std::sync::Arc;
use std::time::Duration;

use pool_db::claims::{self, Answer, Confirmation, Confirmed, KeyedRequest, Known, Leased};
use pool_domain::{Fingerprint, IdempotencyKey, InstanceId, Secret, Status};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, LEASE, confirmation, token};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn keyed(key: &str) -> KeyedRequest {
    KeyedRequest {
        key: IdempotencyKey::parse(key.as_bytes()).unwrap(),
        fingerprint: Fingerprint([1; 32]),
        keep: DAY,
        leased_before: None,
    }
}

async fn ask(
    fixture: &Fixture,
    request: &KeyedRequest,
    seed: u64,
    exclude: &[InstanceId],
) -> Leased {
    claims::lease_idle(&fixture.db, token(seed), LEASE, exclude, Some(request))
        .await
        .unwrap()
}

async fn lease(fixture: &Fixture, key: &str, seed: u64) -> Leased {
    ask(fixture, &keyed(key), seed, &[]).await
}

async fn leased(fixture: &Fixture, key: &str, seed: u64) -> InstanceId {
    match lease(fixture, key, seed).await {
        Leased::Yes(lease) => lease.id,
        other => panic!("{other:?}"),
    }
}

async fn confirm(fixture: &Fixture, seed: u64, invited: bool) {
    let leased = token(seed).as_uuid();
    let leased = format!("SELECT id FROM instances WHERE claim_token = '{leased}'");
    let confirmation = Confirmation {
        invited,
        ..confirmation(&fixture.text(&leased).await)
    };
    let confirmed = claims::confirm(&fixture.db, token(seed), &confirmation).await;
    assert_eq!(confirmed.unwrap(), Confirmed::Done);
}

async fn known(fixture: &Fixture, key: &str) -> Known {
    claims::look(&fixture.db, &keyed(key)).await.unwrap()
}

async fn keys(fixture: &Fixture) -> String {
    fixture
        .text("SELECT coalesce(string_agg(key, ',' ORDER BY key), '') FROM claim_requests")
        .await
}

#[tokio::test]
async fn a_key_is_noted_with_its_lease_and_not_without_one() {
    let fixture = Fixture::new().await;
    assert_eq!(lease(&fixture, "k", 1).await, Leased::NoneIdle);
    assert_eq!(keys(&fixture).await, "");
    assert_eq!(known(&fixture, "k").await, Known::Nothing);

    fixture.row("a", "idle").await;
    assert_eq!(leased(&fixture, "k", 1).await, InstanceId::from("a"));
    let Known::Running { decided_in } = known(&fixture, "k").await else {
        panic!("not running");
    };
    assert!(
        decided_in <= LEASE && decided_in > LEASE / 2,
        "{decided_in:?}"
    );
    let kept =
        "SELECT expires_at - requested_at = interval '24 hours 90 seconds' FROM claim_requests";
    assert_eq!(fixture.text(kept).await, "t");
}

#[tokio::test]
async fn a_key_that_another_claim_has_leaves_the_stock_untouched() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    leased(&fixture, "k", 1).await;
    let events = fixture.events("b").await;
    assert_eq!(lease(&fixture, "k", 2).await, Leased::KeyTaken);
    assert_eq!(fixture.status("b").await, "idle");
    assert_eq!(
        fixture.events("b").await,
        events,
        "as if it had not been leased"
    );

    // Also once the first one is decided.
    confirm(&fixture, 1, true).await;
    assert_eq!(lease(&fixture, "k", 2).await, Leased::KeyTaken);
    assert_eq!(leased(&fixture, "other", 3).await, InstanceId::from("b"));
}

#[tokio::test]
async fn asked_again_with_the_same_token_it_is_the_same_lease() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    let first = lease(&fixture, "k", 1).await;
    assert_eq!(lease(&fixture, "k", 1).await, first);
    assert_eq!(fixture.status("b").await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_lease_under_one_key_at_once_one_does() {
    const CALLERS: u64 = 8;
    let fixture = Fixture::with_claim_connections(8).await;
    for round in 0..10 {
        for caller in 0..CALLERS {
            fixture.row(&format!("r{round}c{caller}"), "idle").await;
        }
        let barrier = Arc::new(Barrier::new(8));
        let asks: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (db, barrier) = (fixture.db.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    let keyed = keyed(&format!("round-{round}"));
                    let token = token(round * CALLERS + caller);
                    barrier.wait().await;
                    claims::lease_idle(&db, token, LEASE, &[], Some(&keyed)).await
                })
            })
            .collect();
        let mut leases = 0;
        for ask in asks {
            match ask.await.unwrap().unwrap() {
                Leased::Yes(_) => leases += 1,
                Leased::KeyTaken => {}
                other => panic!("there are as many idle ones as callers: {other:?}"),
            }
        }
        assert_eq!(leases, 1);
        let claiming = "SELECT count(*) FROM instances WHERE status = 'claiming'";
        assert_eq!(fixture.text(claiming).await, (round + 1).to_string());
    }
}

#[tokio::test]
async fn a_claim_that_succeeded_is_answered_from_its_instance() {
    for (invited, invite_url) in [(true, Some("https://invite")), (false, None)] {
        let fixture = Fixture::new().await;
        fixture.row("a", "idle").await;
        fixture
            .execute("UPDATE instances SET gateway_token = 'secret'")
            .await;
        leased(&fixture, "k", 1).await;
        confirm(&fixture, 1, invited).await;
        confirm(&fixture, 1, invited).await;
        let answer = Answer {
            id: "a".into(),
            invite_url: invite_url.map(str::to_owned),
            conversation_id: Some("conversation".to_owned()),
            joined: true,
            gateway_token: Some(Secret::new("secret")),
            url: Some("https://a".to_owned()),
        };
        assert_eq!(known(&fixture, "k").await, Known::Claimed(answer.clone()));
        fixture
            .execute("UPDATE instances SET status = 'crashed'")
            .await;
        assert_eq!(known(&fixture, "k").await, Known::Claimed(answer));
        let secrets =
            "SELECT count(*) FROM claim_requests WHERE claim_requests::text ~ 'secret|kind'";
        assert_eq!(fixture.text(secrets).await, "0");
    }
}

#[tokio::test]
async fn what_was_destroyed_since_is_said_to_be() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    leased(&fixture, "k", 1).await;
    confirm(&fixture, 1, true).await;
    let destroyed = Known::Destroyed { id: "a".into() };
    fixture
        .execute("UPDATE instances SET delete_requested_at = now()")
        .await;
    assert_eq!(known(&fixture, "k").await, destroyed);
    fixture.execute("DELETE FROM instances").await;
    assert_eq!(known(&fixture, "k").await, destroyed);
    fixture.row("b", "idle").await;
    assert_eq!(lease(&fixture, "k", 2).await, Leased::KeyTaken);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_another_body_whatever_became_of_the_first() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    leased(&fixture, "k", 1).await;
    let other = KeyedRequest {
        fingerprint: Fingerprint([2; 32]),
        ..keyed("k")
    };
    let look = async || claims::look(&fixture.db, &other).await.unwrap();
    assert_eq!(look().await, Known::OtherBody);
    confirm(&fixture, 1, true).await;
    assert_eq!(look().await, Known::OtherBody);
}

#[tokio::test]
async fn a_sure_failure_lets_go_of_the_key() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    leased(&fixture, "k", 1).await;
    let released = claims::release(&fixture.db, token(1), "refused", true).await;
    assert_eq!(released.unwrap(), Some(Status::Idle));
    assert_eq!(known(&fixture, "k").await, Known::Nothing);
    assert_eq!(leased(&fixture, "k", 2).await, InstanceId::from("a"));
}

#[tokio::test]
async fn a_claim_that_goes_on_to_another_instance_takes_its_key_along() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    leased(&fixture, "k", 1).await;
    let exclude = ["a".into()];
    let after = async |before| {
        let request = KeyedRequest {
            leased_before: Some(token(before)),
            ..keyed("k")
        };
        ask(&fixture, &request, 2, &exclude).await
    };
    assert_eq!(after(7).await, Leased::KeyTaken);
    assert!(matches!(after(1).await, Leased::Yes(_)));
    // The first one is given back; the key stays with the second.
    claims::release(&fixture.db, token(1), "refused", false)
        .await
        .unwrap();
    assert!(matches!(known(&fixture, "k").await, Known::Running { .. }));
    confirm(&fixture, 2, true).await;
    let Known::Claimed(answer) = known(&fixture, "k").await else {
        panic!("not claimed");
    };
    assert_eq!(answer.id, InstanceId::from("b"));
}

#[tokio::test]
async fn an_unknown_outcome_keeps_the_key_and_says_whether_the_time_ran_out() {
    let fixture = Fixture::new().await;
    for (seed, timed_out) in [(1, true), (2, false)] {
        let key = format!("k{seed}");
        fixture.row(&key, "idle").await;
        fixture.row(&format!("spare {seed}"), "idle").await;
        leased(&fixture, &key, seed).await;
        assert!(
            claims::abandon(&fixture.db, token(seed), "odd", timed_out)
                .await
                .unwrap()
        );
        assert_eq!(known(&fixture, &key).await, Known::Unknown { timed_out });
        assert_eq!(lease(&fixture, &key, seed + 10).await, Leased::KeyTaken);
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_leaves_an_unknown_outcome_also_when_confirmed_too_late() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    leased(&fixture, "k", 1).await;
    let ran_out = "UPDATE instances SET claim_expires_at = now() - interval '1 s'";
    fixture.execute(ran_out).await;
    let not_yet = Known::Running {
        decided_in: Duration::ZERO,
    };
    assert_eq!(known(&fixture, "k").await, not_yet);
    claims::expire(&fixture.db, LEASE).await.unwrap();
    let unknown = Known::Unknown { timed_out: false };
    assert_eq!(known(&fixture, "k").await, unknown);
    let late = claims::confirm(&fixture.db, token(1), &confirmation("a")).await;
    assert_eq!(late.unwrap(), Confirmed::Overtaken);
    assert_eq!(known(&fixture, "k").await, unknown);
}

#[tokio::test]
async fn keys_that_ran_out_are_anybodys_and_are_forgotten_in_batches() {
    let fixture = Fixture::new().await;
    for seed in 0..5 {
        let key = format!("k{seed}");
        fixture.row(&key, "idle").await;
        leased(&fixture, &key, seed).await;
        confirm(&fixture, seed, true).await;
    }
    let ran_out = "UPDATE claim_requests SET expires_at = now() - interval '1 s' WHERE key <> 'k4'";
    fixture.execute(ran_out).await;
    assert_eq!(known(&fixture, "k0").await, Known::Nothing);
    fixture.row("new", "idle").await;
    assert_eq!(leased(&fixture, "k0", 9).await, InstanceId::from("new"));
    assert!(matches!(known(&fixture, "k0").await, Known::Running { .. }));

    let forgotten = [
        claims::prune(&fixture.db, 2).await.unwrap(),
        claims::prune(&fixture.db, 2).await.unwrap(),
        claims::prune(&fixture.db, 2).await.unwrap(),
    ];
    assert_eq!(forgotten, [2, 1, 0]);
    assert_eq!(keys(&fixture).await, "k0,k4");
}
