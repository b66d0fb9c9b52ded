//! Lease, confirm, bind, release, abandon, expire.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pool_db::claims::{self, Confirmation, Confirmed, Lease};
use pool_db::instances;
use pool_domain::write::{FoundConversation, StatusChange};
use pool_domain::{Epoch, InstanceId, Status};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, LEASE, confirmation, lease_idle, token};

async fn lease(fixture: &Fixture, seed: u64) -> Option<Lease> {
    lease_idle(&fixture.db, token(seed), &[]).await.unwrap()
}

#[tokio::test]
async fn the_oldest_idle_one_is_leased_first_and_excluded_ones_are_not() {
    let fixture = Fixture::new().await;
    for id in ["c", "b", "a"] {
        fixture.row(id, "idle").await;
    }
    fixture.row("busy", "starting").await;
    let leased = lease(&fixture, 1).await.unwrap();
    assert_eq!(leased.id, InstanceId::from("c"));
    assert_eq!(leased.epoch, Epoch(1));
    assert_eq!(leased.url.as_deref(), Some("https://c"));
    let skipping = lease_idle(&fixture.db, token(2), &["b".into()])
        .await
        .unwrap();
    assert_eq!(skipping.unwrap().id, InstanceId::from("a"));
    assert!(claims::idle_exists(&fixture.db, &[]).await.unwrap());
    assert!(
        !claims::idle_exists(&fixture.db, &["b".into()])
            .await
            .unwrap()
    );
    assert_eq!(lease(&fixture, 3).await.unwrap().id, InstanceId::from("b"));
    assert_eq!(lease(&fixture, 4).await, None);
    assert!(
        fixture
            .events("c")
            .await
            .ends_with("idle>claiming claim: leased")
    );
}

#[tokio::test]
async fn asked_again_with_the_same_token_it_is_the_same_lease() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    let first = lease(&fixture, 1).await;
    assert_eq!(lease(&fixture, 1).await, first);
    assert_eq!(fixture.status("b").await, "idle");
}

#[tokio::test]
async fn a_token_whose_claim_is_over_leases_nothing_more() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    lease(&fixture, 1).await.unwrap();
    claims::confirm(&fixture.db, token(1), &confirmation("a"))
        .await
        .unwrap();
    assert_eq!(lease(&fixture, 1).await, None);
    assert_eq!(fixture.status("b").await, "idle");
}

#[tokio::test]
async fn two_asks_with_one_token_at_once_get_one_lease() {
    let fixture = Fixture::with_claim_connections(8).await;
    for id in 0..8 {
        fixture.row(&format!("i{id}"), "idle").await;
    }
    for round in 0..10 {
        let barrier = Arc::new(Barrier::new(8));
        let asks: Vec<_> = (0..8)
            .map(|_| {
                let (db, barrier) = (fixture.db.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    lease_idle(&db, token(round), &[]).await
                })
            })
            .collect();
        let mut leased = HashSet::new();
        for ask in asks {
            leased.insert(ask.await.unwrap().unwrap().unwrap().id);
        }
        assert_eq!(leased.len(), 1);
        claims::release(&fixture.db, token(round), "again", false)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_instance_is_leased_twice_however_many_ask_at_once() {
    const CALLERS: u64 = 16;
    const EACH: u64 = 25;
    let fixture = Fixture::with_claim_connections(16).await;
    fixture
        .execute(&format!(
            "INSERT INTO instances (id, service_id, name, status) \
             SELECT n::text, 's' || n, 'n', 'idle' FROM generate_series(1, {}) AS n",
            CALLERS * EACH
        ))
        .await;
    let barrier = Arc::new(Barrier::new(CALLERS.try_into().unwrap()));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (db, barrier) = (fixture.db.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let mut leased = Vec::new();
                for n in 0..EACH {
                    let token = token(caller * EACH + n);
                    let lease = lease_idle(&db, token, &[]).await.unwrap();
                    leased.extend(lease.map(|lease| lease.id));
                }
                leased
            })
        })
        .collect();
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "an instance was leased twice");
    let leased = "SELECT count(*) FROM instance_events WHERE to_status = 'claiming'";
    assert_eq!(fixture.text(leased).await, all.len().to_string());
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_passed_over_and_not_waited_for() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    fixture
        .execute("BEGIN; SELECT FROM instances WHERE id = 'a' FOR UPDATE")
        .await;
    assert_eq!(lease(&fixture, 1).await.unwrap().id, InstanceId::from("b"));
    assert_eq!(lease(&fixture, 2).await, None);
    assert!(claims::idle_exists(&fixture.db, &[]).await.unwrap());
    fixture.execute("ROLLBACK").await;
    assert_eq!(lease(&fixture, 2).await.unwrap().id, InstanceId::from("a"));
}

