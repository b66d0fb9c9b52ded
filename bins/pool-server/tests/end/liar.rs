//! A Railway that lies, or agents that are out of reach, all at once: no claimed agent is lost, the
//! stock is not wiped out, claims go on where agents answer, and afterwards all is well by itself.

use std::time::Duration;

use anyhow::{Context, ensure};
use pool_domain::{Policy, ServiceId};
use pool_simulator::{AgentFault, Fault, FaultRule, Options};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::pool::{PATIENCE, Pool, Server};

/// How many agents there are, and the stock that is to be kept: fewer, so that nothing has to be made
/// while they are handed out one by one.
const AGENTS: usize = 40;
const MIN_IDLE: usize = 8;

/// What a tick makes of a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The listing did not arrive whole, so nothing follows from it.
    Incomplete,
    /// It looks as if too many were lost at once.
    Tripped,
    /// As if nothing had happened.
    Well,
}

fn error(message: &str) -> Fault {
    Fault::Error {
        message: message.to_owned(),
        code: None,
    }
}

fn every(status: &str) -> Fault {
    Fault::EveryStatus {
        status: status.into(),
    }
}

/// Every lie, with what is seen of it.
fn lies() -> Vec<(Fault, Seen)> {
    use Seen::{Incomplete, Tripped, Well};
    vec![
        (error("Internal Server Error"), Incomplete),
        (Fault::NotAuthorized, Incomplete),
        (Fault::Gateway { status: 503 }, Incomplete),
        (Fault::Dropped, Incomplete),
        (Fault::HtmlOk, Incomplete),
        (Fault::Truncated, Incomplete),
        (Fault::CutShort, Incomplete),
        (Fault::NullAnswer { every: 1 }, Incomplete),
        (Fault::EndlessListing, Incomplete),
        (
            Fault::ErrorBesideData {
                message: "half".to_owned(),
            },
            Incomplete,
        ),
        (Fault::NullDeployment { every: 1 }, Incomplete),
        (Fault::ClampPage { max: 7 }, Well),
        (Fault::EmptyListing, Tripped),
        (Fault::PartialListing { every: 2 }, Tripped),
        (Fault::StaleListing { by_ms: 86_400_000 }, Tripped),
        (Fault::BackAgain { by_ms: 86_400_000 }, Well),
        (Fault::UnknownStatus, Well),
        (every("FAILED"), Tripped),
        (every("REMOVED"), Tripped),
        (every("CRASHED"), Tripped),
        (every("REMOVING"), Tripped),
    ]
}

struct Stock {
    pool: Pool,
    server: Server,
    services: Vec<String>,
    claimed: usize,
}

impl Stock {
    async fn new(options: Options) -> anyhow::Result<Self> {
        let pool = Pool::with(MIN_IDLE, options)
            .await?
            .set("tick-interval-ms", 3_600_000)
            .set("pool-missing-grace-ms", 100);
        pool.seed(AGENTS)?;
        let services = pool.live_services();
        let server = pool.start().await?;
        let stock = Self {
            pool,
            server,
            services,
            claimed: 0,
        };
        stock.is_well_again("it began").await?;
        Ok(stock)
    }

    async fn claim(&mut self) -> anyhow::Result<()> {
        self.claimed += 1;
        self.server.claim(&format!("Ada {}", self.claimed)).await?;
        Ok(())
    }

    /// Ticks once, or often enough for what is missing to be missing twice. The last report.
    async fn ticks(&self, times: u32) -> anyhow::Result<Value> {
        for _ in 1..times {
            self.server.reconcile().await?;
        }
        self.server.reconcile().await
    }

    /// Nobody is lost, whatever was seen.
    async fn is_whole(&self, after: &str) -> anyhow::Result<()> {
        let counts = self.server.get("/api/pool/counts").await?;
        let count = |status: &str| counts[status].as_u64().unwrap_or_default();
        ensure!(
            count("claimed") == u64::try_from(self.claimed)?
                && count("crashed") + count("dead") == 0,
            "after {after}: {counts}"
        );
        ensure!(self.pool.live_services() == self.services, "after {after}");
        Ok(())
    }

