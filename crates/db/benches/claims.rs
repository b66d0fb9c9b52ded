//! How many leases a second the database gives, and how long each takes, beside the plainest write
//! there is: an update of one row by its primary key. The two take turns, so that whatever else
//! this machine does strikes both alike. Run by `cargo xtask bench claims`.

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_db::claims::{self, Leased};
use pool_db::{Db, DbSettings, migrations};
use pool_domain::{ClaimToken, OsEntropy, Secret};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls, Statement};

type Failure = Box<dyn Error + Send + Sync>;

/// How many call at once.
const CALLERS: [usize; 3] = [1, 8, 32];
/// Turns that each of the two has.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(1);
/// How long a lease would hold; none is confirmed here.
const LEASE: Duration = Duration::from_hours(1);

const PLAIN: &str = "UPDATE plain SET n = n + 1 WHERE id = $1";

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let url = env::var("DATABASE_URL").map_err(|_| "run `cargo xtask bench claims`")?;
    let rows: u32 = env::var("BENCH_ROWS").map_or(Ok(100_000), |rows| rows.parse())?;
    migrations::run(&url).await?;
    pool_legacy_schema::contract_telling(&url, &mut |_| ()).await?;
    let stage = Arc::new(Stage::new(&url, rows).await?);
    println!("{rows} idle instances; a plain update of one row by its primary key beside each");
    println!("callers   leases/s  p50 ms  p99 ms   updates/s  p50 ms  p99 ms   rate  p50   p99");
    for callers in CALLERS {
        stage.fill().await?;
        let (mut leases, mut updates) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            leases.extend(stage.turn(callers, Work::Lease).await?);
            updates.extend(stage.turn(callers, Work::Update).await?);
        }
        let (leases, updates) = (Figures::of(leases), Figures::of(updates));
        println!(
            "{callers:>7} {:>10.0} {:>7.2} {:>7.2}  {:>10.0} {:>7.2} {:>7.2}  {:>4.2}x {:>4.2}x {:>4.2}x",
            leases.per_second,
            leases.p50_ms,
            leases.p99_ms,
            updates.per_second,
            updates.p50_ms,
            updates.p99_ms,
            leases.per_second / updates.per_second,
            leases.p50_ms / updates.p50_ms,
            leases.p99_ms / updates.p99_ms,
        );
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Lease,
    Update,
}

struct Stage {
    db: Db,
    admin: Client,
    /// As many as the server keeps for claims.
    plain: Vec<Mutex<(Client, Statement)>>,
    rows: u32,
    next: AtomicU64,
}

impl Stage {
    async fn new(url: &str, rows: u32) -> Result<Self, Failure> {
        let db = Db::connect(&DbSettings::new(Secret::new(url))).await?;
        let admin = connect(url).await?;
        admin
            .batch_execute(&format!(
                "CREATE TABLE plain (id bigint PRIMARY KEY, n bigint NOT NULL); \
                 INSERT INTO plain SELECT n, 0 FROM generate_series(0, {rows}) AS n"
            ))
            .await?;
        let mut plain = Vec::new();
        for _ in 0..DbSettings::CLAIM_POOL_SIZE {
            let client = connect(url).await?;
            let statement = client.prepare(PLAIN).await?;
            plain.push(Mutex::new((client, statement)));
        }
        let next = AtomicU64::new(0);
        Ok(Self {
            db,
            admin,
            plain,
            rows,
            next,
        })
    }

    /// Everything is idle again, and the database knows it.
    async fn fill(&self) -> Result<(), Failure> {
        let fill = format!(
            "TRUNCATE instances, instance_events; ALTER TABLE instances DISABLE TRIGGER USER; \
             INSERT INTO instances (id, service_id, name, url, status, created_at) \
             SELECT 'bench' || n, 'service-' || n, 'convos-agent-' || n, 'https://' || n, 'idle', \
             now() - n * interval '1 s' FROM generate_series(1, {}) AS n; \
             ALTER TABLE instances ENABLE TRIGGER USER",
            self.rows
        );
        self.admin.batch_execute(&fill).await?;
        for table in ["instances", "plain"] {
            let vacuum = format!("VACUUM ANALYZE {table}");
            self.admin.batch_execute(&vacuum).await?;
        }
        Ok(())
    }

    /// What each call took, for one turn.
    async fn turn(self: &Arc<Self>, callers: usize, work: Work) -> Result<Vec<Duration>, Failure> {
        let until = Instant::now() + TURN;
        let mut calling = JoinSet::new();
        for caller in 0..callers {
            let stage = Arc::clone(self);
            calling.spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    stage.once(caller, work).await?;
                    took.push(began.elapsed());
                }
                Ok::<_, Failure>(took)
            });
        }
        let mut took = Vec::new();
        while let Some(done) = calling.join_next().await {
            took.extend(done??);
        }
        Ok(took)
    }

    async fn once(&self, caller: usize, work: Work) -> Result<(), Failure> {
        match work {
            Work::Lease => {
                let token = ClaimToken::generate(&OsEntropy);
                let lease = claims::lease_idle(&self.db, token, LEASE, &[], None).await?;
                if lease == Leased::NoneIdle {
                    return Err("every instance is leased: ask for more rows".into());
                }
            }
            Work::Update => {
                let id = self.next.fetch_add(7_919, Ordering::Relaxed) % u64::from(self.rows);
                let connection = self.plain[caller % self.plain.len()].lock().await;
                let (client, statement) = &*connection;
                let id = i64::try_from(id)?;
                if client.execute(statement, &[&id]).await? != 1 {
                    return Err("the plain update found no row".into());
                }
            }
        }
        Ok(())
    }
}

struct Figures {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Figures {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |percent: usize| {
            let place = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            took.get(place).map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
        };
        let calls = u32::try_from(took.len()).unwrap_or(u32::MAX);
        let turns = u32::try_from(TURNS).unwrap_or(u32::MAX);
        Self {
            per_second: f64::from(calls) / (TURN * turns).as_secs_f64(),
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }
}

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