#[tokio::test]
async fn a_confirmation_makes_it_claimed_and_may_be_repeated() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture
        .execute("UPDATE instances SET failed_claims = 1")
        .await;
    lease(&fixture, 1).await.unwrap();
    for _ in 0..2 {
        let confirmed = claims::confirm(&fixture.db, token(1), &confirmation("a")).await;
        assert_eq!(confirmed.unwrap(), Confirmed::Done);
    }
    let row = "SELECT concat_ws(', ', status, agent_name, conversation_id, invite_url, \
               instructions, source_branch, claimed_at IS NOT NULL, claim_expires_at IS NULL, \
               failed_claims, epoch) FROM instances";
    insta::assert_snapshot!(
        fixture.text(row).await,
        @"claimed, Ada, conversation, https://invite, Be kind., main, t, t, 0, 2"
    );
}

#[tokio::test]
async fn a_confirmation_after_the_expiry_succeeds_while_nobody_else_decided() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    lease(&fixture, 1).await.unwrap();
    lease(&fixture, 2).await.unwrap();
    let ran_out = "UPDATE instances SET claim_expires_at = now() - interval '1 hour'";
    fixture.execute(ran_out).await;
    let late = claims::confirm(&fixture.db, token(1), &confirmation("a")).await;
    assert_eq!(late.unwrap(), Confirmed::Done);
    let expired = claims::expire(&fixture.db, LEASE).await.unwrap();
    assert_eq!(expired, [InstanceId::from("b")]);
    let too_late = claims::confirm(&fixture.db, token(2), &confirmation("b")).await;
    assert_eq!(too_late.unwrap(), Confirmed::Overtaken);
    assert_eq!(fixture.status("b").await, "dead");
}

#[tokio::test]
async fn a_lease_that_takes_effect_late_is_not_confirmed_in_place_of_the_one_that_was_called() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    assert_eq!(lease(&fixture, 1).await.unwrap().id.as_str(), "a");
    let ran_out = "UPDATE instances SET claim_expires_at = now() - interval '1 hour' \
                   WHERE status = 'claiming'";
    fixture.execute(ran_out).await;
    claims::expire(&fixture.db, LEASE).await.unwrap();
    // The first of two asks, which its sender has long given up, arrives.
    assert_eq!(lease(&fixture, 1).await.unwrap().id.as_str(), "b");
    for _ in 0..2 {
        let confirmed = claims::confirm(&fixture.db, token(1), &confirmation("a")).await;
        assert_eq!(confirmed.unwrap(), Confirmed::Overtaken);
    }
    let statuses = "SELECT string_agg(id || ' ' || status, ', ' ORDER BY id) FROM instances";
    assert_eq!(fixture.text(statuses).await, "a dead, b claiming");
}

#[tokio::test]
async fn a_text_that_postgres_cannot_store_does_not_keep_a_claim_from_succeeding() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    lease(&fixture, 1).await.unwrap();
    let odd = Confirmation {
        instructions: "Be\0kind.".into(),
        ..confirmation("a")
    };
    let confirmed = claims::confirm(&fixture.db, token(1), &odd).await;
    assert_eq!(confirmed.unwrap(), Confirmed::Done);
    let stored = fixture.text("SELECT instructions FROM instances").await;
    assert_eq!(stored, "Be\u{FFFD}kind.");
}

