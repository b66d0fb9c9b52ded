//! Contraction: what it makes of rows, and who learns of it.

use pool_db::{Db, DbSettings, migrations};
use pool_domain::Secret;
use pool_legacy_schema::{contract_telling, status};
use pool_test_database::TestDatabase;

use super::down_to_nothing;

#[tokio::test]
async fn a_handle_learns_of_the_contraction() {
    let database = TestDatabase::empty().await;
    migrations::run(database.url()).await.unwrap();
    let settings = DbSettings {
        pool_size: 1,
        claim_pool_size: 1,
        ..DbSettings::new(Secret::new(database.url()))
    };
    let db = Db::connect(&settings).await.unwrap();
    assert!(!db.is_contracted().await.unwrap());
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    assert!(db.is_contracted().await.unwrap());
}

#[tokio::test]
async fn contraction_leaves_no_row_that_the_state_machine_does_not_know() {
    let database = TestDatabase::empty().await;
    migrations::run(database.url()).await.unwrap();
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO instances (id, service_id, name, status, agent_name) VALUES \
             ('1', 's1', 'n', 'sleeping', 'Ada'), ('2', 's2', 'n', 'tainted', NULL), \
             ('3', 's3', 'n', 'claiming', NULL), ('4', 's4', 'n', 'idle', NULL)",
        )
        .await
        .unwrap();
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    let row = client
        .query_one(
            "SELECT string_agg(concat_ws(' ', id, status, claim_expires_at > now()), ', ' \
             ORDER BY id) FROM instances",
            &[],
        )
        .await
        .unwrap();
    let rows: String = row.get(0);
    assert_eq!(rows, "1 claimed, 2 starting, 3 claiming t, 4 idle");
}

/// Whatever somebody has made of our columns meanwhile.
#[tokio::test]
async fn contraction_minds_no_view_of_what_it_changes_and_starts_the_time_of_what_is_starting() {
    let database = TestDatabase::empty().await;
    migrations::run(database.url()).await.unwrap();
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO instances (id, service_id, name, status, status_changed_at) \
             SELECT status, 's-' || status, 'n', status, now() - interval '1 year' \
             FROM unnest('{starting,sleeping,idle,claimed}'::text[]) AS status; \
             CREATE VIEW ages AS SELECT id, now() - status_changed_at AS age FROM instances; \
             CREATE VIEW everything AS SELECT * FROM instances",
        )
        .await
        .unwrap();
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    let young = "SELECT string_agg(id, ' ' ORDER BY id) FROM ages WHERE age < interval '1 hour'";
    let young: String = client.query_one(young, &[]).await.unwrap().get(0);
    assert_eq!(young, "sleeping starting");
}

#[tokio::test]
async fn a_table_of_the_generation_before_is_kept_on_the_way_up_and_down() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client
        .batch_execute(
            "CREATE TABLE instances (id text PRIMARY KEY, service_id text NOT NULL UNIQUE, \
             name text NOT NULL, url text, status text NOT NULL DEFAULT 'starting', \
             deploy_status text, agent_name text, conversation_id text, invite_url text, \
             instructions text, created_at timestamptz NOT NULL DEFAULT now(), \
             claimed_at timestamptz, source_branch text, openrouter_key_hash text, \
             agentmail_inbox_id text, gateway_token text); \
             CREATE INDEX idx_instances_status ON instances (status); \
             INSERT INTO instances (id, service_id, name, status) VALUES ('a', 's', 'n', 'claimed')",
        )
        .await
        .unwrap();
    let before = status(database.url()).await.unwrap();
    assert_eq!(before.found, ["instances"]);
    migrations::run(database.url()).await.unwrap();
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    let after = status(database.url()).await.unwrap();
    assert_eq!(after.found, ["instances"]);
    down_to_nothing(database.url()).await;
    let row = client
        .query_one("SELECT status FROM instances", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "claimed");
}
