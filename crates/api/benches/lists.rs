//! What each list costs: how long it takes until it is sent, how long it is, and how much memory the
//! process ever needed meanwhile. In this process, with a socket to nobody, so that it is the lists that are
//! measured. Run by `cargo xtask bench lists`.

use std::env;
use std::error::Error;
use std::fs;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http::Request;
use http_body::Body as _;
use pool_api::App;
use pool_claims::{AgentClient, ClaimSettings, Claims};
use pool_db::{Db, DbSettings, migrations};
use pool_domain::{OsEntropy, Secret};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};
use tower::ServiceExt as _;

type Failure = Box<dyn Error + Send + Sync>;

const KEY: &str = "the-key-of-the-pool";
/// Of instances in the table.
const ROWS: [u32; 3] = [1_000, 10_000, 100_000];
/// What is asked for, and whether with the key.
const LISTS: [(&str, bool); 6] = [
    ("/api/pool/counts", false),
    ("/api/pool/agents", false),
    ("/api/pool/agents", true),
    ("/api/pool/status", true),
    ("/page/live", false),
    ("/readyz", false),
];
/// How often each is asked for, alone; the median counts.
const TIMES: usize = 5;
/// How many ask for it at once, after that.
const CROWD: usize = 16;
/// By then what was read is read anew.
const FORGOTTEN_AFTER: Duration = Duration::from_millis(550);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let url = env::var("DATABASE_URL").map_err(|_| "run `cargo xtask bench lists`")?;
    let as_json = env::var_os("BENCH_JSON").is_some();
    migrations::run(&url).await?;
    pool_legacy_schema::contract_telling(&url, &mut |_| ()).await?;
    let admin = connect(&url).await?;
    let router = router(&url).await?;
    if !as_json {
        println!("   rows  list                       ms      KiB  16 at once, ms  memory, MiB");
    }
    let mut lines = Vec::new();
    for rows in ROWS {
        fill(&admin, rows).await?;
        for (path, with_key) in LISTS {
            let line = measure(&router, rows, path, with_key).await?;
            if !as_json {
                println!("{}", line.text());
            }
            lines.push(line.json());
        }
    }
    if as_json {
        println!("{}", json!({ "lists": lines }));
    }
    Ok(())
}

/// What one list cost.
struct Line {
    rows: u32,
    path: &'static str,
    with_key: bool,
    ms: f64,
    bytes: usize,
    crowd_ms: f64,
    before_mib: u64,
    peak_mib: u64,
}

async fn measure(
    router: &Router,
    rows: u32,
    path: &'static str,
    with_key: bool,
) -> Result<Line, Failure> {
    // The kernel's own counter of the most memory begins anew.
    fs::write("/proc/self/clear_refs", "5")?;
    let before_mib = memory_mib("VmRSS:")?;
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..TIMES {
        sleep(FORGOTTEN_AFTER).await;
        let began = Instant::now();
        bytes = ask(router.clone(), path, with_key).await?;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    sleep(FORGOTTEN_AFTER).await;
    let began = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(ask(router.clone(), path, with_key));
    }
    for read in crowd.join_all().await {
        read?;
    }
    took.sort_by(f64::total_cmp);
    Ok(Line {
        rows,
        path,
        with_key,
        ms: took[TIMES / 2],
        bytes,
        crowd_ms: began.elapsed().as_secs_f64() * 1_000.0,
        before_mib,
        peak_mib: memory_mib("VmHWM:")?,
    })
}

impl Line {
    fn text(&self) -> String {
        let key = if self.with_key { ", key" } else { "" };
        format!(
            "{:>7}  {:<22} {:>6.1} {:>8} {:>15.1}  {} to {}",
            self.rows,
            format!("{}{key}", self.path),
            self.ms,
            self.bytes.div_ceil(1024),
            self.crowd_ms,
            self.before_mib,
            self.peak_mib
        )
    }

    fn json(&self) -> Value {
        json!({
            "rows": self.rows, "list": self.path, "key": self.with_key, "ms": self.ms,
            "bytes": self.bytes, "crowd": CROWD, "crowd_ms": self.crowd_ms,
            "before_mib": self.before_mib, "peak_mib": self.peak_mib,
        })
    }
}

/// Reads the answer to its end, and keeps nothing of it.
async fn ask(router: Router, path: &str, with_key: bool) -> Result<usize, Failure> {
    let mut request = Request::get(path);
    if with_key {
        request = request.header("authorization", format!("Bearer {KEY}"));
    }
    let answer = router.oneshot(request.body(Body::empty())?).await?;
    // Without a leader nobody is ready.
    if !answer.status().is_success() && path != "/readyz" {
        return Err(format!("{path} was answered {}", answer.status()).into());
    }
    let (mut body, mut bytes) = (Box::pin(answer.into_body()), 0);
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

async fn router(url: &str) -> Result<Router, Failure> {
    let db = Db::connect(&DbSettings::new(Secret::new(url))).await?;
    let claims = Claims::new(
        db.clone(),
        AgentClient::new(Secret::new(KEY))?,
        Arc::new(OsEntropy),
        ClaimSettings::default(),
    );
    Ok(pool_api::router(App {
        db,
        claims,
        key: Secret::new(KEY),
        environment: "bench".to_owned(),
        version: "0".to_owned(),
        tick_interval: Duration::from_secs(30),
        wake: Arc::default(),
        loops: pool_api::LiveLoops::none(),
    }))
}

/// Nine of ten are claimed, with instructions of a usual length; every hundredth has crashed.
async fn fill(admin: &Client, rows: u32) -> Result<(), Failure> {
    let fill = format!(
        "ALTER TABLE instances DISABLE TRIGGER USER; DELETE FROM instances; \
         INSERT INTO instances (id, service_id, name, url, status, deploy_status, agent_name, \
         conversation_id, invite_url, instructions, created_at, claimed_at, runtime_image) \
         SELECT 'bench' || n, gen_random_uuid(), 'convos-agent-bench' || n, \
         'https://convos-agent-bench' || n || '.up.railway.app', \
         CASE WHEN n % 100 = 0 THEN 'crashed' WHEN n % 10 = 0 THEN 'idle' ELSE 'claimed' END, \
         'SUCCESS', 'Agent ' || n, md5(n::text), 'https://dev.convos.org/v2?i=' || md5(n::text), \
         repeat('Be helpful. ', 20), now() - n * interval '1 s', now(), \
         'ghcr.io/xmtplabs/convos-runtime:latest' FROM generate_series(1, {rows}) AS n; \
         ALTER TABLE instances ENABLE TRIGGER USER"
    );
    admin.batch_execute(&fill).await?;
    admin.batch_execute("VACUUM ANALYZE instances").await?;
    Ok(())
}

fn memory_mib(of: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(of));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or("no such counter")?.trim().parse::<u64>()? / 1024)
}

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
