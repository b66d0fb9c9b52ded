//! Claims that ask at the same time share statements, and nobody's trouble is another's.

use std::time::Duration;

use futures_util::future::join_all;
use pool_db::claims::{self, Confirmed, KeyedRequest, Known, Leased};
use pool_domain::{Fingerprint, IdempotencyKey, InstanceId};
use tokio::time::{sleep, timeout};

use crate::fixture::{Fixture, LEASE, confirmation, lease_idle, token};

/// How many statements made instances so.
async fn statements(fixture: &Fixture, status: &str) -> String {
    let transactions = format!(
        "SELECT count(DISTINCT xmin::text) FROM instance_events WHERE to_status = '{status}'"
    );
    fixture.text(&transactions).await
}

/// Instances of these names, leased under the tokens 0, 1 and so on.
async fn leased(fixture: &Fixture, ids: &[&str]) {
    for (seed, id) in (0..).zip(ids) {
        fixture.row(id, "idle").await;
        let lease = lease_idle(&fixture.db, token(seed), &[]).await.unwrap();
        assert_eq!(lease.unwrap().id.as_str(), *id);
    }
}

async fn confirm(fixture: &Fixture, seed: u64, id: &str) -> Result<Confirmed, pool_db::Error> {
    claims::confirm(&fixture.db, token(seed), &confirmation(id)).await
}

#[tokio::test]
async fn those_who_ask_at_once_share_a_statement_and_who_came_first_gets_the_oldest() {
    let fixture = Fixture::new().await;
    let ids: Vec<String> = (10..30).map(|n| format!("i{n}")).collect();
    for id in &ids {
        fixture.row(id, "idle").await;
    }
    let asks = (0..20).map(|seed| lease_idle(&fixture.db, token(seed), &[]));
    let leased = join_all(asks).await.into_iter();
    let leased: Vec<_> = leased
        .map(|it| it.unwrap().unwrap().id.to_string())
        .collect();
    assert_eq!(leased, ids);
    assert_eq!(statements(&fixture, "claiming").await, "1");

    let asks = (0..)
        .zip(&ids)
        .map(|(seed, id)| confirm(&fixture, seed, id));
    for confirmed in join_all(asks).await {
        assert_eq!(confirmed.unwrap(), Confirmed::Done);
    }
    assert_eq!(statements(&fixture, "claimed").await, "1");
}

#[tokio::test]
async fn where_fewer_are_idle_than_ask_who_came_last_gets_none() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    let asks = (0..3).map(|seed| lease_idle(&fixture.db, token(seed), &[]));
    let leased = join_all(asks).await.into_iter();
    let leased: Vec<_> = leased.map(|it| it.unwrap().map(|it| it.id)).collect();
    assert_eq!(leased, [Some("a".into()), Some("b".into()), None]);
}

#[tokio::test]
async fn each_gets_none_that_he_does_not_want() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    let (not_a, any) = (["a".into()], []);
    let asks = [(1, &not_a[..]), (2, &any)];
    let asks = asks.map(|(seed, exclude)| lease_idle(&fixture.db, token(seed), exclude));
    let leased = join_all(asks).await.into_iter();
    let leased: Vec<InstanceId> = leased.map(|it| it.unwrap().unwrap().id).collect();
    assert_eq!(leased, ["b".into(), "a".into()]);
}

#[tokio::test]
async fn of_those_who_ask_at_once_under_one_key_one_gets_an_instance_and_so_do_all_others() {
    let fixture = Fixture::new().await;
    for id in ["a", "b", "c", "d"] {
        fixture.row(id, "idle").await;
    }
    let keyed = ["k", "other", "k"].map(|key| KeyedRequest {
        key: IdempotencyKey::parse(key.as_bytes()).unwrap(),
        fingerprint: Fingerprint([1; 32]),
        keep: Duration::from_secs(60),
        leased_before: None,
    });
    let requests = [Some(&keyed[0]), Some(&keyed[1]), Some(&keyed[2]), None];
    let asks = (0..)
        .zip(requests)
        .map(|(seed, request)| claims::lease_idle(&fixture.db, token(seed), LEASE, &[], request));
    let leased = join_all(asks).await.into_iter();
    let leased: Vec<_> = leased
        .map(|it| match it.unwrap() {
            Leased::Yes(_) => true,
            Leased::KeyTaken => false,
            other => panic!("{other:?}"),
        })
        .collect();
    // The two of one key are asked for apart, and either may be first.
    assert!(
        leased[0] ^ leased[2] && leased[1] && leased[3],
        "{leased:?}"
    );
    let claiming = "SELECT count(*) FROM instances WHERE status = 'claiming'";
    assert_eq!(fixture.text(claiming).await, "3");
    for request in &keyed {
        let known = claims::look(&fixture.db, request).await.unwrap();
        assert!(matches!(known, Known::Running { .. }), "{known:?}");
    }
}