#[tokio::test]
async fn sure_failures_in_a_row_lead_to_idle_then_starting_and_becoming_ready_forgives_them() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "idle").await;
    for round in 0..2 {
        for (seed, expected) in [(0, Status::Idle), (1, Status::Starting)] {
            lease(&fixture, round * 2 + seed).await.unwrap();
            let token = token(round * 2 + seed);
            let next = claims::release(&fixture.db, token, "refused", true).await;
            assert_eq!(next.unwrap(), Some(expected));
            let again = claims::release(&fixture.db, token, "refused", true).await;
            assert_eq!(again.unwrap(), None);
        }
        let row = instances::load(&fixture.db).await.unwrap().rows.remove(0);
        let ready = StatusChange {
            id: row.id,
            from: Status::Starting,
            epoch: row.epoch,
            to: Status::Idle,
            reason: "ready".to_owned(),
            conversation: None,
            is_loss: false,
        };
        let changed = instances::change_statuses(&fixture.db, term, &[ready], "leader").await;
        assert_eq!(changed.unwrap().len(), 1);
        let failed = fixture.text("SELECT failed_claims FROM instances").await;
        assert_eq!(failed, "0");
    }
}

#[tokio::test]
async fn what_a_claim_puts_back_is_taken_last() {
    let fixture = Fixture::new().await;
    for id in ["a", "b", "c"] {
        fixture.row(id, "idle").await;
    }
    let mut taken = Vec::new();
    for seed in 0..5 {
        taken.push(lease(&fixture, seed).await.unwrap().id.to_string());
        claims::release(&fixture.db, token(seed), "refused", false)
            .await
            .unwrap();
    }
    assert_eq!(taken, ["a", "b", "c", "a", "b"]);
    let next = claims::next_idle(&fixture.db, &["a".into()], 5)
        .await
        .unwrap();
    let next: Vec<_> = next.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(next, ["c", "b"]);
}

#[tokio::test]
async fn what_says_that_it_is_somebodys_is_claimed_and_no_other_for_it() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    lease(&fixture, 1).await.unwrap();
    let found = FoundConversation {
        conversation_id: "c".to_owned(),
        invite_url: None,
    };
    let bind = async |id: &str| {
        let bound = claims::bind(&fixture.db, token(1), &id.into(), Some(&found)).await;
        bound.unwrap()
    };
    assert!(!bind("another").await);
    assert!(bind("a").await);
    assert!(!bind("a").await, "the token is gone");
    assert_eq!(fixture.status("a").await, "claimed");
    let row = "SELECT conversation_id || coalesce(agent_name, '-') || (claimed_at IS NOT NULL) \
               FROM instances";
    assert_eq!(fixture.text(row).await, "c-true");
}

#[tokio::test]
async fn a_release_that_is_not_the_instances_fault_counts_nothing() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    for seed in 0..4 {
        lease(&fixture, seed).await.unwrap();
        let next = claims::release(&fixture.db, token(seed), "bad request", false).await;
        assert_eq!(next.unwrap(), Some(Status::Idle));
    }
    let failed = fixture.text("SELECT failed_claims FROM instances").await;
    assert_eq!(failed, "0");
}

#[tokio::test]
async fn what_nobody_knows_the_outcome_of_is_never_handed_out_again() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    lease(&fixture, 1).await.unwrap();
    assert!(
        claims::abandon(&fixture.db, token(1), "timeout", true)
            .await
            .unwrap()
    );
    assert!(
        !claims::abandon(&fixture.db, token(1), "timeout", true)
            .await
            .unwrap()
    );
    assert_eq!(fixture.status("a").await, "dead");
    assert_eq!(lease(&fixture, 2).await, None);
    let lost = fixture.text("SELECT string_agg(instance_id, '') FROM fuse_losses");
    assert_eq!(lost.await, "a", "the fuse counts what claims cost");
}

#[tokio::test]
async fn only_leases_that_ran_out_expire_also_those_without_an_expiry() {
    let fixture = Fixture::new().await;
    fixture.row("fresh", "idle").await;
    lease(&fixture, 1).await.unwrap();
    fixture.row("left by a crash", "claiming").await;
    assert!(claims::expire(&fixture.db, LEASE).await.unwrap().is_empty());
    let expired = claims::expire(&fixture.db, Duration::ZERO).await.unwrap();
    assert_eq!(expired, [InstanceId::from("left by a crash")]);
    assert_eq!(fixture.status("fresh").await, "claiming");
}

#[tokio::test]
async fn a_lease_that_is_being_confirmed_does_not_expire() {
    let fixture = Fixture::new().await;
    fixture.row("a", "claiming").await;
    fixture
        .execute("BEGIN; SELECT FROM instances FOR UPDATE")
        .await;
    assert!(
        claims::expire(&fixture.db, Duration::ZERO)
            .await
            .unwrap()
            .is_empty()
    );
}
