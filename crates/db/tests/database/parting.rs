//! How the event log of a database that is in use becomes one in parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pool_db::migrations;
use pool_test_database::TestDatabase;
use tokio::time::{Duration, Instant};
use tokio_postgres::Client;

/// The first migration after which there is more than one table.
const FIRST: &str = "2026-11-29-002000";

/// What the version before asks of the log, and how it forgets.
const OLDER_LAST_EVENTS: &str = "SELECT DISTINCT ON (service_id) service_id || coalesce(to_status, '') \
    FROM instance_events WHERE service_id = ANY ('{s1,s2,s5}') ORDER BY service_id, id DESC";
const OLDER_PRUNE: &str = "DELETE FROM instance_events WHERE id IN (SELECT old.id \
    FROM instance_events AS old WHERE old.at < now() - interval '30 days' AND EXISTS (SELECT FROM \
    instance_events AS newer WHERE newer.service_id = old.service_id AND newer.id > old.id) \
    ORDER BY old.id LIMIT 5000)";

/// Of each service what its last event says.
const FATES: &str = "SELECT string_agg(service_id || ' ' || fate, ', ' ORDER BY service_id) FROM (\
    SELECT DISTINCT ON (service_id) service_id, CASE WHEN to_status IS NULL THEN 'removed' \
    WHEN to_status IN ('claimed', 'crashed') THEN 'claimed' ELSE 'unclaimed' END AS fate \
    FROM instance_events ORDER BY service_id, id DESC) AS last";
const KNOWN: &str =
    "SELECT string_agg(service_id || ' ' || fate, ', ' ORDER BY service_id) FROM service_fates";

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn back_to_one_table(url: &str) {
    let newest = async || migrations::status(url).await.unwrap().applied.pop();
    while newest().await.is_some_and(|name| name.as_str() >= FIRST) {
        migrations::revert_one(url).await.unwrap();
    }
}

/// Claims one after another until it is told to stop; how long the longest took.
async fn claim(client: Client, stop: Arc<AtomicBool>) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        client
            .batch_execute(
                "UPDATE instances SET status = 'claiming' WHERE id = (SELECT id FROM instances \
                 WHERE status = 'idle' ORDER BY id LIMIT 1); \
                 UPDATE instances SET status = 'claimed' WHERE status = 'claiming'",
            )
            .await
            .unwrap();
        longest = longest.max(began.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_use_becomes_the_first_part_while_claims_go_on_and_loses_nothing() {
    let database = TestDatabase::create().await;
    let (url, client) = (database.url(), database.client().await);
    back_to_one_table(url).await;
    client
        .batch_execute(
            "INSERT INTO instances (id, service_id, name, status) \
             SELECT 'i' || n, 's' || n, 'n', 'idle' FROM generate_series(1, 20000) AS n; \
             UPDATE instances SET status = 'dead' WHERE id IN ('i1', 'i3'); \
             DELETE FROM instances WHERE id = 'i1'; \
             UPDATE instances SET status = 'claiming' WHERE id = 'i2'; \
             UPDATE instances SET status = 'claimed' WHERE id = 'i2'; \
             UPDATE instance_events SET at = now() - interval '40 days' WHERE instance_id = 'i2'",
        )
        .await
        .unwrap();
    let before = text(&client, FATES).await;
    let stop = Arc::new(AtomicBool::new(false));
    let claiming = tokio::spawn(claim(database.client().await, Arc::clone(&stop)));
    migrations::run(url).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let longest = claiming.await.unwrap();
    assert!(longest < Duration::from_secs(1), "a claim took {longest:?}");

    assert_ne!(
        text(&client, FATES).await,
        before,
        "nothing was claimed beside it"
    );
    assert_eq!(text(&client, FATES).await, text(&client, KNOWN).await);
    let first = "SELECT part::text FROM instance_event_parts WHERE begins_at IS NULL";
    assert_eq!(text(&client, first).await, "instance_events_before");
    // The server of the version before, which still runs.
    let last = client.query(OLDER_LAST_EVENTS, &[]).await.unwrap();
    let last: Vec<String> = last.iter().map(|row| row.get(0)).collect();
    assert_eq!(last, ["s1", "s2claimed", "s5idle"]);
    assert_eq!(client.execute(OLDER_PRUNE, &[]).await.unwrap(), 2);

    let events = "SELECT format('%s %s', count(*), max(id)) FROM instance_events";
    let (there, fates) = (text(&client, events).await, text(&client, FATES).await);
    back_to_one_table(url).await;
    assert_eq!(text(&client, events).await, there);
    client
        .batch_execute("UPDATE instances SET status = 'starting' WHERE id = 'i5'")
        .await
        .unwrap();
    migrations::run(url).await.unwrap();
    assert_eq!(text(&client, FATES).await, fates);
    assert_eq!(text(&client, KNOWN).await, fates);
}
