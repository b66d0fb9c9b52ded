//! Measures what somebody waits for, on this machine. Figures of different machines do not compare,
//! so beside each time stands its ratio to the same thing left alone.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use pool_harness::database::{Database, VARIABLE, temporary_server};
use pool_harness::{checkout, interrupt, running};

/// Without a migration, claims are watched for so long.
const ALONE: Duration = Duration::from_secs(10);
/// Between two claims: a busy pool.
const CLAIM_EVERY: Duration = Duration::from_millis(5);

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// How long rows of the first generation take to move, and how long the older service's claims
    /// wait meanwhile.
    Backfill {
        /// How many rows.
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
    },
    /// How many leases a second the database gives, and how long each takes, beside pgbench.
    Claims(Leasing),
    /// How many claims a second the server gives over HTTP, how long each takes, and what of the processor.
    Http {
        /// How many idle instances.
        #[arg(long, default_value_t = 100_000)]
        rows: u32,
        /// A line of JSON for each load.
        #[arg(long)]
        json: bool,
    },
    /// How long each list takes, how long it is, and how much memory it costs.
    Lists {
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// How soon missing agents are there again, in virtual time.
    Refill {
        /// One line of JSON for each case.
        #[arg(long)]
        json: bool,
        /// Only these cases.
        cases: Vec<String>,
    },
    /// How long a tick's planning takes.
    Tick,
}

#[derive(Args)]
struct Leasing {
    /// How many idle instances.
    #[arg(long, default_value_t = 100_000)]
    rows: u32,
    /// How many claimed ones beside them.
    #[arg(long, default_value_t = 0)]
    claimed: u32,
    /// How many call at once; several numbers, one after the other. With --json 32, otherwise 1,8,32.
    #[arg(long)]
    callers: Option<String>,
    /// With a transaction that stays open meanwhile, as a dump's does.
    #[arg(long)]
    held_open: bool,
    /// A line of JSON for each number of callers.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    interrupt::listen()?;
    match &arguments.benchmark {
        Benchmark::Backfill { rows } => backfill(*rows),
        Benchmark::Claims(leasing) => claims(leasing),
        Benchmark::Http { rows, json } => http(*rows, *json),
        Benchmark::Lists { json } => lists(*json),
        Benchmark::Refill { json, cases } => {
            let mut command = bench("pool-simulation", "refill");
            command.arg("--").args(cases);
            if *json {
                command.arg("--json");
            }
            running::run(&mut command)
        }
        Benchmark::Tick => running::run(bench("pool-planner", "tick").env_remove(VARIABLE)),
    }
}

fn bench(package: &str, name: &str) -> Command {
    let mut command = checkout::cargo();
    command.args(["bench", "--quiet", "--package", package, "--bench", name]);
    command
}

fn claims(leasing: &Leasing) -> Result<()> {
    let mut command = bench("pool-db", "claims");
    command
        .env("BENCH_ROWS", leasing.rows.to_string())
        .env("BENCH_CLAIMED", leasing.claimed.to_string())
        .envs(leasing.callers.as_ref().map(|it| ("BENCH_CALLERS", it)))
        .envs(leasing.held_open.then_some(("BENCH_HELD_OPEN", "1")));
    if leasing.json {
        command.env("BENCH_JSON", "1");
        if leasing.callers.is_none() {
            command.env("BENCH_CALLERS", "32");
        }
    }
    on_a_database(&mut command)
}

fn http(rows: u32, json: bool) -> Result<()> {
    let mut command = bench("pool-server", "http");
    command
        .env("BENCH_ROWS", rows.to_string())
        .envs(json.then_some(("BENCH_JSON", "1")));
    on_a_database(&mut command)
}

/// On a server of our own what was committed is on its disk, as in production.
fn on_a_database(command: &mut Command) -> Result<()> {
    let name = format!("pool_bench_{}", std::process::id());
    let database = Database::fresh(&name, || {
        Ok(temporary_server()?.durable(true).max_connections(300))
    })?;
    let measured = running::run(command.env(VARIABLE, database.url()));
    let ended = database.end();
    measured.and(ended)
}

fn lists(json: bool) -> Result<()> {
    let name = format!("pool_bench_{}", std::process::id());
    let database = Database::fresh(&name, temporary_server)?;
    let mut command = bench("pool-api", "lists");
    command.env(VARIABLE, database.url());
    command.envs(json.then_some(("BENCH_JSON", "1")));
    let measured = running::run(&mut command);
    let ended = database.end();
    measured.and(ended)
}

