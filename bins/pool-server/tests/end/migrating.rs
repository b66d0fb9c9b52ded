//! Servers that start on a database of an earlier generation, while others migrate it.

use anyhow::ensure;
use pool_db::migrations;
use pool_simulator::Options;
use pool_test_database::TestDatabase;

use crate::pool::Pool;

const LEGACY: &str = "CREATE TABLE pool_instances (id text PRIMARY KEY, railway_service_id text NOT \
     NULL, railway_url text, status text NOT NULL DEFAULT 'provisioning', claimed_by text, \
     claimed_at timestamptz, created_at timestamptz NOT NULL DEFAULT now()); \
     INSERT INTO pool_instances (id, railway_service_id, status, claimed_by) \
     SELECT 'n' || n, 's' || n, CASE WHEN n % 4 = 0 THEN 'idle' ELSE 'claimed' END, \
     CASE WHEN n % 4 > 0 THEN 'agent ' || n END FROM generate_series(1, 8000) AS n";

/// As `pool-migrate up --contract` does; whether it contracted, and what it moved.
async fn migrate(url: String) -> anyhow::Result<(bool, u64)> {
    migrations::run(&url).await?;
    let done = pool_legacy_schema::contract_telling(&url, &mut |_| {}).await?;
    Ok((done.now, done.moved.taken))
}

#[tokio::test(flavor = "multi_thread")]
async fn four_that_migrate_and_two_servers_that_start_do_the_work_once_and_all_end_well()
-> anyhow::Result<()> {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(LEGACY).await?;
    // The claimed ones are not on this Railway: with a grace this long nothing is inferred from it.
    let pool = Pool::on(database, 2, Options::default())
        .await?
        .set("pool-missing-grace-ms", 3_600_000)
        .set("pool-max-total", 10_000);
    let url = pool.database.url();
    let migrating: Vec<_> = (0..4)
        .map(|_| tokio::spawn(migrate(url.to_owned())))
        .collect();
    let (one, other) = tokio::try_join!(pool.start(), pool.start())?;
    let mut contracted = 0;
    let mut taken = 0;
    for run in migrating {
        let (now, moved) = run.await??;
        contracted += u32::from(now);
        taken += moved;
    }
    ensure!(contracted <= 1, "{contracted} of the four contracted");
    ensure!(taken == 6_000 || contracted == 0, "{taken} were taken over");
    one.until_count("idle", 2).await?;
    let claimed = other.claim("Ada").await?;
    ensure!(claimed["instanceId"].is_string(), "{claimed}");
    for (query, expected) in [
        (
            "SELECT count(*) FROM instances WHERE id LIKE 'n%' AND status = 'claimed'",
            6_000,
        ),
        (
            "SELECT count(*) FROM set_aside WHERE reason = 'never claimed'",
            2_000,
        ),
        (
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'instances'::regclass",
            3,
        ),
        (
            "SELECT count(*) FROM pool_schema WHERE contracted_at IS NOT NULL",
            1,
        ),
        ("SELECT count(*) FROM pg_index WHERE NOT indisvalid", 0),
    ] {
        let found = pool.number(query).await?;
        ensure!(found == expected, "{query}: {found}");
    }
    one.stop().await?;
    other.stop().await
}
