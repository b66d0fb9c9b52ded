//! Whom an agent goes to: one caller, whatever happens beside it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pool_claims::{ClaimError, ClaimRequest};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::agents::Behaviour;
use crate::stage::{Stage, request};

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_idle_agent_goes_to_the_caller_and_its_row_says_so() {
    let stage = Stage::new().await;
    stage.stock(&["old", "new"]).await;
    let claimed = stage.claim().await.unwrap();
    assert_eq!(claimed.instance_id.as_str(), "old");
    assert_eq!(claimed.invite_url.as_deref(), Some("https://join.test/old"));
    assert_eq!(claimed.conversation_id.as_deref(), Some("c-old"));
    assert!(!claimed.joined);
    assert_eq!(claimed.gateway_token.unwrap().expose(), "token-old");
    assert_eq!(claimed.gateway_url, Some(stage.agents.url("old")));
    for (column, expected) in [
        ("status", "claimed"),
        ("agent_name", "Ada"),
        ("instructions", "Be kind."),
        ("conversation_id", "c-old"),
        ("invite_url", "https://join.test/old"),
        ("source_branch", "main"),
    ] {
        let stored = stage.column("old", column).await;
        assert_eq!(stored.as_deref(), Some(expected), "{column}");
    }
    assert!(stage.column("old", "claimed_at").await.is_some());
    assert_eq!(stage.status("new").await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_link_is_passed_on_and_shows_in_the_answer() {
    let stage = Stage::new().await;
    stage.stock(&["a"]).await;
    let joining = ClaimRequest {
        join_url: Some("a-slug".to_owned()),
        ..request()
    };
    let claimed = stage.claims.claim(joining).await.unwrap();
    assert!(claimed.joined);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_agents_go_to_sixteen_callers_and_none_goes_twice() {
    let stage = Arc::new(Stage::new().await);
    let names: Vec<String> = (0..400).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.stock(&names).await;

    let start = Arc::new(Barrier::new(16));
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (stage, start) = (Arc::clone(&stage), Arc::clone(&start));
        callers.spawn(async move {
            start.wait().await;
            let mut mine = Vec::new();
            for _ in 0..25 {
                mine.push(stage.claim().await.unwrap().instance_id.into_string());
            }
            mine
        });
    }
    let claimed: Vec<String> = callers.join_all().await.into_iter().flatten().collect();

    let distinct: HashSet<&String> = claimed.iter().collect();
    assert_eq!((claimed.len(), distinct.len()), (400, 400));
    let provisioned: HashSet<String> = stage.agents.provisioned().into_iter().collect();
    assert_eq!(provisioned.len(), 400);
    assert!(matches!(stage.claim().await, Err(ClaimError::NoIdle)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_that_somebody_has_locked_for_a_moment_is_not_called_empty() {
    let stage = Stage::new().await;
    stage.stock(&["a"]).await;
    let locker = stage.database.client().await;
    locker
        .batch_execute("BEGIN; SELECT FROM instances WHERE status = 'idle' FOR UPDATE")
        .await
        .unwrap();
    let (claimed, unlocked) = tokio::join!(
        stage.claim(),
        locker.batch_execute("SELECT pg_sleep(0.1); COMMIT")
    );
    unlocked.unwrap();
    assert_eq!(claimed.unwrap().instance_id.as_str(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_stock_is_said_to_be_empty_at_once() {
    let stage = Stage::new().await;
    let claimed = timeout(Duration::from_secs(5), stage.claim())
        .await
        .unwrap();
    assert!(matches!(claimed, Err(ClaimError::NoIdle)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_changes_nothing() {
    let stage = Arc::new(Stage::new().await);
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));

    let caller = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.claim().await.map(drop) }
    });
    stage.until("a", "claiming").await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    go.add_permits(1);
    stage.until("a", "claimed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_finishes_its_claims_and_takes_no_new_ones() {
    let stage = Arc::new(Stage::new().await);
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a", "b"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));
    let caller = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.claim().await.unwrap().instance_id }
    });
    stage.until("a", "claiming").await;

    assert_eq!(stage.claims.drain(Duration::from_millis(50)).await, 1);
    assert!(matches!(stage.claim().await, Err(ClaimError::ShuttingDown)));
    go.add_permits(1);
    assert_eq!(stage.claims.drain(Duration::from_secs(10)).await, 0);
    assert_eq!(caller.await.unwrap().as_str(), "a");
    assert_eq!(stage.status("a").await, "claimed");
    assert_eq!(stage.status("b").await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_aborted_leaves_its_claims_where_they_stand() {
    let stage = Arc::new(Stage::new().await);
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a", "b"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));
    let caller = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.claim().await.map(drop) }
    });
    stage.until("a", "claiming").await;

    stage.claims.abort();
    let told = caller.await.unwrap();
    assert!(matches!(told, Err(ClaimError::Indeterminate { .. })));
    assert!(matches!(stage.claim().await, Err(ClaimError::ShuttingDown)));
    go.add_permits(1);
    assert_eq!(stage.claims.drain(Duration::from_secs(10)).await, 0);
    assert_eq!(stage.status("a").await, "claiming");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_database_is_taken_over_nothing_is_claimed() {
    let stage = Stage::new().await;
    stage.stock(&["a"]).await;
    stage
        .sql("UPDATE pool_schema SET contracted_at = NULL")
        .await;
    assert!(matches!(
        stage.claim().await,
        Err(ClaimError::NotContracted)
    ));
    assert_eq!(stage.status("a").await, "idle");
    stage
        .sql("UPDATE pool_schema SET contracted_at = now()")
        .await;
    stage.claim().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ran_out_is_given_up_and_its_late_claimer_is_not_told_that_it_has_it() {
    let stage = Arc::new(Stage::new().await);
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));
    let caller = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.claim().await.unwrap_err() }
    });
    stage.until("a", "claiming").await;
    stage
        .sql("UPDATE instances SET claim_expires_at = now() - interval '1 second'")
        .await;
    stage.claims.expire_leases().await;
    assert_eq!(stage.status("a").await, "dead");
    go.add_permits(1);
    let error = caller.await.unwrap();
    assert!(
        matches!(
            error,
            ClaimError::Indeterminate {
                timed_out: false,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(stage.status("a").await, "dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimer_that_is_late_but_not_overtaken_has_it() {
    let stage = Arc::new(Stage::new().await);
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));
    let caller = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.claim().await.map(|claimed| claimed.instance_id) }
    });
    stage.until("a", "claiming").await;
    stage
        .sql("UPDATE instances SET claim_expires_at = now() - interval '1 second'")
        .await;
    go.add_permits(1);
    assert_eq!(caller.await.unwrap().unwrap().as_str(), "a");
    assert_eq!(stage.status("a").await, "claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_leaves_in_claiming_is_ended_by_any_other() {
    let stage = Stage::new().await;
    stage.stock(&["expired", "undated", "running"]).await;
    let leased = "UPDATE instances SET status = 'claiming', claim_token = gen_random_uuid(), \
                  claim_expires_at = now() + interval '1 hour'; \
                  UPDATE instances SET claim_expires_at = now() WHERE id = 'expired'; \
                  UPDATE instances SET claim_expires_at = NULL WHERE id = 'undated'";
    stage.sql(leased).await;
    let claims = stage.claims.clone();
    let period = Duration::from_millis(20);
    let ending = tokio::spawn(async move { claims.expire_leases_every(period).await });
    stage.until("expired", "dead").await;
    assert_eq!(stage.status("running").await, "claiming");
    // Its lease counts from when it began to be claimed.
    assert_eq!(stage.status("undated").await, "claiming");
    ending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_row_is_counted_for_those_who_keep_what_they_read() {
    let stage = Stage::new().await;
    stage.stock(&["a"]).await;
    let before = stage.claims.changes();
    stage.claim().await.unwrap();
    assert!(stage.claims.changes() > before);
}
