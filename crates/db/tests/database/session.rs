//! Connections: what they are set to, and what is said when there are none.

use std::time::Duration;

use pool_db::{Db, DbSettings, Error};
use pool_domain::Secret;
use tokio::time::timeout;

use crate::fixture::{Fixture, lease_idle, token};

async fn connect(url: &str) -> Error {
    let settings = DbSettings {
        pool_size: 1,
        leader_pool_size: 1,
        claim_pool_size: 1,
        ..DbSettings::new(Secret::new(url))
    };
    Db::connect(&settings).await.err().unwrap()
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_a_bad_address_is_not() {
    let away = connect("postgres://u:hunter2@127.0.0.1:1/d").await;
    assert!(away.is_unavailable(), "{away}");
    assert!(!format!("{away} {away:?}").contains("hunter2"));
    let bad = connect("postgres://u:hunter2@h/d?sslmode=maybe").await;
    assert!(!bad.is_unavailable(), "{bad}");
    assert!(!format!("{bad} {bad:?}").contains("hunter2"));
}

#[tokio::test]
async fn whoever_keeps_the_apis_connections_keeps_no_leader_waiting() {
    let fixture = Fixture::new().await;
    let mut blocker = fixture.database.client().await;
    let blocking = blocker.transaction().await.unwrap();
    blocking
        .batch_execute("LOCK TABLE ticks IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let readers = (0..8).map(|_| {
        let db = fixture.db.clone();
        tokio::spawn(async move { pool_db::ticks::last(&db).await })
    });
    let readers: Vec<_> = readers.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = Duration::from_secs(1);
    assert!(timeout(second, fixture.db.now()).await.is_err(), "all wait");
    let leading = fixture.db.for_leading();
    timeout(second, leading.now()).await.unwrap().unwrap();
    blocking.rollback().await.unwrap();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_pools_are_filled_at_the_start_and_named() {
    let fixture = Fixture::with_claim_connections(3).await;
    let names = "SELECT string_agg(n, ', ' ORDER BY n) FROM (SELECT application_name || ' ' || \
                 count(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name LIKE 'pool-server%' GROUP BY application_name) AS names";
    assert_eq!(
        fixture.text(names).await,
        "pool-server 3, pool-server claims 3"
    );
}

#[tokio::test]
async fn connections_that_the_database_closed_are_replaced() {
    let fixture = Fixture::new().await;
    fixture
        .execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name LIKE 'pool-server%'",
        )
        .await;
    // The first one may still find a connection that does not know that it is closed.
    let replaced = async {
        while let Err(error) = fixture.db.ping().await {
            assert!(error.is_unavailable(), "{error:?}");
        }
    };
    timeout(Duration::from_secs(10), replaced).await.unwrap();
    for _ in 0..4 {
        fixture.db.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_makes_a_claim_unavailable_and_not_hang() {
    let fixture = Fixture::new().await;
    fixture.row("a", "claiming").await;
    fixture.row("b", "idle").await;
    fixture
        .execute("BEGIN; LOCK TABLE instances IN ACCESS EXCLUSIVE MODE")
        .await;
    let error = lease_idle(&fixture.db, token(1), &[]).await.unwrap_err();
    assert!(matches!(error, Error::Wait(_)), "{error:?}");
    assert!(error.is_unavailable());
}

#[tokio::test]
async fn claims_have_connections_of_their_own() {
    let fixture = Fixture::with_claim_connections(1).await;
    fixture.row("a", "idle").await;
    let busy = fixture.database.client().await;
    busy.batch_execute("BEGIN; LOCK TABLE fuse IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let db = fixture.db.clone();
            tokio::spawn(async move { pool_db::fuse::tripped(&db).await })
        })
        .collect();
    let lease = lease_idle(&fixture.db, token(1), &[]);
    let leased = timeout(Duration::from_secs(2), lease)
        .await
        .unwrap()
        .unwrap();
    assert!(leased.is_some());
    busy.batch_execute("ROLLBACK").await.unwrap();
    for wait in waiting {
        wait.await.unwrap().unwrap();
    }
}
