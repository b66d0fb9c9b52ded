//! A small hourly budget and a pool that wants more than it gives.

use anyhow::{Context, ensure};
use pool_simulator::{Options, RateLimits, Settings};
use serde_json::{Value, json};

use crate::pool::{KEY, Pool, Server};

/// Of an hour's 120 requests 24 are kept for destroying and 48 for listing, so creating has 48.
const PER_HOUR: u32 = 120;
const WANTED: usize = 30;

/// As /readyz tells it, also while it answers 503.
async fn budget(pool: &Pool, server: &Server) -> anyhow::Result<Value> {
    let ready = pool.http.get(format!("{}/readyz", server.base));
    let ready: Value = ready.send().await?.json().await?;
    Ok(ready["budget"].clone())
}

fn number(budget: &Value, path: &str) -> anyhow::Result<u64> {
    let value = budget.pointer(path).and_then(Value::as_u64);
    value.with_context(|| format!("{path} is no number in {budget}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_stops_at_its_share_and_destroying_and_listing_go_on() -> anyhow::Result<()> {
    let limits = RateLimits {
        per_hour: Some(PER_HOUR),
        ..RateLimits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let options = Options {
        settings,
        ..Options::default()
    };
    let pool = Pool::with(WANTED, options).await?;
    let server = pool.start().await?;
    // On so small a plan the ticks of the clock soon list once a minute only; a person's tick always.
    server
        .until("creating has spent its share", async |server| {
            let report = server.reconcile().await?;
            Ok(number(&report["budget"], "/createsLeft")? == 0)
        })
        .await?;
    server
        .until("those that were made are idle", async |server| {
            server.reconcile().await?;
            Ok(server.count("starting").await? == 0 && server.count("idle").await? > 0)
        })
        .await?;
    let made = pool.live_services().len();
    ensure!((5..WANTED).contains(&made), "{made} were made");

    // What a person asked for is destroyed, and its rows go, which takes listings.
    let (status, answer) = server
        .post("/api/pool/drain", &json!({ "count": 3 }))
        .await?;
    ensure!((status, &answer["drained"]) == (200, &json!(3)), "{answer}");
    let deleted = |pool: &Pool| pool.railway.request_counts().of("serviceDelete");
    server
        .until("the three are destroyed", async |_| Ok(deleted(&pool) >= 3))
        .await?;
    let mut held_back = String::new();
    for _ in 0..20 {
        let report = server.reconcile().await?;
        ensure!(report["listing"]["complete"] == json!(true), "{report}");
        held_back = report["heldBack"].to_string();
        if pool.number("SELECT count(*) FROM instances").await? == i64::try_from(made - 3)? {
            break;
        }
    }
    ensure!(pool.live_services().len() == made - 3, "none was made anew");
    ensure!(
        pool.number("SELECT count(*) FROM instances").await? == i64::try_from(made - 3)?,
        "rows of destroyed ones are left"
    );
    ensure!(
        held_back.contains("the rest of Railway's budget is kept for listing and destroying"),
        "{held_back}"
    );

    // What is left is the same everywhere, and it is said what was spent on what.
    server
        .until("the last tick tells of the last request", async |server| {
            let left = u64::from(PER_HOUR) - pool.railway.request_counts().total;
            Ok(number(&budget(&pool, server).await?, "/remaining")? == left)
        })
        .await?;
    let budget = budget(&pool, &server).await?;
    let counts = pool.railway.request_counts();
    ensure!(
        number(&budget, "/limit")? == u64::from(PER_HOUR),
        "{budget}"
    );
    ensure!(
        number(&budget, "/remaining")? == u64::from(PER_HOUR) - counts.total,
        "{budget}, {counts:?}"
    );
    ensure!(
        number(&budget, "/spent/creating")?
            == counts.of("serviceCreate")
                + counts.of("volumeCreate")
                + counts.of("serviceDomainCreate")
                + counts.of("environmentPatchCommit"),
        "{budget}, {counts:?}"
    );
    ensure!(number(&budget, "/spent/destroying")? >= 6, "{budget}");
    ensure!(number(&budget, "/remaining")? > 0, "{budget}");
    let page = pool.http.get(&server.base).bearer_auth(KEY).send().await?;
    let page = page.text().await?;
    for sentence in [
        format!("of {PER_HOUR} requests are left"),
        format!("{} on creating", number(&budget, "/spent/creating")?),
        "0 instances may still be made".to_owned(),
    ] {
        ensure!(page.contains(&sentence), "{sentence}: {page}");
    }
    server.stop().await
}