    /// Ticks until nothing is held back and every agent is idle or claimed.
    async fn is_well_again(&self, after: &str) -> anyhow::Result<()> {
        let idle = AGENTS - self.claimed;
        let what = format!("all is well after {after}");
        let ticked_well = async |server: &Server| {
            let report = server.reconcile().await?;
            Ok(report["fuse"].is_null() && server.count("idle").await? == idle)
        };
        self.server.until(&what, ticked_well).await?;
        self.is_whole(after).await
    }
}

/// What the server says of the fuse, ready or not: a busy machine is late with its ticks.
async fn fuse(pool: &Pool, server: &Server) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let request = pool.http.get(format!("{}/readyz", server.base));
        let answer: Value = request.send().await?.json().await?;
        if answer["database"] == true {
            return Ok(answer["fuse"].clone());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the database is silent: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_of_railways_loses_an_agent_or_wipes_out_the_stock() -> anyhow::Result<()> {
    let mut stock = Stock::new(Options::default()).await?;
    stock.claim().await?;
    for (lie, seen) in lies() {
        let told = format!("{lie:?}");
        let rule = FaultRule::always(lie).on("EnvironmentListing");
        stock.pool.railway.inject(rule)?;
        // Of what did not arrive nothing adds up, so one tick shows what each of them does.
        let times = if seen == Seen::Incomplete { 1 } else { 3 };
        let report = stock.ticks(times).await?;
        let complete = report["listing"]["complete"] == true;
        ensure!(complete == (seen != Seen::Incomplete), "{told}: {report}");
        let tripped = !report["fuse"].is_null();
        ensure!(tripped == (seen == Seen::Tripped), "{told}: {report}");
        ensure!(report["done"]["created"] == 0, "{told}: {report}");
        let shown = fuse(&stock.pool, &stock.server).await?;
        ensure!(shown == report["fuse"], "{told}: {shown}");
        stock.is_whole(&told).await?;
        stock.claim().await.context(told.clone())?;
        stock.pool.railway.clear_faults();
        stock.is_well_again(&told).await?;
    }
    let lost = "SELECT count(*) FROM fuse_losses";
    assert_eq!(stock.pool.number(lost).await?, 0);
    stock.server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_railway_and_of_the_agents_leaves_nobody_lost_or_stuck() -> anyhow::Result<()>
{
    let mut stock = Stock::new(Options::default()).await?;
    stock.claim().await?;
    let agents = |fault: Option<AgentFault>| {
        let view = stock.pool.railway.view();
        let mut services = view.services.into_iter();
        services.try_for_each(|it| {
            stock
                .pool
                .railway
                .set_agent_fault(&ServiceId::new(it.id), fault)
        })
    };
    // First the network of the agents is gone, then Railway too.
    agents(Some(AgentFault::Close))?;
    // They are checked in turn: as many as the fuse allows may go back to starting, and no more.
    let trips = async |server: &Server| Ok(!server.reconcile().await?["fuse"].is_null());
    stock.server.until("the fuse trips", trips).await?;
    let limit = AGENTS * Policy::FUSE_LIMIT_PERCENT / 100;
    ensure!(stock.server.count("starting").await? <= limit);
    let gateway = Fault::Gateway { status: 502 };
    stock.pool.railway.inject(FaultRule::always(gateway))?;
    let report = stock.server.reconcile().await?;
    ensure!(report["listing"]["complete"] == false, "{report}");
    ensure!(
        !report["fuse"].is_null(),
        "not knowing mends nothing: {report}"
    );
    stock.is_whole("the outage").await?;
    agents(None)?;
    stock.pool.railway.clear_faults();
    stock.is_well_again("the outage").await?;
    stock.claim().await?;
    stock.server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_railway_that_never_answers_delays_no_claim() -> anyhow::Result<()> {
    let stock = Stock::new(Options::default()).await?;
    stock.pool.railway.inject(FaultRule::always(Fault::Hang))?;
    let (base, http) = (stock.server.base.clone(), stock.pool.http.clone());
    let tick = http
        .post(format!("{base}/api/pool/reconcile"))
        .bearer_auth(crate::pool::KEY)
        .send();
    let tick = tokio::spawn(tick);
    stock
        .server
        .until("the tick hangs", async |_| {
            Ok(stock.pool.railway.request_counts().total > 0)
        })
        .await?;
    timeout(Duration::from_secs(20), stock.server.claim("Ada")).await??;
    assert!(!tick.is_finished(), "the tick was to hang meanwhile");
    tick.abort();
    stock.server.ended.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_an_hour_lose_nobody() -> anyhow::Result<()> {
    for clock_skew_ms in [-3_600_000, 3_600_000] {
        let options = Options {
            clock_skew_ms,
            ..Options::default()
        };
        let mut stock = Stock::new(options).await?;
        stock.claim().await?;
        let report = stock.ticks(3).await?;
        ensure!(report["fuse"].is_null(), "{report}");
        stock.is_well_again("a skewed clock").await?;
        stock.server.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_really_lost_goes_when_a_person_confirms_it_at_any_server() -> anyhow::Result<()> {
    let pool = Pool::new(8).await?.set("pool-missing-grace-ms", 500);
    let leader = pool.start().await?;
    leader.until_count("idle", 8).await?;
    let standby = pool.start().await?;
    for service in pool.railway.view().services {
        pool.railway.delete_service(&ServiceId::new(service.id))?;
    }
    let waits = async |server: &Server| Ok(fuse(&pool, server).await?["waiting"] == 8);
    standby.until("the fuse holds all back", waits).await?;
    let before = fuse(&pool, &standby).await?;

    // A restart in the middle changes nothing: what is confirmed is what was listed before it.
    leader.stop().await?;
    let led_anew = async |_: &Server| Ok(pool.number("SELECT max(term) FROM ticks").await? == 2);
    standby.until("the other one leads", led_anew).await?;
    let other = pool.start().await?;
    let after = fuse(&pool, &other).await?;
    ensure!(
        after["trippedAt"] == before["trippedAt"],
        "{before} {after}"
    );

    let held = before["held"].as_array().context("losses are listed")?;
    let ids: Vec<_> = held.iter().filter_map(|loss| loss["id"].as_str()).collect();
    let listed = format!("FROM instances WHERE id IN ('{}')", ids.join("', '"));
    let idle = format!("SELECT count(*) {listed} AND status = 'idle'");
    let two: Vec<_> = held[..2].iter().map(|loss| loss["id"].clone()).collect();
    let body = serde_json::json!({ "ids": two });
    let (status, answer) = other.post("/api/pool/fuse/confirm", &body).await?;
    ensure!(status == 200, "{status} {answer}");
    assert_eq!(answer["confirmed"], Value::from(two.clone()), "{answer}");
    assert_eq!(pool.number(&idle).await?, 6, "only these: {answer}");
    let (status, answer) = other.post("/api/pool/fuse/confirm", &body).await?;
    ensure!(status == 409, "once: {status} {answer}");

    let all = serde_json::json!({});
    let (status, answer) = standby.post("/api/pool/fuse/confirm", &all).await?;
    ensure!(status == 200, "{status} {answer}");
    let left = format!("SELECT count(*) {listed}");
    let gone = async |_: &Server| Ok(pool.number(&left).await? == 0);
    other.until("all of them are gone", gone).await?;
    other.until_count("idle", 8).await?;
    let whole = async |server: &Server| Ok(fuse(&pool, server).await?.is_null());
    other.until("the fuse is whole", whole).await?;
    assert_eq!(pool.number("SELECT count(*) FROM fuse_losses").await?, 0);
    other.stop().await?;
    standby.stop().await
}
