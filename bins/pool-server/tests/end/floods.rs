//! Many who read, and take their answers slowly or not at all: what it costs the server, told by the
//! operating system. `cargo xtask test -p pool-server floods --success-output immediate` prints the
//! figures.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::kill_points::{Victim, WHILE_CALLED};
use crate::pool::{KEY, PATIENCE, Pool};

const AGENTS: usize = 100;
/// A book's chapter each.
const INSTRUCTIONS_BYTES: usize = 200_000;
/// Who read at once without a key, and with it.
const STRANGERS: usize = 64;
const FRIENDS: usize = 16;

/// An answer without instructions is about 40 kB, and each connection has its buffers.
const STRANGERS_MAY_COST_MIB: u64 = 48;
/// One copy of twenty megabytes that all of them share, and what is in the sockets.
const FRIENDS_MAY_COST_MIB: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_read_cost_no_memory_and_friends_share_one_answer() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?;
    let pool = pool.set("tick-interval-ms", 60_000);
    // Its first start makes the tables.
    pool.start().await?.stop().await?;
    let client = pool_test_database::connect(pool.database.url()).await?;
    let insert = format!(
        "INSERT INTO instances (id, service_id, name, status, claimed_at, instructions) \
         SELECT 'agent-' || n, 's-' || n, 'convos-agent-' || n, 'claimed', now(), \
         repeat(md5(n::text), {INSTRUCTIONS_BYTES} / 32) FROM generate_series(1, {AGENTS}) AS n"
    );
    client.batch_execute(&insert).await?;
    let mut server = Victim::start(&pool, 0, WHILE_CALLED).await?;
    let pid = server.process.id();
    let before = peak_mib(pid)?;

    let mut strangers = Vec::new();
    for n in 0..STRANGERS {
        let path = ["/api/pool/agents", "/", "/page/live"][n % 3];
        strangers.push(Reader::ask(&server.base, path, None).await?);
    }
    let after_strangers = peak_mib(pid)?;
    drop(strangers);

    let mut asking = JoinSet::new();
    for _ in 0..FRIENDS {
        let base = server.base.clone();
        asking.spawn(async move { Reader::ask(&base, "/api/pool/status", Some(KEY)).await });
    }
    let friends: Result<Vec<_>, _> = asking.join_all().await.into_iter().collect();
    let mut friends = friends?;
    let after_friends = peak_mib(pid)?;
    for friend in &mut friends {
        let read = friend.rest().await?;
        ensure!(
            read > AGENTS * INSTRUCTIONS_BYTES,
            "an answer of {read} bytes"
        );
    }
    server.process.kill()?;
    server.process.wait()?;

    println!(
        "{AGENTS} agents with instructions of {INSTRUCTIONS_BYTES} bytes: {before} MiB at the start, \
         {after_strangers} MiB with {STRANGERS} strangers, {after_friends} MiB with {FRIENDS} friends"
    );
    ensure!(after_strangers - before <= STRANGERS_MAY_COST_MIB);
    ensure!(after_friends - before <= FRIENDS_MAY_COST_MIB);
    Ok(())
}

/// Somebody who asked, and has taken only the first bytes of the answer.
struct Reader(TcpStream);

impl Reader {
    async fn ask(base: &str, path: &str, key: Option<&str>) -> anyhow::Result<Self> {
        let address = base.strip_prefix("http://").context("an http address")?;
        let mut stream = TcpStream::connect(address).await?;
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n"));
        let key = key.unwrap_or_default();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: pool\r\n{key}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut first = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut first)).await??;
        let first = String::from_utf8_lossy(&first);
        ensure!(first == "HTTP/1.1 200", "{path} was answered {first}");
        // What is rendered beside the answer's head is there by then.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(Self(stream))
    }

    async fn rest(&mut self) -> anyhow::Result<usize> {
        let mut buffer = vec![0; 1 << 20];
        let mut read = 0;
        loop {
            match timeout(PATIENCE, self.0.read(&mut buffer)).await?? {
                0 => return Ok(read),
                bytes => read += bytes,
            }
        }
    }
}

/// The most memory that this process ever had.
fn peak_mib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kib: u64 = kib.context("no VmHWM")?.trim().parse()?;
    Ok(kib / 1024)
}
