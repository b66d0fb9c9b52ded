//! Every generation of tables, as dirty as in the field, comes to the same schema, and nothing of it
//! is lost.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with an error"
)]

mod contracting;
mod rows;
mod schema;
mod stopping;

use pool_db::migrations;
use pool_legacy_schema::{Moved, backfill};
use pool_test_database::TestDatabase;
use tokio_postgres::Client;

/// The tables of one generation.
pub(crate) struct Generation {
    pub(crate) name: &'static str,
    pub(crate) sql: String,
}

fn pool_instances(claimer: &str, more: &str) -> String {
    include_str!("pool_instances.sql")
        .replace("{claimer}", claimer)
        .replace("{more}", more)
}

fn agent_metadata(more: &str) -> String {
    include_str!("agent_metadata.sql").replace("{more}", more)
}

fn instances(more: &str) -> String {
    include_str!("instances.sql").replace("{more}", more)
}

const EVERY_COLUMN_OF_POOL_INSTANCES: &str = "ALTER TABLE pool_instances ADD COLUMN instructions text, ADD COLUMN join_url text, \
     ADD COLUMN health_check_failures int DEFAULT 0;";
const EVERY_COLUMN_OF_AGENT_METADATA: &str = "ALTER TABLE agent_metadata ADD COLUMN source_branch text, \
     ADD COLUMN openrouter_key_hash text, ADD COLUMN agentmail_inbox_id text;";
const RUNTIME_IMAGE: &str = "ALTER TABLE instances ADD COLUMN runtime_image text;";

/// Every one that is in the field.
pub(crate) fn every_generation() -> Vec<Generation> {
    let mut all = vec![Generation {
        name: "empty",
        sql: String::new(),
    }];
    let mut add = |name, sql| all.push(Generation { name, sql });
    add(
        "pool_instances, claimed_by_concierge_id",
        pool_instances("claimed_by_concierge_id", ""),
    );
    add(
        "pool_instances, claimed_by",
        pool_instances("claimed_by", EVERY_COLUMN_OF_POOL_INSTANCES),
    );
    for (name, missing) in [
        ("agent_metadata", ""),
        ("agent_metadata without source_branch", "source_branch"),
        (
            "agent_metadata without openrouter_key_hash",
            "openrouter_key_hash",
        ),
        (
            "agent_metadata without agentmail_inbox_id",
            "agentmail_inbox_id",
        ),
    ] {
        let mut more = EVERY_COLUMN_OF_AGENT_METADATA.to_owned();
        if !missing.is_empty() {
            more = format!("{more} ALTER TABLE agent_metadata DROP COLUMN {missing};");
        }
        add(name, agent_metadata(&more));
    }
    add("agent_metadata without all three", agent_metadata(""));
    add(
        "pool_instances beside agent_metadata",
        pool_instances("claimed_by", "") + &agent_metadata(EVERY_COLUMN_OF_AGENT_METADATA),
    );
    add("instances without runtime_image", instances(""));
    add("instances", instances(RUNTIME_IMAGE));
    add(
        "instances without runtime_image beside agent_metadata",
        instances("") + &agent_metadata(EVERY_COLUMN_OF_AGENT_METADATA),
    );
    add(
        "instances beside agent_metadata and pool_instances",
        instances(RUNTIME_IMAGE) + &agent_metadata("") + &pool_instances("claimed_by", ""),
    );
    all
}

pub(crate) async fn database_of(sql: &str) -> (TestDatabase, Client) {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(sql).await.unwrap();
    (database, client)
}

/// As `pool-migrate up` does.
pub(crate) async fn up(url: &str) -> Moved {
    migrations::run(url).await.unwrap();
    backfill(url, &mut |_| {}).await.unwrap()
}

/// Everything of the schema that can differ, as text.
pub(crate) async fn schema(client: &Client) -> String {
    let everything = include_str!("../../../db/tests/database/schema.sql");
    client.query_one(everything, &[]).await.unwrap().get(0)
}

pub(crate) async fn down_to_nothing(url: &str) {
    while migrations::revert_one(url).await.unwrap().is_some() {}
}

/// The lines of a query's only column.
pub(crate) async fn lines(client: &Client, query: &str) -> String {
    let query = format!("SELECT coalesce(string_agg(line, E'\\n'), '') FROM ({query}) AS q (line)");
    client.query_one(&query, &[]).await.unwrap().get(0)
}
