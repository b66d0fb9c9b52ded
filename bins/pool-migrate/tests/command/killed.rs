//! `kill -9` in the middle of each step; then it is run again, and all is as if it had run once.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pool_test_database::TestDatabase;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{MANY, migrate, stderr, stdout};

/// Of `MANY`, once all is done: claimed instances, rows set aside, triggers, and broken indexes.
const WHOLE: [i64; 4] = [9_000, 3_000, 3, 0];

async fn counts(client: &Client) -> Result<[i64; 4], tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM instances WHERE status = 'claimed' AND claimed_at IS NOT \
             NULL), (SELECT count(*) FROM set_aside), (SELECT count(*) FROM pg_trigger \
             WHERE tgrelid = 'instances'::regclass), (SELECT count(*) FROM pg_index WHERE NOT \
             indisvalid)",
            &[],
        )
        .await?;
    Ok([0, 1, 2, 3].map(|column| row.get(column)))
}

/// Kills it when it has said so many lines, and runs it again.
async fn killed_after(lines: usize, arguments: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(MANY).await?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_pool-migrate"))
        .args(arguments)
        .env("RUST_LOG", "info")
        .env("DATABASE_URL", database.url())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let said = child.stderr.take().ok_or("it has no stderr")?;
    let heard = BufReader::new(said).lines().take(lines).count();
    child.kill()?;
    child.wait()?;
    assert_eq!(heard, lines, "it was done before it could be killed");
    let again = migrate(database.url(), &["up", "--contract"])?;
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(counts(&client).await?, WHOLE, "killed after {lines} lines");
    Ok(())
}

#[tokio::test]
async fn killed_in_the_middle_of_any_step_it_is_done_by_the_next_run() {
    // A line for each migration, then progress of the copying, then of the rest.
    let database = TestDatabase::empty().await;
    let status = migrate(database.url(), &["status", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let migrations = status["pending"].as_array().unwrap().len();
    let copying = migrations + 1;
    for lines in [1, migrations / 2, migrations, copying, copying + 1] {
        killed_after(lines, &["up", "--contract"]).await.unwrap();
    }
    killed_after(copying, &["up"]).await.unwrap();
}

#[tokio::test]
async fn killed_at_any_moment_again_and_again_it_is_done_by_the_run_that_is_let_be() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(MANY).await.unwrap();
    let mut kills = 0;
    let mut patience = Duration::from_millis(10);
    loop {
        let mut child = spawn(&database, &["up", "--contract"]);
        sleep(patience).await;
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0), "after {kills} kills");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        patience = patience.mul_f64(1.2);
    }
    assert!(kills > 3, "it was killed {kills} times only");
    assert_eq!(counts(&client).await.unwrap(), WHOLE, "after {kills} kills");
}

/// The third generation, with indexes of its own, beside a row of the second that fills another one.
const THIRD: &str = "CREATE TABLE instances (id text PRIMARY KEY, service_id text NOT NULL UNIQUE, \
     name text NOT NULL, url text, status text NOT NULL DEFAULT 'starting', deploy_status text, \
     agent_name text, conversation_id text, invite_url text, instructions text, created_at \
     timestamptz NOT NULL DEFAULT now(), claimed_at timestamptz, source_branch text, \
     openrouter_key_hash text, agentmail_inbox_id text, gateway_token text); \
     CREATE INDEX idx_instances_status ON instances (status); \
     CREATE TABLE agent_metadata (id text PRIMARY KEY, railway_service_id text NOT NULL, agent_name \
     text NOT NULL, conversation_id text, invite_url text, instructions text, created_at timestamptz \
     NOT NULL DEFAULT now(), claimed_at timestamptz DEFAULT now()); \
     INSERT INTO instances (id, service_id, name, status) VALUES ('a', 's-a', 'n-a', 'claimed'), \
     ('b', 's-b', 'n-b', 'idle'), ('c', 's-c', 'n-c', 'sleeping'); \
     INSERT INTO agent_metadata (id, railway_service_id, agent_name, conversation_id) \
     VALUES ('gone', 's-gone', 'Gone', NULL)";
/// A row that has what an instance lacks.
const FILLS: &str = "INSERT INTO agent_metadata (id, railway_service_id, agent_name, \
     conversation_id) VALUES ('a', 's-a', 'Ada', 'talk')";

/// One line for what became of `THIRD`, and the schema's guards and indexes.
const OF_THIRD: &str = "SELECT concat_ws(' ', \
     (SELECT string_agg(concat_ws(':', id, status, agent_name, conversation_id), ' ' ORDER BY id) \
      FROM instances), \
     (SELECT string_agg('aside:' || id, ' ') FROM set_aside), \
     (SELECT count(*) || ' triggers' FROM pg_trigger WHERE tgrelid = 'instances'::regclass), \
     (SELECT string_agg(relname || CASE WHEN indisvalid THEN '' ELSE ' (broken)' END, ' ' \
      ORDER BY relname COLLATE \"C\") FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
      WHERE indrelid = 'instances'::regclass))";

const WHOLE_THIRD: &str = "a:claimed:Ada:talk b:idle c:starting aside:gone 3 triggers \
     idx_instances_claim_token idx_instances_queue idx_instances_service_id idx_instances_status \
     instances_pkey";

async fn third() -> (TestDatabase, Client) {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(THIRD).await.unwrap();
    client.batch_execute(FILLS).await.unwrap();
    (database, client)
}

async fn assert_whole_third(database: &TestDatabase, client: &Client) {
    succeeds(database, &["up", "--contract"]);
    let found: String = client.query_one(OF_THIRD, &[]).await.unwrap().get(0);
    assert_eq!(found, WHOLE_THIRD);
}

