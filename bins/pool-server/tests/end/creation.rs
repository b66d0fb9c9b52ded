//! An empty world becomes a full pool, exactly.

use std::time::Duration;

use pool_simulator::{Options, Settings};
use serde_json::json;

use crate::pool::Pool;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_world_fills_to_exactly_the_target() -> anyhow::Result<()> {
    let pool = Pool::new(6).await?;
    let server = pool.start().await?;
    server.until_count("idle", 6).await?;
    for _ in 0..3 {
        let report = server.reconcile().await?;
        assert_eq!(report["replenish"]["create"], 0, "{report}");
    }
    assert_eq!(pool.live_services().len(), 6);
    assert_eq!(pool.live_volumes(), 6);
    let deploys: u32 = pool
        .railway
        .view()
        .services
        .iter()
        .map(|service| service.deploys)
        .sum();
    assert_eq!(deploys, 6, "one deployment each");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_service_that_shows_only_later_is_not_made_twice() -> anyhow::Result<()> {
    let read_lag = Duration::from_millis(1_500);
    let settings = Settings {
        read_lag,
        ..Settings::default()
    };
    let pool = Pool::with(
        3,
        Options {
            settings,
            ..Options::default()
        },
    )
    .await?;
    let server = pool.start().await?;
    server.until_count("idle", 3).await?;
    assert_eq!(pool.live_services().len(), 3);
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_as_many_as_asked_for_within_the_cap() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?.set("pool-max-total", 3);
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    let (status, answer) = server
        .post("/api/pool/replenish", &json!({ "count": "20" }))
        .await?;
    assert_eq!((status, &answer["created"]), (200, &json!(2)), "{answer}");
    server.until_count("idle", 3).await?;
    let (_, answer) = server
        .post("/api/pool/replenish", &json!({ "count": 1 }))
        .await?;
    assert_eq!(answer["created"], 0);
    assert_eq!(pool.live_services().len(), 3);
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_with_nothing_to_change_is_one_request() -> anyhow::Result<()> {
    let pool = Pool::new(4).await?.set("tick-interval-ms", 3_600_000);
    let server = pool.start().await?;
    server.until_count("starting", 4).await?;
    server
        .until("all are idle", async |server| {
            server.reconcile().await?;
            Ok(server.count("idle").await? == 4)
        })
        .await?;
    server.reconcile().await?;
    pool.railway.reset_request_counts();
    let report = server.reconcile().await?;
    assert_eq!(pool.railway.request_counts().total, 1, "{report}");
    assert_eq!(report["done"]["requests"], 1);
    server.stop().await
}
