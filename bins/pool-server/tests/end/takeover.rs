//! How long the pool is without a leader, whatever became of the one before: killed, frozen, or cut
//! off from the database without a word.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::pool::{PATIENCE, Pool, program};
use crate::proxy::{Proxy, Wire};

const TICK: Duration = Duration::from_secs(5);
/// A leader that is gone, and whose connection the kernel closed.
const WITHIN_TWO_TICKS: Duration = Duration::from_secs(10);
/// A leader that nobody hears of.
const WITHOUT_A_WORD: Duration = Duration::from_secs(15);

/// A server that can be killed and frozen.
struct Process(Child);

impl Process {
    fn start(pool: &Pool, target: usize) -> anyhow::Result<Self> {
        let child = program(pool.database.url(), &pool.railway)
            .env("POOL_MIN_IDLE", target.to_string())
            .env("TICK_INTERVAL_MS", TICK.as_millis().to_string())
            .env("POOL_MISSING_GRACE_MS", "1500")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        Ok(kill_process(
            pid.context("a process has a number")?,
            signal,
        )?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often somebody has begun to lead, and ticked.
async fn leaders_that_ticked(pool: &Pool) -> anyhow::Result<i64> {
    pool.number("SELECT count(DISTINCT term) FROM ticks").await
}

/// Until so many have led and ticked; how long it took.
async fn until_led_by(pool: &Pool, number: i64, limit: Duration) -> anyhow::Result<Duration> {
    let began = Instant::now();
    while leaders_that_ticked(pool).await? < number {
        ensure!(began.elapsed() < limit, "no leader within {limit:?}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(began.elapsed())
}

async fn until_idle(pool: &Pool, target: usize) -> anyhow::Result<()> {
    let began = Instant::now();
    let query = "SELECT count(*) FROM instances WHERE status = 'idle'";
    while pool.number(query).await? != i64::try_from(target)? {
        ensure!(began.elapsed() < PATIENCE, "not {target} idle in time");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A leader that is a process of its own, with a full pool, and a standby in this one.
async fn led_by_a_process(target: usize) -> anyhow::Result<(Pool, Process)> {
    let pool = Pool::new(target)
        .await?
        .set("tick-interval-ms", TICK.as_millis());
    let leader = Process::start(&pool, target)?;
    until_led_by(&pool, 1, PATIENCE).await?;
    until_idle(&pool, target).await?;
    Ok((pool, leader))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_leads_within_two_ticks_when_the_leader_is_killed() -> anyhow::Result<()> {
    let (pool, leader) = led_by_a_process(3).await?;
    let standby = pool.start().await?;
    drop(leader);
    until_led_by(&pool, 2, WITHIN_TWO_TICKS).await?;
    standby.claim("Ada").await?;
    until_idle(&pool, 3).await?;
    assert_eq!(
        pool.live_services().len(),
        4,
        "three idle and Ada's, no more"
    );
    standby.stop().await
}

/// Its connections stand, and its kernel answers for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_leads_within_15_s_when_the_leader_is_frozen() -> anyhow::Result<()> {
    let (pool, leader) = led_by_a_process(3).await?;
    let standby = pool.start().await?;
    leader.signal(Signal::STOP)?;
    until_led_by(&pool, 2, WITHOUT_A_WORD).await?;
    standby.claim("Ada").await?;
    leader.signal(Signal::CONT)?;
    until_idle(&pool, 3).await?;
    // The one that woke up leads no more, whatever it was at; these ticks are the standby's.
    for _ in 0..3 {
        standby.reconcile().await?;
    }
    assert_eq!(leaders_that_ticked(&pool).await?, 2);
    let newest = "SELECT count(*) FROM ticks WHERE term < (SELECT max(term) FROM leader_terms) \
                  AND started_at > (SELECT max(started_at) FROM leader_terms)";
    assert_eq!(pool.number(newest).await?, 0, "no tick of the older term");
    assert_eq!(
        pool.live_services().len(),
        4,
        "three idle and Ada's, no more"
    );
    standby.stop().await
}

/// Neither side's TCP notices anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_leads_within_15_s_when_the_leader_is_cut_off() -> anyhow::Result<()> {
    let pool = Pool::new(3).await?.set("tick-interval-ms", 1_000);
    let port = url::Url::parse(pool.database.url())?.port();
    let wire = Proxy::start(port.context("the database has a port")?).await?;
    let leader = pool
        .start_at(&wire.instead_of(pool.database.url())?)
        .await?;
    until_led_by(&pool, 1, PATIENCE).await?;
    let standby = pool.start().await?;
    standby.until_count("idle", 3).await?;
    wire.set(Wire::Cut);
    until_led_by(&pool, 2, WITHOUT_A_WORD).await?;
    standby.claim("Ada").await?;
    standby.until_count("idle", 3).await?;
    wire.set(Wire::Passes);
    // Whoever was cut off serves again, and any command reaches whoever leads.
    leader
        .until("it finds the database again", async |server| {
            let asked = server.reconcile().await;
            Ok(asked.is_ok())
        })
        .await?;
    let again = leader.claim("Bob").await;
    ensure!(again.is_ok(), "{again:?}");
    standby.until_count("claimed", 2).await?;
    standby.until_count("idle", 3).await?;
    assert_eq!(pool.live_services().len(), 5, "three idle, Ada's and Bob's");
    leader.stop().await?;
    standby.stop().await
}