#[tokio::test]
async fn killed_in_the_middle_of_a_migration_nothing_of_it_remains() {
    let (database, client) = third().await;
    let holder = held(&database, "BEGIN; SELECT FROM instances").await;
    killed_while_it_waits(&database, &client, &["up"]).await;
    holder.batch_execute("COMMIT").await.unwrap();
    until(&client, NOBODY_MIGRATES).await;
    let half = "SELECT count(*) = 0 FROM pg_attribute WHERE attrelid = 'instances'::regclass \
                AND attname = 'epoch'";
    assert!(is_so(&client, half).await, "half of a migration remains");
    assert_whole_third(&database, &client).await;
}

#[tokio::test]
async fn killed_in_the_middle_of_a_batch_its_rows_are_copied_by_the_next_run() {
    let (database, client) = third().await;
    let later = "DELETE FROM agent_metadata";
    client.batch_execute(later).await.unwrap();
    succeeds(&database, &["up"]);
    let gone = "INSERT INTO agent_metadata (id, railway_service_id, agent_name) \
                VALUES ('gone', 's-gone', 'Gone')";
    client.batch_execute(gone).await.unwrap();
    client.batch_execute(FILLS).await.unwrap();
    let one_row = "BEGIN; SELECT FROM instances WHERE id = 'a' FOR UPDATE";
    let holder = held(&database, one_row).await;
    killed_while_it_waits(&database, &client, &["up"]).await;
    // As when its machine goes: the database ends what it was doing.
    end_sessions(&client).await;
    holder.batch_execute("COMMIT").await.unwrap();
    let copied = "SELECT count(*) > 0 FROM set_aside";
    assert!(!is_so(&client, copied).await, "half of a batch remains");
    assert_whole_third(&database, &client).await;
}

#[tokio::test]
async fn killed_in_the_middle_of_an_index_it_is_built_anew() {
    let (database, client) = third().await;
    succeeds(&database, &["up"]);
    // An index that is built beside other work waits for every transaction that is older.
    let old = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pool_schema";
    let holder = held(&database, old).await;
    killed_while_it_waits(&database, &client, &["up", "--contract"]).await;
    end_sessions(&client).await;
    holder.batch_execute("COMMIT").await.unwrap();
    let broken = "SELECT count(*) = 1 FROM pg_index WHERE NOT indisvalid";
    assert!(is_so(&client, broken).await, "no index was half built");
    assert_whole_third(&database, &client).await;
}

#[tokio::test]
async fn killed_in_the_middle_of_contraction_the_database_is_not_contracted() {
    let (database, client) = third().await;
    succeeds(&database, &["up"]);
    let holder = held(&database, "BEGIN; SELECT FROM pool_schema FOR UPDATE").await;
    // All but the last statement of its transaction is done.
    killed_while_it_waits(&database, &client, &["up", "--contract"]).await;
    end_sessions(&client).await;
    holder.batch_execute("COMMIT").await.unwrap();
    let guards = "SELECT count(*) = 0 FROM pg_trigger WHERE tgrelid = 'instances'::regclass";
    assert!(
        is_so(&client, guards).await,
        "half of the contraction remains"
    );
    let status = stdout(&migrate(database.url(), &["status"]).unwrap());
    assert!(status.contains("Not contracted"), "{status}");
    assert_whole_third(&database, &client).await;
}

#[tokio::test]
async fn killed_in_the_middle_of_drop_legacy_the_tables_are_there_or_gone() {
    let (database, client) = third().await;
    succeeds(&database, &["up", "--contract"]);
    let more = "CREATE TABLE pool_instances (id text PRIMARY KEY, railway_service_id text)";
    client.batch_execute(more).await.unwrap();
    // The one is dropped when it comes to the other.
    let holder = held(&database, "BEGIN; SELECT FROM pool_instances").await;
    killed_while_it_waits(&database, &client, &["drop-legacy", "--yes"]).await;
    holder.batch_execute("COMMIT").await.unwrap();
    until(&client, NOBODY_MIGRATES).await;
    let both = "SELECT to_regclass('agent_metadata') IS NOT NULL \
                AND to_regclass('pool_instances') IS NOT NULL";
    assert!(is_so(&client, both).await, "one was dropped");
    succeeds(&database, &["drop-legacy", "--yes"]);
    assert!(!is_so(&client, both).await);
    assert_whole_third(&database, &client).await;
}

/// A session that has what the program needs.
async fn held(database: &TestDatabase, what: &str) -> Client {
    let holder = database.client().await;
    holder.batch_execute(what).await.unwrap();
    holder
}

/// Starts it, and kills it when it waits for what somebody holds.
async fn killed_while_it_waits(database: &TestDatabase, client: &Client, arguments: &[&str]) {
    let mut child = spawn(database, arguments);
    until(client, SOMEBODY_WAITS).await;
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(crate) const SOMEBODY_WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock'";
const NOBODY_MIGRATES: &str = "SELECT count(*) = 0 FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'pool-migrate'";

pub(crate) async fn until(client: &Client, query: &str) {
    let began = Instant::now();
    while !is_so(client, query).await {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {query}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn is_so(client: &Client, query: &str) -> bool {
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// Every session of the program: it no longer lives to ask for their answers.
async fn end_sessions(client: &Client) {
    let end = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'pool-migrate'";
    assert!(is_so(client, end).await, "it had no session");
    until(client, NOBODY_MIGRATES).await;
}

pub(crate) fn spawn(database: &TestDatabase, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pool-migrate"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("DATABASE_URL", database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn succeeds(database: &TestDatabase, arguments: &[&str]) {
    let output = migrate(database.url(), arguments).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
