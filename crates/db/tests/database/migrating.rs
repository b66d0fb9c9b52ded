//! Up, down, up again; several at once.

use pool_db::migrations;
use pool_legacy_schema::contract_telling;
use pool_test_database::TestDatabase;
use tokio::time::{Duration, Instant, sleep};

/// Everything of the schema that can differ, as text.
pub(crate) async fn schema(database: &TestDatabase) -> String {
    let client = database.client().await;
    let row = client
        .query_one(include_str!("schema.sql"), &[])
        .await
        .unwrap();
    row.get(0)
}

pub(crate) async fn down_to_nothing(url: &str) -> usize {
    let mut reverted = 0;
    while migrations::revert_one(url).await.unwrap().is_some() {
        reverted += 1;
    }
    reverted
}

#[tokio::test]
async fn up_then_down_then_up_leads_to_the_same_schema_and_down_leaves_nothing() {
    let database = TestDatabase::empty().await;
    let url = database.url();
    let applied = migrations::run(url).await.unwrap().migrations;
    assert!(!applied.is_empty());
    let expanded = schema(&database).await;
    assert!(contract_telling(url, &mut |_| ()).await.unwrap().now);
    let contracted = schema(&database).await;
    assert_ne!(expanded, contracted);
    assert_eq!(down_to_nothing(url).await, applied.len());
    let rest = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                AND relname NOT LIKE '\\_\\_diesel%'";
    let left: i64 = database
        .client()
        .await
        .query_one(rest, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
    assert_eq!(migrations::run(url).await.unwrap().migrations, applied);
    assert_eq!(schema(&database).await, expanded);
    assert!(contract_telling(url, &mut |_| ()).await.unwrap().now);
    assert_eq!(schema(&database).await, contracted);
}

#[tokio::test]
async fn run_again_it_does_nothing_and_so_does_contraction() {
    let database = TestDatabase::create().await;
    let again = migrations::run(database.url()).await.unwrap();
    assert!(again.migrations.is_empty());
    assert!(
        !contract_telling(database.url(), &mut |_| ())
            .await
            .unwrap()
            .now
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_do_the_work_once_and_all_end_well() {
    let database = TestDatabase::empty().await;
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move {
                let applied = migrations::run(&url).await?.migrations.len();
                Ok::<_, pool_db::Error>((applied, contract_telling(&url, &mut |_| ()).await?.now))
            })
        })
        .collect();
    let mut results = Vec::new();
    for run in runs {
        results.push(run.await.unwrap().unwrap());
    }
    assert_eq!(
        results.iter().filter(|(applied, _)| *applied > 0).count(),
        1
    );
    assert_eq!(
        results.iter().filter(|(_, contracted)| *contracted).count(),
        1
    );
}

#[tokio::test]
async fn status_tells_how_far_it_is_and_changes_nothing() {
    let database = TestDatabase::empty().await;
    let url = database.url();
    let before = migrations::status(url).await.unwrap();
    assert!(before.applied.is_empty() && !before.pending.is_empty());
    assert!(schema(&database).await.is_empty(), "looking made something");
    migrations::run(url).await.unwrap();
    let expanded = migrations::status(url).await.unwrap();
    assert_eq!(expanded.applied, before.pending);
    assert!(expanded.pending.is_empty());
    assert_eq!(expanded.contracted_at, None);
    contract_telling(url, &mut |_| ()).await.unwrap();
    assert!(
        migrations::status(url)
            .await
            .unwrap()
            .contracted_at
            .is_some()
    );
    database
        .client()
        .await
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101')")
        .await
        .unwrap();
    let newer = migrations::status(url).await.unwrap();
    assert_eq!(newer.unknown, ["99990101"]);
    let refused = migrations::revert_one(url).await.unwrap_err().to_string();
    assert!(
        refused.contains("99990101 was applied by another build"),
        "{refused}"
    );
}

/// While it waits for a table, everybody else who wants it waits behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_a_long_transaction_and_keeps_nobody_waiting() {
    let database = TestDatabase::empty().await;
    let reader = database.client().await;
    reader
        .batch_execute(
            "CREATE TABLE instances (id text PRIMARY KEY, service_id text NOT NULL, \
             name text NOT NULL, url text, status text NOT NULL, deploy_status text, \
             agent_name text, conversation_id text, invite_url text, instructions text, \
             created_at timestamptz NOT NULL DEFAULT now(), claimed_at timestamptz, \
             source_branch text, openrouter_key_hash text, agentmail_inbox_id text, \
             gateway_token text)",
        )
        .await
        .unwrap();
    let holds = "BEGIN; SELECT FROM instances";
    reader.batch_execute(holds).await.unwrap();
    let url = database.url().to_owned();
    let migrating = tokio::spawn(async move { migrations::run(&url).await });
    let others = database.client().await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        let asked = Instant::now();
        others.batch_execute("SELECT FROM instances").await.unwrap();
        let waited = asked.elapsed();
        assert!(waited < Duration::from_secs(1), "waited {waited:?}");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!migrating.is_finished(), "it has the lock, or gave up");
    reader.batch_execute("COMMIT").await.unwrap();
    assert!(!migrating.await.unwrap().unwrap().migrations.is_empty());
}

#[tokio::test]
async fn every_column_says_what_it_is() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    let silent = client
        .query(
            "SELECT c.relname || '.' || a.attname FROM pg_class AS c \
             JOIN pg_attribute AS a ON a.attrelid = c.oid \
             WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 \
             AND NOT a.attisdropped AND c.relname NOT LIKE '\\_\\_diesel%' \
             AND col_description(c.oid, a.attnum) IS NULL",
            &[],
        )
        .await
        .unwrap();
    let silent: Vec<String> = silent.iter().map(|row| row.get(0)).collect();
    assert!(silent.is_empty(), "{silent:?}");
}
