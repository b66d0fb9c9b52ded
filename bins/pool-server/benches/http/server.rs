//! The server that ships, on a database whose instances are all idle and answer on the loopback network.
//! It finds no Railway, and a claim needs none.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use pool_db::migrations;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::caller::Caller;
use crate::figures::Figures;
use crate::load::{self, Load};
use crate::{Failure, Turn};

const KEY: &str = "bench";
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// The usual resolution of `/proc/PID/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) struct Server {
    child: Child,
    port: u16,
    agents: u16,
    admin: Client,
}

impl Server {
    pub(crate) async fn start(url: &str, agents: u16) -> Result<Self, Failure> {
        migrations::run(url).await?;
        pool_legacy_schema::contract_telling(url, &mut |_| ()).await?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(env!("CARGO_BIN_EXE_pool-server"))
            .env_clear()
            .env("DATABASE_URL", url)
            .env("PORT", port.to_string())
            .env("POOL_API_KEY", KEY)
            .env("POOL_MAX_TOTAL", "100000")
            .env("POOL_MIN_IDLE", "0")
            .env("POOL_AGENT_SCHEME", "http")
            .env("RAILWAY_API_URL", "http://127.0.0.1:9/")
            .env("RAILWAY_API_TOKEN", "none")
            .env("RAILWAY_PROJECT_ID", "none")
            .env("RAILWAY_ENVIRONMENT_ID", "none")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (admin, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let began = Instant::now();
        while Caller::connect(port, KEY).await.is_err() {
            if began.elapsed() > STARTS_WITHIN {
                return Err("the server did not start in time".into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Self {
            child,
            port,
            agents,
            admin,
        })
    }

    /// So many idle instances, each with an address of its own, and the database knows it.
    pub(crate) async fn fill(&self, rows: u32) -> Result<(), Failure> {
        let fill = format!(
            "TRUNCATE instances, instance_events, claim_requests; \
             ALTER TABLE instances DISABLE TRIGGER USER; \
             INSERT INTO instances (id, service_id, name, url, status, created_at) \
             SELECT 'bench' || n, 'service-' || n, 'convos-agent-' || n, \
             format('http://127.%s.%s.%s:{}', 1 + n / 65536, n / 256 % 256, 1 + n % 254), 'idle', \
             now() - n * interval '1 s' FROM generate_series(1, {rows}) AS n; \
             ALTER TABLE instances ENABLE TRIGGER USER",
            self.agents
        );
        self.admin.batch_execute(&fill).await?;
        self.admin.batch_execute("VACUUM ANALYZE instances").await?;
        Ok(self.admin.batch_execute("CHECKPOINT").await?)
    }

    pub(crate) async fn measure(&self, load: Load) -> Result<Turn, Failure> {
        let before = self.cpu_seconds()?;
        let took = load::turn(load, self.port, KEY).await?;
        let claims = u32::try_from(took.len())?.max(1);
        let cpu_ms = (self.cpu_seconds()? - before) * 1_000.0 / f64::from(claims);
        Ok(Turn {
            figures: Figures::of(took),
            cpu_ms,
        })
    }

    /// What the server has used of the processors since it began.
    fn cpu_seconds(&self) -> Result<f64, Failure> {
        let id = self.child.id().ok_or("the server has ended")?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let (_, fields) = stat.rsplit_once(") ").ok_or("no name in /proc")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
        Ok(f64::from(ticks) / TICKS_PER_SECOND)
    }

    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}