#[tokio::test]
async fn what_the_database_refuses_fails_alone() {
    let fixture = Fixture::new().await;
    let ids = ["a", "b", "c", "d", "e"];
    leased(&fixture, &ids).await;
    fixture
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'somebody refuses this one'; END $$; \
             CREATE TRIGGER refuse BEFORE UPDATE ON instances FOR EACH ROW \
             WHEN (NEW.id = 'd') EXECUTE FUNCTION refuse()",
        )
        .await;
    let asks = (0..).zip(ids).map(|(seed, id)| confirm(&fixture, seed, id));
    for (id, confirmed) in ids.iter().zip(join_all(asks).await) {
        if *id == "d" {
            assert!(confirmed.unwrap_err().is_refusal());
        } else {
            assert_eq!(confirmed.unwrap(), Confirmed::Done, "{id}");
        }
    }
}

#[tokio::test]
async fn who_ends_a_lease_waits_for_no_lock_but_that_of_his_own_instance() {
    let fixture = Fixture::with_claim_connections(8).await;
    let ids = ["a", "b", "c", "d", "e", "f"];
    leased(&fixture, &ids).await;
    fixture
        .execute("BEGIN; SELECT FROM instances WHERE id IN ('a', 'c', 'e') FOR UPDATE")
        .await;
    let db = &fixture.db;
    let mut of_held = Box::pin(async {
        tokio::join!(
            confirm(&fixture, 0, "a"),
            claims::release(db, token(2), "refused", false),
            claims::abandon(db, token(4), "timeout", true),
        )
    });
    let of_others = async {
        tokio::join!(
            confirm(&fixture, 1, "b"),
            claims::release(db, token(3), "refused", false),
            claims::abandon(db, token(5), "timeout", true),
        )
    };
    let second = Duration::from_secs(1);
    let (confirmed, released, abandoned) = tokio::select! {
        _ = &mut of_held => panic!("what is held was ended"),
        ended = timeout(second, of_others) => ended.unwrap(),
    };
    assert_eq!(confirmed.unwrap(), Confirmed::Done);
    assert!(released.unwrap().is_some());
    assert!(abandoned.unwrap());
    let go = fixture.execute("ROLLBACK");
    let ((confirmed, released, abandoned), ()) = tokio::join!(of_held, go);
    assert_eq!(confirmed.unwrap(), Confirmed::Done);
    assert!(released.unwrap().is_some());
    assert!(abandoned.unwrap());
}

#[tokio::test]
async fn who_goes_away_before_his_turn_takes_nothing() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    let gone = lease_idle(&fixture.db, token(1), &[]);
    timeout(Duration::ZERO, gone).await.unwrap_err();
    let lease = lease_idle(&fixture.db, token(2), &[]).await.unwrap();
    assert_eq!(lease.unwrap().id.as_str(), "a");
    assert_eq!(fixture.status("b").await, "idle");
}

#[tokio::test]
async fn whose_statement_nobody_awaits_any_more_finds_by_his_token_what_it_took() {
    let fixture = Fixture::new().await;
    for id in ["a", "b", "c"] {
        fixture.row(id, "idle").await;
    }
    fixture
        .execute("BEGIN; LOCK TABLE instances IN SHARE MODE")
        .await;
    let ask = |seed| {
        let db = fixture.db.clone();
        tokio::spawn(async move { lease_idle(&db, token(seed), &[]).await })
    };
    // The first one sends it, for both.
    let (sends, waits) = (ask(1), ask(2));
    sleep(Duration::from_millis(200)).await;
    sends.abort();
    let lost = waits.await.unwrap().unwrap_err();
    assert!(lost.is_indeterminate(), "{lost:?}");
    fixture.execute("ROLLBACK").await;
    let lease = lease_idle(&fixture.db, token(2), &[]).await.unwrap();
    let again = lease_idle(&fixture.db, token(2), &[]).await.unwrap();
    assert_eq!(lease, again);
    assert!(lease.is_some());
}
