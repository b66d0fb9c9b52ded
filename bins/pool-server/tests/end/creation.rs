//! An empty world becomes a full pool, exactly.

use std::time::Duration;

use anyhow::ensure;
use pool_simulator::{Fault, FaultRule, Options, Settings};
use serde_json::json;
use tokio::time::{Instant, sleep};

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

/// Railway answers every request but one part of some services, and that for good.
#[tokio::test(flavor = "multi_thread")]
async fn creating_and_destroying_go_on_while_railway_cannot_list_everything() -> anyhow::Result<()>
{
    for fault in [
        Fault::NullDeployment { every: 1 },
        Fault::NullAnswer { every: 1 },
    ] {
        let pool = Pool::new(2).await?.set("pool-max-total", 3);
        let server = pool.start().await?;
        server.until_count("idle", 2).await?;
        server.reconcile().await?;
        pool.railway.inject(FaultRule::always(fault))?;
        // More than the cap holds at a time, so that what is gone has to be known to be gone.
        for n in 0..3 {
            let claimed = server.claim(&format!("Ada {n}")).await?;
            let id = claimed["instanceId"].as_str().unwrap_or_default();
            let (status, answer) = server.delete(&format!("/api/pool/instances/{id}")).await?;
            ensure!(status == 200, "{status} {answer}");
            server.until_count("idle", 2).await?;
        }
        let report = server.reconcile().await?;
        ensure!(report["listing"]["reason"].is_string(), "{report}");
        let unknown = "SELECT count(*) FROM instances WHERE status = 'idle' AND url IS NULL";
        ensure!(pool.number(unknown).await? == 0);
        pool.railway.clear_faults();
        server
            .until("everything is listed again", async |server| {
                let report = server.reconcile().await?;
                Ok(report["listing"]["reason"].is_null())
            })
            .await?;
        server.stop().await?;
    }
    Ok(())
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

#[tokio::test(flavor = "multi_thread")]
async fn what_claims_take_is_made_up_for_at_once_wherever_they_are_made() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?.set("tick-interval-ms", 3_600_000);
    let leader = pool.start().await?;
    leader.until_count("idle", 2).await?;
    let other = pool.start().await?;
    for server in [&leader, &other] {
        server.claim("Ada").await?;
        leader.until_count("idle", 2).await?;
    }
    let listings = pool.railway.request_counts().of("EnvironmentListing");
    assert_eq!(listings, 1, "the listing at the beginning");
    let ready = pool.http.get(format!("{}/readyz", leader.base)).send();
    let loops = ready.await?.json::<serde_json::Value>().await?["loops"].clone();
    for name in ["promoting", "reconciling", "building"] {
        ensure!(loops[name]["lastRoundAgeMs"].is_u64(), "{loops}");
    }
    other.stop().await?;
    leader.stop().await
}

/// From the end of the cause until something is made again, whatever the interval of the ticks.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);

async fn stops_and_resumes(fault: Fault, field: &str) -> anyhow::Result<()> {
    let pool = Pool::new(6).await?.set("tick-interval-ms", 3_600_000);
    let rule = FaultRule::always(fault).on(field);
    pool.railway.inject(rule)?;
    let server = pool.start().await?;
    server
        .until("the tick says that it stopped", async |server| {
            let report = server.reconcile().await?;
            Ok(!report["replenish"]["pace"]["stopped"].is_null())
        })
        .await?;
    let made = |pool: &Pool| {
        pool.railway
            .request_counts()
            .by_field
            .get("serviceCreate")
            .copied()
    };
    let before = made(&pool);
    for _ in 0..5 {
        let report = server.reconcile().await?;
        let held_back = report["heldBack"].to_string();
        ensure!(held_back.contains("one at a time is tried"), "{report}");
    }
    ensure!(made(&pool) == before, "no service is made in between");

    pool.railway.clear_faults();
    let began = Instant::now();
    while pool
        .railway
        .view()
        .services
        .iter()
        .all(|it| it.deploys == 0)
    {
        ensure!(began.elapsed() < RESUMES_WITHIN, "nothing was made again");
        sleep(Duration::from_millis(100)).await;
    }
    server
        .until("the stock is full", async |server| {
            server.reconcile().await?;
            Ok(server.count("idle").await? == 6)
        })
        .await?;
    ensure!(pool.live_services().len() == 6);
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_plans_limit_creating_stops_and_resumes_by_itself() -> anyhow::Result<()> {
    stops_and_resumes(Fault::ProvisionLimit, "serviceCreate").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_of_volumes_stops_creating_and_it_resumes_by_itself() -> anyhow::Result<()> {
    stops_and_resumes(Fault::CreationThrottle, "volumeCreate").await
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_take_at_most_three_and_a_half_requests_each() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?.set("tick-interval-ms", 3_600_000);
    let server = pool.start().await?;
    server.reconcile().await?;
    pool.railway.reset_request_counts();
    let (status, answer) = server
        .post("/api/pool/replenish", &json!({ "count": 20 }))
        .await?;
    ensure!(
        (status, &answer["created"]) == (200, &json!(20)),
        "{answer}"
    );
    server
        .until("all are committed", async |_| {
            Ok(pool
                .number("SELECT count(*) FROM provisions WHERE step = 'created'")
                .await?
                == 20)
        })
        .await?;
    // Told by the rounds after it, none of which lists: only the person's did.
    let told = async |what: &str| {
        let sum = format!("SELECT sum((report->'done'->>'{what}')::int8)::int8 FROM ticks");
        pool.number(&sum).await
    };
    server
        .until("it is told", async |_| Ok(told("created").await? == 20))
        .await?;
    let counted = told("creatingRequests").await?;
    let sent = i64::try_from(pool.railway.request_counts().total)? - 1;
    ensure!(
        counted == sent,
        "the report counts {counted}, Railway got {sent}"
    );
    ensure!(sent * 10 <= 20 * 36, "{sent} requests for 20 instances");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_being_made_is_shown_however_slowly_and_ends_when_a_person_deletes_it()
-> anyhow::Result<()> {
    let pool = Pool::new(0).await?;
    let server = pool.start().await?;
    server.reconcile().await?;
    let slow = Fault::Latency { ms: 4_000 };
    pool.railway
        .inject(FaultRule::always(slow).on("serviceCreate"))?;
    let (status, answer) = server
        .post("/api/pool/replenish", &json!({ "count": 1 }))
        .await?;
    assert_eq!((status, &answer["created"]), (200, &json!(1)), "{answer}");

    let report = server.reconcile().await?;
    let shown = &report["open"]["creating"][0];
    assert_eq!(shown["left"], json!(["service"]), "{report}");
    let id = shown["id"].as_str().unwrap_or_default();
    assert_eq!(
        pool.number("SELECT count(*) FROM instances").await?,
        0,
        "it has no row yet"
    );
    let (status, answer) = server.delete(&format!("/api/pool/instances/{id}")).await?;
    assert_eq!((status, answer), (200, json!({ "ok": true })));

    server
        .until("nothing is left of it", async |server| {
            server.reconcile().await?;
            let records = pool.number("SELECT count(*) FROM provisions").await?;
            Ok(records == 0 && pool.live_services().is_empty())
        })
        .await?;
    let rows = pool.number("SELECT count(*) FROM instances").await?;
    let events = pool.number("SELECT count(*) FROM instance_events").await?;
    assert_eq!((rows, events), (0, 0), "it never became an instance");
    let (status, answer) = server.delete(&format!("/api/pool/instances/{id}")).await?;
    assert_eq!((status, answer), (200, json!({ "ok": true })), "and again");
    server.stop().await
}
