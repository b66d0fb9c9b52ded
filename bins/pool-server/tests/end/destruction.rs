//! What is destroyed is gone: service, volume and row; and the stock is at its target again.

use serde_json::json;

use crate::pool::Pool;

#[tokio::test(flavor = "multi_thread")]
async fn drain_and_delete_leave_nothing_and_the_stock_refills() -> anyhow::Result<()> {
    let pool = Pool::new(4).await?;
    let server = pool.start().await?;
    server.until_count("idle", 4).await?;
    let claimed = server.claim("Ada").await?;
    let id = claimed["instanceId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    server.until_count("idle", 4).await?;
    let before = pool.live_services();

    let (status, answer) = server
        .post("/api/pool/drain", &json!({ "count": 2 }))
        .await?;
    assert_eq!((status, &answer["drained"]), (200, &json!(2)), "{answer}");
    let path = format!("/api/pool/instances/{id}");
    assert_eq!(server.delete(&path).await?, (200, json!({ "ok": true })));
    assert_eq!(
        server.delete(&path).await?,
        (200, json!({ "ok": true })),
        "and again"
    );
    assert_eq!(
        server.count("claimed").await?,
        0,
        "it counts no more at once"
    );

    server
        .until("nothing is left of the three", async |_| {
            let left = pool
                .live_services()
                .iter()
                .filter(|name| before.contains(name))
                .count();
            Ok(left == 2
                && pool
                    .number("SELECT count(*) FROM instances WHERE status = 'dead'")
                    .await?
                    == 0
                && pool.number("SELECT count(*) FROM instances").await? == 4)
        })
        .await?;
    server.until_count("idle", 4).await?;
    assert_eq!(pool.live_services().len(), 4);
    assert_eq!(pool.live_volumes(), 4);
    assert_eq!(pool.number("SELECT count(*) FROM provisions").await?, 4);
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_agent_that_crashes_keeps_its_row_until_it_is_dismissed() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?;
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    let claimed = server.claim("Ada").await?;
    let id = claimed["instanceId"].as_str().unwrap_or_default();
    let view = pool.railway.view();
    let service = view
        .services
        .iter()
        .find(|service| service.name.ends_with(id));
    let service = service
        .map(|service| service.id.clone())
        .unwrap_or_default();
    pool.railway.happen(
        &service.as_str().into(),
        pool_simulator::world::Incident::Crash,
    )?;
    server.until_count("crashed", 1).await?;
    let agents = server.get("/api/pool/agents").await?;
    assert_eq!(
        agents["crashed"][0]["conversationId"],
        claimed["conversationId"]
    );

    let path = format!("/api/pool/crashed/{id}");
    assert_eq!(server.delete(&path).await?, (200, json!({ "ok": true })));
    let query = format!("SELECT count(*) FROM instances WHERE id = '{id}'");
    server
        .until("its row is gone", async |_| {
            Ok(pool.number(&query).await? == 0)
        })
        .await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_agent_whose_service_vanished_keeps_its_row() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?;
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    let claimed = server.claim("Ada").await?;
    let id = claimed["instanceId"].as_str().unwrap_or_default();
    let view = pool.railway.view();
    let service = view
        .services
        .iter()
        .find(|service| service.name.ends_with(id));
    let service = service
        .map(|service| service.id.clone())
        .unwrap_or_default();
    pool.railway.delete_service(&service.as_str().into())?;
    server.until_count("crashed", 1).await?;
    let agents = server.get("/api/pool/agents").await?;
    assert_eq!(agents["crashed"][0]["id"], claimed["instanceId"]);
    server.stop().await
}
