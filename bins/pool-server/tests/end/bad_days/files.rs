//! The process may open no more files: no connection of a client, and none to an agent.

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::process::Process;
use crate::pool::Pool;

const STOCK: u64 = 4;
/// Nobody takes their connections meanwhile.
const CLIENTS: usize = 16;
/// As long as three failed probes would take.
const SHORTAGE: Duration = Duration::from_secs(6);
const SERVES_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_file_left_blames_no_agent_and_serves_again() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?;
    pool.seed(usize::try_from(STOCK)?)?;
    let process = Process::start(&pool, &[("POOL_MIN_IDLE", "0")]).await?;
    process.until_count("idle", STOCK).await?;

    let pid = process.pid()?;
    // What is open stays open.
    let before = allow_files(pid, Some(0))?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(TcpStream::connect(process.address()).await?);
    }
    let began = Instant::now();
    let cpu = cpu_ticks(pid)?;
    while began.elapsed() < SHORTAGE {
        // Over a connection that is open already.
        let (status, answer) = process.claim().await?;
        assert!(matches!(status, 502 | 503), "{status} {answer}");
        sleep(Duration::from_millis(100)).await;
    }
    let spent = cpu_ticks(pid)? - cpu;
    assert!(spent < 300, "it spins: {spent} hundredths of a second");

    allow_files(pid, before)?;
    drop(clients);
    process.until_count("idle", STOCK).await?;
    let blamed = "SELECT count(*) FROM instance_events WHERE to_status = 'dead' \
                  OR (from_status = 'idle' AND to_status = 'starting')";
    assert_eq!(pool.number(blamed).await?, 0);
    let failed = "SELECT coalesce(sum(failed_claims), 0)::bigint FROM instances";
    assert_eq!(pool.number(failed).await?, 0);
    let began = Instant::now();
    while process.claim().await?.0 != 200 {
        assert!(began.elapsed() < SERVES_WITHIN, "no claim");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(process.health_anew().await?, 200);
    Ok(())
}

/// What it was allowed before.
fn allow_files(pid: Pid, files: Option<u64>) -> anyhow::Result<Option<u64>> {
    let limit = Rlimit {
        current: files,
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    Ok(prlimit(Some(pid), Resource::Nofile, limit)?.current)
}

/// What it has used of the processors, in hundredths of a second.
fn cpu_ticks(pid: Pid) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process has a name")?;
    let used = fields.split(' ').skip(11).take(2);
    Ok(used.filter_map(|ticks| ticks.parse::<u64>().ok()).sum())
}
