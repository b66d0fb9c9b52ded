//! Longer stories than one fault at one step, each with everything outside and inside matching in
//! the end.

use anyhow::ensure;
use pool_simulator::faults::Lost;
use pool_simulator::{Fault, FaultRule, Options, Settings};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::ledger;
use crate::pool::{PATIENCE, Pool, Server};

async fn until_exact(pool: &Pool, target: usize) -> anyhow::Result<()> {
    let client = pool.database.client().await;
    let began = Instant::now();
    loop {
        let left = ledger::left(&client, &pool.railway, target).await?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{}", left.join("; "));
        sleep(Duration::from_millis(100)).await;
    }
}

async fn filled(pool: &Pool, target: usize) -> anyhow::Result<Server> {
    let server = pool.start().await?;
    until_exact(pool, target).await?;
    Ok(server)
}

async fn drain(server: &Server, count: usize) -> anyhow::Result<()> {
    let body = json!({ "count": count });
    let (status, answer) = server.post("/api/pool/drain", &body).await?;
    ensure!(
        (status, &answer["drained"]) == (200, &json!(count)),
        "{answer}"
    );
    Ok(())
}

/// The last tick's report says so.
async fn until_said(server: &Server, part: &str, words: &str) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let report = server.reconcile().await?;
        if report[part].to_string().contains(words) {
            return Ok(report);
        }
        ensure!(began.elapsed() < PATIENCE, "{words} is not in {report}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn lost() -> Fault {
    Fault::AnswerLost { how: Lost::Dropped }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_with_accounts_and_lag_take_at_most_three_and_a_half_requests_each()
-> anyhow::Result<()> {
    let settings = Settings {
        read_lag: Duration::from_secs(1),
        ..Settings::default()
    };
    let options = Options {
        settings,
        ..Options::default()
    };
    let pool = Pool::with(0, options).await?.with_accounts(true);
    let server = pool.start().await?;
    let body = json!({ "count": 20 });
    let (status, answer) = server.post("/api/pool/replenish", &body).await?;
    ensure!(
        (status, &answer["created"]) == (200, &json!(20)),
        "{answer}"
    );
    until_exact(&pool, 20).await?;
    let counts = pool.railway.request_counts().by_operation;
    let listings: u64 = counts
        .iter()
        .filter(|(name, _)| name.contains("Listing") || name.contains("Snapshot"))
        .map(|(_, count)| *count)
        .sum();
    let creating = counts.values().sum::<u64>() - listings;
    ensure!(creating * 10 <= 20 * 36, "{creating} requests: {counts:?}");
    let told = "SELECT sum((report->'done'->>'creatingRequests')::int8)::int8 FROM ticks";
    ensure!(
        pool.number(told).await? == i64::try_from(creating)?,
        "the report counts the same"
    );
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_retired_while_it_is_made_leaves_nothing() -> anyhow::Result<()> {
    for field in [
        "volumeCreate",
        "serviceDomainCreate",
        "environmentPatchCommit",
    ] {
        let pool = Pool::new(1).await?.with_accounts(true);
        let slow = FaultRule::once(Fault::Latency { ms: 2_000 }).on(field);
        pool.railway.inject(slow)?;
        let server = pool.start().await?;
        server.until_count("starting", 1).await?;
        drain(&server, 1).await?;
        let retired = pool.live_services();
        until_exact(&pool, 1).await?;
        ensure!(
            pool.live_services() != retired,
            "another one took its place"
        );
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_shows_again_after_its_end_is_destroyed_again_and_said() -> anyhow::Result<()>
{
    let pool = Pool::new(2).await?.with_accounts(true);
    let server = filled(&pool, 2).await?;
    drain(&server, 1).await?;
    until_exact(&pool, 2).await?;
    let back = Fault::BackAgain { by_ms: 120_000 };
    pool.railway.inject(FaultRule::always(back))?;
    let report = until_said(&server, "heldBack", "destroyed again").await?;
    ensure!(report["adopted"] == json!([]), "{report}");
    pool.railway.clear_faults();
    until_exact(&pool, 2).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_holds_waits_for_the_account_and_the_row_does_not() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?.with_accounts(true);
    filled(&pool, 2).await?.stop().await?;
    let pool = pool.with_accounts(false);
    let server = pool.start().await?;
    drain(&server, 1).await?;
    let waiting = "SELECT count(*) FROM provisions WHERE step = 'destroying' \
                   AND id NOT IN (SELECT id FROM instances)";
    server
        .until("the row is gone and its record is not", async |_| {
            Ok(pool.number(waiting).await? == 1)
        })
        .await?;
    until_said(&server, "open", r#""left":["key","inbox"]"#).await?;
    ensure!(pool.railway.view().keys.len() == 2, "no key was lost");
    server.stop().await?;

    let pool = pool.with_accounts(true);
    let server = pool.start().await?;
    server
        .until("its key and its inbox are gone", async |_| {
            let view = pool.railway.view();
            Ok(view.keys.len() == 1 && view.inboxes.len() == 1 && pool.number(waiting).await? == 0)
        })
        .await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_that_fails_goes_on_after_a_restart_and_is_shown_until_it_is_done()
-> anyhow::Result<()> {
    let pool = Pool::new(1).await?.with_accounts(true);
    let server = filled(&pool, 1).await?;
    let refusal = Fault::Error {
        message: "no deletions today".to_owned(),
        code: None,
    };
    pool.railway
        .inject(FaultRule::always(refusal).on("serviceDelete"))?;
    drain(&server, 1).await?;
    until_said(&server, "open", "no deletions today").await?;
    server.stop().await?;

    let server = pool.start().await?;
    let report = until_said(&server, "open", r#""attempts":2"#).await?;
    let said = &report["open"]["destroying"][0];
    ensure!(said["left"] == json!(["service"]), "{said}");
    ensure!(said["tryAt"].is_string(), "{said}");
    let page = pool.http.get(&server.base).send().await?.text().await?;
    ensure!(page.contains("Being destroyed"), "{page}");
    ensure!(page.contains("failed 2 times"), "{page}");
    ensure!(page.contains("no deletions today"), "{page}");

    pool.railway.clear_faults();
    until_exact(&pool, 1).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_share_a_key_get_none_of_their_own() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?.with_accounts(true);
    let pool = pool.secret("OPENROUTER_API_KEY", "sk-shared");
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    drain(&server, 1).await?;
    let retired = "SELECT count(*) FROM instance_events WHERE to_status IS NULL";
    server
        .until("the retired one is gone", async |_| {
            Ok(pool.number(retired).await? == 1)
        })
        .await?;
    server.until_count("idle", 1).await?;
    let asked = pool.railway.account_request_counts().by_operation;
    ensure!(!asked.contains_key("keyCreate"), "{asked:?}");
    ensure!(!asked.contains_key("keyDelete"), "{asked:?}");
    ensure!(pool.railway.view().inboxes.len() == 1);
    let given = pool.railway.world(|world| {
        let environment = world.home().environment.clone();
        let live = world.live_services();
        let homes = live.iter().filter_map(|it| it.instances.get(&environment));
        let keys = homes.filter_map(|it| it.config.variables().remove("OPENROUTER_API_KEY"));
        keys.collect::<Vec<_>>()
    });
    ensure!(given == ["sk-shared"], "{given:?}");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_or_inbox_no_service_is_made_and_creating_resumes_by_itself()
-> anyhow::Result<()> {
    let (of_key, of_inbox) = tokio::join!(stops_without("keyCreate"), stops_without("inboxCreate"));
    of_key.and(of_inbox)
}

async fn stops_without(operation: &str) -> anyhow::Result<()> {
    let pool = Pool::new(2).await?.with_accounts(true);
    let pool = pool.set("tick-interval-ms", 3_600_000);
    let rule = FaultRule::always(Fault::Gateway { status: 502 });
    pool.railway.inject(rule.on(operation))?;
    let server = pool.start().await?;
    until_said(&server, "open", "transient").await?;
    ensure!(
        pool.live_services().is_empty(),
        "{:?}",
        pool.live_services()
    );
    pool.railway.clear_faults();
    let began = Instant::now();
    while pool.live_services().is_empty() {
        ensure!(
            began.elapsed() < Duration::from_secs(30),
            "nothing was made again"
        );
        sleep(Duration::from_millis(100)).await;
    }
    server
        .until("two are idle", async |server| {
            server.reconcile().await?;
            Ok(server.count("idle").await? == 2)
        })
        .await?;
    until_exact(&pool, 2).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_spoils_the_commit_holds_back_itself_alone() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?.with_accounts(true);
    let slow = FaultRule::once(Fault::Latency { ms: 2_000 });
    pool.railway.inject(slow.on("environmentPatchCommit"))?;
    let server = pool.start().await?;
    let body = json!({ "count": 12 });
    server.post("/api/pool/replenish", &body).await?;
    let committing = "SELECT count(*) FROM provisions WHERE step = 'commit' \
                      AND next_attempt_at IS NULL";
    server
        .until("the commit is under way", async |_| {
            Ok(pool.number(committing).await? == 12)
        })
        .await?;
    // A person deletes one at the dashboard, and Railway refuses the commit that names it, whole.
    let spoiled = pool.railway.view().services.remove(0);
    pool.railway.delete_service(&spoiled.id.as_str().into())?;
    server.until_count("idle", 11).await?;
    ensure!(pool.live_services().len() == 11);
    until_exact(&pool, 11).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_answer_was_lost_goes_with_its_intent_though_lists_lag() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?.with_accounts(true);
    let pool = pool
        .set("pool-missing-grace-ms", 4_000)
        .set("pool-stuck-timeout-ms", 1_000);
    let stale = FaultRule::always(Fault::StaleListing { by_ms: 3_000 });
    pool.railway.inject(stale.on("keyList"))?;
    pool.railway
        .inject(FaultRule::once(lost()).on("keyCreate"))?;
    let server = pool.start().await?;
    server
        .until("the answer is lost", async |_| {
            let failed = "SELECT count(*) FROM provisions WHERE attempts > 0";
            Ok(pool.number(failed).await? > 0)
        })
        .await?;
    // As if it had failed again and again: once is no reason to give it up.
    let sql = pool_test_database::connect(pool.database.url()).await?;
    sql.execute("UPDATE provisions SET attempts = 5", &[])
        .await?;
    server
        .until("the intent is given up", async |_| {
            let ending = "SELECT count(*) FROM provisions WHERE step = 'destroying'";
            Ok(pool.number(ending).await? > 0)
        })
        .await?;
    let pool = pool.set("pool-stuck-timeout-ms", 900_000);
    server.stop().await?;
    let server = pool.start().await?;
    until_exact(&pool, 1).await?;
    server.stop().await
}
