//! Two managers on one environment, with one key and a database each.

use pool_test_database::TestDatabase;
use serde_json::Value;

use crate::pool::Pool;

const STOCK: usize = 3;

fn foreign(report: &Value) -> Vec<&str> {
    let listed = report["foreign"].as_array().into_iter().flatten();
    listed
        .map(|service| service["why"].as_str().unwrap_or_default())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_of_two_managers_touches_what_the_other_made_until_it_is_taken_over()
-> anyhow::Result<()> {
    let pool = Pool::new(STOCK).await?;
    let first = pool.start().await?;
    first.until_count("idle", STOCK).await?;
    first.claim("Ada").await?;
    first.until_count("idle", STOCK).await?;

    let database = TestDatabase::create().await;
    let second = pool.start_at(database.url()).await?;
    second.until_count("idle", STOCK).await?;
    let report = second.reconcile().await?;
    let why = foreign(&report);
    assert_eq!(why.len(), STOCK + 1, "{report}");
    assert!(
        why.iter().all(|why| why.starts_with("another manager")),
        "{report}"
    );
    second.claim("Bob").await?;
    second.until_count("idle", STOCK).await?;
    let report = first.reconcile().await?;
    assert_eq!(foreign(&report).len(), STOCK + 1, "{report}");
    assert_eq!(first.count("claimed").await?, 1);
    assert_eq!(pool.live_services().len(), 2 * (STOCK + 1));

    let named = "SELECT manager_id FROM pool_schema";
    let client = pool_test_database::connect(pool.database.url()).await?;
    let id: String = client.query_one(named, &[]).await?.try_get(0)?;
    first.stop().await?;
    let client = pool_test_database::connect(database.url()).await?;
    let take_over = "INSERT INTO managers_taken_over (manager_id) VALUES ($1)";
    client.execute(take_over, &[&id]).await?;
    second.until_count("claimed", 2).await?;
    second.until_count("idle", 2 * STOCK).await?;
    let view = pool.railway.view();
    assert!(
        view.agents.iter().all(|it| it.provisions <= 1),
        "{:?}",
        view.agents
    );
    assert_eq!(
        pool.live_services().len(),
        2 * (STOCK + 1),
        "none was destroyed"
    );
    second.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_of_the_database_makes_is_reported_and_not_adopted() -> anyhow::Result<()> {
    let pool = Pool::new(STOCK).await?;
    let original = pool.start().await?;
    original.until_count("idle", STOCK).await?;
    let named = "SELECT manager_id FROM pool_schema";
    let client = pool_test_database::connect(pool.database.url()).await?;
    let id: String = client.query_one(named, &[]).await?.try_get(0)?;

    // What a copy makes bears the same id. A seeded service is an hour old.
    let variables = [
        ("POOL_API_KEY".to_owned(), crate::pool::KEY.to_owned()),
        ("POOL_MANAGER_ID".to_owned(), id),
    ];
    pool.railway.seed_services(&pool_simulator::SeedServices {
        count: 1,
        variables: variables.into(),
        ..pool_simulator::SeedServices::default()
    })?;
    pool.execute(
        "BEGIN; UPDATE record_identity SET verified_at = now() - interval '2 hours'; \
         UPDATE record_identity SET written_by = xmin; COMMIT",
    )
    .await?;
    let report = original.reconcile().await?;
    let why = foreign(&report);
    assert!(
        why.len() == 1 && why[0].contains("a copy of it"),
        "{report}"
    );
    original.stop().await
}
