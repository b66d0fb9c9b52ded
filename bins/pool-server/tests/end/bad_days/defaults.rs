//! Somebody gave the database, or the role, defaults that suit another program.

use std::time::Duration;

use anyhow::ensure;
use pool_simulator::Options;
use pool_test_database::TestDatabase;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::pool::{KEY, Pool};

/// All at once, from the first migration on.
const DEFAULTS: [(&str, &str); 14] = [
    ("default_transaction_isolation", "serializable"),
    ("statement_timeout", "100ms"),
    ("lock_timeout", "100ms"),
    ("idle_session_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "100ms"),
    ("synchronous_commit", "off"),
    ("timezone", "Asia/Kathmandu"),
    ("datestyle", "SQL, DMY"),
    ("intervalstyle", "sql_standard"),
    ("extra_float_digits", "-15"),
    ("bytea_output", "escape"),
    ("standard_conforming_strings", "off"),
    ("row_security", "on"),
    ("plan_cache_mode", "force_custom_plan"),
];
/// Longer than a session may be idle.
const QUIET: Duration = Duration::from_secs(3);
const CALLERS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn defaults_of_a_database_for_everybody_are_not_those_of_this_program() -> anyhow::Result<()>
{
    let database = TestDatabase::empty().await;
    let admin = database.client().await;
    for (name, value) in DEFAULTS {
        let set = format!("ALTER DATABASE {} SET {name} = '{value}'", database.name());
        admin.batch_execute(&set).await?;
    }
    let pool = Pool::on(database, 0, Options::default()).await?;
    pool.seed(2 * CALLERS)?;
    let server = pool.start().await?;
    server.until_count("idle", 2 * CALLERS).await?;
    for _ in 0..2 {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let claim = pool.http.post(format!("{}/api/pool/claim", server.base));
            let body = json!({ "agentName": "Ada", "instructions": "x" });
            callers.spawn(claim.bearer_auth(KEY).json(&body).send());
        }
        while let Some(answer) = callers.join_next().await {
            answer??.error_for_status()?;
        }
        let before = sessions(&admin).await?;
        sleep(QUIET).await;
        let after = sessions(&admin).await?;
        ensure!(
            before == after,
            "sessions ended: {before:?}, then {after:?}"
        );
    }
    assert_eq!(server.count("claimed").await?, 2 * CALLERS);
    let report = server.reconcile().await?;
    assert_eq!(report["done"]["failures"], json!([]), "{report}");
    server.stop().await
}

/// Whose connections the program holds, in order.
async fn sessions(admin: &tokio_postgres::Client) -> anyhow::Result<Vec<i32>> {
    let ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name LIKE 'pool-server%' ORDER BY pid";
    let rows = admin.query(ours, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