/// Every hundredth is idle, for the claims; nine of ten were claimed, with instructions of a usual
/// length.
fn legacy(rows: u32) -> String {
    format!(
        "CREATE TABLE pool_instances (id text PRIMARY KEY, railway_service_id text NOT NULL, \
         railway_url text, status text NOT NULL DEFAULT 'provisioning', claimed_by text, \
         claimed_at timestamptz, invite_url text, conversation_id text, instructions text, \
         join_url text, health_check_failures int, created_at timestamptz DEFAULT now(), \
         updated_at timestamptz DEFAULT now()); \
         INSERT INTO pool_instances (id, railway_service_id, railway_url, status, claimed_by, \
         claimed_at, instructions) SELECT md5(n::text), 'service-' || n, 'https://' || n, \
         CASE WHEN n % 100 = 0 THEN 'idle' WHEN n % 10 = 0 THEN 'provisioning' ELSE 'claimed' END, \
         CASE WHEN n % 10 > 0 THEN 'agent ' || n END, CASE WHEN n % 10 > 0 THEN now() END, \
         CASE WHEN n % 10 > 0 THEN repeat('Be helpful. ', 20) END \
         FROM generate_series(1, {rows}) AS n; \
         CREATE INDEX ON pool_instances (created_at) WHERE status = 'idle'; ANALYZE pool_instances"
    )
}

/// As the service of that generation claims.
const CLAIM: &str = "UPDATE pool_instances SET status = 'claimed', claimed_by = 'bench', \
    claimed_at = now(), updated_at = now() WHERE id = (SELECT id FROM pool_instances \
    WHERE status = 'idle' ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)";

fn backfill(rows: u32) -> Result<()> {
    let build = ["build", "--quiet", "--release", "--package", "pool-migrate"];
    running::run(checkout::cargo().args(build))?;
    let program = checkout::Metadata::read()?.release_binary("pool-migrate");
    let name = format!("pool_bench_{}", std::process::id());
    let database = Database::fresh(&name, temporary_server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let measured = runtime.block_on(async {
        println!("{rows} rows of the first generation");
        let client = connect(database.url()).await?;
        client.batch_execute(&legacy(rows)).await?;
        let alone = beside(database.url(), async {
            sleep(ALONE).await;
            Ok(())
        });
        let alone = alone.await?;
        println!("claims alone: {}", alone.line());
        for arguments in [&["up"][..], &["up", "--contract"][..]] {
            let mut command = Command::new(&program);
            command.args(arguments).env("DATABASE_URL", database.url());
            let done = async {
                let status = tokio::task::spawn_blocking(move || command.status()).await??;
                ensure!(status.success(), "pool-migrate failed ({status})");
                Ok(())
            };
            let with = beside(database.url(), done).await?;
            println!(
                "{}: {:.1} s; claims beside it: {}; longest {:.1} times that alone",
                arguments.join(" "),
                with.took.as_secs_f64(),
                with.line(),
                with.longest.as_secs_f64() / alone.longest.as_secs_f64().max(1e-6),
            );
        }
        check(&client, rows).await
    });
    let ended = database.end();
    measured.and(ended)
}

/// A benchmark of work that was not done would be fast.
async fn check(client: &Client, rows: u32) -> Result<()> {
    let moved = "SELECT (SELECT count(*) FROM instances WHERE status = 'claimed') \
                 + (SELECT count(*) FROM set_aside)";
    let moved: i64 = client.query_one(moved, &[]).await?.get(0);
    ensure!(moved == i64::from(rows), "{moved} of {rows} rows arrived");
    Ok(())
}

/// How claims fared.
struct Claims {
    took: Duration,
    made: u32,
    median: Duration,
    longest: Duration,
}

impl Claims {
    fn line(&self) -> String {
        format!(
            "{} claims, median {:.1} ms, longest {:.1} ms",
            self.made,
            self.median.as_secs_f64() * 1_000.0,
            self.longest.as_secs_f64() * 1_000.0
        )
    }
}

/// Claims one after another until the work is done.
async fn beside(url: &str, work: impl Future<Output = Result<()>>) -> Result<Claims> {
    let client = connect(url).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let claiming = tokio::spawn(async move {
        let mut waits = Vec::new();
        let claim = client.prepare(CLAIM).await?;
        while !stopped.load(Ordering::Relaxed) {
            let began = Instant::now();
            client.execute(&claim, &[]).await?;
            waits.push(began.elapsed());
            sleep(CLAIM_EVERY).await;
        }
        Ok::<_, tokio_postgres::Error>(waits)
    });
    let began = Instant::now();
    let done = work.await;
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut waits = claiming.await??;
    done?;
    waits.sort_unstable();
    Ok(Claims {
        took,
        made: u32::try_from(waits.len())?,
        median: *waits.get(waits.len() / 2).context("nothing was claimed")?,
        longest: *waits.last().context("nothing was claimed")?,
    })
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
