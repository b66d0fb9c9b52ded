//! A database that misbehaves: it goes down and comes back, it has no connection, no disk or no time
//! left, or somebody else holds its locks. Meanwhile callers are told 503 and when to ask again, and
//! soon after it is back they are served, without anybody's help.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use local_postgres::{Halt, Options, Programs, Server as Postgres};
use pool_simulator::{AgentFault, Options as SimulatorOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::pool::{KEY, PATIENCE, Pool, Server};
use crate::proxy::{Proxy, Wire};

/// Within which a server has to serve again once its database does.
const RECOVERS_WITHIN: Duration = Duration::from_secs(5);
/// Within which a claim is refused that the database does not answer: 5 s for a connection, 5 s for a
/// statement, and a repetition where the first answer came within a second.
const REFUSES_WITHIN: Duration = Duration::from_secs(12);
/// More than all tests of this file hand out from one pool.
const STOCK: usize = 16;

const CLAIMED: &str = "SELECT count(*) FROM instances WHERE status = 'claimed'";

/// A database server of the test's own, and a pool with a stock on it.
pub(crate) struct Setting {
    pub(crate) postgres: Postgres,
    pub(crate) pool: Pool,
    pub(crate) server: Server,
    /// How many callers were given an agent.
    granted: i64,
}

/// An answer to a claim.
pub(crate) struct Answer {
    status: u16,
    has_retry_after: bool,
    body: Value,
}

impl Setting {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let options = Options::temporary(Programs::find(&[])?);
        Self::on(Postgres::start(&committing(options))?).await
    }

    async fn on(postgres: Postgres) -> anyhow::Result<Self> {
        let admin = pool_test_database::connect(&postgres.url("postgres")).await?;
        admin.batch_execute("CREATE DATABASE pool").await?;
        let pool = Pool::with(0, SimulatorOptions::default()).await?;
        let pool = pool.reaching(postgres.url("pool"));
        pool.seed(STOCK)?;
        let server = pool.start().await?;
        server.until_count("idle", STOCK).await?;
        Ok(Self {
            postgres,
            pool,
            server,
            granted: 0,
        })
    }

    /// A claim that is sent now, by somebody else.
    pub(crate) fn claim_soon(&self) -> JoinHandle<anyhow::Result<Answer>> {
        let (http, base) = (self.pool.http.clone(), self.server.base.clone());
        tokio::spawn(async move {
            let request = http.post(format!("{base}/api/pool/claim")).bearer_auth(KEY);
            let body = json!({ "agentName": "Ada", "instructions": "x" });
            let answer = request.json(&body).send().await?;
            Ok(Answer {
                status: answer.status().as_u16(),
                has_retry_after: answer.headers().contains_key("retry-after"),
                body: answer.json().await?,
            })
        })
    }

    /// A claim that may be refused, in time and politely, and in no other way. Whether it was granted.
    async fn try_claim(&mut self) -> anyhow::Result<bool> {
        let answer = timeout(REFUSES_WITHIN, self.claim_soon()).await;
        let answer = answer.context("a claim hung")???;
        let Answer { status, body, .. } = &answer;
        let is_polite = *status == 200 || (*status == 503 && answer.has_retry_after);
        ensure!(is_polite, "a claim was answered {status}: {body}");
        self.granted += i64::from(*status == 200);
        Ok(*status == 200)
    }

    /// A claim that was sent before, and that has to be granted.
    pub(crate) fn granted(&mut self, Answer { status, body, .. }: Answer) -> anyhow::Result<()> {
        ensure!(status == 200, "a claim was answered {status}: {body}");
        self.granted += 1;
        Ok(())
    }

    pub(crate) async fn is_refused(&mut self) -> anyhow::Result<()> {
        ensure!(!self.try_claim().await?, "a claim was granted");
        Ok(())
    }

    /// Counted from now, when the database serves again.
    pub(crate) async fn recovers(&mut self, from: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.try_claim().await? {
            let waited = began.elapsed();
            ensure!(waited < RECOVERS_WITHIN, "no claim {waited:?} after {from}");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Everybody who was told 200 has a row, ticks go on, and the server stops as it should.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        assert_eq!(self.pool.number(CLAIMED).await?, self.granted);
        self.server.reconcile().await?;
        let handed_out = self.pool.railway.view().agents;
        let twice = handed_out.iter().filter(|agent| agent.provisions > 1);
        assert_eq!(twice.count(), 0, "none twice");
        self.server.stop().await
    }
}

/// The tests' servers lose what was committed last when they crash; this one does not.
pub(crate) fn committing(options: Options) -> Options {
    options.setting("synchronous_commit", "on")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_down_is_waited_for_and_no_agent_is_lost() -> anyhow::Result<()> {
    let mut setting = Setting::new().await?;
    setting.recovers("the start").await?;
    for how in [Halt::Fast, Halt::Immediate, Halt::Killed] {
        // Somebody's agent takes its time while the database goes.
        let idle = "SELECT count(*) FROM instances WHERE status = 'claiming'";
        set_agents(&setting.pool, Some(AgentFault::Slow { ms: 1_500 }))?;
        let in_flight = setting.claim_soon();
        let began = Instant::now();
        while setting.pool.number(idle).await? == 0 {
            ensure!(began.elapsed() < PATIENCE, "no lease");
        }
        setting.postgres.halt(how)?;
        setting.is_refused().await?;
        let answer = setting
            .pool
            .http
            .get(format!("{}/readyz", setting.server.base));
        assert_eq!(answer.send().await?.status().as_u16(), 503);
        set_agents(&setting.pool, None)?;
        setting.postgres.start_again()?;
        setting.recovers(&format!("{how:?}")).await?;
        let answer = timeout(PATIENCE, in_flight).await???;
        assert_eq!(answer.status, 200, "{how:?}: {}", answer.body);
        setting.granted += 1;
    }
    setting.end().await
}

pub(crate) fn set_agents(pool: &Pool, fault: Option<AgentFault>) -> anyhow::Result<()> {
    for agent in pool.railway.view().agents {
        let service = agent.service_id.as_str().into();
        pool.railway.set_agent_fault(&service, fault)?;
    }
    Ok(())
}

/// Wherever in its start the database goes: it is waited for, and nobody has to start the server again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_waits_for_a_database_that_goes_while_it_starts() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?;
    let url = pool.database.url();
    let port = url::Url::parse(url)?
        .port()
        .context("a database has a port")?;
    for connections in 0..4 {
        let wire = Proxy::start(port).await?;
        wire.set(Wire::Lets(connections));
        let through = wire.instead_of(url)?;
        let starting = pool.start_at(&through);
        let back = async {
            let began = Instant::now();
            while wire.refused() == 0 {
                ensure!(began.elapsed() < PATIENCE, "the database was not missed");
                sleep(Duration::from_millis(10)).await;
            }
            wire.set(Wire::Passes);
            Ok(())
        };
        let (server, ()) = tokio::try_join!(starting, back)?;
        server.count("idle").await?;
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_are_killed_are_replaced() -> anyhow::Result<()> {
    let mut setting = Setting::new().await?;
    let ours = "FROM pg_stat_activity WHERE application_name LIKE 'pool-server%'";
    // One that dies without a word takes all others with it: the database recovers as from a crash.
    let query = format!("SELECT max(pid)::bigint {ours}");
    let pid = i32::try_from(setting.pool.number(&query).await?)?;
    let pid = Pid::from_raw(pid).context("a backend has a number")?;
    kill_process(pid, Signal::KILL)?;
    let began = Instant::now();
    while setting.pool.number("SELECT 1::bigint").await.is_err() {
        ensure!(began.elapsed() < PATIENCE, "the database did not recover");
        sleep(Duration::from_millis(20)).await;
    }
    setting.recovers("the end of a backend").await?;
    let end_all = format!("SELECT count(pg_terminate_backend(pid)) {ours}");
    for _ in 0..3 {
        setting.pool.number(&end_all).await?;
        setting.recovers("the end of all connections").await?;
    }
    setting.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_refused_while_others_have_every_connection() -> anyhow::Result<()> {
    let mut setting = Setting::new().await?;
    let url = setting.postgres.url("pool");
    let first = pool_test_database::connect(&url).await?;
    let ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE application_name LIKE 'pool-server%'";
    let mut others = Vec::new();
    // The server wants its own back at once, so that they are taken from it again and again.
    let began = Instant::now();
    while setting.try_claim().await? {
        ensure!(
            began.elapsed() < PATIENCE,
            "there is always a connection left"
        );
        first.query(ours, &[]).await?;
        while let Ok(another) = pool_test_database::connect(&url).await {
            others.push(another);
        }
    }
    drop((first, others));
    setting.recovers("the others went").await?;
    setting.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_refused_in_time_while_somebody_holds_the_table() -> anyhow::Result<()> {
    let mut setting = Setting::new().await?;
    let url = setting.postgres.url("pool");
    let mut somebody = pool_test_database::connect(&url).await?;
    let holds = somebody.transaction().await?;
    holds
        .batch_execute("LOCK TABLE instances IN ACCESS EXCLUSIVE MODE")
        .await?;
    // More at once than there are connections for claims: the last ones wait for one of these first.
    let claims: Vec<_> = (0..24).map(|_| setting.claim_soon()).collect();
    for claim in claims {
        let answer = timeout(REFUSES_WITHIN, claim)
            .await
            .context("a claim hung")???;
        assert_eq!(
            (answer.status, answer.has_retry_after),
            (503, true),
            "{}",
            answer.body
        );
    }
    let health = setting
        .pool
        .http
        .get(format!("{}/healthz", setting.server.base));
    assert_eq!(health.send().await?.status().as_u16(), 200);
    holds.rollback().await?;
    setting.recovers("the lock was given back").await?;
    setting.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_makes_claims_slow_and_nothing_else() -> anyhow::Result<()> {
    let mut setting = Setting::new().await?;
    let wire = Proxy::start(setting.postgres.port()).await?;
    let url = wire.instead_of(&setting.postgres.url("pool"))?;
    let second = setting.pool.start_at(&url).await?;
    wire.set(Wire::Slow(Duration::from_millis(150)));
    tokio::try_join!(second.claim("Ada"), second.claim("Bob"), second.claim("Cy"))?;
    setting.granted += 3;
    wire.set(Wire::Passes);
    second.stop().await?;
    setting.end().await
}

/// A small file system for the whole cluster. Only root may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None, with the reason, where mounting is not permitted.
    fn mount(mib: u32) -> anyhow::Result<Option<Self>> {
        let dir = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        let options = format!("size={mib}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Some(Self(dir))),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("not tested: a small file system cannot be mounted: {why}");
                Ok(None)
            }
            Err(error) => {
                eprintln!("not tested: mount cannot be run: {error}");
                Ok(None)
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is left of the disk.
    fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::create(self.path().join("filler"))?;
        let block = [0; 8 * 1024];
        while filler.write_all(&block).is_ok() {}
        Ok(())
    }

    fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.path().join("filler"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() -> anyhow::Result<()> {
    let Some(disk) = SmallDisk::mount(160)? else {
        return Ok(());
    };
    let options = Options::in_dir(Programs::find(&[])?, disk.path().join("cluster"));
    let options = committing(options).setting("max_wal_size", "32MB");
    let mut setting = Setting::on(Postgres::start(&options)?).await?;
    setting.recovers("the start").await?;
    disk.fill()?;
    // What is there already is written over; then claims need more.
    let began = Instant::now();
    let mut refused = 0;
    while refused < 3 {
        ensure!(began.elapsed() < PATIENCE, "the disk is not full enough");
        let _ = setting
            .pool
            .number("SELECT 1::bigint FROM pg_switch_wal()")
            .await;
        refused += u32::from(!setting.try_claim().await?);
    }
    disk.free()?;
    // PostgreSQL may have given up; then whoever watches over it starts it again.
    if !setting.postgres.is_running() {
        setting.postgres.halt(Halt::Killed)?;
        setting.postgres.start_again()?;
    }
    let began = Instant::now();
    while setting.pool.number("SELECT 1::bigint").await.is_err() {
        ensure!(began.elapsed() < PATIENCE, "the database did not recover");
        sleep(Duration::from_millis(20)).await;
    }
    setting.recovers("there was room").await?;
    setting.end().await
}
