//! One world: a database, a Railway whose listings lag, both accounts, and the real program, which
//! is started, killed and started again.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use pool_db::{Db, DbSettings};
use pool_simulator::faults::Fault as Outside;
use pool_simulator::{FaultRule, Options, Settings, Simulator};
use pool_test_database::TestDatabase;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::ledger;
use super::steps::Cell;
use crate::pool::{PATIENCE, program};

/// From one tick to the next.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// Longer than anything lags.
const GRACE: Duration = Duration::from_millis(2_500);
/// For how long no listing shows what was made or deleted.
const LAG: Duration = Duration::from_millis(1_200);
/// How many agents are kept.
const TARGET: usize = 2;

pub(super) struct World {
    database: TestDatabase,
    client: Client,
    db: Db,
    railway: Simulator,
    log: PathBuf,
    server: Option<Child>,
}

impl World {
    pub(super) async fn new() -> anyhow::Result<Self> {
        let database = TestDatabase::create().await;
        let settings = Settings {
            read_lag: LAG,
            delete_lag: LAG,
            ..Settings::default()
        };
        let railway = Simulator::start(Options {
            settings,
            ..Options::default()
        })
        .await?;
        let by_ms = u64::try_from(LAG.as_millis())?;
        let accounts_lag = FaultRule::always(Outside::StaleListing { by_ms });
        railway.inject(accounts_lag.on("keyList").on("inboxList"))?;
        let client = database.client().await;
        let settings = DbSettings {
            url: pool_domain::Secret::new(database.url()),
            pool_size: 1,
            leader_pool_size: 1,
            claim_pool_size: 1,
            dialer: None,
        };
        let db = Db::connect(&settings).await?;
        let log = std::env::temp_dir().join(format!("{}.log", database.name()));
        Ok(Self {
            database,
            client,
            db,
            railway,
            log,
            server: None,
        })
    }

    /// Starts the program, with these variables beside the usual ones, instead of the one that runs.
    pub(super) fn start(&mut self, more: &[(&str, String)]) -> anyhow::Result<()> {
        self.kill()?;
        let railway = &self.railway;
        // Anew, so that what a test reads there is of this run.
        let log = File::create(&self.log)?;
        let server = program(self.database.url(), railway)
            .env("OPENROUTER_MANAGEMENT_KEY", railway.openrouter_key())
            .env("OPENROUTER_API_URL", railway.openrouter_url())
            .env("AGENTMAIL_API_KEY", railway.agentmail_key())
            .env("AGENTMAIL_API_URL", railway.agentmail_url())
            .env("POOL_MIN_IDLE", TARGET.to_string())
            .env("TICK_INTERVAL_MS", TICK.as_millis().to_string())
            .env("POOL_MISSING_GRACE_MS", GRACE.as_millis().to_string())
            .envs(more.iter().map(|(name, value)| (*name, value)))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()?;
        self.server = Some(server);
        Ok(())
    }

    /// Waits until the program died of SIGKILL.
    pub(super) async fn until_killed(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let server = self.server.as_mut().context("a server runs")?;
        loop {
            if let Some(status) = server.try_wait()? {
                ensure!(status.signal() == Some(9), "it ended by itself: {status}");
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "it was not killed");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn inject(&self, cell: &Cell) -> anyhow::Result<()> {
        match cell.rule() {
            Some(rule) => Ok(self.railway.inject(rule)?),
            None => Ok(()),
        }
    }

    /// Waits until the fault has struck.
    pub(super) async fn until_struck(&self, cell: &Cell) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let has_struck = match cell.rule() {
                Some(rule) => {
                    let on = self.railway.view().faults;
                    on.iter().all(|it| it.operations != rule.operations)
                }
                None => self.log()?.contains("at a failpoint"),
            };
            if has_struck {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the fault never struck");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Retires one, as a person does.
    pub(super) async fn drain_one(&self) -> anyhow::Result<()> {
        let drained = pool_db::instances::drain(&self.db, 1, "a test").await?;
        ensure!(drained.len() == 1, "one is drained");
        Ok(())
    }

    /// How many ticks were recorded.
    pub(super) async fn ticks(&self) -> anyhow::Result<i64> {
        let row = self.client.query_one("SELECT count(*) FROM ticks", &[]);
        Ok(row.await?.try_get(0)?)
    }

    /// What is left over or missing, a sentence each.
    pub(super) async fn left(&self) -> anyhow::Result<Vec<String>> {
        ledger::left(&self.client, &self.railway, TARGET).await
    }

    /// Waits until nothing is.
    pub(super) async fn until_exact(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let left = self.left().await?;
            if left.is_empty() {
                return Ok(());
            }
            if let Some(server) = &mut self.server
                && let Some(status) = server.try_wait()?
            {
                bail!("the server ended ({status}); {}", left.join("; "));
            }
            let log = self.log.display();
            ensure!(
                began.elapsed() < PATIENCE,
                "{}; its log is {log}",
                left.join("; ")
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        Ok(())
    }

    fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}
